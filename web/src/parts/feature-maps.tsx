/* One sample on its way through a trained network: every layer's output, what the answer depends on,
 * and the weights of the unit that is clicked. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { bytesOf, post } from '../lib/api';
import { findDataset, hasDigits } from '../lib/dataset';
import { isList } from '../lib/flow';
import * as format from '../lib/format';
import { system } from '../lib/studio';
import { isDark } from '../lib/theme';
import type { EngineId, Flow, FlowLayer, FlowRequest, FloatPicture, Run } from '../lib/shapes';
import type { UnitRequest, UnitWeights } from '../lib/shapes';
import { Bars, Button, Card, Trouble } from './basics';
import { DRAW_SIDE, DrawPad } from './draw-pad';
import { NumberField, SelectField } from './fields';
import { diverging, ink, paint, Picture, Tiles } from './picture';

const floatsOf = (picture: FloatPicture) => new Float32Array(bytesOf(picture.values).buffer);

/** What 98 of 100 values do not exceed, so that a few large ones do not leave the rest without color. */
function usual(values: Float32Array): number {
    const sizes = values.map(Math.abs).sort();
    return sizes[Math.floor(0.98 * (sizes.length - 1))] || sizes[sizes.length - 1] || 1;
}

/** The answer to a question, the old one staying until the new one is there; one question at a time. */
function useAnswer<Q, A>(path: string, question: Q | null) {
    const [state, setState] = useState<{ value: A | null; error: string }>({
        value: null,
        error: '',
    });
    const key = JSON.stringify(question);
    useEffect(() => {
        if (!question) return;
        const stop = new AbortController();
        post<A>(path, question, stop.signal).then(
            (value) => setState({ value, error: '' }),
            (error: Error) =>
                stop.signal.aborted || setState(({ value }) => ({ value, error: error.message })),
        );
        return () => stop.abort();
    }, [path, key]);
    return state;
}

interface Chosen {
    layer: number;
    unit: number;
}

/** How a layer's maps, or units, lie in its picture. */
function gridOf(layer: FlowLayer, width: number) {
    const list = isList(layer);
    const count = list ? layer.columns : layer.shown;
    const rows = list ? 1 : layer.rows;
    const columns = list ? 1 : layer.columns;
    const zoom = list ? 12 : Math.max(1, Math.round(56 / columns));
    const gap = 2;
    const across = Math.max(
        1,
        Math.min(count, Math.floor((width + gap) / (columns * zoom + gap)), list ? 64 : 32),
    );
    return { list, count, rows, columns, zoom, gap, across, down: Math.ceil(count / across) };
}

/** Each value as a square of `zoom` pixels. */
function enlarge(values: Uint8Array, rows: number, columns: number, zoom: number): Uint8Array {
    const out = new Uint8Array(rows * columns * zoom * zoom);
    for (let y = 0, at = 0; y < rows * zoom; y++)
        for (let x = 0; x < columns * zoom; x++)
            out[at++] = values[Math.floor(y / zoom) * columns + Math.floor(x / zoom)];
    return out;
}

const sizeWords = (layer: FlowLayer) =>
    isList(layer) ? format.count(layer.columns) : `${layer.rows}×${layer.columns}×${layer.maps}`;

function MapGrid({
    layer,
    width,
    chosen,
    onChoose,
}: {
    layer: FlowLayer;
    width: number;
    chosen: number | null;
    onChoose: (unit: number) => void;
}) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const dark = isDark.value;
    const bytes = useMemo(() => bytesOf(layer.values), [layer]);
    const { list, count, rows, columns, zoom, gap, across, down } = gridOf(layer, width);
    const wide = columns * zoom + gap;
    const high = rows * zoom + gap;
    useEffect(() => {
        const context = canvas.current?.getContext('2d');
        if (!context) return;
        context.clearRect(0, 0, context.canvas.width, context.canvas.height);
        const color = ink(dark);
        for (let i = 0; i < count; i++) {
            const map = bytes.subarray(i * rows * columns, (i + 1) * rows * columns);
            paint(
                context,
                enlarge(map, rows, columns, zoom),
                rows * zoom,
                columns * zoom,
                color,
                (i % across) * wide,
                Math.floor(i / across) * high,
            );
        }
    }, [layer, width, dark]);
    const choose = (unit: number) => onChoose(Math.min(count - 1, Math.max(0, unit)));
    const onKeyDown = (event: KeyboardEvent) => {
        const steps: Record<string, number> = {
            ArrowLeft: -1,
            ArrowRight: 1,
            ArrowUp: -across,
            ArrowDown: across,
        };
        if (!(event.key in steps)) return;
        choose(chosen === null ? 0 : chosen + steps[event.key]);
        event.preventDefault();
    };
    return (
        <div
            class="map-grid"
            tabIndex={0}
            role="group"
            aria-label={`${layer.name}: ${list ? `${count} units` : `${count} maps of ${layer.rows} by ${layer.columns}`}; arrows choose one`}
            onKeyDown={onKeyDown}
            onClick={(event) => {
                const box = canvas.current!.getBoundingClientRect();
                const column = Math.floor((event.clientX - box.left) / wide);
                const row = Math.floor((event.clientY - box.top) / high);
                const unit = row * across + column;
                if (column >= 0 && column < across && unit >= 0 && unit < count) choose(unit);
            }}
        >
            <canvas ref={canvas} width={across * wide - gap} height={down * high - gap} />
            {chosen !== null && (
                <span
                    class="map-chosen"
                    style={{
                        left: `${(chosen % across) * wide - 2}px`,
                        top: `${Math.floor(chosen / across) * high - 2}px`,
                        width: `${columns * zoom + 4}px`,
                        height: `${rows * zoom + 4}px`,
                    }}
                />
            )}
        </div>
    );
}

/** The value of a unit, or the range of a map. */
function outputWords(layer: FlowLayer, unit: number): string {
    const list = isList(layer);
    const at = list ? 0 : unit;
    const low = layer.low[at];
    const high = layer.high[at];
    if (low === null || high === null) return 'no finite value';
    const number = (value: number) => format.number(Number(value.toPrecision(3)));
    if (!list) return `${number(low)} … ${number(high)}`;
    return number(low + (bytesOf(layer.values)[unit] / 255) * (high - low));
}

function Unit({ run, flow, chosen }: { run: Run; flow: Flow; chosen: Chosen }) {
    const layer = flow.layers[chosen.layer];
    const weighted = layer.type === 'dense' || layer.type === 'conv2d';
    const weights = useAnswer<UnitRequest, UnitWeights>(
        '/api/activations/unit',
        weighted ? { run: run.id, ...chosen } : null,
    );
    const value = weighted ? weights.value : null;
    const values = useMemo(() => (value ? floatsOf(value.weights) : null), [value]);
    const limit = values ? usual(values) : 1;
    const flat = value && value.rows === 1 && value.columns > 64;
    return (
        <div class="unit" aria-live="polite">
            <h3>
                {layer.name}, {layer.maps > 1 || layer.rows > 1 ? 'map' : 'unit'} {chosen.unit}
            </h3>
            <p class="muted num">output {outputWords(layer, chosen.unit)}</p>
            {weights.error && weighted && <Trouble>{weights.error}</Trouble>}
            {!weighted && <p class="muted">This layer has no weights of its own.</p>}
            {value && values && (
                <>
                    <Tiles
                        values={values}
                        count={flat ? 1 : value.channels}
                        rows={flat ? Math.ceil(value.columns / 32) : value.rows}
                        columns={flat ? Math.min(32, value.columns) : value.columns}
                        across={Math.max(1, Math.ceil(Math.sqrt(value.channels)))}
                        limit={limit}
                        label={`Incoming weights: ${value.channels} of ${value.rows} by ${value.columns}`}
                    />
                    <p class="muted num">
                        {format.count(values.length)} weights from{' '}
                        {format.number(Number((value.weights.low ?? 0).toPrecision(3)))} to{' '}
                        {format.number(Number((value.weights.high ?? 0).toPrecision(3)))}
                        {value.bias !== null &&
                            `, bias ${format.number(Number(value.bias.toPrecision(3)))}`}
                    </p>
                </>
            )}
        </div>
    );
}

function Saliency({ flow, dark }: { flow: Flow; dark: boolean }) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const { rows, columns, channels } = flow.input;
    const values = useMemo(() => flow.saliency && floatsOf(flow.saliency), [flow]);
    useEffect(() => {
        const context = canvas.current?.getContext('2d');
        if (!context || !values) return;
        const strongest = new Float32Array(rows * columns);
        for (let c = 0; c < channels; c++)
            for (let i = 0; i < strongest.length; i++) {
                const one = values[c * strongest.length + i];
                if (Math.abs(one) > Math.abs(strongest[i])) strongest[i] = one;
            }
        paint(context, strongest, rows, columns, diverging(dark, usual(strongest)));
    }, [values, dark]);
    if (!values) return null;
    return (
        <figure>
            <canvas
                ref={canvas}
                class="picture"
                width={columns}
                height={rows}
                style={{ width: '112px', height: `${(112 * rows) / columns}px` }}
                role="img"
                aria-label="Saliency: the logit's derivative by each pixel"
            />
            <figcaption>
                saliency: a brighter pixel <span class="swatch high" /> raises or{' '}
                <span class="swatch low" /> lowers the logit
            </figcaption>
        </figure>
    );
}

function useWidth() {
    const area = useRef<HTMLDivElement>(null);
    const [width, setWidth] = useState(600);
    useEffect(() => {
        const watch = new ResizeObserver(([entry]) =>
            setWidth(Math.floor(entry.contentRect.width)),
        );
        watch.observe(area.current!);
        return () => watch.disconnect();
    }, []);
    return { area, width };
}

export function FeatureMaps({ run }: { run: Run }) {
    const found = (system.value?.engines ?? []).filter((one) => one.found);
    const [index, setIndex] = useState(0);
    const [engine, setEngine] = useState<EngineId>(
        found.find((one) => one.default)?.id ?? run.engine,
    );
    const [target, setTarget] = useState('answer');
    const [drawing, setDrawing] = useState<string | null>(null);
    const [drawn, setDrawn] = useState(false);
    const [wiped, setWiped] = useState(0);
    const [chosen, setChosen] = useState<Chosen | null>(null);
    const { area, width } = useWidth();
    const good = Number.isInteger(index) && index >= 0 && index < 2 ** 32;
    const sample = drawn
        ? drawing && { pixels: drawing, width: DRAW_SIDE, height: DRAW_SIDE }
        : good && { split: 'test' as const, index };
    const { value: flow, error } = useAnswer<FlowRequest, Flow>(
        '/api/activations',
        sample
            ? {
                  run: run.id,
                  engine,
                  saliency: target !== 'none',
                  class: Number.isInteger(Number(target)) ? Number(target) : null,
                  ...sample,
              }
            : null,
    );
    const classes = flow?.classes ?? findDataset(run.settings.dataset)?.classes ?? [];
    const gray = !flow || flow.input.channels === 1;
    const shown = flow && (!drawn || drawing) ? flow : null;
    return (
        <Card
            title="Feature maps"
            class="feature-maps"
            aside={
                gray && (
                    <Button
                        aria-pressed={drawn}
                        onClick={() => {
                            setDrawn(!drawn);
                            setDrawing(null);
                            setWiped(wiped + 1);
                        }}
                    >
                        {drawn ? 'Use a test sample' : 'Draw instead'}
                    </Button>
                )
            }
        >
            <div class="flow-body">
                <div class="flow-input">
                    {drawn ? (
                        <DrawPad
                            digits={hasDigits(run.settings.dataset)}
                            wiped={wiped}
                            onInk={(read) => setDrawing(read ? read() : null)}
                        />
                    ) : (
                        <div class="row">
                            <NumberField
                                label="Test sample"
                                value={index}
                                onChange={setIndex}
                                problem={good ? undefined : 'a whole number from 0 up'}
                            />
                            <Button
                                aria-label="Previous sample"
                                disabled={!good || index === 0}
                                onClick={() => setIndex(index - 1)}
                            >
                                ‹
                            </Button>
                            <Button
                                aria-label="Next sample"
                                disabled={!good}
                                onClick={() => setIndex(index + 1)}
                            >
                                ›
                            </Button>
                        </div>
                    )}
                    <div class="row">
                        <SelectField
                            label="Computed by"
                            value={engine}
                            options={found.map(({ id, title }) => ({ value: id, label: title }))}
                            onChange={setEngine}
                        />
                        <SelectField
                            label="Saliency of"
                            value={target}
                            options={[
                                { value: 'answer', label: 'the answer' },
                                ...classes.map((label, i) => ({ value: String(i), label })),
                                { value: 'none', label: 'nothing' },
                            ]}
                            onChange={setTarget}
                        />
                    </div>
                    {error && <Trouble>{error}</Trouble>}
                    {shown && (
                        <>
                            <div class="flow-pictures">
                                <figure>
                                    <Picture
                                        pixels={bytesOf(shown.input.pixels)}
                                        rows={shown.input.rows}
                                        columns={shown.input.columns}
                                        channels={shown.input.channels}
                                        size={112}
                                        label="The input"
                                    />
                                    <figcaption>
                                        {shown.label === null
                                            ? 'as the network sees it'
                                            : `it is ${shown.classes[shown.label]}`}
                                    </figcaption>
                                </figure>
                                <Saliency flow={shown} dark={isDark.value} />
                            </div>
                            <Bars
                                label="Probabilities"
                                names={shown.classes}
                                values={shown.probabilities.map((p) => p ?? undefined)}
                                max={1}
                                marked={shown.class}
                                format={(v) => format.percent(v, 0)}
                            />
                        </>
                    )}
                    {chosen && shown && chosen.layer < shown.layers.length && (
                        <Unit run={run} flow={shown} chosen={chosen} />
                    )}
                </div>
                <div class="flow-layers" ref={area}>
                    {!shown && !error && (
                        <p class="muted">
                            {drawn
                                ? 'Draw a digit to see it flow through the layers.'
                                : 'Computing …'}
                        </p>
                    )}
                    {shown?.layers.map((layer, i) => (
                        <section key={layer.name}>
                            <h3>
                                {layer.name} <span class="muted num">{sizeWords(layer)}</span>{' '}
                                {layer.activation !== 'none' && (
                                    <span class="muted">{layer.activation}</span>
                                )}
                                {layer.shown < layer.maps && (
                                    <span class="muted"> the first {layer.shown} shown</span>
                                )}
                            </h3>
                            <MapGrid
                                layer={layer}
                                width={width}
                                chosen={chosen?.layer === i ? chosen.unit : null}
                                onChoose={(unit) => setChosen({ layer: i, unit })}
                            />
                        </section>
                    ))}
                    {shown && (
                        <p class="muted">
                            Each map is shaded from its own lowest to its own highest value. Click a
                            map or a unit to see its weights.
                        </p>
                    )}
                </div>
            </div>
        </Card>
    );
}
