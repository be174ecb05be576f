// The page stays light, and asks for nothing but its own: at most 130 kB of script, gzipped, as the studio serves it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { openBrowser, openPage, Studio, whySkip } from './support.mjs';

const skip = whySkip;
let studio, browser;

before(async () => {
    if (skip) return;
    studio = await Studio.create();
    browser = await openBrowser();
});
after(async () => {
    await browser?.close();
    await studio?.remove();
});

test('script, compressed, is at most 130 kB', { skip }, async (t) => {
    const page = await openPage(browser, studio);
    let script = 0;
    const sizes = [];
    page.on('response', (response) => {
        if (!new URL(response.url()).pathname.endsWith('.js')) return;
        sizes.push(
            response
                .request()
                .sizes()
                .then((size) => (script += size.responseBodySize)),
        );
    });
    await page.goto(`${studio.address}/`);
    await page.locator('.sample').first().waitFor();
    await Promise.all(sizes);
    const stream = await fetch(`${studio.address}/assets/stream.js`, {
        headers: { 'Accept-Encoding': 'gzip' },
    });
    script += Number(stream.headers.get('content-length'));
    t.diagnostic(`${script} bytes of script over the wire`);
    assert.ok(script > 1000 && script <= 130_000, `${script} bytes`);
    const [{ duration, first }] = await page.evaluate(() => [
        {
            duration: performance.getEntriesByType('navigation')[0].loadEventEnd,
            first: performance.getEntriesByName('first-contentful-paint')[0]?.startTime,
        },
    ]);
    t.diagnostic(
        `first view after ${first?.toFixed(0)} ms, loaded after ${duration.toFixed(0)} ms`,
    );
});

test('several tabs of a browser share one event stream', { skip }, async () => {
    const context = await browser.newContext();
    const pages = [];
    for (let i = 0; i < 8; i++) {
        const page = await context.newPage();
        await page.goto(`${studio.address}/system`);
        await page.locator('.connection[data-state="live"]').waitFor({ timeout: 20_000 });
        pages.push(page);
    }
    const run = await studio.post('/api/runs', {
        engine: 'native',
        settings: { dataset: 'synthetic', epochs: 1, limit: 2000 },
        name: 'seen-by-all',
    });
    for (const page of pages) {
        await page.getByRole('link', { name: 'Runs', exact: true }).click();
        await page.locator(`a[href="/runs/${run.id}"]`).waitFor();
    }
    await context.close();
});
