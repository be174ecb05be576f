// Builds the page into dist/: index.html, assets/app.js, app.css, theme.js, stream.js, icon.svg.
// usage: node build.mjs [--out DIR] [--watch]
import { build, context } from 'esbuild';
import { cp, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const SCRIPT_LIMIT = 130_000; // bytes of script, gzipped
const here = dirname(fileURLToPath(import.meta.url)); // Debian 12's Node 18 has no import.meta.dirname
const argument = (name) => process.argv[process.argv.indexOf(name) + 1];
const out = process.argv.includes('--out') ? argument('--out') : join(here, 'dist');

const options = {
    absWorkingDir: here,
    entryPoints: {
        app: 'src/main.tsx',
        theme: 'src/theme-early.ts',
        stream: 'src/stream-worker.ts',
    },
    bundle: true,
    minify: true,
    format: 'iife',
    target: ['es2022'],
    jsx: 'automatic',
    jsxImportSource: 'preact',
    legalComments: 'none',
    outdir: join(out, 'assets'),
    logLevel: 'warning',
};

async function copyStatic() {
    await mkdir(join(out, 'assets'), { recursive: true });
    await cp(join(here, 'src/icon.svg'), join(out, 'assets/icon.svg'));
    // Last, so that its date says when the whole page was built.
    await cp(join(here, 'src/index.html'), join(out, 'index.html'), { preserveTimestamps: false });
}

async function printSizes() {
    const folder = join(out, 'assets');
    let script = 0;
    for (const name of (await readdir(folder)).sort()) {
        const bytes = await readFile(join(folder, name));
        const zipped = gzipSync(bytes, { level: 9 }).length;
        if (name.endsWith('.js')) script += zipped;
        console.log(
            `${name.padEnd(12)} ${String(bytes.length).padStart(8)} bytes ${String(zipped).padStart(7)} gzipped`,
        );
    }
    console.log(`script       ${String(script).padStart(29)} gzipped of ${SCRIPT_LIMIT} allowed`);
    if (script > SCRIPT_LIMIT) throw new Error('the page has too much script');
}

if (process.argv.includes('--watch')) {
    await copyStatic();
    const watching = await context(options);
    await watching.watch();
    console.log('watching');
} else {
    await rm(out, { recursive: true, force: true });
    await build(options);
    await copyStatic();
    await printSizes();
}
