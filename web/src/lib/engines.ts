/* The engines as the studio's own table describes them: names, colors, line patterns, file formats. */
import { computed, effect, signal } from '@preact/signals';
import { system } from './studio';
import type { Engine, EngineId } from './shapes';

/** What does not change while the program runs. */
export type EngineLook = Pick<
    Engine,
    | 'id'
    | 'title'
    | 'paradigm'
    | 'model_format'
    | 'default'
    | 'installable'
    | 'light'
    | 'dark'
    | 'dash'
    | 'line_width'
    | 'mark'
>;

const KEY = 'engines';

/** Those of the last visit, so that the first paint has names and colors. */
function remembered(): EngineLook[] {
    try {
        return JSON.parse(localStorage.getItem(KEY) ?? '[]') as EngineLook[];
    } catch {
        return [];
    }
}

const lookOf = (engine: Engine): EngineLook => ({
    id: engine.id,
    title: engine.title,
    paradigm: engine.paradigm,
    model_format: engine.model_format,
    default: engine.default,
    installable: engine.installable,
    light: engine.light,
    dark: engine.dark,
    dash: engine.dash,
    line_width: engine.line_width,
    mark: engine.mark,
});

/** In the order in which they are shown. It changes only when one of them does. */
export const engines = signal<EngineLook[]>(remembered());

effect(() => {
    if (!system.value) return;
    const next = system.value.engines.map(lookOf);
    const text = JSON.stringify(next);
    if (text === JSON.stringify(engines.peek())) return;
    engines.value = next;
    try {
        localStorage.setItem(KEY, text);
    } catch {
        // No storage: the next visit waits for the studio's answer.
    }
});

/** The frameworks: engines that are not part of the program. They have a tab each. */
export const frameworks = computed(() => engines.value.filter((engine) => engine.installable));
export const defaultEngine = computed(() => engines.value.find((engine) => engine.default));

export const labPath = (engine: EngineId) => `/${engine}`;
/** The lab that opens when none is named; before the studio has said which that is, the page's start. */
export const defaultLab = () => labPath(defaultEngine.value?.id ?? '');

const PLAIN = { line: 'gray', text: 'gray', fill: 'gray', on: 'white' };

/** One that the studio has no longer (a run of an older version) is gray. */
export const engineLook = (id: EngineId): EngineLook =>
    engines.value.find((engine) => engine.id === id) ?? {
        id,
        title: id,
        paradigm: '',
        model_format: '',
        default: false,
        installable: false,
        light: PLAIN,
        dark: PLAIN,
        dash: [6, 2],
        line_width: 2,
        mark: 'circle',
    };

/* The style sheet has --engine, --engine-text … wherever data-engine says which, and --ID for plots. */
const sheet = new CSSStyleSheet();
document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

const variables = (name: string, colors: Engine['light']) =>
    `--${name}:${colors.line};--${name}-text:${colors.text};--${name}-fill:${colors.fill};--${name}-on:${colors.on};`;
const using = (name: string) =>
    ['', '-text', '-fill', '-on'].map((end) => `--engine${end}:var(--${name}${end});`).join('');

effect(() => {
    const all = engines.value.map((engine) => ({ ...engine, name: CSS.escape(engine.id) }));
    sheet.replaceSync(
        `:root{${all.map(({ name, light }) => variables(name, light)).join('')}}` +
            `:root[data-theme='dark']{${all.map(({ name, dark }) => variables(name, dark)).join('')}}` +
            all.map(({ name }) => `[data-engine="${name}"]{${using(name)}}`).join(''),
    );
});

/** The color for canvas drawing, from the style sheet, so that themes rule in one place. */
export const engineColor = (id: EngineId) =>
    getComputedStyle(document.documentElement)
        .getPropertyValue(`--${CSS.escape(id)}`)
        .trim() || 'gray';
