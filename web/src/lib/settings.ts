/* The settings that the user chose last, checked while typing. */
import { effect, signal } from '@preact/signals';
import { get, put } from './api';
import { usualDataset } from './dataset';
import { datasets, defaults } from './studio';
import type { Settings } from './shapes';

const KEY = 'settings';

function remembered(): Partial<Settings> {
    try {
        return JSON.parse(localStorage.getItem(KEY) ?? '{}') as Partial<Settings>;
    } catch {
        return {};
    }
}

/** What the forms of all labs show; null until the server's defaults are read. */
export const settings = signal<Settings | null>(null);

effect(() => {
    if (!defaults.value || !datasets.value || settings.peek()) return;
    settings.value = {
        ...defaults.value,
        dataset: usualDataset.peek(),
        ...remembered(),
        from: null,
    };
    if (Object.keys(remembered()).length === 0) void adoptPreferences();
});

/** Another browser at the same studio starts with what was chosen last. */
async function adoptPreferences() {
    const preferences = await get<{ settings?: Partial<Settings> }>('/api/preferences').catch(
        () => null,
    );
    if (preferences?.settings && settings.value)
        settings.value = { ...settings.value, ...preferences.settings, from: null };
}

let saving = 0;
export function changeSettings(values: Partial<Settings>) {
    if (!settings.value) return;
    settings.value = { ...settings.value, ...values };
    const text = JSON.stringify(settings.value);
    try {
        localStorage.setItem(KEY, text);
    } catch {
        // No storage: the server's copy remains.
    }
    clearTimeout(saving);
    saving = window.setTimeout(
        () => void put('/api/preferences', { settings: settings.value }).catch(() => {}),
        800,
    );
}

export const resetSettings = () =>
    defaults.value && changeSettings({ ...defaults.value, dataset: usualDataset.value });

type Problems = Partial<Record<keyof Settings, string>>;
const whole = (value: number, low: number, high: number) =>
    Number.isInteger(value) && value >= low && value <= high
        ? undefined
        : `a whole number from ${low} to ${high.toLocaleString('en')}`;
const between = (value: number, low: number, high: number) =>
    value >= low && value <= high ? undefined : `a number from ${low} to ${high}`;

/** What is wrong, by field; an empty object when all is well. */
export function problemsOf(s: Settings): Problems {
    const all: Problems = {
        epochs: whole(s.epochs, 1, 100_000),
        lr: s.lr > 0 && s.lr <= 100 ? undefined : 'above 0, at most 100; 0.01 is usual',
        batch_size: whole(s.batch_size, 1, 65_536),
        seed: whole(s.seed, 0, Number.MAX_SAFE_INTEGER),
        threads: whole(s.threads, 0, 1024),
        limit: whole(s.limit, 0, 1e9),
        momentum: s.momentum >= 0 && s.momentum < 1 ? undefined : 'from 0 to below 1',
        weight_decay: between(s.weight_decay, 0, 1),
        hidden: s.hidden.every((n) => Number.isInteger(n) && n >= 1 && n <= 65_536)
            ? undefined
            : 'layer widths, as in 128 or 256,64',
    };
    return Object.fromEntries(Object.entries(all).filter(([, text]) => text)) as Problems;
}

/** Names of the settings in which these differ. */
export function differing(list: Settings[]): Set<string> {
    const names = new Set<string>();
    for (const name of Object.keys(list[0] ?? {}) as (keyof Settings)[])
        if (list.some((other) => JSON.stringify(other[name]) !== JSON.stringify(list[0][name])))
            names.add(name);
    return names;
}

/** Weights and biases of dense layers of these sizes; null where a size is not known. */
export const parameterCount = (sizes: (number | null)[]) =>
    sizes.includes(null)
        ? null
        : (sizes as number[])
              .slice(1)
              .reduce((sum, outputs, i) => sum + outputs * ((sizes[i] ?? 0) + 1), 0);
