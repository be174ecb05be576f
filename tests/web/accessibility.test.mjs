// axe-core finds no serious violation in any tab, dialog or fold, light and dark; nor at the width of a phone. What the keys
// reach shows that it is reached.
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

const press = (name) => (page) => page.getByRole('button', { name, exact: true }).first().click();
/** What opens over a tab or within it. */
const OPENED = {
    keys: ['system', (page) => page.keyboard.press('?')],
    'save a design': ['design', press('Save…')],
    'more settings': ['native', (page) => page.getByText('More settings').first().click()],
    rename: ['run', press('Rename, tags, notes')],
};

async function seriousViolations(page) {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() =>
        globalThis.axe.run(document, { resultTypes: ['violations'] }),
    );
    return violations
        .filter(({ impact }) => impact === 'serious' || impact === 'critical')
        .map(
            ({ id, nodes }) =>
                `${id}: ${nodes
                    .slice(0, 3)
                    .map((node) => `${node.html.slice(0, 160)} ${node.any[0]?.message ?? ''}`)
                    .join(' | ')}`,
        );
}

/** Everything that Tab reaches gets the focus in turn: those without an outline of their own or of their label. */
async function withoutRing(page) {
    await page.keyboard.press('Tab'); // from here on the focus is the keys'
    const { reached, plain } = await page.evaluate(() => {
        const ringed = (one) => {
            const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(one);
            return (
                outlineStyle !== 'none' &&
                parseFloat(outlineWidth) >= 1.5 &&
                outlineColor !== 'rgba(0, 0, 0, 0)'
            );
        };
        const root = document.querySelector('dialog[open]') ?? document;
        const all = [
            ...root.querySelectorAll('a, button, input, select, textarea, summary, [tabindex]'),
        ];
        const got = all.filter((one) => {
            if (one.tabIndex < 0) return false;
            one.focus();
            one.dataset.ringed = [one, one.closest('label')].some((el) => el && ringed(el));
            return document.activeElement === one;
        });
        const plain = got.filter((one) => one.dataset.ringed === 'false');
        return { reached: got.length, plain: plain.map((one) => one.outerHTML.slice(0, 160)) };
    });
    assert.ok(reached > 0, 'the keys reach something');
    return plain;
}

for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 1280],
    ['light', 390],
]) {
    test(`no serious violation, ${colorScheme}, ${width} wide`, { skip }, async (t) => {
        const ringed = width > 1000 && colorScheme === 'light'; // the same rule in the dark
        const page = await openPage(browser, studio, {
            colorScheme,
            viewport: { width, height: 900 },
        });
        for (const [name, address] of Object.entries(tabs)) {
            await t.test(name, async () => {
                await visit(page, studio, name, address);
                assert.deepEqual(await seriousViolations(page), []);
                if (ringed) assert.deepEqual(await withoutRing(page), []);
            });
        }
        for (const [name, [tab, act]] of Object.entries(width > 1000 ? OPENED : {})) {
            await t.test(name, async () => {
                await visit(page, studio, tab, tabs[tab]);
                await act(page);
                await page.locator('dialog[open], main details[open]').first().waitFor();
                await page.settled();
                assert.deepEqual(await seriousViolations(page), []);
                if (ringed) assert.deepEqual(await withoutRing(page), []);
            });
        }
        await page.context().close();
    });
}
