// axe-core finds no serious violation in any tab, light and dark; nor at the width of a phone.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, test } from 'node:test';
import { openBrowser, openPage, PAGE_PACKAGES, whySkip } from './support.mjs';
import { studioWithRuns, visit } from './tabs.mjs';

const skip = whySkip;
let studio, tabs, browser, axe;

before(async () => {
    if (skip) return;
    ({ studio, tabs } = await studioWithRuns());
    browser = await openBrowser();
    axe = await readFile(PAGE_PACKAGES.resolve('axe-core/axe.min.js'), 'utf8');
});
after(async () => {
    await browser?.close();
    await studio?.remove();
});

for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
]) {
    test(`no serious violation, ${colorScheme}, ${width} wide`, { skip }, async (t) => {
        const page = await openPage(browser, studio, {
            colorScheme,
            viewport: { width, height: 900 },
        });
        for (const [name, address] of Object.entries(tabs)) {
            await t.test(name, async () => {
                await visit(page, studio, name, address);
                await page.evaluate(axe);
                const { violations } = await page.evaluate(() =>
                    globalThis.axe.run(document, { resultTypes: ['violations'] }),
                );
                const serious = violations
                    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
                    .map(
                        ({ id, nodes }) =>
                            `${id}: ${nodes
                                .slice(0, 3)
                                .map(
                                    (node) =>
                                        `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`,
                                )
                                .join(' | ')}`,
                    );
                assert.deepEqual(serious, []);
            });
        }
        await page.context().close();
    });
}
