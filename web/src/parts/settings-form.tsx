/* The settings of a run, one form for every lab. What is wrong stands under its field; what was chosen is remembered. */
import { findDataset, layerSizes, sizesText, usualDataset } from '../lib/dataset';
import * as format from '../lib/format';
import {
    changeSettings,
    parameterCount,
    problemsOf,
    resetSettings,
    settings,
} from '../lib/settings';
import { datasets, system } from '../lib/studio';
import type { EngineId, Settings } from '../lib/shapes';
import { useState } from 'preact/hooks';
import { NumberField, SelectField, TextField } from './fields';

const choice = <T extends string>(...values: T[]) =>
    values.map((value) => ({ value, label: value }));

function HiddenField({ value, problem }: { value: number[]; problem?: string }) {
    const [text, setText] = useState(value.join(', '));
    const shown = text.split(',').map(Number).join() === value.join() ? text : value.join(', ');
    return (
        <TextField
            label="Hidden layers"
            hint="widths, as in 128 or 256, 64"
            problem={problem}
            value={shown}
            onChange={(next) => {
                setText(next);
                changeSettings({
                    hidden:
                        next.trim() === ''
                            ? []
                            : next.split(',').map((part) => Number(part.trim() || NaN)),
                });
            }}
        />
    );
}

function Advanced({
    s,
    problems,
    engine,
}: {
    s: Settings;
    problems: ReturnType<typeof problemsOf>;
    engine?: EngineId;
}) {
    const devices = (engine && system.value?.engines.find((e) => e.id === engine)?.devices) || [
        'cpu',
    ];
    const bad = (['threads', 'limit', 'momentum', 'weight_decay', 'hidden'] as const).some(
        (name) => problems[name],
    );
    return (
        <details class="fold" open={bad || undefined}>
            <summary>More settings</summary>
            <div class="fields">
                <HiddenField value={s.hidden} problem={problems.hidden} />
                <SelectField
                    label="Activation"
                    value={s.activation}
                    options={choice('relu', 'tanh', 'sigmoid')}
                    onChange={(activation) => changeSettings({ activation })}
                />
                <SelectField
                    label="Optimizer"
                    value={s.optimizer}
                    options={choice('sgd', 'adam')}
                    onChange={(optimizer) =>
                        changeSettings({ optimizer, lr: optimizer === 'adam' ? 0.001 : 0.01 })
                    }
                />
                <NumberField
                    label="Momentum"
                    value={s.momentum}
                    problem={problems.momentum}
                    disabled={s.optimizer !== 'sgd'}
                    onChange={(momentum) => changeSettings({ momentum })}
                />
                <NumberField
                    label="Weight decay"
                    value={s.weight_decay}
                    problem={problems.weight_decay}
                    onChange={(weight_decay) => changeSettings({ weight_decay })}
                />
                <SelectField
                    label="First weights"
                    value={s.init}
                    onChange={(init) => changeSettings({ init })}
                    options={[
                        { value: 'torch', label: 'as PyTorch draws them' },
                        { value: 'keras', label: 'as Keras draws them' },
                    ]}
                />
                <SelectField
                    label="Numbers"
                    value={s.dtype}
                    options={choice('float32', 'float64')}
                    onChange={(dtype) => changeSettings({ dtype })}
                />
                <NumberField
                    label="Threads"
                    hint="0: as the engine likes"
                    value={s.threads}
                    problem={problems.threads}
                    onChange={(threads) => changeSettings({ threads })}
                />
                <NumberField
                    label="Training samples"
                    hint="0: all of them"
                    value={s.limit}
                    problem={problems.limit}
                    onChange={(limit) => changeSettings({ limit })}
                />
                <SelectField
                    label="Device"
                    value={s.device}
                    options={choice(...new Set([...devices, s.device]))}
                    onChange={(device) => changeSettings({ device })}
                />
            </div>
        </details>
    );
}

export function SettingsForm({ engine }: { engine?: EngineId }) {
    const s = settings.value;
    if (!s) return <p class="muted">Reading the defaults…</p>;
    const problems = problemsOf(s);
    const known = datasets.value ?? [];
    const set = findDataset(s.dataset);
    const sets = known.map((d) => ({
        value: d.name,
        label: d.available ? d.title : `${d.title}, not fetched yet`,
        disabled: !d.available,
    }));
    if (!set) sets.push({ value: s.dataset, label: s.dataset, disabled: false });
    const layers = layerSizes(s.dataset, s.hidden);
    const parameters = parameterCount(layers);
    return (
        <div class="settings">
            <div class="fields">
                <SelectField
                    label="Data set"
                    value={s.dataset}
                    options={sets}
                    onChange={(dataset) => changeSettings({ dataset })}
                    problem={
                        set && !set.available
                            ? `not on this machine: fetch it in the Data Inspector, or choose ${usualDataset.value}`
                            : undefined
                    }
                />
                <NumberField
                    label="Epochs"
                    value={s.epochs}
                    problem={problems.epochs}
                    onChange={(epochs) => changeSettings({ epochs })}
                />
                <NumberField
                    label="Learning rate"
                    value={s.lr}
                    problem={problems.lr}
                    onChange={(lr) => changeSettings({ lr })}
                />
                <NumberField
                    label="Batch size"
                    value={s.batch_size}
                    problem={problems.batch_size}
                    onChange={(batch_size) => changeSettings({ batch_size })}
                />
                <NumberField
                    label="Seed"
                    value={s.seed}
                    problem={problems.seed}
                    onChange={(seed) => changeSettings({ seed })}
                />
            </div>
            <Advanced s={s} problems={problems} engine={engine} />
            <p class="network num">
                {sizesText(layers)}
                <span class="muted">
                    {' '}
                    · {format.count(parameters)} parameters · {s.activation} · cross-entropy
                </span>
                <button type="button" class="link" onClick={resetSettings}>
                    Defaults
                </button>
            </p>
        </div>
    );
}

/** Whether a run may start with what the form holds. */
export const settingsAreGood = () =>
    settings.value !== null &&
    Object.keys(problemsOf(settings.value)).length === 0 &&
    (findDataset(settings.value.dataset)?.available ?? true);
