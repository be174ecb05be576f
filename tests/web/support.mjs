// What the tests of the page share: a studio of their own on a free port with a home of its own, and a real Chromium.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

export const ROOT = process.env.NNSTUDIO_SOURCE ?? resolve(import.meta.dirname, '../..');
const BINARY = process.env.NNSTUDIO_BINARY ?? join(ROOT, 'build/nnstudio');
export const DATA = process.env.NNSTUDIO_TEST_DATA ?? join(ROOT, '../shared/data');
/** The first browser that runs: CHROME_PATH, google-chrome, chromium. A snap's `chromium` is there and may not run. */
function findBrowser() {
    const tried = [];
    for (const name of [process.env.CHROME_PATH, 'google-chrome', 'chromium']) {
        if (!name) continue;
        const { status, stdout, error } = spawnSync(name, ['--version'], {
            encoding: 'utf8',
            timeout: 60_000,
        });
        if (status === 0) return { path: whole(name), version: stdout.trim() };
        tried.push(`${name}: ${error?.code ?? `ends with ${status}`}`);
    }
    return { why: `no browser runs (${tried.join(', ')}); set CHROME_PATH` };
}

/** The whole path of a program on PATH. */
function whole(name) {
    const folders = name.includes('/') ? [''] : process.env.PATH.split(':');
    return folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

const browserFound = findBrowser();

export const PAGE_PACKAGES = createRequire(join(ROOT, 'web/package.json'));

/** A word why the tests of the page cannot run here, or false. */
export const whySkip =
    (!existsSync(BINARY) && 'the studio is not built') ||
    browserFound.why ||
    (!existsSync(join(ROOT, 'web/node_modules/playwright-core')) &&
        "the page's packages are not installed");
export const hasMnist = existsSync(join(DATA, 'mnist'));

export async function freePort() {
    const server = createServer();
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    const { port } = server.address();
    await new Promise((done) => server.close(done));
    return port;
}

/** A studio; `stop()` ends it, `kill()` as a power cut would, `start()` again keeps home and address. */
export class Studio {
    static async create() {
        const studio = new Studio();
        studio.home = await mkdtemp(join(tmpdir(), 'nnstudio-web-'));
        studio.port = await freePort();
        studio.address = `http://127.0.0.1:${studio.port}`;
        if (hasMnist) {
            await mkdir(join(studio.home, 'data'));
            await symlink(join(DATA, 'mnist'), join(studio.home, 'data/mnist'));
        }
        await studio.start();
        return studio;
    }

    async start() {
        this.output = '';
        this.process = spawn(BINARY, ['serve', '--port', String(this.port), '--home', this.home], {
            cwd: ROOT,
            stdio: ['ignore', 'pipe', 'pipe'],
        });
        for (const stream of [this.process.stdout, this.process.stderr])
            stream.on('data', (text) => (this.output += text));
        this.ended = new Promise((done) => this.process.on('exit', done));
        for (let i = 0; i < 200; i++) {
            if (this.process.exitCode !== null)
                throw new Error(`the studio ended at once: ${this.output}`);
            if (
                await fetch(`${this.address}/api/system`).then(
                    (answer) => answer.ok,
                    () => false,
                )
            )
                return;
            await new Promise((done) => setTimeout(done, 50));
        }
        throw new Error(`the studio does not answer: ${this.output}`);
    }

    async stop() {
        this.process.kill('SIGTERM');
        await this.ended;
    }

    async kill() {
        this.process.kill('SIGKILL');
        await this.ended;
    }

    async remove() {
        if (this.process.exitCode === null && this.process.signalCode === null) await this.stop();
        await rm(this.home, { recursive: true, force: true });
    }

    async get(path) {
        const answer = await fetch(this.address + path);
        if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
        return answer.json();
    }

    post(path, body = {}) {
        return this.send('POST', path, body);
    }

    put(path, body) {
        return this.send('PUT', path, body);
    }

    async send(method, path, body) {
        const answer = await fetch(this.address + path, {
            method,
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify(body),
        });
        if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
        return answer.json();
    }

    async until(run, ...states) {
        for (let i = 0; i < 1200; i++) {
            const now = await this.get(`/api/runs/${run}`);
            if (states.includes(now.state)) return now;
            if (now.state === 'failed') throw new Error(`run ${run} failed: ${now.error}`);
            await new Promise((done) => setTimeout(done, 100));
        }
        throw new Error(`run ${run} never became ${states}`);
    }
}

/** The id of the run that the page starts when `act` is done, as the studio answers it. */
export async function runStartedBy(page, act) {
    const [answer] = await Promise.all([
        page.waitForResponse(
            (one) =>
                one.request().method() === 'POST' && new URL(one.url()).pathname === '/api/runs',
        ),
        act(),
    ]);
    return (await answer.json()).id;
}

/** Waits until the page shows that very run in that state; says what it shows instead. */
export async function runShown(page, studio, run, state) {
    const badge = page.locator(`.status .badge[data-run="${run}"][data-state="${state}"]`);
    try {
        await badge.first().waitFor({ timeout: 180_000 });
    } catch (cause) {
        const shown = await page
            .locator('.status .badge')
            .evaluateAll((all) => all.map(({ dataset }) => `${dataset.run}: ${dataset.state}`));
        const { state: told } = await studio.get(`/api/runs/${run}`);
        const live = await page.locator('.connection').getAttribute('data-state');
        throw new Error(
            `run ${run} is not shown as ${state}: the page (stream: ${live}) shows ` +
                `${shown.join(', ') || 'no run'}; the studio says ${told}`,
            { cause },
        );
    }
}

export async function openBrowser() {
    console.log(`# browser: ${browserFound.version} (${browserFound.path})`);
    const { chromium } = PAGE_PACKAGES('playwright-core');
    return chromium.launch({
        executablePath: browserFound.path,
        args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-quic',
            '--no-first-run',
            '--disable-background-networking',
            '--disable-component-update',
            '--disable-sync',
        ],
    });
}

/** A page that remembers what a user must never see: script errors, refused styles, failed calls, foreign addresses. */
export async function openPage(browser, studio, options = {}) {
    const context = await browser.newContext({
        viewport: { width: 1280, height: 800 },
        acceptDownloads: true,
        ...options,
    });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.troubles = [];
    page.on('pageerror', (error) => page.troubles.push(`error: ${error.stack}`));
    page.on(
        'console',
        (message) => message.type() === 'error' && page.troubles.push(`console: ${message.text()}`),
    );
    page.on('request', (request) => {
        const url = new URL(request.url());
        if (/^https?:$/.test(url.protocol) && url.origin !== studio.address)
            page.troubles.push(`request to ${url.origin}`);
    });
    followRequests(page);
    return page;
}

/** page.settled(): until everything that the page asked of the server has been answered. */
function followRequests(page) {
    const open = new Set();
    let changed = Date.now();
    const follow = (event, change) =>
        page.on(event, (request) => {
            if (request.resourceType() !== 'fetch' || request.url().endsWith('/api/events')) return; // the stream never ends
            change(request);
            changed = Date.now();
        });
    follow('request', (request) => open.add(request));
    follow('requestfinished', (request) => open.delete(request));
    follow('requestfailed', (request) => open.delete(request));
    page.settled = async () => {
        for (let i = 0; i < 2400 && (open.size > 0 || Date.now() - changed < 200); i++)
            await page.waitForTimeout(50);
        if (open.size > 0)
            throw new Error(`never answered: ${[...open].map((request) => request.url())}`);
    };
}

/** Engines that are really there, so that a machine without the frameworks still tests the page. */
export async function foundEngines(studio) {
    return (await studio.get('/api/system')).engines
        .filter((engine) => engine.found)
        .map((engine) => engine.id);
}

export async function screenshotFolder() {
    const folder = join(ROOT, 'build/screenshots');
    await mkdir(folder, { recursive: true });
    return folder;
}
