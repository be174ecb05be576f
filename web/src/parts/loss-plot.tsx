/* Loss by step of any number of runs, live: raw behind, smoothed in front, epoch means as marks.
 *
 * A run that changed hands has one piece a segment, each in its engine's color. Drawing is paced so that it leaves the
 * processor to the training: at most one setData an animation frame, FRAMES_PER_SECOND, and a small share of the time;
 * none while the tab is hidden. */
import { effect, signal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { get } from '../lib/api';
import { Curve } from '../lib/curve';
import { engineColor, engineLook, engines } from '../lib/engines';
import { runTitle } from '../lib/run-title';
import * as format from '../lib/format';
import { liveRun, type LiveRun } from '../lib/studio';
import { isDark } from '../lib/theme';
import type { EngineId, Points, RateChange, Run } from '../lib/shapes';
import { EngineName } from './basics';
import { drawEpochMarks, drawRateMarks } from './epoch-marks';
import { axis, followSize, logLabels, padded, tickLabel } from './plot-frame';

export type XAxis = 'step' | 'epoch' | 'time';
export interface PlotView {
    x: XAxis;
    log: boolean;
    smoothing: number;
}

export interface Piece {
    run: Run;
    live: LiveRun;
    engine: EngineId;
    first: number; // global step it starts at
    end: number; // and where the next engine took over, or Infinity
    shade: number; // how many runs of this engine stand before it
}

const FRAMES_PER_SECOND = 12;
const SHARE_OF_TIME = 0.03; // of one core, for drawing
const LONGEST_WAIT_MS = 400;
const X_LABELS: Record<XAxis, string> = {
    step: 'step',
    epoch: 'epoch',
    time: 'training time, seconds',
};

function piecesOf(runs: Run[]): Piece[] {
    const seen = new Map<EngineId, number>();
    return runs.flatMap((run) => {
        const live = liveRun(run.id);
        const segments = run.segments.length
            ? run.segments
            : [{ engine: run.engine, first_step: 0 }];
        const shade = seen.get(run.engine) ?? 0;
        seen.set(run.engine, shade + 1);
        return segments.map((segment, i) => ({
            run,
            live,
            shade,
            engine: segment.engine,
            first: segment.first_step,
            end: segments[i + 1]?.first_step ?? Infinity,
        }));
    });
}

/** Later runs of one engine are paler, so that an overlay of equals can be told apart. */
export const pieceAlpha = (piece: Piece) => [1, 0.65, 0.45, 0.3][Math.min(piece.shade, 3)];

class Drawing {
    readonly hover = signal<number | null>(null); // x under the pointer
    readonly zoom = signal<[number, number] | null>(null);
    readonly frames = signal(0); // drawn so far; the legend follows them
    private readonly plot: uPlot;
    private readonly details = new Map<string, Curve>();
    private readonly stops: (() => void)[] = [];
    private frame = 0;
    private timer = 0;
    private drawnAt = 0;
    private cost = 0; // milliseconds a frame with a drawing takes, averaged
    private readonly painted = new MessageChannel();
    private frameAt = 0;
    private zoomCall: AbortController | null = null;

    constructor(
        private readonly container: HTMLElement,
        private readonly pieces: Piece[],
        private readonly view: PlotView,
    ) {
        this.plot = new uPlot(
            this.options(),
            this.data() as unknown as uPlot.AlignedData,
            container,
        );
        this.draw();
        this.stops.push(followSize(container, this.plot));
        for (const live of new Set(pieces.map((piece) => piece.live)))
            this.stops.push(
                effect(() => {
                    void live.curve.version.value;
                    void live.epochs.value;
                    void live.rates.value;
                    this.request();
                }),
            );
        // A message posted in a frame arrives when the frame has been painted. Painting is most of the cost, and a processor
        // that the training needs makes it longer: then there are fewer frames.
        this.painted.port1.onmessage = () =>
            (this.cost += 0.2 * (performance.now() - this.frameAt - this.cost));
        this.stops.push(() => this.painted.port1.close());
        const onShow = () => !document.hidden && this.request();
        document.addEventListener('visibilitychange', onShow);
        this.stops.push(() => document.removeEventListener('visibilitychange', onShow));
    }

    destroy() {
        this.stops.forEach((stop) => stop());
        cancelAnimationFrame(this.frame);
        clearTimeout(this.timer);
        this.zoomCall?.abort();
        this.plot.destroy();
    }

    request() {
        if (this.timer || this.frame || document.hidden) return;
        const pace = Math.max(
            1000 / FRAMES_PER_SECOND,
            Math.min(LONGEST_WAIT_MS, this.cost / SHARE_OF_TIME),
        );
        const wait = Math.max(0, pace - (performance.now() - this.drawnAt));
        this.timer = window.setTimeout(() => {
            this.timer = 0;
            this.frame = requestAnimationFrame(() => {
                this.frame = 0;
                this.frameAt = performance.now();
                this.draw();
                this.painted.port2.postMessage(0);
            });
        }, wait);
    }

    setZoom(range: [number, number] | null) {
        const [low, high] = this.extent();
        if (range) range = [Math.max(low, range[0]), Math.min(high, range[1])];
        if (range && !(range[1] > range[0])) return;
        this.zoom.value = range;
        this.details.clear();
        this.zoomCall?.abort();
        if (range) void this.loadDetail(range);
        this.draw();
    }

    /** By keys: a positive `by` moves to the right, `factor` below 1 looks closer. */
    moveZoom(by: number, factor: number) {
        const [low, high] = this.zoom.value ?? this.extent();
        const middle = (low + high) / 2 + by * (high - low);
        const half = ((high - low) / 2) * factor;
        const [first, last] = this.extent();
        this.setZoom(
            middle - half <= first && middle + half >= last ? null : [middle - half, middle + half],
        );
    }

    /** All points of the zoomed range that the overview had to leave out. */
    private async loadDetail([low, high]: [number, number]) {
        const { signal: stop } = (this.zoomCall = new AbortController());
        for (const live of new Set(this.pieces.map((piece) => piece.live))) {
            const { curve } = live;
            if (curve.bucket === 1) continue;
            const xs = curve.axis(this.view.x);
            const from = Math.max(0, curve.indexOf(xs, low));
            const to = Math.min(curve.length - 1, curve.indexOf(xs, high) + 1);
            const range = `from=${curve.step[from]}&to=${curve.step[to]}`;
            const points = await get<Points>(
                `/api/runs/${live.id}/points?${range}&max=4000`,
                stop,
            ).catch(() => null);
            if (stop.aborted || !points) return;
            const detail = new Curve();
            detail.replace(points, curve.stepsPerEpoch);
            this.details.set(live.id, detail);
            this.draw();
        }
    }

    private extent(): [number, number] {
        let low = Infinity;
        let high = -Infinity;
        for (const {
            live: { curve },
        } of this.pieces) {
            if (curve.length === 0) continue;
            const xs = curve.axis(this.view.x);
            low = Math.min(low, xs[0]);
            high = Math.max(high, xs[curve.length - 1]);
        }
        return high > low ? [low, high] : [0, 1];
    }

    private draw() {
        this.drawnAt = performance.now();
        const data = this.data();
        const [min, max] = this.zoom.value ?? this.extent();
        const [low, high] = padded(...this.lossRange(data, min, max), this.view.log);
        this.plot.batch(() => {
            this.plot.setData(data as unknown as uPlot.AlignedData, false);
            this.plot.setScale('x', { min, max });
            this.plot.setScale('y', { min: low, max: high });
        });
        this.frames.value++;
    }

    private lossRange(data: (Float64Array[] | null)[], min: number, max: number): [number, number] {
        let low = Infinity;
        let high = -Infinity;
        for (const pair of data) {
            if (!pair) continue;
            const [xs, ys] = pair;
            for (let i = 0; i < xs.length; i++) {
                if (xs[i] < min || xs[i] > max) continue;
                if (ys[i] < low && (!this.view.log || ys[i] > 0)) low = ys[i];
                if (ys[i] > high) high = ys[i];
            }
        }
        return [low, high];
    }

    /** uPlot's second mode: each series with its own x. Raw curves first, so that the smoothed ones lie on them. */
    private data(): (Float64Array[] | null)[] {
        const raw: Float64Array[][] = [];
        const smooth: Float64Array[][] = [];
        for (const piece of this.pieces) {
            const { curve } = piece.live;
            raw.push(this.cut(this.details.get(piece.live.id) ?? curve, piece, null));
            if (this.view.smoothing > 0)
                smooth.push(this.cut(curve, piece, curve.smoothed(this.view.smoothing)));
        }
        return [null, ...raw, ...smooth];
    }

    private cut(curve: Curve, piece: Piece, ys: Float64Array | null): Float64Array[] {
        const from = Math.max(0, curve.indexOf(curve.step, piece.first - 1));
        const to = Math.min(curve.length, curve.indexOf(curve.step, piece.end - 1) + 1);
        return [
            curve.axis(this.view.x).subarray(from, Math.max(from, to)),
            (ys ?? curve.loss).subarray(from, Math.max(from, to)),
        ];
    }

    private options(): uPlot.Options {
        const { log, smoothing, x } = this.view;
        const facets = [
            { scale: 'x', auto: false, sorted: 1 as const },
            { scale: 'y', auto: false },
        ];
        const line = (piece: Piece, isRaw: boolean): uPlot.Series => ({
            facets,
            auto: false,
            stroke: engineColor(piece.engine),
            width: isRaw && smoothing > 0 ? 1 : engineLook(piece.engine).line_width,
            alpha: pieceAlpha(piece) * (isRaw && smoothing > 0 ? 0.3 : 1),
            dash: isRaw && smoothing > 0 ? [] : engineLook(piece.engine).dash,
            paths: uPlot.paths.linear!({ alignGaps: 0 }),
            points: { show: false },
        });
        return {
            mode: 2,
            width: this.container.clientWidth || 600,
            height: this.container.clientHeight || 320,
            pxAlign: false,
            legend: { show: false },
            cursor: {
                drag: { x: true, y: false, setScale: false },
                points: { show: false },
                y: false,
                bind: { dblclick: () => () => (this.setZoom(null), null) },
            },
            scales: { x: { time: false, auto: false }, y: { auto: false, distr: log ? 3 : 1 } },
            axes: [
                { ...axis(X_LABELS[x]), scale: 'x' },
                {
                    ...axis('loss'),
                    scale: 'y',
                    size: 52,
                    ...(log
                        ? {
                              filter: (_: uPlot, splits: number[]) => logLabels(splits) as number[],
                          }
                        : {}),
                },
            ],
            series: [
                {} as uPlot.Series,
                ...this.pieces.map((piece) => line(piece, true)),
                ...(smoothing > 0 ? this.pieces.map((piece) => line(piece, false)) : []),
            ],
            hooks: {
                setCursor: [
                    (u) =>
                        (this.hover.value =
                            u.cursor.left! >= 0 ? u.posToVal(u.cursor.left!, 'x') : null),
                ],
                setSelect: [
                    (u) => {
                        const { left, width } = u.select;
                        if (width > 4)
                            this.setZoom([u.posToVal(left, 'x'), u.posToVal(left + width, 'x')]);
                        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
                    },
                ],
                draw: [
                    (u) => drawRateMarks(u, this.pieces, x),
                    (u) => drawEpochMarks(u, this.pieces, x),
                ],
            },
        };
    }
}

/** Under the plot: each run with the value under the pointer, or its last. */
function Legend({
    pieces,
    drawing,
    view,
}: {
    pieces: Piece[];
    drawing: Drawing | null;
    view: PlotView;
}) {
    void drawing?.frames.value;
    const x = drawing?.hover.value ?? null;
    return (
        <ul class="legend">
            {pieces.map((piece) => {
                const { curve } = piece.live;
                const xs = curve.axis(view.x);
                const last = Math.min(curve.length - 1, curve.indexOf(curve.step, piece.end - 1));
                const i = x === null ? last : Math.min(last, curve.indexOf(xs, x));
                const inside = i >= 0 && curve.step[i] >= piece.first;
                return (
                    <li
                        key={`${piece.run.id}${piece.first}`}
                        style={{ '--line-alpha': pieceAlpha(piece) }}
                    >
                        <EngineName id={piece.engine} />
                        <span class="legend-name">
                            {runTitle(piece.run)}
                            {piece.first > 0 && `, from step ${format.count(piece.first)}`}
                        </span>
                        <span class="legend-value">
                            {inside
                                ? `step ${format.count(curve.step[i])}  ${view.smoothing > 0 ? 'raw' : 'loss'} ${format.loss(curve.loss[i])}`
                                : format.NOTHING}
                            {inside && view.smoothing > 0 && (
                                <>
                                    {'  smoothed '}
                                    <b>{format.loss(curve.smoothed(view.smoothing)[i])}</b>
                                </>
                            )}
                        </span>
                    </li>
                );
            })}
        </ul>
    );
}

const changeWords = ({ step, rate }: RateChange) =>
    `${format.number(rate)} from step ${format.count(step)}`;

/** Where the learning rate was changed by hand, as on the plot, in words. */
function RateKey({ run, several }: { run: Run; several: boolean }) {
    const changes = liveRun(run.id).rates.value;
    if (changes.length === 0) return null;
    return (
        <span class="key rate-key">
            <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
                <path d="M6 0v12" class="mark-rate" />
            </svg>
            {several && `${runTitle(run)}, `}learning rate by hand:{' '}
            {changes.slice(-3).map(changeWords).join(', ')}
            {changes.length > 3 && ` (the last 3 of ${changes.length})`}
        </span>
    );
}

/** What the marks and the two weights of line stand for. */
function PlotKey({ view, runs }: { view: PlotView; runs: Run[] }) {
    return (
        <p class="muted plot-key">
            {(['filled', 'hollow'] as const).map((mark) => (
                <span key={mark} class="key">
                    <svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true">
                        <circle cx="6" cy="6" r="4" class={`mark-${mark}`} />
                    </svg>
                    {mark === 'filled' ? 'mean training loss of an epoch' : 'test loss after it'}
                </span>
            ))}
            {view.smoothing > 0 && <span>faint: each step · strong: smoothed</span>}
            {runs.map((run) => (
                <RateKey key={run.id} run={run} several={runs.length > 1} />
            ))}
        </p>
    );
}

export function LossPlot({ runs, view, label }: { runs: Run[]; view: PlotView; label: string }) {
    const container = useRef<HTMLDivElement>(null);
    const drawing = useRef(signal<Drawing | null>(null)).current;
    const key = runs
        .map((run) => run.id + runTitle(run) + run.segments.map((s) => s.engine + s.first_step))
        .join();
    const pieces = useMemo(() => piecesOf(runs), [key]);
    const dark = isDark.value;
    const looks = engines.value;

    useEffect(() => {
        if (pieces.length === 0) return; // the runs are still being read
        const made = new Drawing(container.current!, pieces, view);
        drawing.value = made;
        return () => made.destroy();
    }, [pieces, view.x, view.log, view.smoothing, dark, looks]);

    const onKeyDown = (event: KeyboardEvent) => {
        const moves: Record<string, [number, number]> = {
            ArrowLeft: [-0.2, 1],
            ArrowRight: [0.2, 1],
            '+': [0, 0.5],
            '-': [0, 2],
        };
        const move = moves[event.key];
        if (move) drawing.value?.moveZoom(...move);
        else if (event.key === '0') drawing.value?.setZoom(null);
        else return;
        event.preventDefault();
    };

    const zoom = drawing.value?.zoom.value;
    return (
        <div class="plot-box">
            <div
                ref={container}
                class="plot"
                tabIndex={0}
                role="group"
                aria-label={`${label}. Drag or press + and − to zoom, arrows to move, 0 for all.`}
                onKeyDown={onKeyDown}
            />
            <PlotKey view={view} runs={runs} />
            <div class="plot-foot">
                <Legend pieces={pieces} drawing={drawing.value} view={view} />
                <button
                    type="button"
                    class="link"
                    disabled={!zoom}
                    onClick={() => drawing.value?.setZoom(null)}
                >
                    {zoom
                        ? `Show all (now ${tickLabel(+zoom[0].toPrecision(4))} – ${tickLabel(+zoom[1].toPrecision(4))})`
                        : 'Drag to zoom'}
                </button>
            </div>
        </div>
    );
}
