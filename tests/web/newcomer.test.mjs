// What a new person would do, in a real browser, with both frameworks training for real.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
    foundEngines,
    hasMnist,
    openBrowser,
    openPage,
    runShown,
    runStartedBy,
    Studio,
    whySkip,
} from './support.mjs';

const skip = whySkip || (!hasMnist && 'no MNIST beside the source');
const EPOCHS = 12;
let studio, browser, page, engines;

before(async () => {
    if (skip) return;
    studio = await Studio.create();
    browser = await openBrowser();
    page = await openPage(browser, studio);
    engines = await foundEngines(studio);
});
after(async () => {
    await browser?.close();
    await studio?.remove();
});

const labels = () =>
    page.locator('.sample').evaluateAll((all) => all.map((one) => one.getAttribute('aria-label')));
const legendStep = async (where = page) =>
    Number(
        (await where.locator('.legend-value').first().textContent())
            .replace(/^step ([\d,]+).*/s, '$1')
            .replaceAll(',', ''),
    ) || 0;
const waitForState = (run, state, where = page) => runShown(where, studio, run, state);
const start = () =>
    runStartedBy(page, () => page.getByRole('button', { name: 'Start training' }).click());

async function waitForStep(step, where = page) {
    for (let i = 0; i < 300; i++) {
        if ((await legendStep(where)) >= step) return;
        await where.waitForTimeout(100);
    }
    assert.fail(`the curve never reached step ${step}`);
}

/** Waits until the plot shows the color of the style sheet's property. */
async function waitForInk(property, least = 20) {
    for (let i = 0; i < 50; i++) {
        if ((await inked(property)) > least) return;
        await page.waitForTimeout(100);
    }
    assert.fail(`the plot shows no ${property}`);
}

/** How many pixels of the plot have the color of the style sheet's property. */
const inked = (property) =>
    page
        .locator('.plot canvas')
        .first()
        .evaluate((canvas, name) => {
            const color = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
            const [r, g, b] = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
            const { data } = canvas
                .getContext('2d')
                .getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                if (
                    data[i + 3] > 200 &&
                    Math.abs(data[i] - r) < 12 &&
                    Math.abs(data[i + 1] - g) < 12 &&
                    Math.abs(data[i + 2] - b) < 12
                )
                    count++;
            return count;
        }, property);

test('opens the page and shuffles samples', { skip }, async () => {
    await page.goto(`${studio.address}/`);
    await page.getByRole('heading', { level: 1, name: 'Data Inspector' }).waitFor();
    await page.locator('.sample').first().waitFor();
    const first = await labels();
    await page.getByRole('button', { name: 'Shuffle again' }).click();
    await page.waitForFunction(
        (old) => document.querySelector('.sample')?.getAttribute('aria-label') !== old,
        first[0],
    );
    const second = await labels();
    assert.equal(second.length, first.length);
    assert.notDeepEqual(second, first);
    await page.reload();
    await page.locator('.sample').first().waitFor();
    assert.deepEqual(await labels(), second, 'the address holds the shuffle');
});

test('opens a sample large and reads its values', { skip }, async () => {
    await page.locator('.sample').nth(3).click();
    const box = page.getByRole('dialog');
    await box.getByText(/row \d+, column \d+/).waitFor();
    await box.locator('.large-picture').press('ArrowUp');
    await box.getByText(/row 13, column 14/).waitFor();
    await page.keyboard.press('Escape');
    await box.waitFor({ state: 'detached' });
});

test('filters by class', { skip }, async () => {
    await page.getByLabel('Class', { exact: true }).selectOption('7');
    await page.waitForFunction(() =>
        [...document.querySelectorAll('.sample')].every((one) =>
            one.getAttribute('aria-label').endsWith(', 7'),
        ),
    );
});

for (const [engine, tab, color] of [
    ['torch', 'PyTorch Lab', '--torch'],
    ['tensorflow', 'TensorFlow Lab', '--tensorflow'],
]) {
    test(
        `trains in the ${tab}, reloads in mid-training, stops from a second tab, resumes`,
        { skip },
        async (t) => {
            if (!engines.includes(engine)) return t.skip(`${engine} is not installed`);
            await page.getByRole('link', { name: tab }).click();
            await page.getByLabel('Data set').selectOption('mnist');
            await page.getByLabel('Epochs', { exact: true }).fill(String(EPOCHS));
            const run = await start();
            await waitForState(run, 'running');
            await waitForStep(200);
            const before = await legendStep();

            await page.reload();
            await waitForStep(before);
            await waitForInk(color);

            const second = await page.context().newPage();
            await second.goto(page.url());
            await waitForStep(before, second);
            await second.getByRole('button', { name: 'Stop', exact: true }).click();
            await Promise.all([waitForState(run, 'stopped'), waitForState(run, 'stopped', second)]);
            await second.close();

            const { total } = await studio.get(`/api/runs/${run}/points`);
            assert.ok(total >= before, 'no point that was shown is lost');
            await page.getByRole('button', { name: 'Resume from its checkpoint' }).click();
            await waitForState(run, 'running');
            await waitForState(run, 'finished');
            const finished = await studio.get(`/api/runs/${run}`);
            assert.equal(finished.epochs.length, EPOCHS);
            assert.ok(finished.last.val_accuracy > 0.9);
            assert.equal(
                (await studio.get(`/api/runs/${run}/points`)).total,
                finished.progress.total_steps,
            );
            await page.locator('.files strong').first().waitFor();
        },
    );
}

test('pauses and goes on by the space bar', { skip }, async (t) => {
    if (!engines.includes('torch')) return t.skip('torch is not installed');
    await page.getByRole('link', { name: 'PyTorch Lab' }).click();
    await page.getByLabel('Epochs', { exact: true }).fill('30');
    const run = await start();
    await waitForState(run, 'running');
    await page.locator('#main').focus();
    await page.keyboard.press('Space');
    await waitForState(run, 'paused');
    await page.keyboard.press('Space');
    await waitForState(run, 'running');
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await waitForState(run, 'stopped');
});

test('continues with another engine, and the curve changes color', { skip }, async () => {
    const run = await studio.post('/api/runs', {
        engine: 'native',
        settings: { dataset: 'mnist', epochs: 2 },
        name: 'handed-on',
    });
    await studio.until(run.id, 'finished');
    const next = engines.find((engine) => engine !== 'native');
    if (!next) return;
    await page.goto(`${studio.address}/runs/${run.id}`);
    await page.locator('.continue-card select').selectOption(next);
    await page.getByLabel('Up to epoch').fill('3');
    await page.locator('.continue-card button').click();
    await studio.until(run.id, 'running', 'finished');
    await studio.until(run.id, 'finished');
    await page.waitForFunction(() => document.querySelectorAll('.legend li').length === 2);
    await waitForInk('--native');
    await waitForInk(`--${next}`);
});

test('reads the verdict of a showdown', { skip }, async () => {
    await page.getByRole('link', { name: 'Showdown' }).click();
    await page.getByLabel('Epochs', { exact: true }).fill('2');
    await page.getByRole('button', { name: `Train ${engines.length} engines` }).click();
    await page.locator('.verdict p').waitFor({ timeout: 120_000 });
    assert.match(await page.locator('.verdict p').textContent(), /machine/i);
    assert.equal(await page.locator('.measured tbody tr').count(), engines.length);
    assert.equal(
        await page.locator('.showdown-progress .badge[data-state="finished"]').count(),
        engines.length,
    );
    for (const engine of engines) await waitForInk(`--${engine}`); // also where curves coincide
    await page.locator('.differences li').first().waitFor();
});

test('draws a digit and gets an answer from every engine', { skip }, async () => {
    const pad = page.locator('.draw-pad canvas');
    await pad.scrollIntoViewIfNeeded();
    const box = await pad.boundingBox();
    const at = (x, y) =>
        page.mouse.move(box.x + x * box.width, box.y + y * box.height, { steps: 6 });
    await at(0.5, 0.2);
    await page.mouse.down();
    await at(0.5, 0.8);
    await page.mouse.up();
    await page
        .locator('.answer')
        .nth(engines.length - 1)
        .waitFor();
    await page.settled(); // the last state is asked about last
    assert.equal(await page.locator('.answer').count(), engines.length);
    assert.deepEqual([...new Set(await page.locator('.answer-class').allTextContents())], ['1']);
});

test('deletes a run and takes that back', { skip }, async () => {
    await page.getByRole('link', { name: 'Runs', exact: true }).click();
    await page.locator('table.runs tbody tr').first().waitFor();
    const before = await page.locator('table.runs tbody tr').count();
    await page.locator('table.runs tbody input').first().check();
    await page.getByRole('button', { name: 'Delete' }).click();
    await page.waitForFunction(
        (count) => document.querySelectorAll('table.runs tbody tr').length === count,
        before - 1,
    );
    await page.getByRole('button', { name: 'Undo' }).click();
    await page.waitForFunction(
        (count) => document.querySelectorAll('table.runs tbody tr').length === count,
        before,
    );
});

test('overlays and compares runs, renames and tags one', { skip }, async () => {
    const boxes = page.locator('table.runs tbody input');
    await boxes.nth(0).check();
    await boxes.nth(1).check();
    await page.getByRole('heading', { name: 'Side by side' }).waitFor();
    assert.ok((await page.locator('.legend li').count()) >= 2);
    await boxes.nth(1).uncheck();
    await page.getByRole('button', { name: 'Rename, tags, notes' }).click();
    await page.getByLabel('Name', { exact: true }).fill('my-first-net');
    await page.getByLabel('Tags').fill('lecture, week 3');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByRole('link', { name: 'my-first-net' }).waitFor();
    await page.getByLabel('Search').fill('week 3');
    await page.waitForFunction(() => document.querySelectorAll('table.runs tbody tr').length === 1);
});

test('shows what a finished run learned', { skip }, async () => {
    await page.getByRole('link', { name: 'my-first-net' }).click();
    await page.locator('.confusion tbody tr').nth(9).waitFor();
    await page.locator('.mistakes li').nth(5).waitFor();
    await page.locator('.tiles').waitFor();
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: 'CSV' }).click();
    assert.ok((await download).suggestedFilename().endsWith('.csv'));
});

test('survives a server that is killed and started again', { skip }, async () => {
    const run = await studio.post('/api/runs', {
        engine: 'native',
        settings: { dataset: 'mnist', epochs: 400 },
        name: 'cut-off',
    });
    await page.goto(`${studio.address}/runs/${run.id}`);
    await waitForStep(1000);
    const seen = await legendStep();
    page.troubles.length = 0;
    await studio.kill();
    await page.locator('.offline').waitFor();
    await studio.start();
    await page.locator('.offline').waitFor({ state: 'detached' });
    await waitForState(run.id, 'interrupted');
    const { total } = await studio.get(`/api/runs/${run.id}/points?max=10`);
    assert.ok(total >= seen, `${total} points kept of ${seen} seen`);
    await page.getByRole('button', { name: 'Resume from its checkpoint' }).click();
    await waitForState(run.id, 'running');
    await page.getByRole('button', { name: 'Stop', exact: true }).click();
    await waitForState(run.id, 'stopped');
    page.troubles = page.troubles.filter(
        (line) => !/ERR_|Failed to load resource|EventSource/.test(line),
    ); // while it was away
});

test('says what its keys are', { skip }, async () => {
    await page.locator('#main').focus();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('2');
    await page.locator('.rail li:nth-child(2) a[aria-current]').waitFor();
});

test('no script error, refused style or foreign request on the way', { skip }, () =>
    assert.deepEqual(page.troubles, []),
);
