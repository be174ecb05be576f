// The main story in other browsers than Chromium: Debian's firefox-esr by WebDriver BiDi, WebKitGTK by its own driver.
// `make test ONE=browsers`; their packages are those marked "browsers" in scripts/packages.txt.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { freePort, openPage, PAGE_PACKAGES, Studio, whySkip } from './support.mjs';

const PATIENCE_MS = 60_000;
let studio;

before(async () => {
    if (whySkip) return;
    studio = await Studio.create();
    await studio.put('/api/preferences', {
        settings: { dataset: 'synthetic', limit: 2000, epochs: 2 },
    });
});
after(() => studio?.remove());

/* --- Firefox --- */

const FIREFOX = ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find((path) => existsSync(path));

async function openFirefox() {
    const { firefox } = PAGE_PACKAGES('playwright-core');
    const browser = await firefox.launch({ channel: 'moz-firefox', executablePath: FIREFOX });
    const page = await openPage(browser, studio);
    page.setDefaultTimeout(PATIENCE_MS);
    return {
        version: `Firefox ${browser.version()}`,
        open: (path) => page.goto(studio.address + path),
        until: (condition) => page.waitForFunction(condition),
        click: (selector) => page.locator(selector).first().click(),
        async type(selector, text) {
            await page.locator(selector).click();
            await page.keyboard.press('Control+A');
            await page.keyboard.type(text);
        },
        read: (expression) => page.evaluate(expression),
        troubles: () => page.troubles,
        close: () => browser.close(),
    };
}

/* --- WebKit --- */

const DRIVER = '/usr/bin/WebKitWebDriver';

/** The browser that comes with the library, whatever the machine's architecture. */
function findMiniBrowser() {
    for (const folder of ['/usr/lib', ...subfolders('/usr/lib')])
        for (const version of ['4.1', '4.0', '6.0']) {
            const name = version === '6.0' ? 'webkitgtk-6.0' : `webkit2gtk-${version}`;
            const path = `${folder}/${name}/MiniBrowser`;
            if (existsSync(path)) return path;
        }
}
const subfolders = (path) =>
    readdirSync(path, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map(({ name }) => `${path}/${name}`);

/** A screen that nobody sees; its number. */
async function openScreen() {
    const screen = spawn('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x900x24'], {
        stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    const number = await new Promise((done, fail) => {
        screen.on('error', fail);
        screen.stdio[3].once('data', (text) => done(String(text).trim()));
    });
    return { number, close: () => screen.kill() };
}

async function openWebKit() {
    const screen = await openScreen();
    const port = await freePort();
    const driver = spawn(DRIVER, [`--port=${port}`], {
        stdio: 'ignore',
        // A language that its own Intl refuses, as on machines without one.
        env: { ...process.env, DISPLAY: `:${screen.number}`, LANG: 'C', LC_ALL: 'C' },
    });
    const ask = async (method, path, body) => {
        const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
            method,
            body: body && JSON.stringify(body),
        });
        const { value } = await answer.json();
        if (!answer.ok) throw new Error(`${path}: ${value.error}: ${value.message}`);
        return value;
    };
    await retry(() => ask('GET', '/status'));
    const options = { binary: findMiniBrowser(), args: ['--automation'] };
    const { sessionId, capabilities } = await ask('POST', '/session', {
        capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': options } },
    });
    const at = `/session/${sessionId}`;
    const run = (script) => ask('POST', `${at}/execute/sync`, { script, args: [] });
    const element = async (selector) => {
        const found = await retry(() =>
            ask('POST', `${at}/element`, { using: 'css selector', value: selector }),
        );
        return `${at}/element/${Object.values(found)[0]}`;
    };
    return {
        version: `${capabilities.browserName} ${capabilities.browserVersion}`,
        open: (path) => ask('POST', `${at}/url`, { url: studio.address + path }),
        until: (condition) =>
            retry(async () => {
                if (!(await run(`return (${condition})()`)))
                    throw new Error(`not yet: ${condition}`);
            }),
        click: async (selector) => ask('POST', `${await element(selector)}/click`, {}),
        async type(selector, text) {
            await this.click(selector);
            await run(`document.querySelector(${JSON.stringify(selector)}).select()`);
            await ask('POST', `${await element(selector)}/value`, { text });
        },
        read: (expression) => run(`return (${expression})()`),
        troubles: () => [],
        async close() {
            await ask('DELETE', at).catch(() => {});
            driver.kill();
            screen.close();
        },
    };
}

/** Until it succeeds; the last failure when patience is at its end. */
async function retry(act) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
        try {
            return await act();
        } catch (cause) {
            if (Date.now() > end) throw cause;
            await new Promise((done) => setTimeout(done, 100));
        }
    }
}

/* --- the story --- */

async function story(browser) {
    await browser.open('/data');
    await browser.until(() => document.querySelectorAll('.sample canvas').length === 24);

    await browser.open('/native');
    await browser.type('.run-title input', 'in another browser');
    await browser.click('form button.main[type="submit"]');
    await browser.until(() => document.querySelector('.status .badge[data-state="finished"]'));
    const run = await browser.read(() => new URLSearchParams(location.search).get('run'));
    const done = await studio.get(`/api/runs/${run}`);
    assert.equal(done.state, 'finished');
    assert.equal(done.title, 'in another browser');
    await browser.until(() =>
        /step 1\d\d\s/.test(document.querySelector('.legend-value').textContent),
    );
    await browser.until(() => document.querySelectorAll('.epochs tbody tr').length === 2);

    await browser.open('/design?net=conv+6+5+relu,+flatten,+dense+10');
    await browser.until(() => document.querySelectorAll('.net [data-card]').length === 3);
    await browser.until(() => document.querySelectorAll('.net-thumb').length === 3);
    await browser.type('#net-text', 'conv 6 5 relu, maxpool 2, flatten, dense 10');
    await browser.until(() => document.querySelectorAll('.net [data-card]').length === 4);
    await browser.until(() =>
        document.querySelector('.design-code').textContent.includes('MaxPool2d'),
    );

    await browser.open('/code');
    await browser.until(() => document.querySelectorAll('.code-stage').length >= 6);
    await browser.until(() =>
        /nn\.Linear.*Dense/s.test(document.querySelector('#network').textContent),
    );
    const words = await browser.read(() => document.body.textContent);
    assert.doesNotMatch(words, /This part of the page failed/);
    assert.deepEqual(browser.troubles(), []);
}

for (const [name, missing, open] of [
    ['Firefox', !FIREFOX && 'no firefox-esr here: apt-get install firefox-esr', openFirefox],
    [
        'WebKit',
        (!existsSync(DRIVER) || !findMiniBrowser() || !existsSync('/usr/bin/Xvfb')) &&
            'no WebKitGTK driver here: apt-get install webkit2gtk-driver xvfb',
        openWebKit,
    ],
])
    test(`the main story in ${name}`, { skip: whySkip || missing, timeout: 240_000 }, async () => {
        const browser = await open();
        console.log(`# ${browser.version}`);
        try {
            await story(browser);
        } finally {
            await browser.close();
        }
    });
