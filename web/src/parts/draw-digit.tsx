/* Draw a digit: every trained engine answers while one draws. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { base64Of, bytesOf, post } from '../lib/api';
import * as format from '../lib/format';
import { findDataset } from '../lib/dataset';
import { isDark } from '../lib/theme';
import type { Answers, Drawing, Run } from '../lib/shapes';
import { Bars, Button, Card, EngineName } from './basics';
import { Picture } from './picture';

const SIDE = 140; // the drawing's own pixels; the studio centers and scales them as MNIST was
const PEN = 11;
const MIN_GAP_MS = 60;

/** Asks while one draws: one question at a time, and always one about the last state. */
function useAnswers(runs: string[] | undefined) {
    const [answer, setAnswer] = useState<Answers | null>(null);
    const [problem, setProblem] = useState('');
    const state = useRef({ busy: false, waiting: null as (() => string) | null }).current;

    async function ask(pixels: () => string) {
        state.waiting = pixels;
        if (state.busy) return;
        state.busy = true;
        while (state.waiting) {
            const current: () => string = state.waiting;
            state.waiting = null;
            try {
                setAnswer(
                    await post<Answers>('/api/classify', {
                        pixels: current(),
                        width: SIDE,
                        height: SIDE,
                        ...(runs ? { runs } : {}),
                    } satisfies Drawing),
                );
                setProblem('');
            } catch (error) {
                setProblem((error as Error).message);
            }
            await new Promise((resolve) => setTimeout(resolve, MIN_GAP_MS));
        }
        state.busy = false;
    }
    const forget = () => {
        state.waiting = null;
        setAnswer(null);
        setProblem('');
    };
    return { answer, problem, ask, forget };
}

function clear(context: CanvasRenderingContext2D) {
    context.fillStyle = '#000';
    context.fillRect(0, 0, SIDE, SIDE);
}

function inkOf(context: CanvasRenderingContext2D): string {
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    const bytes = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < bytes.length; i++) bytes[i] = data[4 * i];
    return base64Of(bytes);
}

export function DrawDigit({ runs, title = 'Draw a digit' }: { runs?: Run[]; title?: string }) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const pen = useRef<{ x: number; y: number } | null>(null);
    const [empty, setEmpty] = useState(true);
    const ids = runs?.map((run) => run.id);
    const { answer, problem, ask, forget } = useAnswers(ids);
    const dark = isDark.value;
    const context = () => canvas.current!.getContext('2d', { willReadFrequently: true })!;

    useEffect(() => clear(context()), []);

    const at = (event: PointerEvent) => {
        const box = canvas.current!.getBoundingClientRect();
        return {
            x: ((event.clientX - box.left) * SIDE) / box.width,
            y: ((event.clientY - box.top) * SIDE) / box.height,
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
        void ask(() => inkOf(draw));
    };
    const wipe = () => {
        clear(context());
        setEmpty(true);
        forget();
    };

    const classes = (run: string) =>
        findDataset(runs?.find((r) => r.id === run)?.settings.dataset ?? 'mnist')?.classes;
    return (
        <Card
            title={title}
            class="draw"
            aside={
                <Button onClick={wipe} disabled={empty}>
                    Clear
                </Button>
            }
        >
            <div class="draw-body">
                <div class="draw-pad">
                    <canvas
                        ref={canvas}
                        width={SIDE}
                        height={SIDE}
                        data-dark={dark}
                        tabIndex={0}
                        role="img"
                        aria-label="Drawing area: draw a digit with the pointer; Delete clears"
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
                        onKeyDown={(event) =>
                            (event.key === 'Delete' || event.key === 'Backspace') && wipe()
                        }
                    />
                    {empty && (
                        <span class="draw-hint" aria-hidden="true">
                            draw 0 … 9 here
                        </span>
                    )}
                </div>
                <div class="draw-answers" aria-live="polite">
                    {problem && <p class="problem">{problem}</p>}
                    {!answer && !problem && (
                        <p class="muted">
                            Each trained engine answers as you draw. Your drawing is centered and
                            scaled to 28 × 28 as MNIST’s digits were, and is not kept.
                        </p>
                    )}
                    {answer && (
                        <>
                            <figure class="draw-input">
                                <Picture
                                    pixels={bytesOf(answer.input)}
                                    rows={28}
                                    columns={28}
                                    size={56}
                                    label="The drawing as the engines receive it"
                                />
                                <figcaption>as the models see it</figcaption>
                            </figure>
                            {answer.answers.map((one) => {
                                const names =
                                    classes(one.run) ?? one.probabilities.map((_, i) => String(i));
                                return (
                                    <div key={one.run} class="answer" data-engine={one.engine}>
                                        <div class="answer-head">
                                            <EngineName id={one.engine} />
                                            <strong class="answer-class">{names[one.class]}</strong>
                                            <span class="num">
                                                {format.percent(one.probabilities[one.class], 1)}
                                            </span>
                                        </div>
                                        <Bars
                                            label={`${one.engine}: probabilities`}
                                            names={names}
                                            values={one.probabilities.map((p) => p ?? undefined)}
                                            max={1}
                                            marked={one.class}
                                            format={(v) => format.percent(v, 1)}
                                        />
                                    </div>
                                );
                            })}
                            {answer.answers.length === 0 && (
                                <p class="muted">
                                    No engine has been trained yet: train one in a lab, then draw
                                    again.
                                </p>
                            )}
                        </>
                    )}
                </div>
            </div>
        </Card>
    );
}
