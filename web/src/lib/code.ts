/* Code Diff's and the microscope's answers, and the addresses that lead to them. */
import { query } from './api';
import type { EngineId, Settings } from './types';

export type VoiceId = 'torch.python' | 'tensorflow.python' | 'torch.c' | 'tensorflow.c';
export const VOICES: { value: VoiceId; label: string }[] = [
    { value: 'torch.python', label: 'PyTorch · Python' },
    { value: 'tensorflow.python', label: 'TensorFlow · Python' },
    { value: 'torch.c', label: 'PyTorch · the C that runs' },
    { value: 'tensorflow.c', label: 'TensorFlow · the C that runs' },
];

export interface Voice {
    id: VoiceId;
    engine: EngineId;
    language: 'python' | 'c';
    title: string;
    file: string;
}
export interface CodeLine {
    text: string;
    idea: string | null;
}
export type Ideas = Record<
    string,
    { title: string; only: 'left' | 'right' | null; why: string | null }
>;
export interface CodeStage {
    id: string;
    title: string;
    note: string;
    left: CodeLine[];
    right: CodeLine[];
}
export interface CodeDiff {
    left: Voice;
    right: Voice;
    ideas: Ideas;
    stages: CodeStage[];
}

export interface Tensor {
    name: string;
    title: string; // what it is, in words
    shape: number[];
    low: number;
    high: number;
    histogram: {
        engine: EngineId;
        counts: number[];
        mean: number | null;
        std: number | null;
        not_finite: number;
    }[];
    picture: { rows: number; columns: number; values: string };
    differences: { pair: string; max: number | null }[];
    max_difference: number | null;
}
export interface StepStage {
    id: string;
    title: string;
    note: string;
    code_stage: string;
    ideas: string[];
    tensors: Tensor[];
}
export interface Microscope {
    batch: { number: number; indices: number[]; labels: number[] };
    engines: { id: EngineId; title: string; version: string | null; error: string | null }[];
    stages: StepStage[];
}

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

/** What a person types in a terminal for the same settings; defaults are left out. */
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
