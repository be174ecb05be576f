// Every number on the page is what was measured: divergence, showdowns after a change of hands, what acts on which run.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
    DATA,
    foundEngines,
    openBrowser,
    openPage,
    runShown,
    runStartedBy,
    Studio,
    whySkip,
} from './support.mjs';

const skip = whySkip;
const QUICK = { dataset: 'synthetic', limit: 2000, epochs: 2 };
let studio, browser, page, engines;

before(async () => {
    if (skip) return;
    studio = await Studio.create();
    // The form of a browser that comes here for the first time.
    await studio.put('/api/preferences', { settings: QUICK });
    browser = await openBrowser();
    page = await openPage(browser, studio);
    engines = await foundEngines(studio);
});
after(async () => {
    await browser?.close();
    await studio?.remove();
});

const open = (address) => page.goto(studio.address + address);
const shownRun = () => new URL(page.url()).searchParams.get('run');
const shows = (run, state) => runShown(page, studio, run, state);
const start = () => runStartedBy(page, () => page.getByRole('button', { name: /^Start/ }).click());

/** Real key presses: what was there is selected and typed over. */
async function type(label, text) {
    const field = page.getByLabel(label, { exact: true });
    await field.click();
    await page.keyboard.press('Control+A');
    await page.keyboard.type(text);
}

async function trained(settings = {}, engine = 'native', name = 'simple_nn') {
    const run = await studio.post('/api/runs', {
        engine,
        settings: { ...QUICK, ...settings },
        name,
    });
    return studio.until(run.id, 'finished');
}

/** Nothing of the page is wider than the window. */
const fits = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);

test('a diverging run says so, keeps its place and offers a better rate', { skip }, async () => {
    const good = await trained();
    await open('/native');
    await type('Epochs', '2');
    await type('Learning rate', '1000');
    const id = await start();
    await shows(id, 'diverged');
    const wild = await studio.get(`/api/runs/${id}`);
    assert.ok(wild.diverged_at > 0);
    const words = await page.locator('.status .trouble').textContent();
    assert.match(words, new RegExp(`Diverged at step ${wild.diverged_at}:.*guessing gives 10 %`));
    assert.ok(await page.getByLabel('Log scale').isChecked(), 'nothing to see on a linear scale');
    await page.getByLabel('Run shown').locator('option', { hasText: 'diverged' }).waitFor({
        state: 'attached',
    });
    for (const [width, height] of [
        [390, 844],
        [1280, 800],
        [1920, 1080],
    ]) {
        await page.setViewportSize({ width, height });
        assert.ok(await fits(), `wider than ${width}`);
        for (const figure of await page.locator('.figure dd').all())
            assert.ok(
                await figure.evaluate((dd) => dd.scrollWidth <= dd.parentElement.clientWidth),
            );
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await open('/azure');
    await page.waitForFunction((id) => location.search.includes(id), good.id);
    await open(`/native?run=${wild.id}`);
    const gentle = await runStartedBy(page, () =>
        page.getByRole('button', { name: /^Train with a learning rate of/ }).click(),
    );
    await shows(gentle, 'finished');
    const next = await studio.get(`/api/runs/${gentle}`);
    assert.ok(next.settings.lr < 1 && next.diverged_at === null && next.last.val_accuracy > 0.5);
});

test('a showdown keeps its lanes when a run changes hands', { skip }, async (t) => {
    const other = engines.find((engine) => engine !== 'native');
    if (!other) return t.skip('one engine only');
    const { group, runs } = await studio.post('/api/showdowns', {
        engines: [other, 'native'],
        settings: QUICK,
    });
    for (const run of runs) await studio.until(run.id, 'finished');
    await studio.post(`/api/runs/${runs[0].id}/continue`, { engine: 'native', epochs: 3 });
    await studio.until(runs[0].id, 'finished');
    await open(`/showdown?group=${group}`);
    await page.locator('.verdict p').waitFor();
    const rows = await page.locator('.measured tbody tr').allTextContents();
    assert.match(rows[0], /2 of 2 epochs, then Native/);
    assert.match(rows[1], /^\s*Native\s*2 of 2 epochs/);
    assert.doesNotMatch(
        await page.locator('.verdict p').textContent(),
        /Native.*as fast as Native/,
    );
    assert.equal((await page.locator('.measured tr td.best').count()) > 0, true);
});

test('nobody is best before an epoch is common to all', { skip }, async (t) => {
    const other = engines.find((engine) => engine !== 'native');
    if (!other) return t.skip('one engine only');
    const { group, runs } = await studio.post('/api/showdowns', {
        engines: ['native', other],
        settings: { ...QUICK, epochs: 400 },
        mode: 'sequence',
    });
    await open(`/showdown?group=${group}`);
    await page.getByText('No epoch is common to all yet').waitFor();
    assert.equal(await page.locator('.measured tr td.best').count(), 0);
    await page.getByRole('button', { name: 'Stop all' }).click();
    for (const run of runs) await studio.until(run.id, 'stopped', 'finished');
});

test('what acts on a run pins it in the address', { skip }, async (t) => {
    const other = engines.find((engine) => engine !== 'native');
    if (!other) return t.skip('one engine only');
    const run = await trained({}, other, 'handed-on');
    await open(`/${other}`);
    await page.locator('.continue-card').waitFor();
    assert.equal(shownRun(), null);
    await page.locator('.continue-card select').selectOption('native');
    await type('Up to epoch', '4');
    // It was finished before: what is waited for comes after the studio has taken it up again.
    await Promise.all([
        page.waitForResponse((answer) => answer.url().endsWith('/continue')),
        page.locator('.continue-card button').click(),
    ]);
    await page.waitForFunction((id) => location.search.includes(id), run.id);
    const done = await studio.until(run.id, 'finished');
    await page
        .locator(`.status[data-run="${run.id}"] h2`, { hasText: /Native.*handed-on/s })
        .waitFor();
    await shows(run.id, 'finished');
    assert.equal(done.settings.epochs, 4);
    assert.ok(done.cpu_seconds > run.cpu_seconds);
});

test(
    'a trained run without its model, and one whose data changed, end by their button',
    { skip },
    async () => {
        const end = async (run, button) => {
            await studio.until(run, 'failed');
            await open(`/native?run=${run}`);
            await page.getByRole('button', { name: button }).click();
            await studio.until(run, 'finished');
            await shows(run, 'finished');
            return studio.get(`/api/runs/${run}`);
        };
        const goOn = (run) =>
            studio.post(`/api/runs/${run}/continue`, { engine: 'native', epochs: 3 });
        // A folder lies where the model should be.
        const { id, files } = await trained();
        const place = join(studio.home, 'runs', id, files[0].path.split('/').at(-1));
        await rm(place);
        await mkdir(join(place, 'full'), { recursive: true });
        await goOn(id);
        const failed = await studio.until(id, 'failed');
        assert.equal(failed.progress.epoch, 3);
        await rm(place, { recursive: true });
        const whole = await end(id, 'Resume from its checkpoint');
        assert.ok(existsSync(place));
        assert.equal(whole.last.val_loss, failed.last.val_loss);
        // A label becomes another.
        const table = join(studio.home, 'data', 'mine.csv');
        const rows = Array.from(
            { length: 60 },
            (_, i) => `${i % 3},${i},${(i * 7) % 256},${i % 5},9`,
        );
        await mkdir(join(studio.home, 'data'), { recursive: true });
        await writeFile(table, rows.join('\n'));
        const other = await trained({ dataset: 'mine.csv', batch_size: 4, limit: 0 });
        await writeFile(table, ['2' + rows[0].slice(1), ...rows.slice(1)].join('\n'));
        await goOn(other.id);
        const told = await end(other.id, 'Resume with the changed data');
        assert.ok(told.log.some(({ text }) => /continues with changed data/.test(text)));
    },
);

test('an answer that comes late does not undo what the stream has told', { skip }, async () => {
    const run = await trained({}, 'native', 'overtaken');
    await open(`/native?run=${run.id}`);
    await page.locator('.continue-card').waitFor();
    // The stream is ahead of the answer: what is asked is held back until the run has ended.
    const late = [];
    await page.route(
        ({ pathname }) => pathname.startsWith(`/api/runs/${run.id}`),
        async (route) => {
            const answer = await route.fetch();
            for (let epochs = 0; epochs < 4;) {
                const { state, progress } = await studio.get(`/api/runs/${run.id}`);
                epochs = state === 'finished' ? progress.epoch : 0;
            }
            await page.getByText('4 of 4 epochs').waitFor();
            await route.fulfill({ response: answer });
            late.push(new URL(answer.url()).pathname.split('/').at(-1));
        },
    );
    await type('Up to epoch', '4');
    await page.locator('.continue-card button').click();
    for (const end = Date.now() + 30000; !['continue', 'points'].every((x) => late.includes(x));) {
        assert.ok(Date.now() < end, 'the end of the run was told and is not shown');
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await page.unrouteAll({ behavior: 'wait' });
    await page.evaluate(() => new Promise(requestAnimationFrame));
    await shows(run.id, 'finished');
    await page.getByText('4 of 4 epochs').waitFor();
    assert.equal(await page.locator('.status .badge[data-state="finished"]').count(), 1);
});

test('a run is named by what differs, or as the user types', { skip }, async () => {
    await open('/native');
    await type('Learning rate', '0.1');
    const name = page.getByLabel('Name of the run');
    assert.match(await name.inputValue(), /lr 0.1/);
    const first = await start();
    await shows(first, 'finished');
    const named = await studio.get(`/api/runs/${first}`);
    assert.match(named.title, /lr 0.1/);
    assert.equal(named.files[0].name, 'simple_nn.safetensors');
    await type('Name of the run', 'Übung 3, été');
    const second = await start();
    await page.locator(`.status[data-run="${second}"] h2`, { hasText: 'Übung 3, été' }).waitFor();
    await shows(second, 'finished');
    await page.locator('.epochs tbody tr').nth(1).waitFor();
    assert.ok(
        await page
            .locator('.epochs table')
            .evaluate((table) => table.scrollWidth <= table.parentElement.clientWidth),
        'the table of epochs is cut beside the settings',
    );
    assert.match(await name.inputValue(), /lr 0.1/, 'the next one is proposed anew');
    const typed = await studio.get(`/api/runs/${second}`);
    await open(`/runs?q=${encodeURIComponent('Übung 3')}`);
    await page.getByRole('link', { name: 'Übung 3, été' }).waitFor();
    // Columns of what differs, sortable; results beside settings.
    await open(`/runs?sel=${named.id},${typed.id}`);
    await page.getByRole('button', { name: 'Learning rate' }).click();
    await page.locator('th[aria-sort="descending"]', { hasText: 'Learning rate' }).waitFor();
    await page.getByRole('rowheader', { name: 'Test accuracy' }).waitFor();
    await page.getByText('Columns', { exact: true }).click();
    await page.getByLabel('Momentum', { exact: true }).press('Space');
    await page.getByRole('columnheader', { name: 'Momentum' }).waitFor();
    assert.ok(page.url().includes('columns=momentum'));
});

test('every tab is on the bar of a phone, the microscope among them', { skip }, async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await open('/code?view=step&batch=2');
    await page.getByRole('heading', { level: 1, name: 'Step Microscope' }).waitFor();
    assert.ok(page.url().endsWith('/microscope?batch=2'), page.url());
    for (const link of await page.locator('.rail li a').all()) {
        const box = await link.boundingBox();
        assert.ok(box.x >= 0 && box.x + box.width <= 390 && box.y + box.height <= 844);
    }
    await page.locator('.rail li:last-child a').click();
    await page.getByRole('heading', { level: 1, name: 'System' }).waitFor();
    await page.setViewportSize({ width: 1280, height: 800 });
});

test(
    'Code Diff folds what says nothing of the frameworks, and has a rail of stages',
    { skip },
    async () => {
        await open('/code');
        const parser = page.getByText('argparse.ArgumentParser');
        const fold = page.getByRole('button', { name: /^Show \d+ lines/ }).first();
        await fold.waitFor();
        assert.equal(await parser.count(), 0);
        await fold.press('Enter');
        await parser.first().waitFor();
        await page
            .locator('.stage-rail')
            .getByRole('link', { name: /The loop/ })
            .press('Enter');
        await page.locator('.stage-rail a[aria-current]', { hasText: 'The loop' }).waitFor();
    },
);

test('an empty lab says what Start will do', { skip }, async () => {
    const fresh = engines.find((engine) => !['native', 'torch'].includes(engine));
    if (!fresh) return;
    await open(`/${fresh}`);
    await page.getByRole('heading', { name: 'What Start will do' }).waitFor();
    await type('Batch size', '100');
    await page.locator('.figure', { hasText: 'steps per epoch' }).getByText('20').waitFor();
    await page.locator('.before-samples li').nth(9).waitFor();
});

/** How many pixels of a canvas have the color of the style sheet's property. */
const inked = (canvas, property) =>
    canvas.evaluate((one, name) => {
        const color = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
        const wanted = [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16));
        const { data } = one.getContext('2d').getImageData(0, 0, one.width, one.height);
        let count = 0;
        for (let i = 0; i < data.length; i += 4)
            if (data[i + 3] > 200 && wanted.every((c, k) => Math.abs(data[i + k] - c) < 12))
                count++;
        return count;
    }, property);

test('a model of clothes: a whole matrix, its own words, no digits', { skip }, async (t) => {
    const clothes = join(DATA, 'fashion-mnist');
    if (!existsSync(clothes)) return t.skip('no Fashion-MNIST beside the source');
    await symlink(clothes, join(studio.home, 'data/fashion-mnist'));
    const run = await trained({ dataset: 'fashion-mnist' });
    await open(`/runs/${run.id}`);
    await page.locator('.confusion tbody tr').nth(9).waitFor();
    const matrix = page.getByRole('group', { name: 'Confusion matrix' });
    assert.ok(
        await matrix.evaluate((one) => one.scrollWidth <= one.clientWidth),
        'the matrix is cut at 1280',
    );
    assert.deepEqual((await page.locator('.confusion tbody th').allTextContents()).slice(7), [
        'Sneaker',
        'Bag',
        'Ankle boot',
    ]);
    const draw = await page.locator('.draw').textContent();
    assert.match(draw, /Draw a picture.*it knows T-shirt\/top, Trouser/);
    assert.doesNotMatch(draw, /digit/);

    // The order is what the title says, and what the losses are of is said.
    await page.getByText('most confident in the wrong answer first').waitFor();
    const sure = (await page.locator('.mistakes small').allTextContents()).map(parseFloat);
    assert.ok(sure.length > 5 && sure.every((p, i) => i === 0 || p <= sure[i - 1]), String(sure));
    await page.locator('.status dt', { hasText: 'epoch loss' }).waitFor();

    // Raw and smoothed values are named, dots are explained, the engine keeps its color.
    await page.locator('.legend-value', { hasText: /step [\d,]+\s.*raw.*smoothed/s }).waitFor();
    const epochs = page.locator('.epochs-card canvas');
    assert.ok((await inked(epochs, '--native')) > 20, "the Epochs chart has the engine's color");
    assert.equal(await inked(epochs, '--torch'), 0);
});

test('the table of runs scrolls within its box, and says so', { skip }, async () => {
    await open(
        '/runs?columns=momentum,weight_decay,init,dtype,activation,optimizer,scale,mean,std',
    );
    await page.locator('table.runs tbody tr').first().waitFor();
    const list = page.getByRole('group', { name: 'Runs', exact: true });
    assert.ok(await fits(), 'the page itself does not scroll sideways');
    assert.ok(await list.evaluate((one) => one.scrollWidth > one.clientWidth));
    await page.getByText('More columns to the right').waitFor();
    await list.evaluate((one) => one.scrollTo({ left: one.scrollWidth }));
    await page.getByText('More columns to the left').waitFor();
    // Runs that differ in many settings have many columns: one alone has few.
    await open(`/runs?q=${encodeURIComponent('Übung 3')}`);
    await page.setViewportSize({ width: 1920, height: 1080 });
    await page.locator('table.runs tbody tr').first().waitFor();
    await page.getByText(/More columns to the/).waitFor({ state: 'detached' });
    await page.setViewportSize({ width: 1280, height: 800 });
});

test('a part that fails says so in its place, and the rest goes on', { skip }, async () => {
    const run = await trained();
    await page.route('**/evaluation', async (route) => {
        const answer = await (await route.fetch()).json();
        await route.fulfill({ json: { ...answer, confusion: null } });
    });
    await open(`/runs/${run.id}`);
    await page.getByText('This part of the page failed').first().waitFor();
    await page.getByRole('heading', { name: 'First-layer weights' }).waitFor();
    await page.getByRole('heading', { name: 'Settings' }).waitFor();
    await page.unroute('**/evaluation');
});

test('a browser of language "C" shows the page', { skip }, async () => {
    const other = await openPage(browser, studio);
    await other.addInitScript(() =>
        Object.defineProperty(Navigator.prototype, 'language', { get: () => 'C' }),
    );
    await other.goto(`${studio.address}/runs`);
    await other.locator('table.runs tbody tr').first().waitFor();
    assert.deepEqual(other.troubles, []);
    await other.context().close();
});

test('Back closes a sample, and what is not there says so', { skip }, async () => {
    await open('/nosuch');
    await page.getByRole('heading', { level: 1, name: 'Page not found' }).waitFor();
    await open('/showdown?group=zzz');
    await page.getByRole('button', { name: 'Show the newest showdown' }).click();
    await page.locator('.measured').waitFor();
    await open('/data?dataset=synthetic');
    await page.locator('.sample').first().click();
    await page.getByRole('dialog').waitFor();
    await page.goBack();
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.locator('.sample').first().press('Enter');
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.ok(!page.url().includes('open='));
    await open('/data?dataset=synthetic&open=999999');
    await page.getByRole('button', { name: 'Show the samples' }).click();
    await page.getByText('is not among those').waitFor({ state: 'detached' });
    page.troubles = page.troubles.filter((line) => !/status of 404/.test(line));
});

test('no script error, refused style or foreign request on the way', { skip }, () =>
    assert.deepEqual(page.troubles, []),
);

test(
    'two runs of the list are set side by side, and what parts them is named',
    { skip },
    async () => {
        const [a, b] = [
            await trained({ limit: 200, hidden: [8] }, 'native', 'plain'),
            await trained({ limit: 200, hidden: [8], momentum: 0.9 }, 'native', 'pushed'),
        ];
        await open(`/runs?sel=${a.id},${b.id}`);
        await page.getByRole('link', { name: 'Diff', exact: true }).focus();
        await page.keyboard.press('Enter');
        // the page's own answer first: two replays at once are not what is tested here
        await page.locator('.diff-verdict').getByText('Different: the losses part').waitFor();
        const told = await studio.get(`/api/diff/runs?a=${a.id}&b=${b.id}`);
        await page.locator('.diff-verdict').getByText(told.verdict).waitFor();
        assert.deepEqual(told.settings, ['momentum']);
        assert.equal(told.cause, 'settings');
        assert.equal(told.first_difference.step, 1);
        const verdict = await page.locator('.diff-verdict').textContent();
        assert.match(verdict, /step 1, update\/fc1\.weight/);
        assert.match(verdict, /this setting alone/);
        await page.getByRole('row', { name: 'Momentum 0 0.9' }).waitFor();
        const models = await studio.get(`/api/diff/models?a=${a.id}&b=${b.id}`);
        await page
            .locator('.diff-bar')
            .nth(models.tensors.length - 1)
            .waitFor();
        assert.equal(await page.locator('.diff-bar').count(), models.tensors.length);
        assert.ok(await fits());
        // The same run twice, chosen by the keys.
        await page.getByLabel('B', { exact: true }).selectOption(a.id);
        await page
            .locator('.diff-verdict')
            .getByText(/^.*Same training/)
            .first()
            .waitFor();
    },
);
