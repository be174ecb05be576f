/* The addresses of Code Diff: the settings that the code follows. */
import { query } from './api';
import type { Settings, VoiceId } from './shapes';

const SHOWN = [
    'dataset',
    'epochs',
    'lr',
    'batch_size',
    'seed',
    'init',
    'dtype',
    'activation',
    'optimizer',
    'momentum',
    'weight_decay',
    'limit',
] as const;

/** The settings that the code follows, as the server's query names them. */
export const codeSettings = (s: Settings) => ({
    ...Object.fromEntries(SHOWN.map((name) => [name, s[name]])),
    hidden: s.hidden.join(',') || 'none',
});
export const codeAddress = (left: VoiceId, right: VoiceId, s: Settings) =>
    `/api/code${query({ left, right, ...codeSettings(s) })}`;
export const programAddress = (voice: VoiceId, format: 'file' | 'notebook', s: Settings) =>
    `/api/code/program${query({ voice, format, ...codeSettings(s) })}`;

/** What the user types in a terminal for the same settings; defaults are left out. */
export function settingsWords(s: Settings, defaults: Settings | null) {
    const words = Object.entries(codeSettings(s)).filter(
        ([name, value]) =>
            name === 'dataset' ||
            !defaults ||
            String(value) !==
                String(codeSettings(defaults)[name as keyof ReturnType<typeof codeSettings>]),
    );
    return words
        .map(([name, value]) => `--${name.replaceAll('_', '-')} ${String(value)}`)
        .join(' ');
}
