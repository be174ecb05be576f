// Code Diff in a real browser: it follows the settings, joins what belongs together, gives code away, and walks one real step;
// the atlas, which leads there.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { foundEngines, openBrowser, openPage, Studio, whySkip } from './support.mjs';

const skip = whySkip;
const STAGES = [
    'The batch',
    'Hidden layers',
    'Logits',
    'Probabilities and loss',
    'Gradients',
    'New weights',
];
let studio, browser, page, engines, run;

before(async () => {
    if (skip) return;
    studio = await Studio.create();
    engines = await foundEngines(studio);
    run = await studio.post('/api/runs', {
        engine: 'native',
        settings: { dataset: 'synthetic', limit: 640, epochs: 1, hidden: [16] },
        name: 'small',
    });
    await studio.until(run.id, 'finished');
    browser = await openBrowser();
    page = await openPage(browser, studio);
    await page
        .context()
        .grantPermissions(['clipboard-read', 'clipboard-write'], { origin: studio.address });
});
after(async () => {
    await browser?.close();
    await studio?.remove();
});

const side = (stage, which, where = page) =>
    where.locator(`#${stage} .side`).nth(which === 'left' ? 0 : 1);
/** Waits until the page's text of a place has the words. */
const waitForText = (selector, words) =>
    page.waitForFunction(
        ([where, wanted]) =>
            [...document.querySelectorAll(where)].some((one) => one.textContent.includes(wanted)),
        [selector, words],
    );
const program = async (voice, more = '') =>
    (
        await fetch(
            `${studio.address}/api/code/program?voice=${voice}&dataset=synthetic&epochs=3&lr=0.05&hidden=64,32&limit=320${more}`,
        )
    ).text();
const download = async (click) => {
    const [file] = await Promise.all([page.waitForEvent('download'), click()]);
    return [file.suggestedFilename(), await readFile(await file.path())];
};

test('shows six stages in two voices and follows the settings', { skip }, async () => {
    await page.goto(`${studio.address}/code`);
    await page.locator('.code-stage').nth(5).waitFor();
    assert.equal(await page.locator('.code-stage').count(), 6);
    await page.locator('.settings-strip > summary').click();
    await page.getByLabel('Data set').selectOption('synthetic');
    await page.getByLabel('Epochs', { exact: true }).fill('3');
    await page.getByLabel('Learning rate').fill('0.05');
    await page.getByText('More settings').click();
    await page.getByLabel('Hidden layers').fill('64, 32');
    await page.getByLabel('Sample limit').fill('320');
    await waitForText('#network .side', 'self.fc3 = nn.Linear(32, 10)');
    await waitForText('#network .side', 'keras.layers.Dense(32, activation="relu", name="fc2"');
    await waitForText('#optimizer .side', 'lr=0.05');
    await waitForText('#loop .side', 'range(3)');
    await waitForText('#data .side', '[:320]');
    await page.locator('.settings-strip > summary').click();
    assert.match(
        await page.locator('.settings-strip > summary').textContent(),
        /784 → 64 → 32 → 10.*sgd 0\.05.*3 epochs/,
    );
});

test('a half-typed number does not empty the page', { skip }, async () => {
    await page.locator('.settings-strip > summary').click();
    await page.getByLabel('Learning rate').fill('');
    await page.getByLabel('Learning rate').fill('-');
    assert.equal(await page.locator('.code-stage').count(), 6);
    await page.getByLabel('Learning rate').fill('0.05');
    await page.locator('.settings-strip > summary').click();
});

test('joins an idea across and says what has no counterpart', { skip }, async () => {
    const join = page.locator('#network').getByRole('button', { name: 'a layer' });
    await join.hover();
    for (const which of ['left', 'right'])
        assert.match(
            await side('network', which).locator('[data-lit]').first().textContent(),
            /nn\.Linear|logits/,
        );
    await page.locator('h1').hover();
    await page.waitForFunction(() => !document.querySelector('.code-stage [data-lit]'));
    await side('network', 'left').getByText('nn.Linear(32, 10)').hover();
    await waitForText('#network .side:nth-child(2) [data-lit]', 'Dense(10');
    await join.focus(); // by keyboard, too
    assert.equal(await join.getAttribute('aria-pressed'), 'true');
    assert.match(
        await page.locator('#step .alone-words').first().textContent(),
        /Only in PyTorch.*clearing the gradients: Keras computes fresh gradients/,
    );
    assert.match(
        await page.locator('#step .alone-words').nth(1).textContent(),
        /Only in TensorFlow.*the callback/,
    );
});

test('copies a program whole', { skip }, async () => {
    const head = page.locator('.voice-head').first();
    await head.getByRole('button', { name: 'Copy' }).click();
    await head.getByRole('button', { name: 'Copied' }).waitFor();
    assert.equal(
        await page.evaluate(() => navigator.clipboard.readText()),
        await program('torch.python'),
    );
    await page.locator('.take-away').getByRole('button', { name: 'Copy' }).click();
    await page.locator('.take-away').getByRole('button', { name: 'Copied' }).waitFor();
    const commands = await page.evaluate(() => navigator.clipboard.readText());
    assert.match(
        commands,
        /nnstudio data export synthetic --out data\nnnstudio code torch --dataset synthetic --epochs 3 --lr 0\.05.* --out model\.py\npython model\.py --data-dir data/,
    );
});

test('downloads programs, notebooks, requirements and the bundle of a run', { skip }, async () => {
    const heads = page.locator('.voice-head');
    for (const [i, voice, file] of [
        [0, 'torch.python', 'model.py'],
        [1, 'tensorflow.python', 'model_tf.py'],
    ]) {
        const [name, content] = await download(() =>
            heads.nth(i).getByRole('link', { name: file }).click(),
        );
        assert.equal(name, file);
        assert.equal(content.toString(), await program(voice));
        const [notebook, cells] = await download(() =>
            heads.nth(i).getByRole('link', { name: 'Notebook' }).click(),
        );
        assert.equal(notebook, file.replace('.py', '.ipynb'));
        assert.equal(JSON.parse(cells).cells.length, 12);
    }
    const [, needed] = await download(() =>
        page.getByRole('link', { name: 'requirements.txt' }).click(),
    );
    assert.match(needed.toString(), /torch.*tensorflow/s);
    const [zip, bytes] = await download(() =>
        page.getByRole('link', { name: 'Download the bundle' }).click(),
    );
    assert.equal(zip, `${run.id}.zip`);
    for (const entry of ['README.md', 'small.onnx', 'order.npy']) assert.ok(bytes.includes(entry));
});

test('shows the C that runs; the address holds the voices', { skip }, async () => {
    await page.getByLabel('Left voice').selectOption('torch.c');
    await waitForText('#step .side', 'torch_zero_grad(model);');
    await page.getByLabel('Right voice').selectOption('tensorflow.c');
    await waitForText('#loop .side', 'graph_while');
    await page.reload();
    await waitForText('#step .side', 'torch_zero_grad(model);');
    await waitForText('#loop .side', 'graph_while');
    assert.equal(
        await page.getByRole('link', { name: 'Notebook' }).count(),
        0,
        'a notebook holds Python',
    );
    await page.getByLabel('Left voice').selectOption('torch.python');
    await page.getByLabel('Right voice').selectOption('tensorflow.python');
});

/** What the microscope shows now. */
const shown = async () => {
    assert.ok((await page.locator('.tensor').count()) > 0);
    const blank = await page
        .locator('.tensor canvas')
        .evaluateAll(
            (all) =>
                all.filter(
                    (canvas) =>
                        new Set(
                            canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
                                .data,
                        ).size < 3,
                ).length,
        );
    return {
        title: await page.locator('.seen h2').first().textContent(),
        tensors: await page.locator('.tensor h3 code').allTextContents(),
        lit: await page
            .locator('.stage-code .side')
            .evaluateAll((sides) => sides.map((one) => one.querySelectorAll('[data-lit]').length)),
        engines: await page.locator('.tensor').first().locator('tbody tr').count(),
        words: await page.locator('.difference-words').allTextContents(),
        blank,
    };
};
const waitForStage = (name) =>
    page.waitForFunction(
        (title) => document.querySelector('.walk [aria-current]')?.textContent.includes(title),
        name,
    );

test('walks through every stage of one real step, forward and back', { skip }, async () => {
    await page.getByRole('link', { name: 'Step Microscope' }).click();
    await page.getByRole('button', { name: 'Run one step' }).click();
    await page.locator('.walk').waitFor({ timeout: 60_000 });
    const seen = [];
    for (const [i, name] of STAGES.entries()) {
        await waitForStage(name);
        const now = await shown();
        seen.push(...now.tensors);
        assert.equal(now.title, name);
        assert.equal(now.engines, engines.length);
        assert.equal(now.blank, 0, `${name}: an empty picture`);
        assert.ok(
            now.lit.every((count) => count > 0),
            `${name}: lines lit on both sides, not ${now.lit}`,
        );
        if (engines.length > 1)
            for (const words of now.words)
                assert.match(words, /at most .* × 10⁻|Equal in all engines/);
        assert.equal(
            await page.getByRole('button', { name: 'Next →' }).isDisabled(),
            i === STAGES.length - 1,
        );
        if (i < STAGES.length - 1) await page.getByRole('button', { name: 'Next →' }).click();
    }
    for (const part of [
        'fc1.weight',
        'fc1.bias',
        'fc2.weight',
        'fc2.bias',
        'fc3.weight',
        'fc3.bias',
    ])
        for (const kind of ['grad/', 'new/'])
            assert.ok(seen.includes(kind + part), `${kind}${part} of ${seen}`);
    for (const name of ['input', 'z1', 'a1', 'z2', 'a2', 'logits', 'probabilities', 'loss'])
        assert.ok(seen.includes(name), `${name} of ${seen}`);
    await page.locator('#main').focus();
    for (let i = 1; i < STAGES.length; i++) await page.keyboard.press('ArrowLeft'); // as fast as a held key
    await waitForStage(STAGES[0]);
    assert.ok(await page.getByRole('button', { name: '← Back' }).isDisabled());
    await page.keyboard.press('ArrowRight');
    await waitForStage('Hidden layers');
});

test('a refresh and a link come back to the same stage of the same step', { skip }, async () => {
    await page.getByLabel('Batch', { exact: true }).fill('3');
    await page.getByText('What is below was seen with other settings').waitFor();
    await page.getByRole('button', { name: 'Run one step' }).click();
    await page.getByRole('button', { name: /The batch/ }).click();
    await page.getByText('Batch 3: samples').waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: /Gradients/ }).click();
    await waitForStage('Gradients');
    const before = (await shown()).tensors;
    await page.reload();
    await page.locator('.walk').waitFor({ timeout: 60_000 });
    await waitForStage('Gradients');
    assert.deepEqual((await shown()).tensors, before);
    assert.equal(await page.getByLabel('Batch', { exact: true }).inputValue(), '3');
    // Without an engine, from trained weights, by a link alone.
    await page.goto(
        `${studio.address}/microscope?at=batch&weights=${run.id}&without=tensorflow,torch`,
    );
    await page.locator('.walk').waitFor({ timeout: 60_000 });
    assert.equal((await shown()).engines, 1);
    assert.equal(await page.getByLabel('Weights', { exact: true }).inputValue(), run.id);
});

test('the code of a stage is one click away', { skip }, async () => {
    await page.goto(`${studio.address}/microscope?at=update`);
    await page.locator('.walk').waitFor({ timeout: 60_000 });
    await page.getByRole('link', { name: 'All of it' }).click();
    await page.locator('#step').waitFor();
    await page.waitForFunction(
        () => Math.abs(document.querySelector('#step').getBoundingClientRect().top) < 200,
    );
});

test('an engine that fails is named, the others are shown', { skip }, async () => {
    await page.route('**/api/microscope', async (route) => {
        const answer = await (await route.fetch()).json();
        answer.engines[0].error = 'ran out of memory';
        await route.fulfill({ json: answer });
    });
    await page.goto(`${studio.address}/microscope?at=loss`);
    await page.getByText('ran out of memory').waitFor({ timeout: 60_000 });
    assert.ok(await page.locator('.tensor').count());
    await page.unroute('**/api/microscope');
});

/* --- the atlas: rows that lead to Code Diff --- */

const atlasText = (words) => page.locator('.atlas-open').getByText(words);

test('the atlas finds a row, opens it and runs it on every engine', { skip }, async () => {
    await page.goto(`${studio.address}/atlas`);
    const field = page.getByLabel('Search');
    await field.click();
    await page.keyboard.type('momentum buffer');
    await page.getByText(/^[1-5] of \d+ differences$/).waitFor();
    assert.match(await page.locator('.atlas-list li').first().textContent(), /^2SGD with momentum/);
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 2, name: 'SGD with momentum when' }).waitFor();
    assert.ok(page.url().includes('/atlas?row=2&q=momentum'), page.url());
    const shown = await studio.get('/api/atlas');
    const row = shown.rows.find(({ number }) => number === 2);
    assert.equal(
        await page.getByRole('region', { name: 'Keras' }).locator('pre').textContent(),
        row.keras.formula,
    );
    await page
        .locator('.atlas-engines tbody tr', { hasText: '✓ the same curves' })
        .nth(engines.length - 1)
        .waitFor({ timeout: 60_000 });
    await page.getByRole('button', { name: 'Run again' }).waitFor();
    await atlasText(/^Largest difference of a weight: 0\.646/).waitFor();
    await page.getByRole('radio', { name: 'learning rate' }).press('Space');
    await atlasText(/^Equal but for rounding: 0$/).waitFor();
});

test(
    'an experiment of the atlas is cancelled and begun again, its result kept',
    { skip },
    async () => {
        let release;
        const held = new Promise((done) => (release = done));
        await page.route('**/api/atlas/3/run', async (route) => {
            await held;
            await route.continue().catch(() => {}); // the page may have given it up
        });
        await page.getByLabel('Search').fill('');
        await page.getByRole('link', { name: 'Adam: where epsilon is added' }).press('Enter');
        await page.getByText('Computing on').waitFor();
        await page.getByRole('button', { name: 'Cancel' }).press('Enter');
        await page.getByRole('button', { name: 'Run again' }).waitFor();
        assert.equal(await page.getByText('✓ the same curves').count(), 0);
        await page.unroute('**/api/atlas/3/run', { behavior: 'ignoreErrors' });
        release();
        await page.getByRole('button', { name: 'Run again' }).press('Enter');
        const rows = page.locator('.atlas-engines tbody tr', { hasText: '✓ the same curves' });
        await rows.nth(engines.length - 1).waitFor({ timeout: 60_000 });

        // Another row and back: nothing is computed again.
        await page.getByRole('link', { name: 'Dropout: whose masks' }).click();
        await page.getByText('The studio draws the masks itself').waitFor();
        let asked = 0;
        await page.route('**/api/atlas/*/run', (route) => {
            asked++;
            return route.continue();
        });
        await page.goBack();
        await rows.nth(engines.length - 1).waitFor();
        await page.settled();
        assert.equal(asked, 0);
        await page.unroute('**/api/atlas/*/run');
    },
);

test(
    'the atlas says what it does not have; a row leads to Code Diff and back',
    { skip },
    async () => {
        await page.goto(`${studio.address}/atlas?row=24`);
        await page.getByText('The atlas has no row “24”').waitFor();
        await page.getByLabel('Search').fill('no such words');
        await page.getByText('No difference found').waitFor();
        await page.goto(`${studio.address}/atlas?row=sgd-decay-momentum`);
        await page.getByRole('button', { name: 'Show in Code Diff' }).press('Enter');
        await page.getByRole('heading', { level: 1, name: 'Code Diff' }).waitFor();
        await waitForText('.side', 'weight_decay=0.1');
        await waitForText('.side', 'momentum=0.9');
        await page.getByRole('button', { name: 'Undo' }).press('Enter');
        await page.waitForFunction(
            () => !document.querySelector('main').textContent.includes('weight_decay=0.1'),
        );
    },
);

test('no script error, refused style or foreign request on the way', { skip }, () =>
    assert.deepEqual(page.troubles, []),
);

test(
    'where to run: the file of each launcher is the one that the command line writes',
    { skip },
    async () => {
        await page.goto(`${studio.address}/native`);
        await page.getByRole('link', { name: 'Where to run' }).click();
        await page.getByRole('heading', { name: 'Where to run', level: 1 }).waitFor();
        const choose = (name) => page.getByRole('radio', { name, exact: true }).check();
        const type = async (label, text) => {
            await page.getByLabel(label, { exact: true }).click();
            await page.keyboard.press('ControlOrMeta+a');
            await page.keyboard.type(text);
        };
        await choose('MPI');
        await waitForText('pre.code', 'mpirun -n 2 nnstudio train --engine native ');
        const command = await page.locator('pre.code').textContent();
        const words = command.split(' train ')[1].trim().split(/\s+/);
        const written = (...more) =>
            spawnSync(process.env.NNSTUDIO_BINARY ?? 'build/nnstudio', ['job', ...more, ...words], {
                encoding: 'utf8',
            }).stdout;
        await choose('SLURM');
        await type('Machines', '3');
        await type('Time limit', '01:30:00');
        await waitForText('pre.code', '--time=01:30:00');
        const [name, script] = await download(() =>
            page.getByRole('link', { name: 'Download job.sh' }).click(),
        );
        assert.equal(name, 'job.sh');
        assert.match(String(script), /--nodes=3\n#SBATCH --ntasks-per-node=2\n/);
        assert.equal(
            String(script),
            written('slurm', '--nodes', '3', '--ranks-per-node', '2', '--time', '01:30:00'),
        );
        await choose('Azure ML');
        await page.getByText('For the file fill in: container image, compute cluster.').waitFor();
        await type('Container image', 'example.com/nnstudio:1');
        await type('Compute cluster', 'cpu-cluster');
        await waitForText('pre.code', 'azureml:cpu-cluster');
        await type('Time limit', 'soon');
        await page.getByText('the time "soon" is not understood').waitFor();
        await choose('torchrun');
        await waitForText('pre.code', 'DistributedDataParallel');
    },
);
