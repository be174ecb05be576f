/* The addresses of Code Diff: the settings that the code follows, as the studio's table names them. */
import { query } from './api';
import { settingInput, type SettingKey } from './settings';
import { settingsTable } from './studio';
import type { Settings, VoiceId } from './shapes';

/** In the query and on the command line, lists stand without spaces, and an empty one is "none". */
const plain = (s: Settings, key: string) => {
    const value = s[key as SettingKey];
    return Array.isArray(value) ? value.join(',') || 'none' : settingInput(value);
};
const followed = () => (settingsTable.value ?? []).filter((setting) => setting.program);

/** The settings that the code follows, as the server's query names them. */
export const codeSettings = (s: Settings) =>
    Object.fromEntries(
        followed()
            .filter(({ optimizers }) => optimizers?.includes(s.optimizer) !== false)
            .map(({ key }) => [key, plain(s, key)]),
    );
export const codeAddress = (left: VoiceId, right: VoiceId, s: Settings) =>
    `/api/code${query({ left, right, ...codeSettings(s) })}`;
export const programAddress = (voice: VoiceId, format: 'file' | 'notebook', s: Settings) =>
    `/api/code/program${query({ voice, format, ...codeSettings(s) })}`;

/** What the user types in a terminal for the same settings; defaults are left out. */
export const settingsWords = (s: Settings, defaults: Settings | null) =>
    followed()
        .filter(
            ({ key, option, optimizers }) =>
                option !== null &&
                optimizers?.includes(s.optimizer) !== false &&
                (key === 'dataset' || !defaults || plain(s, key) !== plain(defaults, key)),
        )
        .map(({ key, option }) => `--${option} ${plain(s, key)}`)
        .join(' ');
