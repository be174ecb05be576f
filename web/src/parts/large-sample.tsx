/* One sample, large, with the value under the pointer and its neighbors as numbers. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { bytesOf } from '../lib/api';
import type { Dataset, Samples } from '../lib/shapes';
import { Button } from './basics';
import { Dialog } from './dialog';
import { Picture } from './picture';

const AROUND = 3; // a window of 7 × 7 values

/** The values around a pixel, of a color picture those of red. */
function Window({
    pixels,
    rows,
    columns,
    row,
    column,
}: {
    pixels: Uint8Array;
    rows: number;
    columns: number;
    row: number;
    column: number;
}) {
    const offsets = Array.from({ length: 2 * AROUND + 1 }, (_, i) => i - AROUND);
    return (
        <table class="pixel-values" aria-label="Values around the pixel">
            <tbody>
                {offsets.map((dy) => (
                    <tr key={dy}>
                        {offsets.map((dx) => {
                            const y = row + dy;
                            const x = column + dx;
                            const inside = y >= 0 && y < rows && x >= 0 && x < columns;
                            return (
                                <td key={dx} data-here={dx === 0 && dy === 0 ? true : undefined}>
                                    {inside ? pixels[y * columns + x] : ''}
                                </td>
                            );
                        })}
                    </tr>
                ))}
            </tbody>
        </table>
    );
}

export function LargeSample({
    set,
    samples,
    at,
    onMove,
    onClose,
}: {
    set: Dataset;
    samples: Samples;
    at: number;
    onMove: (at: number) => void;
    onClose: () => void;
}) {
    const { rows, columns, channels } = samples;
    const map = rows * columns;
    const pixels = bytesOf(samples.pixels).subarray(at * map * channels, (at + 1) * map * channels);
    const [cell, setCell] = useState<[number, number]>([rows >> 1, columns >> 1]);
    const area = useRef<HTMLDivElement>(null);
    useEffect(() => area.current?.focus(), []);
    const [row, column] = cell;
    const values = Array.from(
        { length: channels },
        (_, c) => pixels[c * map + row * columns + column],
    );

    const point = (event: PointerEvent) => {
        const box = area.current!.getBoundingClientRect();
        const clamp = (v: number, top: number) => Math.min(top - 1, Math.max(0, Math.floor(v)));
        setCell([
            clamp(((event.clientY - box.top) / box.height) * rows, rows),
            clamp(((event.clientX - box.left) / box.width) * columns, columns),
        ]);
    };
    const onKeyDown = (event: KeyboardEvent) => {
        const moves: Record<string, [number, number]> = {
            ArrowUp: [-1, 0],
            ArrowDown: [1, 0],
            ArrowLeft: [0, -1],
            ArrowRight: [0, 1],
        };
        const move = moves[event.key];
        if (!move) return;
        setCell([
            Math.min(rows - 1, Math.max(0, row + move[0])),
            Math.min(columns - 1, Math.max(0, column + move[1])),
        ]);
        event.preventDefault();
    };

    return (
        <Dialog
            title={`Sample ${samples.indices[at]}: ${set.classes[samples.labels[at]]}`}
            onClose={onClose}
            wide
        >
            <div class="large-sample">
                <div
                    ref={area}
                    class="large-picture"
                    tabIndex={0}
                    role="group"
                    aria-label="The picture; arrows move over its pixels"
                    onPointerMove={point}
                    onKeyDown={onKeyDown}
                >
                    <Picture
                        pixels={pixels}
                        rows={rows}
                        columns={columns}
                        channels={channels}
                        label={`Sample ${samples.indices[at]}`}
                    />
                    <span
                        class="cursor"
                        style={{
                            left: `${(100 * column) / columns}%`,
                            top: `${(100 * row) / rows}%`,
                            width: `${100 / columns}%`,
                            height: `${100 / rows}%`,
                        }}
                    />
                </div>
                <div class="large-values">
                    <p class="num" aria-live="polite">
                        row {row}, column {column}: <strong>{values.join(' ')}</strong>
                        {channels > 1 && ' (red, green, blue)'}
                        <br />
                        <span class="muted">
                            the engines get{' '}
                            {values
                                .map((value) => `${value} / 255 = ${(value / 255).toFixed(4)}`)
                                .join(', ')}
                        </span>
                    </p>
                    <Window
                        pixels={pixels}
                        rows={rows}
                        columns={columns}
                        row={row}
                        column={column}
                    />
                    <div class="row">
                        <Button disabled={at === 0} onClick={() => onMove(at - 1)}>
                            Previous
                        </Button>
                        <Button
                            disabled={at === samples.indices.length - 1}
                            onClick={() => onMove(at + 1)}
                        >
                            Next
                        </Button>
                    </div>
                </div>
            </div>
        </Dialog>
    );
}
