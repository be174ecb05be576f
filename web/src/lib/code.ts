/* The addresses of Code Diff and of schedules: the settings that they follow, as the studio's table names them. */
import { query } from './api';
import { belongs, settingInput, usualValue, type SettingKey } from './settings';
import { settingsTable } from './studio';
import type { Settings, VoiceId } from './shapes';

/** In the query and on the command line, lists stand without spaces, and an empty one is "none". */
const settingText = (value: Settings[SettingKey]) =>
    Array.isArray(value) ? value.join(',') || 'none' : settingInput(value);
const plain = (s: Settings, key: string) => settingText(s[key as SettingKey]);
const followed = () => (settingsTable.value ?? []).filter((setting) => setting.program);

/** The settings that the code follows, as the server's query names them. */
export const codeSettings = (s: Settings) =>
    Object.fromEntries(
        followed()
            .filter((setting) => belongs(setting, s))
            .map(({ key }) => [key, plain(s, key)]),
    );
export const codeAddress = (left: VoiceId, right: VoiceId, s: Settings) =>
    `/api/code${query({ left, right, ...codeSettings(s) })}`;
export const programAddress = (voice: VoiceId, format: 'file' | 'notebook', s: Settings) =>
    `/api/code/program${query({ voice, format, ...codeSettings(s) })}`;

/** Of a run that has begun, or, without the steps of its epochs, of one on the settings' data. */
export const scheduleAddress = (s: Settings, stepsPerEpoch = 0) =>
    `/api/schedule${query({ steps_per_epoch: stepsPerEpoch || null, ...codeSettings(s) })}`;

/** Those that a command line names: defaults are left out. */
const named = (s: Settings, defaults: Settings | null) =>
    followed().filter(
        (setting) =>
            setting.option !== null &&
            belongs(setting, s) &&
            (setting.key === 'dataset' ||
                !defaults ||
                plain(s, setting.key) !== settingText(usualValue(setting, s))),
    );

/** The file with which a cluster trains them. */
export const clusterAddress = (
    s: Settings,
    defaults: Settings | null,
    where: Record<string, string | number | null>,
) =>
    `/api/cluster-file${query({
        ...where,
        ...Object.fromEntries(named(s, defaults).map(({ key }) => [key, plain(s, key)])),
    })}`;

/** What the user types in a terminal for the same settings. */
export const settingsWords = (s: Settings, defaults: Settings | null) =>
    named(s, defaults)
        .map(({ key, option, kind }) =>
            kind === 'flag' ? `--${option}` : `--${option} ${plain(s, key)}`,
        )
        .join(' ');
