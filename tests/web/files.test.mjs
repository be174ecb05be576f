// Files of the user's own, dropped on a tab by real drag events: looked at, asked about, kept, trained from.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser, openPage, runShown, runStartedBy, Studio, whySkip } from './support.mjs';

const skip = whySkip;
let studio, browser, page, folder, mouse;

before(async () => {
    if (skip) return;
    folder = await mkdtemp(join(tmpdir(), 'nnstudio-files-'));
    studio = await Studio.create();
    browser = await openBrowser();
    page = await openPage(browser, studio);
    mouse = await page.context().newCDPSession(page);
});
after(async () => {
    await browser?.close();
    await studio?.remove();
    if (folder) await rm(folder, { recursive: true });
});

async function file(name, content) {
    await writeFile(join(folder, name), content);
    return join(folder, name);
}

/** As the system does when files are dragged in from outside. */
async function drop(...files) {
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ['dragEnter', 'dragOver']) {
        await mouse.send('Input.dispatchDragEvent', { type, x: 640, y: 400, data });
        await page.locator('.drop-here').waitFor();
    }
    await mouse.send('Input.dispatchDragEvent', { type: 'drop', x: 640, y: 400, data });
    await page.locator('.drop-here').waitFor({ state: 'detached' });
}

const box = () => page.getByRole('dialog');
const press = (name) => box().getByRole('button', { name, exact: true }).click();

async function type(label, text) {
    await box().getByLabel(label, { exact: true }).click();
    await page.keyboard.press('Control+A');
    await page.keyboard.type(text);
}

const scratch = async () =>
    (await readdir(join(studio.home, 'scratch')).catch(() => [])).filter((name) =>
        name.startsWith('upload'),
    );
async function nothingLeft() {
    for (let i = 0; i < 100 && (await scratch()).length > 0; i++) await page.waitForTimeout(50);
    assert.deepEqual(await scratch(), []);
}

const TABLE = ['petal,sepal,kind']
    .concat(Array.from({ length: 60 }, (_, i) => `${i % 4},${(i % 5) / 2},${i % 3}`))
    .join('\n');

function idxPair(count = 60, side = 8) {
    const head = (...numbers) => {
        const bytes = Buffer.alloc(4 * numbers.length);
        numbers.forEach((n, i) => bytes.writeUInt32BE(n, 4 * i));
        return bytes;
    };
    // Each class has its own row lit.
    const pixels = Buffer.alloc(count * side * side);
    for (let i = 0; i < count; i++)
        pixels.fill(
            255,
            i * side * side + (i % 3) * 2 * side,
            i * side * side + (i % 3) * 2 * side + side,
        );
    return [
        Buffer.concat([head(0x803, count, side, side), pixels]),
        Buffer.concat([
            head(0x801, count),
            Buffer.from(Array.from({ length: count }, (_, i) => i % 3)),
        ]),
    ];
}

/** Dense layers of these sizes, without a word of their activations. */
function safetensors(sizes, change = (values) => values) {
    const tensors = {};
    const parts = [];
    let at = 0;
    for (let i = 1; i < sizes.length; i++)
        for (const [name, shape] of [
            [`fc${i}.weight`, [sizes[i], sizes[i - 1]]],
            [`fc${i}.bias`, [sizes[i]]],
        ]) {
            const drawn = new Float32Array(shape.reduce((a, b) => a * b, 1));
            const values = change(
                drawn.map((_, n) => Math.sin(n + i)),
                name,
            );
            const end = at + values.byteLength;
            tensors[name] = { dtype: 'F32', shape, data_offsets: [at, end] };
            parts.push(Buffer.from(values.buffer));
            at = end;
        }
    let text = JSON.stringify(tensors);
    text += ' '.repeat((8 - (text.length % 8)) % 8);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    return Buffer.concat([length, Buffer.from(text), ...parts]);
}

test('a table asks for its label, and is kept under a name', { skip }, async () => {
    await page.goto(`${studio.address}/data`);
    await page.getByRole('heading', { level: 1, name: 'Data Inspector' }).waitFor();
    await drop(await file('flowers.csv', TABLE));
    await box().getByText('does not say which of its 3 columns is the label').waitFor();
    assert.doesNotMatch(await box().textContent(), /--|scratch/);
    assert.ok(await box().getByRole('button', { name: 'Keep', exact: true }).isDisabled());
    await box().getByLabel('Label column', { exact: true }).selectOption('kind');
    await box().getByText('Classes: 0, 1, 2').waitFor();
    await type('Scale', '4');
    await page.keyboard.press('Enter');
    await box()
        .locator('.figure', { hasText: 'divided by' })
        .getByText('4', { exact: true })
        .waitFor();
    for (const [width, height] of [
        [390, 844],
        [1280, 800],
        [1920, 1080],
    ]) {
        await page.setViewportSize({ width, height });
        assert.ok(
            await box().evaluate((one) => one.scrollWidth <= one.clientWidth),
            `the dialog is cut at ${width}`,
        );
    }
    await page.setViewportSize({ width: 1280, height: 800 });
    await type('Keep as', 'my/flowers');
    await box().getByText('Letters, digits').waitFor();
    assert.ok(await box().getByRole('button', { name: 'Keep', exact: true }).isDisabled());
    await type('Keep as', 'my_flowers');
    await press('Keep');
    await page.waitForURL(/dataset=my_flowers\.csv/);
    await page.locator('.sample').first().waitFor();
    await page.locator('.classes-card .bar-name').nth(2).waitFor();
    assert.deepEqual(await page.locator('.classes-card .bar-name').allTextContents(), [
        '0',
        '1',
        '2',
    ]);
    await nothingLeft();
});

test('a pair is chosen by the button, and a name that is taken is refused', { skip }, async () => {
    const [images, labels] = idxPair();
    await page
        .getByLabel('Files to open')
        .setInputFiles([
            await file('train-images-idx3-ubyte', images),
            await file('train-labels-idx1-ubyte', labels),
        ]);
    await box().locator('.before-samples li').nth(9).waitFor();
    await type('Keep as', 'synthetic');
    await press('Keep');
    await box().getByText('is the name of a known data set').waitFor();
    await type('Keep as', 'rows');
    await press('Start training from it');
    await page.getByRole('heading', { level: 1, name: 'Native Lab' }).waitFor();
    assert.equal(await page.getByLabel('Data set').inputValue(), 'rows');
});

test('sending is stopped, and nothing is left', { skip }, async () => {
    await page.goto(`${studio.address}/runs`);
    await page.getByRole('heading', { level: 1, name: 'Runs' }).waitFor();
    let held;
    const arrived = new Promise((done) => {
        void page.route(/offset=1048576/, (route) => done((held = route)));
    });
    await drop(await file('large.npz', Buffer.alloc(3 << 20)));
    await arrived;
    await box().getByText('1.0 MB of 3.1 MB').waitFor();
    assert.equal((await scratch()).length, 1);
    await press('Stop');
    await box().waitFor({ state: 'detached' });
    await nothingLeft();
    await held.abort().catch(() => {});
    await page.unroute(/offset=1048576/);
    page.troubles = page.troubles.filter((line) => !/ERR_|Failed to load/.test(line));
});

test('a model says what it lacks, is kept, and trained from', { skip }, async () => {
    await drop(await file('old net.safetensors', safetensors([64, 16, 3])));
    await box().getByText('choose it').waitFor();
    await box().getByText('activation of layer 1', { exact: false }).first().waitFor();
    await box().getByLabel('Activation', { exact: true }).selectOption('tanh');
    await box().getByRole('cell', { name: 'tanh' }).waitFor();
    await press('Start training from it');
    await page.getByText('Starts with the weights and the network of').waitFor();
    assert.ok(page.url().endsWith('/native?from=old-net.safetensors'), page.url());
    const run = await runStartedBy(page, () =>
        page.getByRole('button', { name: 'Start training' }).click(),
    );
    await runShown(page, studio, run, 'finished');
    const done = await studio.get(`/api/runs/${run}`);
    assert.equal(done.network.layers[0].activation, 'tanh');
    assert.ok(!page.url().includes('from='), 'the next one starts with new weights');
    // What it learned is shown in the data's own classes and sizes.
    await page.goto(`${studio.address}/runs/${run}`);
    await page.locator('.confusion tbody tr').nth(2).waitFor();
    assert.deepEqual(await page.locator('.confusion tbody th').allTextContents(), ['0', '1', '2']);
    const pad = page.locator('.draw-pad canvas');
    await pad.scrollIntoViewIfNeeded();
    const { x, y, width, height } = await pad.boundingBox();
    await page.mouse.move(x + width / 4, y + height / 4);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.75, y + height / 4, { steps: 6 });
    await page.mouse.up();
    assert.match(await page.locator('.answer-class').first().textContent(), /^[012]$/);
    assert.equal(await page.locator('.draw-input canvas').evaluate((one) => one.width), 8);
    await page.goto(`${studio.address}/runs`);
    await page.locator('.kept', { hasText: 'old-net.safetensors' }).waitFor();
});

const button = (name) => page.getByRole('button', { name, exact: true });

/** A message with a way back is there for seconds: a busy machine must not outlast it. */
const holdMessages = () =>
    page.evaluate(() => {
        const wait = window.setTimeout;
        window.setTimeout = (act, ms, ...rest) => wait(act, ms === 12_000 ? 600_000 : ms, ...rest);
    });

test('a kept model is deleted, and comes back by Undo and by Restore', { skip }, async () => {
    const deleted = page.getByText('1 deleted, kept for 24 hours');
    const names = async () => (await studio.get('/api/models')).models.map(({ name }) => name);
    await holdMessages();
    for (const back of ['Undo', 'Restore old-net.safetensors']) {
        await button('Delete old-net.safetensors').focus();
        await page.keyboard.press('Enter');
        await deleted.waitFor();
        assert.deepEqual(await names(), []);
        if (back !== 'Undo') await deleted.click();
        await button(back).first().click();
        await deleted.waitFor({ state: 'detached' });
        await button('Delete old-net.safetensors').waitFor();
        assert.deepEqual(await names(), ['old-net.safetensors']);
    }
});

test('kept data is deleted, and comes back by Undo and by Restore', { skip }, async () => {
    const deleted = page.getByText('1 deleted, kept for 24 hours');
    const names = async () =>
        (await studio.get('/api/datasets')).filter((one) => one.own).map(({ name }) => name);
    const before = await names();
    assert.ok(before.includes('my_flowers.csv'));
    for (const back of ['Undo', 'Restore my_flowers.csv']) {
        await page.goto(`${studio.address}/data?dataset=my_flowers.csv`);
        await page.locator('.sample').first().waitFor();
        await holdMessages();
        await button('Delete my_flowers.csv').focus();
        await page.keyboard.press('Enter');
        await deleted.waitFor();
        await page.getByText('Deleted the data set my_flowers.csv.').waitFor();
        await page.waitForURL((url) => !url.search.includes('my_flowers'));
        assert.deepEqual(
            await names(),
            before.filter((name) => name !== 'my_flowers.csv'),
        );
        if (back !== 'Undo') await deleted.click();
        await button(back).first().click();
        await deleted.waitFor({ state: 'detached' });
        assert.deepEqual((await names()).sort(), [...before].sort());
    }
    // Sets that the studio knows are not the user's to delete.
    await page.goto(`${studio.address}/data?dataset=synthetic`);
    await page.locator('.sample').first().waitFor();
    assert.equal(await page.getByRole('button', { name: /^Delete / }).count(), 0);
});

test('a dropped model is set beside a kept one, and beside a run', { skip }, async () => {
    const main = page.locator('main');
    await page.goto(`${studio.address}/diff`);
    await page.getByLabel('A', { exact: true }).selectOption('old-net.safetensors');
    const louder = (values, name) => (name === 'fc2.bias' ? values.fill(7, 1, 2) : values);
    await drop(await file('louder.safetensors', safetensors([64, 16, 3], louder)));
    await box().getByLabel('Activation', { exact: true }).selectOption('tanh');
    await press('Keep');
    await main.getByText('≠').first().waitFor();
    assert.equal(await page.getByLabel('B', { exact: true }).inputValue(), 'louder.safetensors');
    await main.getByText('3 of 4 tensors the same').waitFor();
    const changed = main.locator('tr', { has: page.locator('.diff-bar[data-same="false"]') });
    assert.match(await changed.innerText(), /fc2\.bias.*\[1\]/s);
    await main.getByText('A does not say what it was trained on: choose a data set').waitFor();
    await page.getByLabel('Logits on').selectOption('rows');
    await main.getByText('both name the same class for').waitFor();
    // The address holds it all, and Back comes to it.
    const address = page.url();
    await page.getByRole('link', { name: 'Runs', exact: true }).click();
    await page.getByRole('heading', { level: 1, name: 'Runs' }).waitFor();
    await page.goBack();
    await main.getByText('both name the same class for').waitFor();
    assert.equal(page.url(), address);
    const [run] = (await studio.get('/api/runs?limit=1')).runs;
    await page.getByLabel('B', { exact: true }).selectOption(run.id);
    await main.getByText('0 of 4 tensors the same').waitFor();
    await page.goto(`${studio.address}/diff?a=old-net.safetensors&b=there-is-none`);
    await main.getByText('there is no run and no kept model "there-is-none"').waitFor();
    page.troubles = page.troubles.filter((line) => !/status of 404/.test(line));
});

test('an .onnx that is dropped on Design opens there', { skip }, async () => {
    const onnx = join(folder, 'lines.onnx');
    const [run] = (await studio.get('/api/runs?limit=1')).runs;
    const kept = join(studio.home, 'runs', run.id, run.files[0].name);
    const made = spawnSync(process.env.NNSTUDIO_BINARY ?? 'build/nnstudio', [
        'convert',
        kept,
        onnx,
    ]);
    assert.equal(made.status, 0, String(made.stderr));
    await page.goto(`${studio.address}/design?net=dense+3`);
    await page.locator('.net [data-card]').first().waitFor();
    await page.settled();
    await drop(onnx);
    await press('Open its network');
    await page.waitForFunction(() =>
        document.querySelector('#net-text').value.includes('dense 16 tanh, dense 3'),
    );
    await nothingLeft();
});

test('no script error, refused style or foreign request on the way', { skip }, () =>
    assert.deepEqual(page.troubles, []),
);
