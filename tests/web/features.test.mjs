// Feature maps in a real browser: a sample and a drawing flow through a convolutional network, a unit shows its weights.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser, openPage, screenshotFolder, Studio, whySkip } from './support.mjs';

const skip = whySkip;
let studio, browser, run;

before(async () => {
    if (skip) return;
    studio = await Studio.create();
    run = await studio.post('/api/runs', {
        engine: 'native',
        settings: {
            dataset: 'synthetic',
            limit: 3200,
            epochs: 2,
            optimizer: 'adam',
            lr: 0.002,
            net: 'conv 8 5x5 relu, maxpool 2, conv 16 3x3 relu, maxpool 2, flatten, dense 32 relu, dense 10',
        },
        name: 'small',
    });
    await studio.until(run.id, 'finished');
    browser = await openBrowser();
});
after(async () => {
    await browser?.close();
    await studio?.remove();
});

const open = async (options) => {
    const page = await openPage(browser, studio, options);
    await page.goto(`${studio.address}/runs/${run.id}`);
    const card = page.locator('.feature-maps');
    await card.locator('.map-grid').nth(6).waitFor();
    return { page, card };
};

test('the learning rate is changed while a run trains', { skip }, async () => {
    const settings = { dataset: 'synthetic', limit: 3200, epochs: 100000 };
    const { id } = await studio.post('/api/runs', { engine: 'native', settings });
    await studio.until(id, 'running');
    const page = await openPage(browser, studio);
    await page.goto(`${studio.address}/native?run=${id}`);
    const field = page.getByLabel('Rate from the next step');
    await field.click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('-1');
    await page.keyboard.press('Enter');
    await page.getByText('more than 0, at most 1000').waitFor();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('0.005');
    await page.keyboard.press('Enter');
    await page.getByText('The learning rate is 0.005 from the next step on.').waitFor();
    let rates = [];
    for (let i = 0; i < 600 && rates.length === 0; i++) {
        ({ rates } = await studio.get(`/api/runs/${id}`));
        await new Promise((done) => setTimeout(done, 100));
    }
    // The curve is marked there, and says it in words.
    const step = rates[0].step.toLocaleString('en');
    await page.locator('.rate-key').getByText(`0.005 from step ${step}`).waitFor();
    await studio.post(`/api/runs/${id}/stop`);
    await studio.until(id, 'stopped');
    assert.deepEqual(
        rates.map(({ rate, planned }) => [rate, planned]),
        [[0.005, 0.01]],
    );
    assert.deepEqual(page.troubles, []);
    await page.context().close();
});

test('a sample flows, a unit shows its weights, a drawing flows', { skip }, async () => {
    const { page, card } = await open();
    assert.equal(await card.locator('.flow-layers h3').count(), 7);
    const expected = await studio.post('/api/activations', { run: run.id, index: 12 });
    const field = card.getByLabel('Test sample');
    await field.click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('12');
    await card.getByText(`it is ${expected.classes[expected.label]}`, { exact: true }).waitFor();
    await page.settled();
    assert.equal(await card.getByLabel(/^Saliency: /).count(), 1);

    const conv = card.getByRole('group', { name: /^conv2: 16 maps/ });
    await conv.focus();
    for (const key of ['ArrowRight', 'ArrowRight', 'ArrowRight', 'ArrowLeft'])
        await page.keyboard.press(key);
    await card.getByRole('heading', { name: 'conv2, map 1' }).waitFor();
    await card.getByLabel('Incoming weights: 8 of 3 by 3').waitFor();
    await card.getByText(/^72 weights from/).waitFor();
    await card.getByRole('group', { name: /^fc1: 32 units/ }).click({ position: { x: 30, y: 6 } });
    await card.getByRole('heading', { name: 'fc1, unit 2' }).waitFor();
    await card.getByLabel('Incoming weights: 16 of 5 by 5').waitFor();

    await card.getByRole('button', { name: 'Draw instead' }).click();
    await card.getByText('Draw a digit to see it flow').waitFor();
    const box = await card.getByLabel(/^Drawing area/).boundingBox();
    await page.mouse.move(box.x + 120, box.y + 40);
    await page.mouse.down();
    await page.mouse.move(box.x + 120, box.y + 200, { steps: 8 });
    await page.mouse.up();
    await card.getByText('as the network sees it').waitFor();
    await page.settled();
    assert.deepEqual(page.troubles, []);
    await page.context().close();
});

test('fits every width, light and dark', { skip }, async () => {
    const { page, card } = await open();
    await card.getByRole('group', { name: /^conv2/ }).click({ position: { x: 80, y: 30 } });
    await card.getByLabel(/^Incoming weights/).waitFor();
    await page.settled();
    for (const [width, height] of Object.entries({ 390: 844, 1280: 800, 1920: 1080 }))
        for (const colorScheme of ['light', 'dark']) {
            await page.setViewportSize({ width: Number(width), height });
            await page.emulateMedia({ colorScheme });
            await page.waitForTimeout(200); // the grids follow the width
            assert.ok(
                await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
                `${width} wide`,
            );
            await card.screenshot({
                path: join(await screenshotFolder(), `features-${width}-${colorScheme}.png`),
            });
        }
    await page.context().close();
});
