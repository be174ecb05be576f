/* What all plots share: axes in the theme's colors, a size that follows the page. */
import uPlot from 'uplot';

export const token = (name: string) =>
    getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Tick labels without noise: 0.01, 2.5, 10k, 1e-7. */
export function tickLabel(value: number): string {
    if (value === 0) return '0';
    const size = Math.abs(value);
    if (size >= 1e9) return value.toExponential(1).replace('.0e', 'e').replace('e+', 'e');
    if (size >= 1e6) return `${+(value / 1e6).toPrecision(4)} M`;
    if (size >= 1e4) return `${+(value / 1e3).toPrecision(4)} k`;
    if (size < 1e-3) return value.toExponential(0);
    return String(+value.toPrecision(6));
}

export function axis(label: string, values: (value: number) => string = tickLabel): uPlot.Axis {
    const font = `12px ${token('--font')}`;
    return {
        label,
        size: 28,
        labelSize: 18,
        labelGap: 0,
        labelFont: font,
        font,
        stroke: token('--muted'),
        grid: { stroke: token('--grid'), width: 1 },
        ticks: { stroke: token('--grid'), width: 1, size: 4 },
        gap: 4,
        values: (_, splits) => splits.map((value) => (value === null ? '' : values(value))),
    };
}

/** Which ticks of a log scale get a label: 1, 2 and 5 of a decade, or of many decades only as many as have room. */
export function logLabels(splits: number[]): (number | null)[] {
    const decades = Math.log10(splits.at(-1)! / splits[0]);
    const every = Math.ceil(decades / 8);
    return splits.map((value) => {
        const [mantissa, exponent] = Number(value.toPrecision(6)).toExponential().split('e');
        const fits =
            decades > 4
                ? mantissa === '1' && Number(exponent) % every === 0
                : /^[125]$/.test(mantissa);
        return fits ? value : null;
    });
}

/** Keeps a plot as large as its container; returns what ends that. */
export function followSize(container: HTMLElement, plot: uPlot): () => void {
    const observer = new ResizeObserver(() => {
        const { clientWidth: width, clientHeight: height } = container;
        if (width > 0 && height > 0 && (width !== plot.width || height !== plot.height))
            plot.setSize({ width, height });
    });
    observer.observe(container);
    return () => observer.disconnect();
}

/** Room above and below, so that a line never lies on the frame; on a log scale by factor. */
export function padded(low: number, high: number, isLog: boolean): [number, number] {
    if (!(low <= high)) return isLog ? [0.01, 1] : [0, 1];
    if (isLog) return [Math.max(low, 1e-12) * 0.85, Math.max(high, 1e-12) * 1.15];
    const room = (high - low || Math.abs(high) || 1) * 0.06;
    return [low >= 0 && low < room * 4 ? 0 : low - room, high + room];
}
