/* Draw a digit: every trained engine answers while one draws. */
import { useRef, useState } from 'preact/hooks';
import { bytesOf, post } from '../lib/api';
import * as format from '../lib/format';
import { findDataset, hasDigits } from '../lib/dataset';
import type { Answers, Drawing, Run } from '../lib/shapes';
import { Bars, Button, Card, EngineName } from './basics';
import { DRAW_SIDE, DrawPad } from './draw-pad';
import { Picture } from './picture';

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
                        width: DRAW_SIDE,
                        height: DRAW_SIDE,
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

export function DrawDigit({ runs }: { runs: Run[] }) {
    const digits = runs.every((run) => hasDigits(run.settings.dataset));
    const known = findDataset(runs[0]?.settings.dataset ?? '')?.classes ?? [];
    const [empty, setEmpty] = useState(true);
    const [wiped, setWiped] = useState(0);
    const ids = runs.map((run) => run.id);
    const { answer, problem, ask, forget } = useAnswers(ids);
    const take = (ink: (() => string) | null) => {
        setEmpty(!ink);
        if (ink) void ask(ink);
        else forget();
    };
    const wipe = () => {
        setWiped(wiped + 1);
        take(null);
    };

    /** Of data of the user's own only its opening tells the names: numbers stand for them. */
    const names = (run: string, index: number) =>
        findDataset(runs.find((r) => r.id === run)?.settings.dataset ?? '')?.classes[index] ??
        String(index);
    return (
        <Card
            title={`Draw ${digits ? 'a digit' : 'a picture'}${runs.length > 1 ? ' for all of them' : ''}`}
            class="draw"
            aside={
                <Button onClick={wipe} disabled={empty}>
                    Clear
                </Button>
            }
        >
            <div class="draw-body">
                <DrawPad onInk={take} wiped={wiped} digits={digits} />
                <div class="draw-answers" aria-live="polite">
                    {problem && <p class="problem">{problem}</p>}
                    {!answer && !problem && (
                        <p class="muted">
                            {runs.length > 1 ? 'Each model answers' : 'The model answers'} as you
                            draw
                            {!digits && known.length > 0 && `; it knows ${known.join(', ')}`}. Your
                            drawing is centered and scaled to the size of its training pictures, and
                            is not kept.
                        </p>
                    )}
                    {answer && (
                        <>
                            <figure class="draw-input">
                                <Picture
                                    pixels={bytesOf(answer.input)}
                                    rows={answer.rows}
                                    columns={answer.columns}
                                    size={56}
                                    label="The drawing as the engines receive it"
                                />
                                <figcaption>as the models see it</figcaption>
                            </figure>
                            {answer.answers.map((one) => {
                                return (
                                    <div key={one.run} class="answer" data-engine={one.engine}>
                                        <div class="answer-head">
                                            <EngineName id={one.engine} />
                                            <strong class="answer-class">
                                                {names(one.run, one.class)}
                                            </strong>
                                            <span class="num">
                                                {format.percent(one.probabilities[one.class], 1)}
                                            </span>
                                        </div>
                                        <Bars
                                            label={`${one.engine}: probabilities`}
                                            names={one.probabilities.map((_, i) =>
                                                names(one.run, i),
                                            )}
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
