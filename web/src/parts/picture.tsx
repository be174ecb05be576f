/* Small gray pictures on canvas: digits, mean images, weights. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { isDark } from '../lib/theme';

type Rgb = [number, number, number];

/** Ink on paper: 0 background … 255 full ink, in the theme's colors. */
export function ink(dark: boolean): (value: number) => Rgb {
    const [paper, full]: [Rgb, Rgb] = dark
        ? [
              [29, 35, 43],
              [240, 244, 248],
          ]
        : [
              [244, 246, 248],
              [16, 22, 30],
          ];
    return (value) => paper.map((from, i) => from + ((full[i] - from) * value) / 255) as Rgb;
}

/** −limit orange … 0 paper … +limit teal-blue, for weights. */
export function diverging(dark: boolean, limit: number): (value: number) => Rgb {
    const zero: Rgb = dark ? [29, 35, 43] : [250, 250, 250];
    const low: Rgb = dark ? [255, 150, 80] : [190, 80, 0];
    const high: Rgb = dark ? [90, 190, 255] : [0, 95, 170];
    return (value) => {
        const share = Math.min(1, Math.abs(value) / (limit || 1));
        const end = value < 0 ? low : high;
        return zero.map((from, i) => from + (end[i] - from) * share) as Rgb;
    };
}

export function paint(
    context: CanvasRenderingContext2D,
    values: ArrayLike<number>,
    rows: number,
    columns: number,
    color: (value: number) => Rgb,
    x = 0,
    y = 0,
) {
    const image = context.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
        const [r, g, b] = color(values[i]);
        image.data.set([r, g, b, 255], 4 * i);
    }
    context.putImageData(image, x, y);
}

/** A color picture: all of red, then green, then blue. */
function paintColor(
    context: CanvasRenderingContext2D,
    pixels: Uint8Array,
    rows: number,
    columns: number,
) {
    const image = context.createImageData(columns, rows);
    const map = rows * columns;
    for (let i = 0; i < map; i++)
        image.data.set([pixels[i], pixels[map + i], pixels[2 * map + i], 255], 4 * i);
    context.putImageData(image, 0, 0);
}

/** Gray, or with three `channels` in color. */
export function Picture({
    pixels,
    rows,
    columns,
    channels = 1,
    label,
    size,
}: {
    pixels: Uint8Array;
    rows: number;
    columns: number;
    channels?: number;
    label?: string;
    size?: number;
}) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const dark = isDark.value;
    useEffect(() => {
        const context = canvas.current?.getContext('2d');
        if (!context) return;
        if (channels === 3) paintColor(context, pixels, rows, columns);
        else paint(context, pixels, rows, columns, ink(dark));
    }, [pixels, rows, columns, channels, dark]);
    return (
        <canvas
            ref={canvas}
            class="picture"
            width={columns}
            height={rows}
            style={
                size ? { width: `${size}px`, height: `${(size * rows) / columns}px` } : undefined
            }
            {...(label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': true })}
        />
    );
}

/** Many pictures in one canvas, lines between them, in rows of at most `across`: as many as fit without losing a line. */
export function Tiles({
    values,
    count,
    rows,
    columns,
    across,
    limit,
    label,
}: {
    values: Float32Array;
    count: number;
    rows: number;
    columns: number;
    across: number;
    limit: number;
    label: string;
}) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const dark = isDark.value;
    const [room, setRoom] = useState(0);
    // A line is a pixel of the canvas: it stays one only where the canvas is shown at its size or larger, by whole numbers.
    const fits = room > 0 ? Math.floor((room - 1) / (columns + 1)) : across;
    const inRow = Math.max(1, Math.min(across, fits, count));
    const down = Math.ceil(count / inRow);
    const [width, height] = [inRow * (columns + 1) + 1, down * (rows + 1) + 1];
    const scale = Math.max(1, Math.floor(room / width));
    useEffect(() => {
        const box = canvas.current!.parentElement!;
        const observer = new ResizeObserver(() => {
            const style = getComputedStyle(box);
            setRoom(
                box.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight),
            );
        });
        observer.observe(box);
        return () => observer.disconnect();
    }, []);
    useEffect(() => {
        const context = canvas.current?.getContext('2d');
        if (!context) return;
        const color = diverging(dark, limit);
        context.fillStyle = getComputedStyle(document.documentElement).getPropertyValue('--border');
        context.fillRect(0, 0, context.canvas.width, context.canvas.height);
        for (let i = 0; i < count; i++)
            paint(
                context,
                values.subarray(i * rows * columns, (i + 1) * rows * columns),
                rows,
                columns,
                color,
                (i % inRow) * (columns + 1) + 1,
                Math.floor(i / inRow) * (rows + 1) + 1,
            );
    }, [values, count, rows, columns, inRow, limit, dark]);
    return (
        <canvas
            ref={canvas}
            class="tiles"
            width={width}
            height={height}
            style={room > 0 ? { width: `${width * scale}px` } : undefined}
            role="img"
            aria-label={label}
        />
    );
}
