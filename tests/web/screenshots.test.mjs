// Pictures of every tab to look at, in build/screenshots; and nothing is wider than its screen.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openBrowser, openPage, ROOT, screenshotFolder, whySkip } from './support.mjs';
import { studioWithRuns, visit } from './tabs.mjs';

const skip = whySkip;
/* What the README shows; written with UPDATE=1. */
const PICTURES = ['showdown', 'code', 'design'];
const SCREENS = { 390: 844, 1280: 800, 1920: 1080 };
/* Among all tests each width and each theme is seen; `make screenshots` takes all six. */
const ALL = process.env.ONE === 'screenshots';
const USUAL = ['390-light', '1280-dark', '1920-light'];
let studio, tabs, browser, folder;

before(async () => {
    if (skip) return;
    folder = await screenshotFolder();
    ({ studio, tabs } = await studioWithRuns());
    browser = await openBrowser();
});
after(async () => {
    await browser?.close();
    await studio?.remove();
});

for (const [width, height] of Object.entries(SCREENS))
    for (const colorScheme of ['light', 'dark'].filter(
        (scheme) => ALL || USUAL.includes(`${width}-${scheme}`),
    ))
        test(`${width} wide, ${colorScheme}`, { skip }, async () => {
            const page = await openPage(browser, studio, {
                colorScheme,
                viewport: { width: Number(width), height },
            });
            const wide = [];
            for (const [name, address] of Object.entries(tabs)) {
                await visit(page, studio, name, address);
                if (await page.evaluate(() => document.documentElement.scrollWidth > innerWidth))
                    wide.push(name);
                await page.screenshot({
                    path: join(folder, `${name}-${width}-${colorScheme}.png`),
                    fullPage: name !== 'sample',
                });
                if (process.env.UPDATE && width === '1280' && PICTURES.includes(name)) {
                    await page.setViewportSize({ width: 1280, height: 1180 });
                    await page.waitForTimeout(400); // plots follow the size
                    await page.screenshot({
                        path: join(ROOT, `docs/pictures/${name}-${colorScheme}.png`),
                    });
                    await page.setViewportSize({ width: 1280, height });
                }
            }
            await page.context().close();
            assert.deepEqual(wide, [], 'wider than the screen');
            // The tab of a run that is not there is told so by the server.
            assert.deepEqual(
                page.troubles.filter((line) => !/status of 404/.test(line)),
                [],
            );
        });
