/* The atlas: its rows, and the results of experiments, kept while the page is open. */
import { signal } from '@preact/signals';
import { post } from './api';
import { settings, changeSettings, chooseOptimizer, findSetting, parseSetting } from './settings';
import type { AtlasResult, AtlasRow, EngineId, Settings } from './shapes';

/** By row and engine. */
export const results = signal<Record<string, AtlasResult>>({});
const keyOf = (row: number, engine: EngineId) => `${row}/${engine}`;
export const resultOf = (row: number, engine: EngineId): AtlasResult | undefined =>
    results.value[keyOf(row, engine)];

export async function runExperiment(row: number, engine: EngineId, signal: AbortSignal) {
    const result = await post<AtlasResult>(`/api/atlas/${row}/run`, { engine }, signal);
    results.value = { ...results.peek(), [keyOf(row, engine)]: result };
}

export function forgetResults(row: number) {
    results.value = Object.fromEntries(
        Object.entries(results.peek()).filter(([, result]) => result.row !== row),
    );
}

/** Rows that hold every word, in what they say or as their number. */
export function findRows(rows: AtlasRow[], text: string): AtlasRow[] {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter((row) => {
        const said = [
            row.title,
            row.subject,
            row.id,
            row.affects,
            row.migrate,
            row.pytorch.defaults,
            row.keras.defaults,
        ]
            .join(' ')
            .toLowerCase();
        return words.every((word) => said.includes(word) || word === String(row.number));
    });
}

/** The settings that show the row's difference in Code Diff become those of all labs; undo() takes them back. */
export function takeSettings(code: string): () => void {
    const before = settings.value!;
    const wanted = new Map(new URLSearchParams(code));
    const optimizer = wanted.get('optimizer');
    if (optimizer) chooseOptimizer({ optimizer: optimizer as Settings['optimizer'] });
    const changed: Record<string, unknown> = {};
    for (const [key, text] of wanted) {
        const setting = findSetting(key);
        const value = setting && parseSetting(setting, text);
        if (value !== undefined) changed[key] = value;
    }
    changeSettings(changed as Partial<Settings>);
    return () => changeSettings(before);
}
