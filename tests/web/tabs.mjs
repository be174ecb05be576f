// A studio with something to show in every tab, for the tests that look at all of them.
import { foundEngines, hasMnist, Studio } from './support.mjs';

/** What the tabs look like before anything was trained, and after what seldom happens. */
export async function rareStates(studio) {
    const dataset = hasMnist ? 'mnist' : 'synthetic';
    const rare = {};
    for (const [name, settings] of Object.entries({
        diverged: { lr: 50 },
        convolutional: { net: 'lenet5', epochs: 1, limit: 6000 },
    })) {
        const { id } = await studio.post('/api/runs', {
            engine: 'native',
            settings: { dataset, epochs: 2, ...settings },
        });
        await studio.until(id, 'finished');
        rare[name] = `/runs/${id}`;
        rare[`${name}-lab`] = `/native?run=${id}`;
    }
    const { id } = await studio.post('/api/runs', {
        engine: 'native',
        settings: { dataset: 'synthetic', epochs: 100000 },
    });
    await studio.until(id, 'running');
    return { ...rare, running: `/runs/${id}`, 'running-lab': `/native?run=${id}` };
}

export const EMPTY_TABS = {
    'empty-design': '/design',
    'empty-lab': '/native',
    'empty-showdown': '/showdown',
    'empty-runs': '/runs',
    'empty-diff': '/diff',
    'empty-azure': '/azure',
    'empty-system': '/system',
    'empty-nowhere': '/nosuch',
};

export async function studioWithRuns() {
    const studio = await Studio.create();
    const engines = await foundEngines(studio);
    const dataset = hasMnist ? 'mnist' : 'synthetic';
    const showdown = await studio.post('/api/showdowns', {
        engines,
        settings: { dataset, epochs: 3 },
        mode: 'parallel',
        name: 'simple_nn',
    });
    const wide = await studio.post('/api/runs', {
        engine: 'native',
        settings: { dataset, epochs: 4, hidden: [256, 64], lr: 0.05 },
        name: 'wide-net',
        tags: ['lecture'],
    });
    for (const run of [...showdown.runs, wide]) await studio.until(run.id, 'finished');
    const handed = engines.find((engine) => engine !== 'native');
    if (handed) {
        await studio.post(`/api/runs/${wide.id}/continue`, { engine: handed, epochs: 6 });
        await studio.until(wide.id, 'finished');
    }
    const selection = [showdown.runs[0].id, wide.id].join();
    const tabs = {
        data: `/data?dataset=${dataset}`,
        sample: `/data?dataset=${dataset}`,
        design: '/design?net=lenet5',
        misfit: '/design?net=conv+6+5x5,+maxpool+2,+dense+120+relu,+dense+10',
        code: '/code',
        'code-c': '/code?left=torch.c&right=tensorflow.c',
        microscope: '/microscope?at=gradients',
        atlas: '/atlas',
        'atlas-row': '/atlas?row=2',
        torch: '/torch',
        tensorflow: '/tensorflow',
        native: '/native',
        showdown: `/showdown?group=${showdown.group}`,
        runs: '/runs',
        compare: `/runs?sel=${selection}&log=1`,
        diff: `/diff?a=${showdown.runs[0].id}&b=${wide.id}`,
        run: `/runs/${wide.id}`,
        table: `/runs/${wide.id}?view=table`,
        missing: '/runs/there-is-none',
        azure: `/azure?run=${wide.id}`,
        system: '/system',
        where: '/where?place=slurm',
    };
    return { studio, tabs };
}

/** Goes there and waits until what comes from the server is on the screen. */
export async function visit(page, studio, name, address) {
    await page.goto(studio.address + address);
    await page.locator('h1').waitFor();
    await page.waitForLoadState('load');
    if (name === 'sample') {
        await page.locator('.sample').first().click();
        await page.getByRole('dialog').waitFor();
    }
    if (name === 'design' || name === 'misfit') await page.locator('[data-card]').nth(1).click();
    if (name === 'microscope') await page.locator('.walk').waitFor({ timeout: 60_000 }); // a real step first
    if (name === 'atlas-row') await page.getByText('Run again').waitFor({ timeout: 60_000 });
    if (name === 'diff') {
        await page.locator('.diff-verdict').waitFor({ timeout: 120_000 }); // trained again first
        await page.locator('.diff-bar').first().waitFor({ timeout: 60_000 });
    }
    await page.settled();
    await page.waitForTimeout(250); // plots, pictures
}
