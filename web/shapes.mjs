// Writes src/lib/shapes.ts: the shapes of src/http/schemas/*.json as TypeScript, so that the page and the server cannot
// disagree about a name. usage: node shapes.mjs [--schemas DIR] [--out FILE]
import { compile } from 'json-schema-to-typescript';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const PLACE = '#/components/schemas/'; // where the shapes stand in /api/openapi.json
const BANNER = '/* Made from src/http/schemas/*.json by shapes.mjs: change those. */';

async function readShapes(folder) {
    const shapes = {};
    for (const file of (await readdir(folder)).filter((name) => name.endsWith('.json')).sort())
        for (const [name, shape] of Object.entries(
            JSON.parse(await readFile(join(folder, file), 'utf8')),
        )) {
            if (name in shapes) throw new Error(`${file}: the shape ${name} is there twice`);
            shapes[name] = shape;
        }
    return shapes;
}

/** What the server fills in from its own tables (x-…) as TypeScript needs it. */
function prepare(value) {
    if (Array.isArray(value)) return value.map(prepare);
    if (typeof value !== 'object' || value === null) return value;
    const { 'x-partial': whole, ...rest } = value;
    if (whole) return { ...rest, tsType: `Partial<${whole}>` };
    const shape = Object.fromEntries(
        Object.entries(rest).map(([key, member]) => [key, prepare(member)]),
    );
    if (shape.$ref) shape.$ref = shape.$ref.replace(PLACE, '#/definitions/');
    // Bounds of an array would become tuples.
    delete shape.minItems;
    delete shape.maxItems;
    return shape;
}

export async function writeShapes(
    folder = join(here, '../src/http/schemas'),
    out = join(here, 'src/lib/shapes.ts'),
) {
    const shapes = await readShapes(folder);
    const text = await compile(
        { title: 'AllShapes', type: 'object', definitions: prepare(shapes) },
        'AllShapes',
        {
            additionalProperties: false,
            bannerComment: BANNER,
            unreachableDefinitions: true,
            format: false,
        },
    );
    await writeFile(out, text);
}

const argument = (name) => (argv.includes(name) ? argv[argv.indexOf(name) + 1] : undefined);
if (argv[1] === fileURLToPath(import.meta.url))
    await writeShapes(argument('--schemas'), argument('--out'));
