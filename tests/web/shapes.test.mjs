// The page's types are the server's schemas: what is renamed in a schema is found by `npm run check`.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';

const source = process.env.NNSTUDIO_SOURCE ?? join(import.meta.dirname, '../..');
const web = join(source, 'web');
let folder;

before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nnstudio-shapes-'));
    for (const name of ['src', 'shapes.mjs', 'package.json', 'tsconfig.json'])
        await cp(join(web, name), join(folder, 'web', name), { recursive: true });
    await symlink(join(web, 'node_modules'), join(folder, 'web/node_modules'));
    await cp(join(source, 'src/http/schemas'), join(folder, 'src/http/schemas'), {
        recursive: true,
    });
});
after(() => rm(folder, { recursive: true, force: true }));

/** What `npm run check` says in the copy; "" when all is well. */
const check = () =>
    new Promise((resolve) =>
        execFile(
            'npm',
            ['run', '--silent', 'check'],
            { cwd: join(folder, 'web') },
            (error, stdout, stderr) => resolve(error ? stdout + stderr || String(error) : ''),
        ),
    );

async function withSchema(file, from, to, then) {
    const path = join(folder, 'src/http/schemas', file);
    const text = await readFile(path, 'utf8');
    assert.ok(text.includes(`"${from}"`), `${file} has "${from}"`);
    await writeFile(path, text.replaceAll(`"${from}"`, `"${to}"`));
    try {
        await then();
    } finally {
        await writeFile(path, text);
    }
}

test('the types made of the schemas are the ones that the page uses', async () => {
    assert.equal(await check(), '');
});

// A field of an answer, of a task, of an event, of a request's settings, of a choice.
for (const [file, from, to] of [
    ['runs.json', 'val_accuracy', 'test_accuracy'],
    ['tasks.json', 'done_bytes', 'bytes_done'],
    ['events.json', 'first_step', 'from_step'],
    ['events.json', 'removed', 'gone'],
    ['settings.json', 'batch_size', 'batch'],
    ['runs.json', 'paused', 'waiting'],
])
    test(`renaming ${from} in ${file} breaks the check`, async () => {
        await withSchema(file, from, to, async () => {
            const said = await check();
            assert.match(said, /error TS/, said);
            assert.match(said, new RegExp(`${from}|${to}`));
        });
    });

test('a shape is written down once', async () => {
    const names = [];
    for (const file of await readdir(join(source, 'src/http/schemas')))
        names.push(
            ...Object.keys(
                JSON.parse(await readFile(join(source, 'src/http/schemas', file), 'utf8')),
            ),
        );
    assert.equal(new Set(names).size, names.length);
    const own = /^export (interface|type) (\w+)/gm;
    for (const file of await readdir(join(web, 'src'), { recursive: true })) {
        if (!/\.tsx?$/.test(file) || file.endsWith('shapes.ts')) continue;
        const text = await readFile(join(web, 'src', file), 'utf8');
        for (const [, , name] of text.matchAll(own))
            assert.ok(!names.includes(name), `${file} has a ${name} of its own`);
    }
});
