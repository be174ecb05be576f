/* A small plot of finished numbers that share their x: accuracy by epoch, differences by step. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { isDark } from '../lib/theme';
import { axis, followSize, padded } from './plot-frame';

/** Epochs and steps are whole numbers: so are their ticks. */
const WHOLE = Array.from({ length: 10 }, (_, i) => [1, 2, 5].map((n) => n * 10 ** i)).flat();

export interface Line {
    label: string;
    colour: string; // a CSS custom property: "--torch"
    dash?: number[];
    values: (number | null)[];
    points?: boolean;
}

export function LinePlot({ x, xLabel, yLabel, lines, log = false, label, yText }: {
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
    const content = JSON.stringify([x.length, x.at(-1), lines.map((line) => [line.label, line.values.at(-1)])]);
    useEffect(() => {
        const root = container.current!;
        const style = getComputedStyle(document.documentElement);
        const all = lines.flatMap((line) => line.values.filter((v): v is number => v !== null && (!log || v > 0)));
        const range = padded(all.reduce((a, b) => Math.min(a, b), Infinity), all.reduce((a, b) => Math.max(a, b), -Infinity), log);
        const plot = new uPlot({
            width: root.clientWidth || 400,
            height: root.clientHeight || 180,
            legend: { show: false },
            cursor: { show: false },
            scales: {
                x: { time: false, range: (_, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) },
                y: { distr: log ? 3 : 1, range: () => range },
            },
            axes: [{ ...axis(xLabel), incrs: WHOLE }, { ...axis(yLabel, yText), size: 60 }],
            series: [
                {},
                ...lines.map((line): uPlot.Series => ({
                    stroke: style.getPropertyValue(line.colour).trim(),
                    width: 2,
                    dash: line.dash,
                    spanGaps: true,
                    points: { show: line.points ?? false, size: 6, fill: style.getPropertyValue(line.colour).trim() },
                })),
            ],
        }, [x, ...lines.map((line) => (log ? line.values.map((v) => (v !== null && v > 0 ? v : null)) : line.values))] as uPlot.AlignedData, root);
        const stop = followSize(root, plot);
        return () => (stop(), plot.destroy());
    }, [content, log, dark]);
    return <div ref={container} class="plot small" role="img" aria-label={label} />;
}
