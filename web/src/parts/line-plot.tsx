/* A small plot of numbers that share their x: accuracy by epoch, differences by step. The plot is made once and given new
 * numbers at most once a second: epochs may end many times per second. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { isDark } from '../lib/theme';
import { axis, followSize, padded } from './plot-frame';

/** Epochs and steps are whole numbers: so are their ticks. */
const WHOLE = Array.from({ length: 10 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

const REFRESH_MS = 1000;

/** Changes when any of the numbers does. */
const checksum = (values: (number | null)[]) =>
    values.reduce<number>((sum, value, i) => sum + (value ?? Math.PI) * (i + 1), values.length);

export interface Line {
    label: string;
    color: string; // a CSS custom property: "--torch"
    dash?: number[];
    values: (number | null)[];
    points?: boolean;
    /** Points alone: nothing is known between them. */
    apart?: boolean;
}

export function LinePlot({
    x,
    xLabel,
    yLabel,
    lines,
    log = false,
    label,
    yText,
}: {
    x: number[];
    xLabel: string;
    yLabel: string;
    lines: Line[];
    log?: boolean;
    label: string;
    yText?: (value: number) => string;
}) {
    const container = useRef<HTMLDivElement>(null);
    const dark = isDark.value;
    const form = JSON.stringify([x.length > 0, lines.map((line) => [line.label, line.color])]);
    const content = [x, ...lines.map((line) => line.values)].map(checksum).join();
    const now = useRef({ x, lines });
    now.current = { x, lines };
    const shown = useRef({ plot: null as uPlot | null, range: [0, 1], timer: 0, at: 0 }).current;
    const numbers = () => {
        const all = now.current.lines.flatMap((line) =>
            line.values.filter((v): v is number => v !== null && (!log || v > 0)),
        );
        shown.at = performance.now();
        shown.range = padded(
            all.reduce((a, b) => Math.min(a, b), Infinity),
            all.reduce((a, b) => Math.max(a, b), -Infinity),
            log,
        );
        return [
            now.current.x,
            ...now.current.lines.map((line) =>
                log ? line.values.map((v) => (v !== null && v > 0 ? v : null)) : line.values,
            ),
        ] as uPlot.AlignedData;
    };
    useEffect(() => {
        const root = container.current!;
        const style = getComputedStyle(document.documentElement);
        const data = numbers();
        const plot = new uPlot(
            {
                width: root.clientWidth || 400,
                height: root.clientHeight || 180,
                legend: { show: false },
                cursor: { show: false },
                scales: {
                    x: {
                        time: false,
                        range: (_, low, high) =>
                            low === null || high === null
                                ? [0, 1] // nothing to show yet
                                : low === high
                                  ? [low - 1, high + 1]
                                  : [low, high],
                    },
                    y: { distr: log ? 3 : 1, range: () => shown.range as [number, number] },
                },
                axes: [
                    { ...axis(xLabel), incrs: WHOLE, show: x.length > 0 },
                    { ...axis(yLabel, yText), size: 60 },
                ],
                series: [
                    {},
                    ...lines.map((line): uPlot.Series => ({
                        stroke: style.getPropertyValue(line.color).trim(),
                        width: 2,
                        dash: line.dash,
                        paths: line.apart ? () => null : undefined,
                        spanGaps: true,
                        points: {
                            show: line.points ?? line.apart ?? false,
                            size: 6,
                            fill: style.getPropertyValue(line.color).trim(),
                        },
                    })),
                ],
            },
            data,
            root,
        );
        const stop = followSize(root, plot);
        shown.plot = plot;
        return () => {
            stop();
            clearTimeout(shown.timer);
            shown.timer = 0;
            shown.plot = null;
            plot.destroy();
        };
    }, [form, log, dark]);
    useEffect(() => {
        shown.timer ||= window.setTimeout(
            () => {
                shown.timer = 0;
                shown.plot?.setData(numbers());
            },
            Math.max(0, REFRESH_MS - (performance.now() - shown.at)),
        );
    }, [content]);
    return <div ref={container} class="plot small" role="img" aria-label={label} />;
}
