/* A square to draw on: white ink on black, told as bytes while one draws. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { base64Of } from '../lib/api';
import { isDark } from '../lib/theme';

/** The drawing's own pixels; the studio centers and scales them as MNIST was. */
export const DRAW_SIDE = 140;
const PEN = 11;

function clear(context: CanvasRenderingContext2D) {
    context.fillStyle = '#000';
    context.fillRect(0, 0, DRAW_SIDE, DRAW_SIDE);
}

function inkOf(context: CanvasRenderingContext2D): string {
    const { data } = context.getImageData(0, 0, DRAW_SIDE, DRAW_SIDE);
    const bytes = new Uint8Array(DRAW_SIDE * DRAW_SIDE);
    for (let i = 0; i < bytes.length; i++) bytes[i] = data[4 * i];
    return base64Of(bytes);
}

/** `onInk` is given a function that reads the ink when it is wanted; null: wiped. A new `wiped` wipes it. */
export function DrawPad({
    onInk,
    wiped = 0,
    digits = true,
}: {
    /** Whether the model knows digits, or other things. */
    digits?: boolean;
    onInk: (ink: (() => string) | null) => void;
    wiped?: number;
}) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const pen = useRef<{ x: number; y: number } | null>(null);
    const [empty, setEmpty] = useState(true);
    const dark = isDark.value;
    const context = () => canvas.current!.getContext('2d', { willReadFrequently: true })!;

    useEffect(() => {
        clear(context());
        setEmpty(true);
    }, [wiped]);

    const at = (event: PointerEvent) => {
        const box = canvas.current!.getBoundingClientRect();
        return {
            x: ((event.clientX - box.left) * DRAW_SIDE) / box.width,
            y: ((event.clientY - box.top) * DRAW_SIDE) / box.height,
        };
    };
    const stroke = (to: { x: number; y: number }) => {
        const draw = context();
        draw.strokeStyle = '#fff';
        draw.lineWidth = PEN;
        draw.lineCap = draw.lineJoin = 'round';
        draw.beginPath();
        draw.moveTo(pen.current!.x, pen.current!.y);
        draw.lineTo(to.x, to.y);
        draw.stroke();
        pen.current = to;
        setEmpty(false);
        onInk(() => inkOf(draw));
    };
    return (
        <div class="draw-pad">
            <canvas
                ref={canvas}
                width={DRAW_SIDE}
                height={DRAW_SIDE}
                data-dark={dark}
                tabIndex={0}
                role="img"
                aria-label={`Drawing area: draw ${digits ? 'a digit' : 'one of the classes'} with the pointer; Delete clears`}
                onPointerDown={(event) => {
                    event.currentTarget.setPointerCapture(event.pointerId);
                    pen.current = at(event);
                    stroke({ x: pen.current.x + 0.01, y: pen.current.y });
                }}
                onPointerMove={(event) =>
                    pen.current &&
                    event
                        .getCoalescedEvents()
                        .concat(event)
                        .forEach((e) => stroke(at(e)))
                }
                onPointerUp={() => (pen.current = null)}
                onPointerCancel={() => (pen.current = null)}
                onKeyDown={(event) => {
                    if (event.key !== 'Delete' && event.key !== 'Backspace') return;
                    clear(context());
                    setEmpty(true);
                    onInk(null);
                }}
            />
            {empty && (
                <span class="draw-hint" aria-hidden="true">
                    {digits ? 'draw 0 … 9 here' : 'draw one of its classes here'}
                </span>
            )}
        </div>
    );
}
