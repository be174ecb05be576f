// Pictures of every tab to look at, in build/screenshots; and nothing is wider than its screen.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser, openPage, ROOT, screenshotFolder, Studio, whySkip } from './support.mjs';
import { EMPTY_TABS, rareStates, studioWithRuns, visit } from './tabs.mjs';

const skip = whySkip;
/* What the README shows; written with UPDATE=1. */
const PICTURES = ['showdown', 'code', 'design'];
const SCREENS = { 390: 844, 1280: 800, 1920: 1080 };
/* Among all tests each width and each theme is seen; ONE=screenshots takes all six, and the rare states as well. */
const ALL = process.env.ONE === 'screenshots';
const USUAL = ['390-light', '1280-dark', '1920-light'];
let studio, empty, tabs, browser, folder;

before(async () => {
    if (skip) return;
    folder = await screenshotFolder();
    browser = await openBrowser();
    ({ studio, tabs } = await studioWithRuns());
    if (!ALL) return;
    Object.assign(tabs, await rareStates(studio));
    empty = await Studio.create();
});
after(async () => {
    await browser?.close();
    await studio?.remove();
    await empty?.remove();
});

/** The tabs of a studio, one after another; none may be wider than the screen. */
async function take(of, list, width, colorScheme) {
    const height = SCREENS[width];
    const page = await openPage(browser, of, { colorScheme, viewport: { width, height } });
    const wide = [];
    for (const [name, address] of Object.entries(list)) {
        await visit(page, of, name, address);
        if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth))
            wide.push(name);
        await page.screenshot({
            path: join(folder, `${name}-${width}-${colorScheme}.png`),
            fullPage: name !== 'sample',
        });
        if (process.env.UPDATE && width === 1280 && PICTURES.includes(name)) {
            await page.setViewportSize({ width, height: 1180 });
            await page.waitForTimeout(400); // plots follow the size
            await page.screenshot({
                path: join(ROOT, `docs/pictures/${name}-${colorScheme}.png`),
            });
            await page.setViewportSize({ width, height });
        }
    }
    await page.context().close();
    assert.deepEqual(wide, [], 'wider than the screen');
    // The tab of a run that is not there is told so by the server.
    assert.deepEqual(
        page.troubles.filter((line) => !/status of 404/.test(line)),
        [],
    );
}

for (const width of Object.keys(SCREENS).map(Number))
    for (const colorScheme of ['light', 'dark'].filter(
        (scheme) => ALL || USUAL.includes(`${width}-${scheme}`),
    ))
        test(`${width} wide, ${colorScheme}`, { skip }, async () => {
            await take(studio, tabs, width, colorScheme);
            if (empty) await take(empty, EMPTY_TABS, width, colorScheme);
        });
