/* What an engine looks like everywhere: a colour, a name, a dash pattern, never the colour alone. */
import type { EngineId } from './shapes';

export interface EngineLook {
    id: EngineId;
    title: string;
    dash: number[]; // of its curves
    width: number; // of its curves: where curves coincide, each shows through the gaps of the next
    model: string; // its own file format
    style: string; // how it thinks, in a word
}

export const ENGINES: EngineLook[] = [
    {
        id: 'torch',
        title: 'PyTorch',
        dash: [],
        width: 4,
        model: '.pth',
        style: 'imperative, define-by-run',
    },
    {
        id: 'tensorflow',
        title: 'TensorFlow',
        dash: [12, 12],
        width: 3,
        model: '.h5',
        style: 'declarative, define-then-run',
    },
    {
        id: 'native',
        title: 'Native',
        dash: [2, 8],
        width: 3,
        model: '.safetensors',
        style: 'plain C, no framework',
    },
];

const BY_ID = new Map(ENGINES.map((engine) => [engine.id, engine]));

export function engineLook(id: EngineId): EngineLook {
    return BY_ID.get(id) ?? { id, title: id, dash: [6, 2, 2, 2], width: 2, model: '', style: '' };
}

/** The colour for canvas drawing, from the style sheet, so that themes rule in one place. */
export function engineColour(id: EngineId): string {
    return getComputedStyle(document.documentElement).getPropertyValue(`--${id}`).trim() || '#888';
}
