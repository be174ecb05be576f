/* The settings that the user chose last. What is known about each (kind, range, default, label) is the studio's table,
 * by GET /api/settings. Only valid settings are kept; what does not fit yet is a draft and stays the text it is. */
import { computed, effect, signal } from '@preact/signals';
import { get, put } from './api';
import { usualDataset } from './dataset';
import { NOTHING } from './format';
import { datasets, defaults, settingsTable } from './studio';
import type { Setting, Settings } from './shapes';

export type SettingKey = keyof Settings;
type Value = Settings[SettingKey];
type Drafts = Partial<Record<string, string>>;

const KEY = 'settings';
const DRAFTS = 'drafts';

const read = <T>(storage: Storage, key: string): Partial<T> => {
    try {
        return JSON.parse(storage.getItem(key) ?? '{}') as Partial<T>;
    } catch {
        return {};
    }
};
const write = (storage: Storage, key: string, value: unknown) => {
    try {
        storage.setItem(key, JSON.stringify(value));
    } catch {
        // No storage: the server's copy remains.
    }
};

export const findSetting = (key: string) => settingsTable.value?.find((one) => one.key === key);
export const settingLabel = (key: string) => findSetting(key)?.label ?? key;

/* --- one value: text and number --- */

const inRange = ({ low, high, low_open, high_open }: Setting, value: number) =>
    (low === null || (low_open ? value > low : value >= low)) &&
    (high === null || (high_open ? value < high : value <= high));

const whole = (text: string) => (/^\d+$/.test(text) ? Number(text) : NaN);

/** The value that a text stands for; undefined when it does not fit the setting. */
export function parseSetting(setting: Setting, text: string): Value | undefined {
    const trimmed = text.trim();
    switch (setting.kind) {
        case 'integer':
        case 'number': {
            const value =
                setting.kind === 'integer'
                    ? whole(trimmed)
                    : trimmed === ''
                      ? NaN
                      : Number(trimmed);
            return Number.isFinite(value) && inRange(setting, value) ? value : undefined;
        }
        case 'widths': {
            const list = trimmed === '' ? [] : trimmed.split(',').map((part) => whole(part.trim()));
            const fits = list.every((n) => Number.isFinite(n) && inRange(setting, n));
            return fits && list.length <= (setting.most ?? Infinity) ? list : undefined;
        }
        case 'choice':
            return setting.choices?.some(({ value }) => value === text)
                ? (text as Value)
                : undefined;
        case 'flag':
            return text === 'true' || text === 'false' ? text === 'true' : undefined;
        case 'text':
            return inRange(setting, new TextEncoder().encode(text).length)
                ? (text as Value)
                : undefined;
    }
}

export const settingInput = (value: Value) =>
    Array.isArray(value) ? value.join(', ') : String(value ?? '');

/** The value a run has; a dash where the setting says nothing of it. */
export function runSettingWords(key: SettingKey, s: Settings): string {
    const setting = findSetting(key);
    return setting && !belongs(setting, s) ? NOTHING : settingWords(key, s[key]);
}

/** As a text of the page: what 0 or an empty list stands for is said. */
export function settingWords(key: string, value: Value): string {
    const { zero } = findSetting(key) ?? {};
    if (typeof value === 'boolean') return value ? 'yes' : 'no';
    const empty = value === 0 || value === null || value === '' || settingInput(value) === '';
    if (empty && zero) return zero;
    return settingInput(value) || NOTHING;
}

const isValid = (key: string, value: unknown) => {
    const setting = findSetting(key);
    if (!setting || value === undefined) return false;
    if (value === null) return setting.nullable;
    return parseSetting(setting, settingInput(value as Value)) !== undefined;
};

/** What of kept settings fits the table still: another version may have kept them. */
const validOf = (kept: Partial<Settings>) =>
    Object.fromEntries(
        Object.entries(kept).filter(([key, value]) => isValid(key, value)),
    ) as Partial<Settings>;

/* --- what the forms of all labs show --- */

/** Valid ones only; null until the studio's table and defaults are read. */
export const settings = signal<Settings | null>(null);
/** What is typed, by setting, while it is being typed or does not fit. */
export const drafts = signal<Drafts>(read<Record<string, string>>(sessionStorage, DRAFTS));
effect(() => write(sessionStorage, DRAFTS, drafts.value));

effect(() => {
    if (!defaults.value || !datasets.value || !settingsTable.value || settings.peek()) return;
    const kept = validOf(read<Settings>(localStorage, KEY));
    settings.value = { ...defaults.value, dataset: usualDataset.peek(), ...kept, from: null };
    if (Object.keys(kept).length === 0) void adoptPreferences();
});

/** Another browser at the same studio starts with what was chosen last. */
async function adoptPreferences() {
    const preferences = await get<{ settings?: Partial<Settings> }>('/api/preferences').catch(
        () => null,
    );
    if (preferences?.settings && settings.value)
        settings.value = { ...settings.value, ...validOf(preferences.settings), from: null };
}

let saving = 0;
export function changeSettings(values: Partial<Settings>) {
    if (!settings.value) return;
    settings.value = { ...settings.value, ...values };
    write(localStorage, KEY, settings.value);
    clearTimeout(saving);
    saving = window.setTimeout(
        () => void put('/api/preferences', { settings: settings.value }).catch(() => {}),
        800,
    );
}

const without = (key: string): Drafts => {
    const { [key]: _, ...rest } = drafts.value;
    return rest;
};

/** Takes what was typed: the setting changes when it fits, the text stays as it is either way. */
export function typeSetting(setting: Setting, text: string) {
    drafts.value = { ...drafts.value, [setting.key]: text };
    const value = parseSetting(setting, text);
    if (value !== undefined) changeSettings({ [setting.key]: value });
}

/** The field was left: a text that fits becomes the value's own. */
export function leaveSetting(setting: Setting) {
    const text = drafts.value[setting.key];
    if (text !== undefined && parseSetting(setting, text) !== undefined)
        drafts.value = without(setting.key);
}

/** A setting's default under the optimizer and the meaning of these settings. */
export const usualValue = (
    { default: usual, default_by_optimizer: own }: Setting,
    { meaning, optimizer }: Pick<Settings, 'meaning' | 'optimizer'>,
): Value => own?.[meaning]?.[optimizer] ?? usual;

/** Settings of dense layers by their widths: a network of its own has these in its layers. */
const OF_WIDTHS = new Set(['hidden', 'activation']);
export const belongs = ({ key, optimizers }: Setting, { optimizer, net }: Settings) =>
    optimizers?.includes(optimizer) !== false && !(net && OF_WIDTHS.has(key));

/** Another optimizer, or another meaning, comes with its own defaults; what belongs to the old one goes back to its default. */
export function chooseOptimizer(chosen: Partial<Pick<Settings, 'optimizer' | 'meaning'>>) {
    const next = { ...settings.value!, ...chosen };
    const changed: Record<string, unknown> = { ...chosen };
    for (const one of settingsTable.value ?? [])
        if (one.default_by_optimizer || one.optimizers) changed[one.key] = usualValue(one, next);
    for (const key of Object.keys(changed)) drafts.value = without(key);
    changeSettings(changed as Partial<Settings>);
}

/** What only data of the user's own has goes back to its default with another set. */
export function chooseDataset(dataset: string) {
    const changed: Record<string, unknown> = { dataset };
    for (const one of settingsTable.value ?? [])
        if (one.own_data) {
            changed[one.key] = one.default;
            drafts.value = without(one.key);
        }
    changeSettings(changed as Partial<Settings>);
}

export function resetSettings() {
    drafts.value = {};
    if (defaults.value) changeSettings({ ...defaults.value, dataset: usualDataset.value });
}

/** What is wrong, by setting: the drafts that do not fit, and what would. */
export const problems = computed(() => {
    const all: Partial<Record<string, string>> = {};
    for (const [key, text] of Object.entries(drafts.value)) {
        const setting = findSetting(key);
        if (setting && parseSetting(setting, text ?? '') === undefined) all[key] = setting.range;
    }
    return all;
});
export const settingsAreValid = () =>
    settings.value !== null && Object.keys(problems.value).length === 0;

/** Names of the settings in which these differ. */
export function differing(list: Settings[]): Set<string> {
    const names = new Set<string>();
    for (const name of Object.keys(list[0] ?? {}) as SettingKey[])
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
