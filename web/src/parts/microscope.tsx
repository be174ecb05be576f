/* The step microscope: one batch goes through one real training step in every engine at once. */
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { bytesOf, post } from '../lib/api';
import { engines, engineLook } from '../lib/engines';
import { findDataset } from '../lib/dataset';
import { lastBatch } from '../lib/limits';
import { runTitle } from '../lib/run-title';
import * as format from '../lib/format';
import { param, setParams } from '../lib/router';
import { newestRuns, system } from '../lib/studio';
import { isDark } from '../lib/theme';
import type {
    CodeDiff,
    EngineId,
    Look,
    Microscope,
    Settings,
    StepStage,
    TensorPicture,
    TracedTensor,
} from '../lib/shapes';
import { Button, Card, Empty, EngineName, Key, Trouble } from './basics';
import { CodeLines } from './code-lines';
import { NumberField, SelectField } from './fields';
import { diverging, paint, Tiles } from './picture';
import { Wide } from './wide';

const shapeText = (shape: number[]) => shape.join(' × ');
const valuesOf = (picture: TensorPicture) => new Float32Array(bytesOf(picture.values).buffer);

/** How far the engines are apart, in words. */
function differenceWords(tensor: TracedTensor, engines: number) {
    if (engines < 2) return '';
    if (tensor.max_difference === null) return 'The engines disagree: see the table.';
    if (tensor.max_difference === 0) return 'Equal in all engines, to the last bit.';
    const scale = Math.max(Math.abs(tensor.low), Math.abs(tensor.high)) || 1;
    const share = tensor.max_difference / scale;
    return `The engines differ by at most ${format.scientific(tensor.max_difference)}${share < 1e-5 ? ', the rounding of the last digits' : ''}.`;
}

function TensorImage({
    tensor,
    picture,
    side,
}: {
    tensor: TracedTensor;
    picture: TensorPicture;
    side: number;
}) {
    const canvas = useRef<HTMLCanvasElement>(null);
    const dark = isDark.value;
    const { rows, columns } = picture;
    const limit = Math.max(Math.abs(tensor.low), Math.abs(tensor.high));
    const label = `${tensor.name}: ${shapeText(tensor.shape)} numbers from ${format.number(tensor.low)} to ${format.number(tensor.high)}`;
    useEffect(() => {
        const context = canvas.current?.getContext('2d');
        if (context) paint(context, valuesOf(picture), rows, columns, diverging(dark, limit));
    }, [tensor, dark]);
    if (tensor.name === 'input' && side && columns === side * side)
        return (
            <Tiles
                values={valuesOf(picture)}
                count={rows}
                rows={side}
                columns={side}
                across={Math.min(16, rows)}
                limit={limit}
                label={label}
            />
        );
    const zoom = rows === 1 ? 0 : Math.max(2, Math.min(10, Math.floor(480 / columns)));
    return (
        <canvas
            ref={canvas}
            class="tensor-picture"
            width={columns}
            height={rows}
            role="img"
            aria-label={label}
            style={
                zoom
                    ? { width: `${columns * zoom}px`, aspectRatio: `${columns} / ${rows}` }
                    : { width: '100%', height: '24px' }
            }
        />
    );
}

/** How often which value occurs; heights are square roots, so that rare values stay visible. */
function Histogram({
    counts,
    top,
    engine,
    label,
}: {
    counts: number[];
    top: number;
    engine: EngineId;
    label: string;
}) {
    const bars = counts
        .map((n, i) => (n ? `M${i} 24V${24 - Math.max(1, 23 * Math.sqrt(n / top))}h0.9V24z` : ''))
        .join('');
    return (
        <svg
            class="histogram"
            data-engine={engine}
            viewBox={`0 0 ${counts.length} 24`}
            preserveAspectRatio="none"
            role="img"
            aria-label={label}
        >
            <path d={bars} />
        </svg>
    );
}

function TensorView({
    tensor,
    side,
    first,
}: {
    tensor: TracedTensor;
    side: number;
    first: boolean;
}) {
    const single = tensor.shape.reduce((all, n) => all * n, 1) === 1;
    const top = Math.max(1, ...tensor.histogram.flatMap(({ counts }) => counts));
    const range = `${format.number(Number(tensor.low.toPrecision(3)))} … ${format.number(Number(tensor.high.toPrecision(3)))}`;
    return (
        <article class="tensor">
            <h3>
                <code>{tensor.name}</code> <span>{tensor.title}</span>{' '}
                <span class="muted num">{single ? 'one number' : shapeText(tensor.shape)}</span>
            </h3>
            {!single && tensor.picture && (
                <TensorImage tensor={tensor} picture={tensor.picture} side={side} />
            )}
            <Wide label={`${tensor.name} in each engine`} quiet={!first}>
                <table>
                    <thead>
                        <tr>
                            <th scope="col">Engine</th>
                            {!single && <th scope="col">Values {range}</th>}
                            <th scope="col" class="num">
                                {single ? 'Value' : 'Mean'}
                            </th>
                            {!single && (
                                <th scope="col" class="num">
                                    Spread
                                </th>
                            )}
                        </tr>
                    </thead>
                    <tbody>
                        {tensor.histogram.map(({ engine, counts, mean, std, not_finite }) => (
                            <tr key={engine}>
                                <th scope="row">
                                    <EngineName id={engine} />
                                </th>
                                {!single && (
                                    <td>
                                        <Histogram
                                            counts={counts}
                                            top={top}
                                            engine={engine}
                                            label={`How often which value occurs in ${tensor.name}, ${engineLook(engine).title}`}
                                        />
                                    </td>
                                )}
                                <td class="num">
                                    {not_finite > 0
                                        ? `${not_finite} not finite`
                                        : mean === null
                                          ? '—'
                                          : single
                                            ? mean.toPrecision(9)
                                            : format.number(mean)}
                                </td>
                                {!single && (
                                    <td class="num">{std === null ? '—' : format.number(std)}</td>
                                )}
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
            <p class="difference-words">{differenceWords(tensor, tensor.histogram.length)}</p>
        </article>
    );
}

function StageCode({
    stage,
    diff,
    numbers,
}: {
    stage: StepStage;
    diff: CodeDiff;
    numbers: Map<string, number>;
}) {
    const code = diff.stages.find(({ id }) => id === stage.code_stage);
    if (!code) return null;
    return (
        <Card
            title={`In the code: ${code.title.toLowerCase()}`}
            class="stage-code"
            aside={
                <a href={`/code?left=${diff.left.id}&right=${diff.right.id}#${code.id}`}>
                    All of it
                </a>
            }
        >
            {(['left', 'right'] as const).map((side) => (
                <div key={side} class="side" data-engine={diff[side].engine}>
                    <p class="side-name always">
                        <EngineName id={diff[side].engine} />{' '}
                        <small>{diff[side].language === 'c' ? 'the C that runs' : 'Python'}</small>
                    </p>
                    <CodeLines
                        lines={code[side]}
                        other={code[side === 'left' ? 'right' : 'left']}
                        ideas={diff.ideas}
                        numbers={numbers}
                        language={diff[side].language}
                        label={`${code.title}, ${diff[side].title}`}
                        lit={stage.ideas}
                    />
                </div>
            ))}
        </Card>
    );
}

const indexOf = (seen: Microscope, at: string) =>
    Math.max(
        0,
        seen.stages.findIndex(({ id }) => id === at),
    );

function Walk({
    seen,
    stage,
    index,
    go,
}: {
    seen: Microscope;
    stage: StepStage;
    index: number;
    go: (index: number) => void;
}) {
    useEffect(() => {
        // Where it stands is asked at each key: a held key is faster than the drawing.
        const step = (by: number) => go(indexOf(seen, param('at')) + by);
        const onKey = (event: KeyboardEvent) => {
            if (
                event.ctrlKey ||
                event.metaKey ||
                event.altKey ||
                (event.target as Element).closest('input, select, textarea, dialog, pre, .scroll')
            )
                return;
            if (event.key === 'ArrowRight') step(1);
            else if (event.key === 'ArrowLeft') step(-1);
            else return;
            event.preventDefault();
        };
        addEventListener('keydown', onKey);
        return () => removeEventListener('keydown', onKey);
    }, [seen]);
    return (
        <nav class="walk" aria-label="Stages of the step">
            <Button disabled={index === 0} onClick={() => go(index - 1)}>
                ← Back
            </Button>
            <ol>
                {seen.stages.map(({ id, title }, i) => (
                    <li key={id}>
                        <button
                            type="button"
                            aria-current={i === index ? 'step' : undefined}
                            data-done={i < index || undefined}
                            onClick={() => go(i)}
                        >
                            <b>{i + 1}</b> <span>{title}</span>
                        </button>
                    </li>
                ))}
            </ol>
            <Button
                kind="main"
                disabled={index === seen.stages.length - 1}
                onClick={() => go(index + 1)}
            >
                Next →
            </Button>
            <p class="hidden" role="status">
                Stage {index + 1} of {seen.stages.length}: {stage.title}
            </p>
        </nav>
    );
}

function Seen({
    seen,
    diff,
    numbers,
    dataset,
}: {
    seen: Microscope;
    diff: CodeDiff | null;
    numbers: Map<string, number>;
    dataset: string;
}) {
    const index = indexOf(seen, param('at'));
    const stage = seen.stages[index];
    const go = (to: number) =>
        to >= 0 && to < seen.stages.length && setParams({ at: seen.stages[to].id });
    const set = findDataset(dataset);
    const side = set?.rows && set.rows === set.columns ? set.rows : 0;
    const failed = seen.engines.filter(({ error }) => error);
    return (
        <>
            {failed.map(({ id, error }) => (
                <Trouble key={id}>
                    {engineLook(id).title}: {error}
                </Trouble>
            ))}
            <Walk seen={seen} stage={stage} index={index} go={go} />
            <div class="seen">
                <Card
                    title={stage.title}
                    aside={
                        <span class="row">
                            {seen.engines
                                .filter(({ error }) => !error)
                                .map(({ id, version }) => (
                                    <EngineName key={id} id={id} version={version} />
                                ))}
                        </span>
                    }
                >
                    <p class="stage-note">{stage.note}</p>
                    {stage.id === 'batch' && (
                        <p class="muted num">
                            Batch {seen.batch.number}: samples{' '}
                            {seen.batch.indices.slice(0, 6).join(', ')}… with the labels{' '}
                            {seen.batch.labels.slice(0, 16).join(' ')}
                            {seen.batch.labels.length > 16 ? '…' : ''}
                        </p>
                    )}
                    <div class="tensors">
                        {stage.tensors.map((tensor, i) => (
                            <TensorView
                                key={tensor.name}
                                tensor={tensor}
                                side={side}
                                first={i === 0}
                            />
                        ))}
                    </div>
                    <p class="muted keyline">
                        <Key kind="low">below zero</Key> <Key kind="high">above zero.</Key> Bars
                        count the values, on a square-root scale; a picture of more than 64 × 128
                        numbers is thinned out evenly.
                    </p>
                </Card>
                {diff && <StageCode stage={stage} diff={diff} numbers={numbers} />}
            </div>
        </>
    );
}

/** What was seen last, and what was asked for; it stays while the user looks at other tabs. */
const looking = signal<{
    seen: Microscope | null;
    asked: string;
    error: string;
    busy: boolean;
    dataset: string;
}>({ seen: null, asked: '', error: '', busy: false, dataset: '' });

interface Question {
    settings: Settings;
    engines: EngineId[];
    batch: number;
    run?: string;
}

async function look(question: Question) {
    looking.value = { ...looking.value, busy: true, error: '' };
    try {
        const seen = await post<Microscope>('/api/microscope', {
            ...question,
            settings: { ...question.settings, from: null },
        } satisfies Look);
        looking.value = {
            seen,
            asked: JSON.stringify(question),
            error: '',
            busy: false,
            dataset: question.settings.dataset,
        };
        if (!seen.stages.some(({ id }) => id === param('at'))) setParams({ at: seen.stages[0].id });
    } catch (error) {
        looking.value = { ...looking.value, busy: false, error: (error as Error).message };
    }
}

const integerParam = (name: string) => (/^\d{1,6}$/.test(param(name)) ? Number(param(name)) : 0);

/** The address holds what to look at ("batch", "weights", "without") and, once the step was run, the stage ("at"). */
export function MicroscopeView({
    s,
    good,
    diff,
    numbers,
}: {
    s: Settings;
    good: boolean;
    diff: CodeDiff | null;
    numbers: Map<string, number>;
}) {
    const [batch, setBatch] = useState(integerParam('batch'));
    const state = looking.value;
    const without = param('without').split(',');
    const found = (id: EngineId) =>
        system.value?.engines.find((engine) => engine.id === id)?.found ?? false;
    const chosen = engines.value
        .map(({ id }) => id)
        .filter((id) => found(id) && !without.includes(id));
    const starts = newestRuns.value.filter((one) => one.files.length > 0).slice(0, 30);
    const from = starts.find((one) => one.id === param('weights'));
    const used: Settings = from ? { ...from.settings, batch_size: s.batch_size, seed: s.seed } : s;
    const last = lastBatch(used);
    const badBatch =
        Number.isInteger(batch) && batch >= 0 && batch <= last
            ? undefined
            : `a whole number from 0 to ${last}`;
    const able = good && chosen.length > 0 && badBatch === undefined;
    const question: Question = {
        settings: used,
        engines: chosen,
        batch,
        ...(from ? { run: from.id } : {}),
    };
    // A link or a refresh that stood in mid-step runs the step again.
    const again =
        able &&
        param('at') !== '' &&
        !state.seen &&
        (param('weights') === '' || from !== undefined);
    useEffect(() => {
        if (again && !looking.value.busy) void look(question);
    }, [again]);
    const pick = (id: EngineId, on: boolean) =>
        setParams({
            without: engines.value
                .map((engine) => engine.id)
                .filter((one) => (one === id ? !on : without.includes(one)))
                .join(),
        });
    return (
        <>
            <Card class="look-card">
                <form
                    class="look"
                    onSubmit={(event) => {
                        event.preventDefault();
                        void look(question);
                    }}
                >
                    <fieldset class="engine-picks">
                        <legend>Engines</legend>
                        <div class="row">
                            {engines.value.map(({ id }) => (
                                <label key={id} class="check">
                                    <input
                                        type="checkbox"
                                        checked={chosen.includes(id)}
                                        disabled={!found(id)}
                                        onChange={(event) => pick(id, event.currentTarget.checked)}
                                    />
                                    <EngineName id={id} />
                                    {system.value && !found(id) && <a href="/system">install</a>}
                                </label>
                            ))}
                        </div>
                    </fieldset>
                    <NumberField
                        label="Batch"
                        value={batch}
                        problem={badBatch}
                        onChange={(value) => {
                            setBatch(value);
                            setParams({
                                batch: Number.isInteger(value) && value > 0 ? value : null,
                            });
                        }}
                    />
                    <SelectField
                        label="Weights"
                        value={from ? from.id : ''}
                        onChange={(weights) => setParams({ weights })}
                        options={[
                            { value: '', label: 'initial weights of the seed' },
                            ...starts.map((one) => ({
                                value: one.id,
                                label: `trained: ${runTitle(one)}, ${one.engine}, ${format.time(one.created_at)}`,
                            })),
                        ]}
                    />
                    <Button type="submit" kind="main" disabled={state.busy || !able}>
                        {state.busy ? 'Looking…' : 'Run one step'}
                    </Button>
                </form>
            </Card>
            {state.error && <Trouble>{state.error}</Trouble>}
            {state.seen && able && !state.busy && state.asked !== JSON.stringify(question) && (
                <p class="stale muted" role="status">
                    What is below was seen with other settings: run the step to see these.
                </p>
            )}
            {state.seen ? (
                <Seen seen={state.seen} diff={diff} numbers={numbers} dataset={state.dataset} />
            ) : (
                <Card>
                    <Empty title="One batch, one step, every tensor">
                        Every engine performs the same real training step, in a process of its own.
                        Then walk through it with the buttons or the arrow keys: the batch, hidden
                        layers, logits, loss, gradients, new weights; each with shapes, pictures,
                        and how far the engines are apart.
                    </Empty>
                </Card>
            )}
        </>
    );
}
