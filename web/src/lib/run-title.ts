/* What a run is called: the user's own words, or what makes its settings differ from the defaults. */
import { signal } from '@preact/signals';
import { findDataset, usualDataset } from './dataset';
import * as format from './format';
import { belongs, settingWords, usualValue, type SettingKey } from './settings';
import { settingsTable } from './studio';
import type { Run, Setting, Settings } from './shapes';

export const runTitle = (run: Run) => run.title || run.name;

/** How a setting is said in a title, where its label and value are not it. */
const SAID: Partial<Record<SettingKey, (s: Settings) => string>> = {
    dataset: (s) => findDataset(s.dataset)?.title ?? s.dataset.split('/').at(-1)!,
    epochs: (s) => format.counted(s.epochs, 'epoch'),
    lr: (s) => `lr ${s.lr}`,
    batch_size: (s) => `batch ${s.batch_size}`,
    hidden: (s) => s.hidden.join('-') || 'no hidden layer',
    net: (s) => s.net,
    limit: (s) => format.counted(s.limit, 'sample'),
    weight_decay: (s) => `decay ${s.weight_decay}`,
};
/** The value alone says what it is. */
const BARE = new Set(['activation', 'meaning', 'optimizer', 'dtype', 'device']);

const expected = (setting: Setting, s: Settings) =>
    setting.key === 'dataset' ? usualDataset.value : usualValue(setting, s);

/** "lr 0.1, 256-64, adam"; empty where all is as usual. */
export function proposedTitle(s: Settings): string {
    const words = (settingsTable.value ?? [])
        .filter((one) => one.key !== 'from' && belongs(one, s))
        .filter((one) => {
            const value = s[one.key as SettingKey] ?? null;
            return JSON.stringify(value) !== JSON.stringify(expected(one, s) ?? null);
        })
        .map((one) => {
            const key = one.key as SettingKey;
            if (one.kind === 'flag') return one.label.toLowerCase();
            const value = settingWords(key, s[key]);
            return (
                SAID[key]?.(s) ?? (BARE.has(key) ? value : `${one.label.toLowerCase()} ${value}`)
            );
        });
    return words.join(', ').slice(0, 120);
}

/** Typed for the next run; null: as proposed. */
export const titleDraft = signal<string | null>(null);
