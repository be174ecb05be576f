// Both models registered through the page, signed in by device code, against Azurite, Prism and the stand-in for Azure.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { writeFile, mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import {
    openBrowser,
    openPage,
    ROOT,
    runStartedBy,
    screenshotFolder,
    Studio,
    whySkip,
} from './support.mjs';

const PYTHON = process.env.NNSTUDIO_TEST_PYTHON ?? join(ROOT, '.venv-test/bin/python');
let skip = whySkip || (!existsSync(PYTHON) && 'there is no Python for the tests');
let rig, studio, browser, run;

async function startRig() {
    rig = spawn(PYTHON, [join(ROOT, 'tests/registry/rig.py')], {
        stdio: ['pipe', 'pipe', 'inherit'],
    });
    for await (const line of createInterface({ input: rig.stdout })) return JSON.parse(line);
    return { missing: 'the stand-in for Azure did not start' };
}

before(async () => {
    if (skip) return;
    const cloud = await startRig();
    if (cloud.missing) {
        skip = cloud.missing;
        return;
    }
    for (const name of Object.keys(process.env))
        if (/^(AZURE|AZUREML|ARM|IDENTITY|MSI|MLFLOW)_/.test(name)) delete process.env[name];
    Object.assign(process.env, cloud.environment);
    studio = await Studio.create();
    await mkdir(join(studio.home, '.azureml'), { recursive: true });
    await writeFile(join(studio.home, '.azureml/config.json'), cloud.config);
    run = await studio.post('/api/runs', {
        engine: 'native',
        settings: { dataset: 'synthetic', limit: 640, epochs: 1 },
    });
    await studio.until(run.id, 'finished');
    browser = await openBrowser();
});
after(async () => {
    await browser?.close();
    await studio?.remove();
    rig?.stdin.end();
});

/** Pictures at three widths, light and dark; nothing is wider than the screen. */
async function lookAtAll(page, name, fullPage) {
    const folder = await screenshotFolder();
    for (const colorScheme of ['light', 'dark'])
        for (const [width, height] of [
            [390, 844],
            [1280, 800],
            [1920, 1080],
        ]) {
            await page.emulateMedia({ colorScheme });
            await page.setViewportSize({ width, height });
            assert.ok(
                await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth),
                `wider than ${width}`,
            );
            await page.screenshot({
                path: join(folder, `${name}-${width}-${colorScheme}.png`),
                fullPage,
            });
        }
}

/** The newest task whose subject begins so, once it has ended; the page shows it from then on. */
async function ended(subject) {
    for (;;) {
        const own = (await studio.get('/api/tasks')).filter((one) =>
            one.subject.startsWith(subject),
        );
        const task = own.sort((a, b) => Number(b.id.slice(1)) - Number(a.id.slice(1)))[0];
        if (task && task.state !== 'running') return task;
        await new Promise((done) => setTimeout(done, 100));
    }
}

async function registerThroughPage(page, kind, name) {
    await page.goto(`${studio.address}/azure?run=${run.id}&format=${kind}&sign_in=device-code`);
    await page.getByText('ws1').first().waitFor();
    await page.getByLabel('Name', { exact: true }).fill(name);
    await page.getByRole('button', { name: 'Register in Azure ML' }).click();
}

test('both models are registered through the page by device code', async (t) => {
    if (skip) return t.skip(skip);
    const page = await openPage(browser, studio);
    await registerThroughPage(page, 'pth', 'pytorch_mnist');
    await page.locator('.device-code').waitFor();
    assert.equal(await page.locator('.device-code').textContent(), 'GTHK3QXW9');
    assert.equal(
        await page.getByRole('link', { name: 'https://microsoft.com/devicelogin' }).count(),
        1,
    );
    const folder = await screenshotFolder();
    await page.screenshot({ path: join(folder, 'azure-sign-in.png'), fullPage: true });
    await page.locator('.registration .read-back').waitFor();
    assert.match(
        await page.locator('.read-back').textContent(),
        /pytorch_mnist.*1.*models\/pytorch_mnist\/versions\/1/s,
    );
    assert.match(
        await page.locator('.register-steps').textContent(),
        /Find the workspace.*Upload the file.*Read back/s,
    );

    // The user has signed in: the second model asks for no code.
    await registerThroughPage(page, 'h5', 'tensorflow_mnist');
    await page.locator('.read-back', { hasText: 'tensorflow_mnist' }).waitFor();
    assert.equal(await page.locator('.device-code').count(), 0);
    assert.equal(await page.locator('.registrations tbody tr').count(), 2);

    const { registrations } = await studio.get('/api/registry/registrations');
    for (const row of registrations) {
        assert.equal(row.state, 'finished');
        assert.equal(row.version, '1');
        const there = await studio.get(
            `/api/registry/models/azure/${row.name}/latest?sign_in=device-code`,
        );
        assert.equal(there.sha256, row.sha256);
        assert.equal(there.tags.run, run.id);
    }
    const answer = await studio.post('/api/predict', {
        target: 'azure',
        name: 'tensorflow_mnist',
        sign_in: 'device-code',
        width: 28,
        height: 28,
        pixels: Buffer.alloc(784, 9).toString('base64'),
    });
    assert.equal(answer.probabilities.length, 10);
    assert.deepEqual(page.troubles, []);
});

/** As much of an MLflow server as tracking asks; `lost` makes it refuse everything, `steps` is what it has. */
async function trackingServer() {
    const there = { lost: false, steps: new Set() };
    const answers = {
        'experiments/get-by-name': {
            experiment: { experiment_id: '7', artifact_location: 'mlflow-artifacts:/7' },
        },
        'runs/create': {
            run: { info: { run_id: 'abc', artifact_uri: 'mlflow-artifacts:/7/abc/artifacts' } },
        },
    };
    const server = createServer(async (request, response) => {
        let body = '';
        for await (const part of request) body += part;
        const known = Object.keys(answers).find((path) => request.url.includes(path));
        if (!there.lost && request.url.endsWith('runs/log-batch'))
            for (const { key, step } of JSON.parse(body).metrics)
                if (key === 'step_loss') there.steps.add(step);
        response.writeHead(there.lost ? 503 : 200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify((!there.lost && answers[known]) || {}));
    });
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const address = `http://127.0.0.1:${server.address().port}`;
    return Object.assign(there, { address, close: () => server.close() });
}

test('a run is tracked from its start, and what a lost server missed is sent later', async (t) => {
    if (skip) return t.skip(skip);
    const server = await trackingServer();
    t.after(() => server.close());
    const page = await openPage(browser, studio);
    page.setDefaultTimeout(120_000);
    await page.goto(`${studio.address}/native`);
    const start = page.getByRole('button', { name: /^Start / });
    const uri = page.getByLabel('Tracking server');
    const type = async (words) => {
        await uri.click();
        await page.keyboard.press('Control+a');
        await page.keyboard.type(words);
    };
    await page.getByLabel('Track', { exact: true }).selectOption('mlflow');
    await page.getByText('No MLflow server is known').waitFor();
    assert.ok(await start.isDisabled(), 'there is no address');
    await type('sqlite:///runs.db');
    await page.getByText('is a database').waitFor();
    await lookAtAll(page, 'track-address', false);
    await type(server.address);
    await page.getByText('The server answers').waitFor();
    await page.getByLabel('Data set', { exact: true }).selectOption('synthetic');
    await page.getByLabel('Epochs', { exact: true }).fill('1');
    server.lost = true;
    const id = await runStartedBy(page, () => start.press('Enter'));
    const line = page.locator('.status', { has: page.locator(`[data-run="${id}"]`) });
    await line.getByText('the rest waits').waitFor();
    await line.getByText('HTTP 503').waitFor();
    await lookAtAll(page, 'track-waiting', true);
    server.lost = false;
    await line.getByRole('button', { name: 'Send the rest' }).click();
    await line.getByText(/^MLflow: all [\d,]+ steps sent/).waitFor();
    const { steps, link } = await studio.get(`/api/runs/${id}/tracking`);
    assert.equal(server.steps.size, steps);
    assert.ok(steps > 1000 && link.startsWith(server.address));
    await page.getByLabel('Track', { exact: true }).selectOption('off');
    await uri.waitFor({ state: 'detached' });
    assert.deepEqual(page.troubles, []);
});

test('a workspace is picked from a list, and the tab fits every screen', async (t) => {
    if (skip) return t.skip(skip);
    const page = await openPage(browser, studio);
    await fetch(`${studio.address}/api/registry/workspace`, { method: 'DELETE' });
    await page.goto(`${studio.address}/azure?run=${run.id}&sign_in=device-code`);
    await page.getByText('Choose a workspace in step 3, or enter a registry in step 2.').waitFor();
    // a registry needs no workspace
    await page.getByLabel('Registry', { exact: true }).pressSequentially('reg1');
    await page.getByRole('button', { name: 'Register in reg1' }).click();
    await page.locator('.read-back', { hasText: '/registries/reg1/models/' }).waitFor();
    await lookAtAll(page, 'azure-shared', true);
    await page.getByLabel('Registry', { exact: true }).fill('');
    await page.getByRole('button', { name: 'Choose from a list' }).click();
    await page
        .getByLabel('Workspace', { exact: true })
        .selectOption({ label: 'ws1, rg1, westeurope' });
    await page.getByRole('button', { name: 'Register in Azure ML' }).waitFor();
    await page.getByText('Found in').waitFor();
    await lookAtAll(page, 'azure-registered', true);
    assert.deepEqual(page.troubles, []);
});

test('a version is deployed, tested with a drawn digit and deleted', async (t) => {
    if (skip) return t.skip(skip);
    const page = await openPage(browser, studio);
    // Its scoring script needs no framework, which would take long to load.
    await studio.post('/api/registry/registrations', {
        run: run.id,
        format: 'safetensors',
        target: 'azure',
        name: 'served',
        sign_in: 'device-code',
    });
    assert.equal((await ended(`${run.id} safetensors`)).state, 'done');
    await page.goto(`${studio.address}/azure?run=${run.id}&sign_in=device-code`);
    const card = page.locator('.endpoints-card');
    await card.getByLabel('Registered version').selectOption('served:1');
    const start = card.getByRole('button', { name: 'Deploy to Azure ML' });
    assert.ok(await start.isDisabled(), 'the cost was not accepted');
    await card.getByLabel('Endpoint name').click();
    await page.keyboard.type('from-the-page');
    await card.getByRole('checkbox').press('Space');
    await start.press('Enter');
    assert.equal((await ended('create served')).error, null);
    await card.locator('.registration .endpoint-answer').waitFor();
    assert.match(await card.locator('.endpoint-answer').textContent(), /gives the same answer/);
    assert.match(
        await card.locator('.register-steps').textContent(),
        /Upload the scoring script.*Deploy the model.*Send a test sample/s,
    );
    const listing = await ended('list');
    assert.deepEqual(
        [listing.error, listing.result.endpoints.map((one) => one.endpoint)],
        [null, ['from-the-page']],
    );
    const row = card.locator('.endpoints tbody tr', { hasText: 'from-the-page' });
    await row.getByText('1 × Standard_DS3_v2').waitFor();
    await card.getByText('1 machine is billed by the hour').waitFor();
    await lookAtAll(page, 'azure-endpoint', true);

    await row.getByRole('button', { name: 'Test' }).click();
    const box = page.getByRole('dialog');
    const pad = await box.locator('canvas').boundingBox();
    const [x, y] = [pad.x + pad.width / 2, pad.y + pad.height / 4];
    await page.mouse.move(x, y);
    await page.mouse.down();
    await page.mouse.move(x, y + pad.height / 2, { steps: 8 });
    await page.mouse.up();
    await box.getByRole('button', { name: 'Send to the endpoint' }).click();
    assert.equal((await ended('test from-the-page')).error, null);
    await box.getByText('gives the same answer').waitFor();
    await lookAtAll(page, 'azure-endpoint-test', false);
    await page.keyboard.press('Escape');
    await box.waitFor({ state: 'detached' });
    await row.getByRole('button', { name: 'Logs' }).click();
    await ended('logs from-the-page');
    await box.getByText('Container logs').waitFor();
    await page.keyboard.press('Escape');
    await box.waitFor({ state: 'detached' });
    await row.getByRole('button', { name: 'Delete' }).click();
    await box.getByRole('button', { name: 'Delete the endpoint' }).click();
    assert.equal((await ended('delete from-the-page')).error, null);
    while ((await ended('list')).result.endpoints.length > 0)
        await new Promise((done) => setTimeout(done, 100));
    await row.waitFor({ state: 'detached' });
    await card.getByText('No machine is billed.').waitFor();
    assert.deepEqual(page.troubles, []);
});

test('versions are opened, changed, compared and deleted with real keys', async (t) => {
    if (skip) return t.skip(skip);
    const page = await openPage(browser, studio);
    for (const format of ['pth', 'h5']) {
        await studio.post('/api/registry/registrations', {
            run: run.id,
            format,
            target: 'local',
            name: 'kept',
        });
        const wanted = format === 'pth' ? 1 : 2;
        for (let count = 0; count < wanted;) {
            await new Promise((done) => setTimeout(done, 50));
            count = (await studio.get('/api/registry/models/local/kept')).versions.length;
        }
    }
    const latest = () => studio.get('/api/registry/models/local/kept/latest');
    await page.goto(`${studio.address}/azure?run=${run.id}&target=local`);
    await page.getByRole('button', { name: 'Open version 2' }).click();
    const box = page.getByRole('dialog');
    const type = async (label, words, then = 'Enter') => {
        await box.getByLabel(label, { exact: true }).click();
        await page.keyboard.press('Control+a');
        await page.keyboard.type(words);
        await page.keyboard.press(then);
    };
    await type('Description', 'the better one');
    await type('Alias', 'champion');
    await box.getByText('@champion').waitFor();
    await type('Tag', 'stage', 'Tab');
    await page.keyboard.type('exam');
    await page.keyboard.press('Enter');
    await box.getByText('stage: exam').waitFor();
    await type('Alias', 'latest');
    await box.getByText('is not a valid alias').waitFor();
    let there = await latest();
    assert.deepEqual(
        [there.version, there.aliases, there.description, there.tags.stage],
        ['2', ['champion'], 'the better one', 'exam'],
    );
    await lookAtAll(page, 'version-dialog', false);
    await box.getByRole('button', { name: 'Remove the tag stage' }).click();
    await box.getByText('stage: exam').waitFor({ state: 'detached' });
    await box.getByRole('button', { name: 'Archive' }).click();
    await box.getByText('it is not the latest version').waitFor();
    there = await latest();
    assert.equal(there.version, '1');
    await page.keyboard.press('Escape');
    await box.waitFor({ state: 'detached' });
    await page.locator('.versions small', { hasText: 'archived' }).waitFor();
    await page.getByRole('button', { name: 'Compare', exact: true }).click();
    await page.locator('.version-differences tr', { hasText: 'tag format' }).waitFor();
    await page.locator('.version-differences tr', { hasText: /file bytes.*\d [kM]B/ }).waitFor();
    await lookAtAll(page, 'versions', true);
    await page.setViewportSize({ width: 1280, height: 800 });
    await page.getByRole('button', { name: 'Open version 2' }).click();
    assert.ok(await box.getByRole('button', { name: 'Delete version' }).isDisabled());
    await type('Type kept:2 to delete this version', 'kept:2');
    await box.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Open version 2' }).waitFor({ state: 'detached' });
    const { versions } = await studio.get('/api/registry/models/local/kept');
    assert.deepEqual(
        versions.map((one) => one.version),
        ['1'],
    );

    // Azure has no aliases, and is asked only when the user wants it.
    await page.goto(`${studio.address}/azure?run=${run.id}&target=azure&sign_in=device-code`);
    await page.getByRole('button', { name: 'List models in Azure ML' }).click();
    await page.getByRole('button', { name: 'Open version 1' }).click();
    await box.getByText('has no aliases').waitFor();
    await type('Description', 'from the page');
    await box
        .getByRole('button', { name: 'Save description' })
        .and(page.locator(':disabled'))
        .waitFor();
    await page.keyboard.press('Escape');
    await page.locator('.versions td', { hasText: 'from the page' }).waitFor();
    // The alias that was refused.
    assert.deepEqual(
        page.troubles.filter((text) => !text.includes('status of 400')),
        [],
    );
});
