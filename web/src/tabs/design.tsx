/* Design: the network as a picture, a line of text and a program, always in step. */
import { useEffect, useState } from 'preact/hooks';
import {
    answer,
    canRedo,
    canUndo,
    check,
    designs,
    duplicateLayer,
    endStep,
    fitting,
    infos,
    insertLayers,
    kindOf,
    layers,
    layerTable,
    leaveText,
    moveLayer,
    openRun,
    placeFor,
    presets,
    readTables,
    readText,
    redo,
    removeLayer,
    selectedLayer,
    selectedPlace,
    silence,
    startDesign,
    subject,
    text,
    undo,
    writeAddress,
} from '../lib/design';
import { findDataset } from '../lib/dataset';
import { engines, labPath } from '../lib/engines';
import * as format from '../lib/format';
import { go } from '../lib/router';
import { changeSettings, settings } from '../lib/settings';
import { datasets, newestRuns } from '../lib/studio';
import { posterPng, posterSvg, type Column } from '../lib/volume';
import type { LayerKind, Settings } from '../lib/shapes';
import { Button, Card, CopyButton, Page, Trouble } from '../parts/basics';
import { DesignCode } from '../parts/design-code';
import { DesignDialog } from '../parts/design-dialog';
import { SelectField } from '../parts/fields';
import { FileDrop } from '../parts/file-drop';
import { useFlow } from '../parts/layer-flow';
import { LayerForm } from '../parts/layer-form';
import { adding, focusCard, NetworkPicture, useHistoryKeys } from '../parts/network-picture';
import { toastError } from '../parts/toast';

const good = () => answer.value?.problem === null && layers.value.length > 0;

/* --- the top --- */

function DataChoice({ s }: { s: Settings }) {
    const list = (datasets.value ?? []).filter((set) => set.available || set.name === s.dataset);
    return (
        <SelectField
            label="Data"
            value={s.dataset}
            options={list.map((set) => ({ value: set.name, label: set.title }))}
            onChange={(dataset) => changeSettings({ dataset })}
        />
    );
}

/** Presets, saved designs, runs: each in a word, to begin from. */
function Open() {
    const runs = newestRuns.value.filter((run) => run.network).slice(0, 20);
    const choose = (choice: string) => {
        const [kind, name] = [choice.slice(0, 1), choice.slice(1)];
        endStep();
        if (kind === 'p')
            void readText(presets.value.find((one) => one.name === name)!.layers, false);
        if (kind === 'd') void readText(designs.value.find((one) => one.name === name)!.net, false);
        const run = kind === 'r' && runs.find((one) => one.id === name);
        if (run) void openRun(run).catch(toastError);
    };
    return (
        <div class="field open-field">
            <label for="open-network">Open</label>
            <select
                id="open-network"
                value=""
                onChange={(event) => {
                    choose(event.currentTarget.value);
                    event.currentTarget.value = '';
                }}
            >
                <option value="" disabled>
                    preset, design or run
                </option>
                <optgroup label="Presets">
                    {presets.value.map((one) => (
                        <option key={one.name} value={`p${one.name}`} title={one.about}>
                            {one.title}
                        </option>
                    ))}
                </optgroup>
                {designs.value.length > 0 && (
                    <optgroup label="Designs">
                        {designs.value.map((one) => (
                            <option key={one.name} value={`d${one.name}`}>
                                {one.name}
                            </option>
                        ))}
                    </optgroup>
                )}
                {runs.length > 0 && (
                    <optgroup label="Runs">
                        {runs.map((run) => (
                            <option key={run.id} value={`r${run.id}`}>
                                {run.name}, {format.time(run.created_at)},{' '}
                                {format.count(run.parameters)} parameters
                            </option>
                        ))}
                    </optgroup>
                )}
            </select>
        </div>
    );
}

/** The layers of a model file, as a step that can be undone. */
function openFile(net: string) {
    endStep();
    void readText(net, false);
}

/* --- text --- */

function TextLine() {
    const unread = answer.value !== null && answer.value.draft === null;
    return (
        <div class="field net-line" data-bad={unread || undefined}>
            <label for="net-text">Network as text</label>
            <textarea
                id="net-text"
                rows={2}
                spellcheck={false}
                autocomplete="off"
                aria-invalid={unread || undefined}
                aria-describedby={unread ? 'net-text-note' : undefined}
                value={text.value}
                onInput={(event) =>
                    void readText(event.currentTarget.value.replaceAll('\n', ' '), true, 'text')
                }
                onBlur={leaveText}
                onKeyDown={(event) => {
                    if (event.key !== 'Enter' && event.key !== 'Escape') return;
                    event.preventDefault();
                    event.currentTarget.blur();
                }}
            />
            {unread && <small id="net-text-note">{format.sentence(answer.value!.problem!)}</small>}
        </div>
    );
}

/* --- palette and tools --- */

function Palette() {
    const add = (kind: LayerKind) => {
        insertLayers(placeFor(kind), [kind.layer]);
        focusCard();
    };
    return (
        <div class="palette" role="group" aria-label="Add a layer">
            {layerTable.value?.layers.map((kind) => (
                <button
                    key={kind.type}
                    type="button"
                    class="chip"
                    title={kind.help}
                    onClick={() => add(kind)}
                >
                    {kind.title}
                </button>
            ))}
            <button
                type="button"
                class="chip text-chip"
                title="A"
                onClick={() => (adding.value = selectedPlace.value + 1)}
            >
                as text…
            </button>
        </div>
    );
}

function Tools() {
    const place = selectedPlace.value;
    const none = place < 0;
    const tool = (
        label: string,
        sign: string,
        keys: string,
        disabled: boolean,
        act: () => void,
    ) => (
        <button
            key={label}
            type="button"
            class="bare tool"
            aria-label={label}
            title={`${label}: ${keys}`}
            disabled={disabled}
            onClick={act}
        >
            <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
                <path d={sign} />
            </svg>
        </button>
    );
    return (
        <div class="tools" role="group" aria-label="The selected layer">
            {tool('Undo', 'M7 4 3 8l4 4M3 8h9a4.5 4.5 0 0 1 0 9H8', 'Ctrl+Z', !canUndo.value, undo)}
            {tool(
                'Redo',
                'M13 4l4 4-4 4M17 8H8a4.5 4.5 0 0 0 0 9h4',
                'Ctrl+Shift+Z',
                !canRedo.value,
                redo,
            )}
            <span class="tool-gap" />
            {tool('Move left', 'M9 4.5 3.5 10 9 15.5M3.5 10h13', 'Alt+←', none || place === 0, () =>
                moveLayer(place, place - 1),
            )}
            {tool(
                'Move right',
                'M11 4.5l5.5 5.5-5.5 5.5M16.5 10h-13',
                'Alt+→',
                none || place === layers.value.length - 1,
                () => moveLayer(place, place + 1),
            )}
            {tool('Duplicate', 'M7 7h10v10H7zM4 13H3V3h10v1', 'D', none, () =>
                duplicateLayer(place),
            )}
            {tool('Delete', 'M4 6h12M8 6V3.5h4V6M5.5 6l.8 11h7.4l.8-11', 'Delete', none, () =>
                removeLayer(place),
            )}
        </div>
    );
}

/* --- what it comes to --- */

function Totals() {
    const cost = answer.value?.cost;
    const set = findDataset(settings.value?.dataset ?? '');
    if (!cost) return <p class="totals muted">What it costs is known once it fits.</p>;
    const last = cost.layers[cost.layers.length - 1];
    return (
        <p class="totals num" role="status">
            <strong>{format.count(cost.parameters)}</strong> parameters ·{' '}
            <strong>{format.count(cost.multiply_adds)}</strong> multiply-adds per sample ·{' '}
            <strong>{format.bytes(cost.training_bytes_batch_32)}</strong> to train a batch of 32 ·{' '}
            {last.output[0]} classes of {set?.title ?? 'the data'}
        </p>
    );
}

function Train() {
    const start = (path: string) => {
        changeSettings({ net: fitting.value });
        go(path);
    };
    return (
        <div class="row train-row">
            <span class="muted">Train in</span>
            {engines.value.map((engine) => (
                <Button
                    key={engine.id}
                    kind="main"
                    engine={engine.id}
                    disabled={!good()}
                    title={good() ? undefined : (answer.value?.problem ?? undefined)}
                    onClick={() => start(labPath(engine.id))}
                >
                    {engine.title}
                </Button>
            ))}
        </div>
    );
}

/* --- pictures to take away --- */

function columns(): Column[] {
    const { rows, columns: across } = subject();
    return [
        {
            title: 'input',
            words: `${rows}×${across} picture`,
            shape: [rows, across, 1],
            learned: false,
            bad: false,
            parameters: '',
        },
        ...layers.value.map((layer) => {
            const info = infos.value.get(layer.id);
            return {
                title: info?.name ?? layer.value.type,
                words: info?.text ?? '',
                shape: info?.output ?? null,
                learned: (info?.parameters ?? 0) > 0,
                bad: false,
                parameters: format.count(info?.parameters),
            };
        }),
    ];
}

function download(blob: Blob | null, name: string) {
    if (!blob) return;
    const link = document.createElement('a');
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function TakeAway() {
    const title = () => `${format.count(answer.value?.cost?.parameters)} parameters`;
    return (
        <>
            <CopyButton
                text={() => {
                    writeAddress();
                    return location.href;
                }}
                label="Copy link"
                disabled={!good()}
            />
            <Button
                disabled={!good()}
                onClick={() =>
                    download(
                        new Blob([posterSvg(columns(), title())], { type: 'image/svg+xml' }),
                        'network.svg',
                    )
                }
            >
                SVG
            </Button>
            <Button
                disabled={!good()}
                onClick={() =>
                    void posterPng(columns(), title()).then((blob) => download(blob, 'network.png'))
                }
            >
                PNG
            </Button>
        </>
    );
}

/* --- the tab --- */

function Inspector() {
    const layer = selectedLayer.value;
    if (!layer)
        return (
            <Card title="No layer selected" class="layer-card">
                <p class="muted">Choose a type above, or press A and write one: conv 6 5x5 relu.</p>
            </Card>
        );
    const info = infos.value.get(layer.id);
    return (
        <Card
            class="layer-card"
            title={
                <>
                    {info?.name ?? layer.value.type}{' '}
                    <span class="muted">{kindOf(layer.value.type)?.title}</span>
                </>
            }
        >
            <LayerForm key={layer.id} layer={layer} />
        </Card>
    );
}

export function DesignTab() {
    const s = settings.value;
    const [failed, setFailed] = useState('');
    const [asking, setAsking] = useState(false);
    useHistoryKeys();
    useFlow();
    useEffect(() => {
        if (!s) return;
        readTables()
            .then(() => startDesign(s))
            .catch((error: Error) => setFailed(error.message));
    }, [s === null]);
    const known = findDataset(s?.dataset ?? '');
    const shape = JSON.stringify([known?.rows, known?.columns, known?.classes.length]);
    useEffect(() => {
        if (s && layers.value.length > 0) void check();
    }, [shape]);
    if (!s)
        return (
            <Page title="Design" about="A network, as you see it.">
                <p class="muted">Reading…</p>
            </Page>
        );
    return (
        <Page
            title="Design"
            about="Picture, text and program of one network, always in step."
            actions={
                <>
                    <DataChoice s={s} />
                    <Open />
                    <FileDrop onNetwork={openFile} />
                    <Button onClick={() => setAsking(true)}>Save…</Button>
                </>
            }
        >
            {(failed || silence.value) && (
                <Trouble>{format.sentence(failed || silence.value)}</Trouble>
            )}
            <Card class="design-card">
                <TextLine />
                <div class="design-bar">
                    <Palette />
                    <Tools />
                </div>
                <NetworkPicture />
                <div class="share-key muted" aria-hidden="true">
                    <span class="key-swatch" data-what="parameters" /> parameters
                    <span class="key-swatch" data-what="cost" /> multiply-adds, of the whole
                </div>
                <div class="design-foot">
                    <Totals />
                    <div class="row">
                        <TakeAway />
                    </div>
                </div>
                <Train />
            </Card>
            <div class="design-grid">
                <Inspector />
                <DesignCode s={s} />
            </div>
            {asking && <DesignDialog good={good()} onClose={() => setAsking(false)} />}
        </Page>
    );
}
