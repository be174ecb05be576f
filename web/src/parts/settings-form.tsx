/* The settings of a run, one form for every lab, made of the studio's own table. What does not fit stands under its field. */
import {
    findDataset,
    isOwnData,
    layerSizes,
    networkAddress,
    sizesText,
    usualDataset,
} from '../lib/dataset';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import {
    belongs,
    changeSettings,
    chooseDataset,
    chooseOptimizer,
    drafts,
    findSetting,
    leaveSetting,
    parameterCount,
    problems,
    resetSettings,
    settingInput,
    settings,
    settingsAreValid,
    typeSetting,
    type SettingKey,
} from '../lib/settings';
import { datasets, settingsTable, system } from '../lib/studio';
import type { EngineId, NetworkDraft, NetworkPresets, Setting, Settings } from '../lib/shapes';
import { signal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { CheckField, SelectField, TextField } from './fields';
import { PlannedRate } from './rate-plot';

const hintOf = ({ key, kind, help, zero }: Setting) =>
    kind === 'widths' || (kind === 'text' && key !== 'net')
        ? help
        : zero && (kind === 'integer' || kind === 'number')
          ? `0: ${zero.replace(/^auto: /, '')}`
          : undefined;

/** A value that is typed: while it is, the field shows the text and nothing else. */
function TypedField({ setting, s }: { setting: Setting; s: Settings }) {
    return (
        <TextField
            label={setting.label}
            hint={hintOf(setting)}
            problem={problems.value[setting.key]}
            numeric={setting.kind === 'integer' || setting.kind === 'number'}
            value={drafts.value[setting.key] ?? settingInput(s[setting.key as SettingKey])}
            onChange={(text) => typeSetting(setting, text)}
            onLeave={() => leaveSetting(setting)}
        />
    );
}

function ChoiceField({ setting, s }: { setting: Setting; s: Settings }) {
    return (
        <SelectField
            label={setting.label}
            value={String(s[setting.key as SettingKey])}
            options={setting.choices ?? []}
            onChange={(value) =>
                setting.key === 'optimizer' || setting.key === 'meaning'
                    ? chooseOptimizer({ [setting.key]: value })
                    : changeSettings({ [setting.key]: value })
            }
        />
    );
}

function FlagField({ setting, s }: { setting: Setting; s: Settings }) {
    return (
        <CheckField
            label={setting.label}
            hint={setting.help}
            checked={s[setting.key as SettingKey] === true}
            onChange={(checked) => changeSettings({ [setting.key]: checked })}
        />
    );
}

/** The sets that there are, on this machine or to be fetched. */
function DatasetField({ setting, s }: { setting: Setting; s: Settings }) {
    const set = findDataset(s.dataset);
    const sets = (datasets.value ?? []).map((d) => ({
        value: d.name,
        label: d.available ? d.title : `${d.title}, not fetched yet`,
        disabled: !d.available,
    }));
    if (!set) sets.push({ value: s.dataset, label: s.dataset, disabled: false });
    return (
        <SelectField
            label={setting.label}
            value={s.dataset}
            options={sets}
            onChange={chooseDataset}
            problem={
                set && !set.available
                    ? `not on this machine: fetch it in the Data Inspector, or choose ${usualDataset.value}`
                    : undefined
            }
        />
    );
}

/** The devices of the lab's engine. */
function DeviceField({ setting, s, engine }: { setting: Setting; s: Settings; engine?: EngineId }) {
    const found = system.value?.engines.find((one) => one.id === engine)?.devices ?? [];
    const devices = new Set([...(found.length > 0 ? found : ['cpu']), s.device]);
    return (
        <SelectField
            label={setting.label}
            value={s.device}
            options={[...devices].map((value) => ({ value, label: value }))}
            onChange={(device) => changeSettings({ device })}
        />
    );
}

/** A whole network as text, or one that has a name; it stands in place of the hidden layers. */
function NetworkField({ setting, s }: { setting: Setting; s: Settings }) {
    const presets = useFetched<NetworkPresets>('/api/networks').value?.presets ?? [];
    const known = presets.find((one) => one.name === s.net || one.layers === s.net);
    return (
        <div class="network-field">
            <SelectField
                label="Design"
                value={s.net === '' ? '' : (known?.name ?? 'own')}
                options={[
                    { value: '', label: 'dense layers, by widths' },
                    ...presets.map((one) => ({ value: one.name, label: one.title })),
                    ...(s.net && !known ? [{ value: 'own', label: 'own design' }] : []),
                ]}
                onChange={(name) =>
                    name !== 'own' &&
                    changeSettings({
                        net: presets.find((one) => one.name === name)?.layers ?? '',
                    })
                }
            />
            {s.net !== '' && <TypedField setting={setting} s={s} />}
        </div>
    );
}

/** Why the network of the form cannot be trained; empty when it can. */
const networkProblem = signal('');

/** What the network is, in numbers; the server computes them, and says what does not fit. */
function NetworkSummary({ s }: { s: Settings }) {
    const answer = useFetched<NetworkDraft>(networkAddress(s.dataset, s.net));
    const value = answer.value?.cost;
    const error = answer.error || answer.value?.problem || '';
    const classes = findDataset(s.dataset)?.classes.length;
    const ends = value?.layers[value.layers.length - 1]?.output[0];
    const misfit =
        value && classes && ends !== classes
            ? `The network ends in ${ends} units, but the data set has ${classes} classes: end it with dense ${classes}.`
            : '';
    useEffect(() => {
        networkProblem.value = error || misfit;
        return () => {
            networkProblem.value = '';
        };
    }, [error, misfit]);
    if (error) {
        return (
            <p class="network problem" role="alert">
                {error}
            </p>
        );
    }
    if (!value) return <p class="network muted">Reading the network…</p>;
    return (
        <div class="network num">
            <table class="layers">
                <tbody>
                    {value.layers.map((layer) => (
                        <tr key={layer.name}>
                            <td>{layer.name}</td>
                            <td class="muted">
                                {layer.activation === 'none' ? layer.type : layer.activation}
                            </td>
                            <td>{layer.output.join(' × ')}</td>
                            <td>{layer.parameters ? format.count(layer.parameters) : ''}</td>
                        </tr>
                    ))}
                </tbody>
            </table>
            <p>
                {format.count(value.parameters)} parameters · {format.count(value.multiply_adds)}{' '}
                multiply-adds per sample
            </p>
            {misfit && (
                <p class="problem" role="alert">
                    {misfit}
                </p>
            )}
        </div>
    );
}

function AnyField({ setting, s, engine }: { setting: Setting; s: Settings; engine?: EngineId }) {
    if (setting.key === 'dataset') return <DatasetField setting={setting} s={s} />;
    if (setting.key === 'device') return <DeviceField setting={setting} s={s} engine={engine} />;
    if (setting.key === 'net') return <NetworkField setting={setting} s={s} />;
    if (setting.kind === 'flag') return <FlagField setting={setting} s={s} />;
    if (setting.kind === 'choice') return <ChoiceField setting={setting} s={s} />;
    if (setting.key !== 'schedule') return <TypedField setting={setting} s={s} />;
    return (
        <div class="schedule-field">
            <TypedField setting={setting} s={s} />
            <PlannedRate s={s} />
        </div>
    );
}

/** Opens by itself when something in it does not fit, and never closes under the user's hands. */
function MoreSettings({ wanted, children }: { wanted: boolean; children: ComponentChildren }) {
    const [open, setOpen] = useState(wanted);
    useEffect(() => {
        if (wanted) setOpen(true);
    }, [wanted]);
    return (
        <details class="fold" open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
            <summary>More settings</summary>
            <div class="fields">{children}</div>
        </details>
    );
}

/** What a form has a field for: a run's weights to start from are chosen where that run is shown. */
const inForm = (setting: Setting) => setting.key !== 'from';
/** Known sets have no columns to choose from, and are light on dark; optimizers have some fields each. */
const suits = (setting: Setting, s: Settings) =>
    (!setting.own_data || isOwnData(s.dataset)) && belongs(setting, s);

export function SettingsForm({ engine }: { engine?: EngineId }) {
    const s = settings.value;
    if (!s) return <p class="muted">Reading the defaults…</p>;
    const table = (settingsTable.value ?? []).filter(inForm);
    const fields = (basic: boolean) =>
        table
            .filter((one) => one.basic === basic && suits(one, s))
            .map((one) => <AnyField key={one.key} setting={one} s={s} engine={engine} />);
    const bad = Object.keys(problems.value).some((key) => findSetting(key)?.basic === false);
    const layers = layerSizes(s.dataset, s.hidden);
    return (
        <div class="settings">
            <div class="fields">{fields(true)}</div>
            <MoreSettings wanted={bad}>{fields(false)}</MoreSettings>
            {s.net ? (
                <NetworkSummary s={s} />
            ) : (
                <p class="network num">
                    {sizesText(layers)}
                    <span class="muted">
                        {' '}
                        · {format.count(parameterCount(layers))} parameters · {s.activation} ·
                        cross-entropy
                    </span>
                </p>
            )}
            <button type="button" class="link" onClick={resetSettings}>
                Defaults
            </button>
        </div>
    );
}

/** Whether a run may start with what the form holds. */
export const settingsAreGood = () =>
    settingsAreValid() &&
    networkProblem.value === '' &&
    (findDataset(settings.value!.dataset)?.available ?? true);
