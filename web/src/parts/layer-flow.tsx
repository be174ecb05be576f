/* What a layer does, seen: one sample of the data on its way through the network as it is drawn, computed by the studio's
 * own engine from the initial weights that the seed gives. */
import { effect, signal } from '@preact/signals';
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { bytesOf, post } from '../lib/api';
import { fitting, infos, type Info, type Layer } from '../lib/design';
import { defaultEngine } from '../lib/engines';
import { isList } from '../lib/flow';
import { settings } from '../lib/settings';
import type { Flow, FlowLayer, FlowRequest } from '../lib/shapes';
import { isDark } from '../lib/theme';
import { ink, paint } from './picture';

const WAITS = 200; // ms: edits come faster than the network is worth computing

export const sampleIndex = signal(0);
/** Of `flowOf`, the network that it was computed for; null: none yet. */
export const flow = signal<Flow | null>(null);
const flowOf = signal('');

/** Asks for the flow of the network that fits, while something shows it. */
export function useFlow() {
    useEffect(() => {
        let waiting = 0;
        let stop = new AbortController();
        const end = effect(() => {
            const net = fitting.value;
            const s = settings.value;
            const engine = defaultEngine.value?.id;
            if (!net || !s || !engine) return;
            const question = {
                settings: { dataset: s.dataset, net, seed: s.seed, init: s.init },
                engine,
                split: 'test',
                index: sampleIndex.value,
            } satisfies FlowRequest;
            const key = JSON.stringify(question);
            if (key === flowOf.peek()) return;
            clearTimeout(waiting);
            stop.abort();
            const mine = (stop = new AbortController());
            waiting = window.setTimeout(() => {
                post<Flow>('/api/activations', question, mine.signal).then(
                    (value) => {
                        flowOf.value = key;
                        flow.value = value;
                    },
                    () => {
                        if (!mine.signal.aborted) flow.value = null; // such as a data set that is not here
                    },
                );
            }, WAITS);
        });
        return () => {
            end();
            clearTimeout(waiting);
            stop.abort();
        };
    }, []);
}

/** A map of a layer as a small canvas of its own, to be drawn at any size. */
function mapCanvas(bytes: Uint8Array, rows: number, columns: number, dark: boolean) {
    const canvas = document.createElement('canvas');
    canvas.width = columns;
    canvas.height = rows;
    const context = canvas.getContext('2d');
    if (context) paint(context, bytes, rows, columns, ink(dark));
    return canvas;
}

/** Whether what was computed is of the layer as it is now: edits run ahead of it. */
export const isOf = (seen: FlowLayer, type: string, output: number[] | null | undefined) =>
    seen.type === type &&
    output !== null &&
    output !== undefined &&
    (output.length === 1
        ? seen.columns === output[0] && isList(seen)
        : seen.rows === output[0] && seen.columns === output[1] && seen.maps === output[2]);

const THUMB = { width: 92, height: 20, gap: 4 };

/** The first maps of a layer's output, or all of its units, under its drawing. */
export function Thumb({ layer }: { layer: FlowLayer }) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const dark = isDark.value;
    useEffect(() => {
        const pen = canvas.current?.getContext('2d');
        if (!pen) return;
        const bytes = bytesOf(layer.values);
        pen.clearRect(0, 0, 2 * THUMB.width, 2 * THUMB.height);
        pen.imageSmoothingEnabled = false;
        if (isList(layer)) {
            pen.drawImage(mapCanvas(bytes, 1, layer.columns, dark), 0, 8, 2 * THUMB.width, 24);
            return;
        }
        const size = layer.rows * layer.columns;
        const wide = Math.min(40, (40 * layer.columns) / layer.rows);
        const count = Math.min(4, layer.shown);
        const start = THUMB.width - (count * (wide + 2 * THUMB.gap) - 2 * THUMB.gap) / 2;
        for (let i = 0; i < count; i++)
            pen.drawImage(
                mapCanvas(
                    bytes.subarray(i * size, (i + 1) * size),
                    layer.rows,
                    layer.columns,
                    dark,
                ),
                start + i * (wide + 2 * THUMB.gap),
                0,
                wide,
                40,
            );
    }, [layer, dark]);
    return (
        <canvas
            ref={canvas}
            class="net-thumb"
            width={2 * THUMB.width}
            height={2 * THUMB.height}
            aria-hidden="true"
        />
    );
}

/* --- the selected layer, in motion --- */

interface Maps {
    rows: number;
    columns: number;
    bytes: Uint8Array;
    list: boolean;
}

const firstMap = (layer: FlowLayer, map: number): Maps => {
    const size = layer.rows * layer.columns;
    return {
        rows: layer.rows,
        columns: layer.columns,
        bytes: bytesOf(layer.values).subarray(map * size, (map + 1) * size),
        list: isList(layer),
    };
};

/** Where the window lies for an output value: [row, column, rows, columns] on the input; a layer
 * without one computes value by value. */
function windowOf(window: Info['window'] | undefined, input: Maps, output: Maps) {
    if (output.list || input.list) return null;
    const { reach, stride, before } = window ?? { reach: [1, 1], stride: [1, 1], before: [0, 0] };
    return (y: number, x: number) => [
        y * stride[0] - before[0],
        x * stride[1] - before[1],
        reach[0],
        reach[1],
    ];
}

const SIDE = 128;
const SWEEP = 6000; // ms for a whole map
const still = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

/** A map, or units as rows of squares, ready to be drawn again and again; `blank` is one of zeros. */
function drawing(maps: Maps, dark: boolean) {
    const columns = maps.list ? Math.ceil(Math.sqrt(maps.columns)) : maps.columns;
    const rows = maps.list ? Math.ceil(maps.columns / columns) : maps.rows;
    const bytes = new Uint8Array(rows * columns);
    const blank = mapCanvas(bytes, rows, columns, dark);
    bytes.set(maps.bytes);
    const whole = mapCanvas(bytes, rows, columns, dark);
    return { blank, whole, rows, columns, zoom: SIDE / Math.max(rows, columns) };
}

/** Draws the first `upTo` values, zeros for the others. */
function drawMaps(
    pen: CanvasRenderingContext2D,
    { blank, whole, rows, columns, zoom }: ReturnType<typeof drawing>,
    upTo = rows * columns,
) {
    pen.clearRect(0, 0, SIDE, SIDE);
    pen.imageSmoothingEnabled = false;
    const put = (from: HTMLCanvasElement, y: number, wide: number, high: number) =>
        wide > 0 &&
        high > 0 &&
        pen.drawImage(from, 0, y, wide, high, 0, y * zoom, wide * zoom, high * zoom);
    const done = Math.floor(upTo / columns);
    if (done < rows) put(blank, 0, columns, rows);
    put(whole, 0, columns, done);
    if (done < rows) put(whole, done, upTo % columns, 1);
}

export function LayerFlow({ layer, place }: { layer: Layer; place: number }) {
    const left = useRef<HTMLCanvasElement>(null);
    const right = useRef<HTMLCanvasElement>(null);
    const [map, setMap] = useState(0);
    const dark = isDark.value;
    const now = flow.value;
    const out = now?.layers[place];
    const fits =
        out !== undefined && isOf(out, layer.value.type, infos.value.get(layer.id)?.output);
    const slides = infos.value.get(layer.id)?.window;
    const shown = fits ? Math.min(map, out.shown - 1) : 0;
    const both = useMemo(() => {
        if (!now || !fits) return null;
        const before = now.layers[place - 1];
        const depthwise = before && before.maps === out.maps;
        const input: Maps = before
            ? firstMap(before, depthwise ? Math.min(shown, before.shown - 1) : 0)
            : {
                  rows: now.input.rows,
                  columns: now.input.columns,
                  bytes: bytesOf(now.input.pixels).subarray(0, now.input.rows * now.input.columns),
                  list: false,
              };
        return { input, output: firstMap(out, shown) };
    }, [now, place, shown, fits]);
    useEffect(() => {
        const a = left.current?.getContext('2d');
        const b = right.current?.getContext('2d');
        if (!both || !a || !b) return;
        const { input, output } = both;
        const place = windowOf(slides, input, output);
        const total = output.rows * output.columns;
        const accent = getComputedStyle(document.documentElement).getPropertyValue('--accent');
        const come = drawing(input, dark);
        const gone = drawing(output, dark);
        const moves = place !== null && !still();
        const { zoom } = come;
        const small = gone.zoom;
        let frame = 0;
        const start = performance.now();
        const draw = (time: number) => {
            const at = Math.floor((((time - start) % SWEEP) / SWEEP) * total);
            drawMaps(a, come);
            drawMaps(b, gone, moves ? at + 1 : undefined);
            if (!moves) return;
            const [y, x] = [Math.floor(at / output.columns), at % output.columns];
            const [top, side, rows, columns] = place(y, x);
            for (const [pen, box] of [
                [a, [side * zoom, top * zoom, columns * zoom, rows * zoom]],
                [b, [x * small, y * small, small, small]],
            ] as const) {
                pen.strokeStyle = accent;
                pen.lineWidth = 2;
                pen.strokeRect(
                    box[0] + 1,
                    box[1] + 1,
                    Math.max(2, box[2] - 2),
                    Math.max(2, box[3] - 2),
                );
            }
            frame = requestAnimationFrame(draw);
        };
        frame = requestAnimationFrame(draw);
        return () => cancelAnimationFrame(frame);
    }, [both, dark, slides]);
    if (!now || !out || !both) return null;
    const before = now.layers[place - 1];
    const step = (by: number) => (sampleIndex.value = Math.max(0, sampleIndex.value + by));
    return (
        <figure class="layer-flow">
            <div class="flow-pair">
                <canvas
                    ref={left}
                    width={SIDE}
                    height={SIDE}
                    role="img"
                    aria-label={`What comes in: ${before ? `of ${before.name}` : 'the sample'}`}
                />
                <span class="edge-line" aria-hidden="true" />
                <canvas
                    ref={right}
                    width={SIDE}
                    height={SIDE}
                    role="img"
                    aria-label={`What ${out.name} makes of it`}
                />
            </div>
            <figcaption class="muted num">
                Test sample {sampleIndex.value}
                {now.label !== null && `, a ${now.classes[now.label]}`}
                {out.shown > 1 && `, map ${shown + 1} of ${out.maps}`}; initial weights.
                <span class="row">
                    <button
                        type="button"
                        class="link"
                        onClick={() => step(-1)}
                        disabled={sampleIndex.value === 0}
                    >
                        previous sample
                    </button>
                    <button type="button" class="link" onClick={() => step(1)}>
                        next sample
                    </button>
                    {out.shown > 1 && (
                        <button
                            type="button"
                            class="link"
                            onClick={() => setMap((shown + 1) % out.shown)}
                        >
                            next map
                        </button>
                    )}
                </span>
            </figcaption>
        </figure>
    );
}
