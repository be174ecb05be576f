/* Showdown: the same settings for every engine; who is faster, and do they agree? */
import { useState } from 'preact/hooks';
import { post } from '../lib/api';
import { stopRun } from '../lib/actions';
import { engines, engineLook } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import { param, setParams } from '../lib/router';
import { settings } from '../lib/settings';
import { isActive, newestRuns, rememberRun, runs, streamMoment, system } from '../lib/studio';
import type {
    EngineId,
    LossDifference,
    NewShowdown,
    Run,
    Showdown,
    ShowdownRow,
    StartedShowdown,
} from '../lib/shapes';
import {
    Button,
    Card,
    Empty,
    EngineName,
    Page,
    Progress,
    Segmented,
    RunBadge,
    Trouble,
} from '../parts/basics';
import { BeforeStart } from '../parts/before-start';
import { Parts } from '../parts/guard';
import { DrawDigit } from '../parts/draw-digit';
import { LinePlot } from '../parts/line-plot';
import { LossPanel } from '../parts/loss-panel';
import { RunButtons } from '../parts/run-panel';
import { SettingsForm, settingsAreGood } from '../parts/settings-form';
import { engineIds, lossName } from '../parts/run-words';
import { toastError } from '../parts/toast';
import { TrackFields } from '../parts/tracking';
import { chosenTrack, trackIsGood } from '../lib/tracking';
import { Wide } from '../parts/wide';

type Mode = Showdown['mode'];

function StartCard() {
    const found = (id: EngineId) =>
        system.value?.engines.find((engine) => engine.id === id)?.found ?? false;
    const [left, setLeft] = useState<EngineId[]>([]); // engines that the user took out
    const [mode, setMode] = useState<Mode>('parallel');
    const chosen = engines.value
        .map(({ id }) => id)
        .filter((id) => found(id) && !left.includes(id));
    const start = async (event: Event) => {
        event.preventDefault();
        const asked = streamMoment();
        try {
            const made = await post<StartedShowdown>('/api/showdowns', {
                engines: chosen,
                settings: settings.value ?? {},
                mode,
                name: 'simple_nn',
                ...chosenTrack(),
            } satisfies NewShowdown);
            made.runs.forEach((run) => rememberRun(run, asked));
            setParams({ group: made.group });
        } catch (error) {
            toastError(error);
        }
    };
    return (
        <Card title="The same for every engine">
            <form onSubmit={(event) => void start(event)}>
                <fieldset class="engine-picks">
                    <legend>Engines</legend>
                    {engines.value.map(({ id }) => (
                        <label key={id} class="check">
                            <input
                                type="checkbox"
                                checked={chosen.includes(id)}
                                disabled={!found(id)}
                                onChange={(event) =>
                                    setLeft(
                                        event.currentTarget.checked
                                            ? left.filter((one) => one !== id)
                                            : [...left, id],
                                    )
                                }
                            />
                            <EngineName id={id} />
                            {system.value && !found(id) && <a href="/system">install</a>}
                        </label>
                    ))}
                </fieldset>
                <Segmented<Mode>
                    name="How"
                    value={mode}
                    onChange={setMode}
                    options={[
                        {
                            value: 'parallel',
                            label: 'At once',
                            title: 'All engines at once: they share the machine.',
                        },
                        {
                            value: 'sequence',
                            label: 'In turn',
                            title: 'One engine after another: each has the machine to itself, so speeds compare.',
                        },
                    ]}
                />
                <p class="muted">
                    {mode === 'parallel'
                        ? 'All engines at once: they share the cores, so speeds are lower than alone.'
                        : 'One engine after another, each with the machine to itself, so speeds compare.'}
                </p>
                <SettingsForm />
                <TrackFields />
                <Button
                    type="submit"
                    kind="main"
                    disabled={chosen.length < 2 || !settingsAreGood() || !trackIsGood()}
                >
                    {chosen.length < 2 ? 'Choose two engines' : `Train ${chosen.length} engines`}
                </Button>
            </form>
        </Card>
    );
}

function ShowdownProgress({ list }: { list: Run[] }) {
    return (
        <Card
            title="Progress"
            aside={
                list.some(isActive) && (
                    <Button
                        onClick={() => list.filter(isActive).forEach((run) => void stopRun(run))}
                    >
                        Stop all
                    </Button>
                )
            }
        >
            <ul class="showdown-progress">
                {list.map((run) => (
                    <li key={run.id}>
                        <span class="row">
                            {engineIds(run).map((id, i) => (
                                <EngineName key={i} id={id} />
                            ))}
                        </span>
                        <RunBadge run={run} />
                        <span class="row lane-buttons">
                            {isActive(run) ? (
                                <RunButtons run={run} />
                            ) : (
                                <a href={`/runs/${run.id}`}>Open</a>
                            )}
                        </span>
                        <Progress
                            value={run.progress.global_step}
                            max={run.progress.total_steps}
                            label={`Progress of ${engineLook(engineIds(run)[0]).title}`}
                            engine={run.engine}
                        />
                        <span class="num muted racer-words">
                            {format.rate(run.progress.samples_per_second)} samples/s ·{' '}
                            {lossName(run)} {format.loss(run.last.loss)}
                            {isActive(run) &&
                                run.progress.eta_seconds !== null &&
                                ` · ${format.duration(run.progress.eta_seconds)} left`}
                        </span>
                        {run.error && <p class="problem">{run.error}</p>}
                        {run.diverged_at !== null && (
                            <p class="problem">
                                Diverged at step {format.count(run.diverged_at)}: try a lower
                                learning rate.
                            </p>
                        )}
                    </li>
                ))}
            </ul>
        </Card>
    );
}

const COLUMNS: {
    name: string;
    of: (row: ShowdownRow) => number | null;
    text: (value: number | null) => string;
    best: 'least' | 'most';
}[] = [
    {
        name: 'Time per epoch',
        of: (row) => row.seconds_per_epoch,
        text: format.duration,
        best: 'least',
    },
    { name: 'Samples/s', of: (row) => row.samples_per_second, text: format.rate, best: 'most' },
    { name: 'Time to 90 %', of: (row) => row.seconds_to_90, text: format.duration, best: 'least' },
    { name: 'CPU', of: (row) => row.cpu_seconds, text: format.duration, best: 'least' },
    { name: 'Peak memory', of: (row) => row.peak_rss_bytes, text: format.bytes, best: 'least' },
    { name: 'File', of: (row) => row.file_bytes, text: format.bytes, best: 'least' },
    { name: 'Test accuracy', of: (row) => row.val_accuracy, text: format.percent, best: 'most' },
];

/** How far the comparison has come. */
function comparedWords({ common_epoch: common, rows }: Showdown) {
    if (common === 0)
        return 'No epoch is common to all yet: each row stands for itself, and none is best.';
    const asked = rows[0]?.epochs_asked ?? 0;
    return `Compared after epoch ${common}, ${common < asked ? `the last that all of them did, of ${asked} set` : 'the last'}. Bold: the best of its column.`;
}

function Table({ value }: { value: Showdown }) {
    const { rows } = value;
    const best = COLUMNS.map(({ of, best }) => {
        if (value.common_epoch === 0) return null;
        const values = rows.map(of).filter((value): value is number => value !== null);
        return values.length < 2
            ? null
            : best === 'least'
              ? Math.min(...values)
              : Math.max(...values);
    });
    return (
        <Card title="Measured">
            <Wide label="What was measured" class="measured">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">Engine</th>
                            {COLUMNS.map(({ name }) => (
                                <th key={name} scope="col" class="num">
                                    {name}
                                </th>
                            ))}
                        </tr>
                    </thead>
                    <tbody>
                        {rows.map((row) => (
                            <tr key={row.run}>
                                <th scope="row">
                                    <EngineName id={row.engine} />
                                    <small class="muted lane-words">
                                        {format.count(row.epochs)} of{' '}
                                        {format.count(row.epochs_asked)} epochs
                                        {row.handed_to && `, then ${row.handed_to}`}
                                    </small>
                                </th>
                                {COLUMNS.map(({ of, text }, i) => {
                                    const isBest = of(row) !== null && of(row) === best[i];
                                    return (
                                        <td key={i} class={isBest ? 'num best' : 'num'}>
                                            {text(of(row))}
                                            {isBest && <span class="hidden"> best</span>}
                                        </td>
                                    );
                                })}
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
            <p class="muted">
                {comparedWords(value)} Times are of training alone, without evaluation; CPU time and
                memory are of the engine’s own process, up to that epoch.
            </p>
        </Card>
    );
}

const pairTitle = (pair: string) =>
    pair
        .split('/')
        .map((id) => engineLook(id as EngineId).title)
        .join(' and ');
const DASHES = [[], [10, 5], [2, 4]];
const COLORS = ['--text', '--accent', '--muted'];

function Differences({ list }: { list: LossDifference[] }) {
    const steps = [...new Set(list.flatMap(({ curve }) => curve.step))].sort((a, b) => a - b);
    const lines = list.map(({ pair, curve }, i) => {
        const at = new Map(curve.step.map((step, n) => [step, curve.value[n]]));
        return {
            label: pairTitle(pair),
            color: COLORS[i % 3],
            dash: DASHES[i % 3],
            values: steps.map((step) => at.get(step) ?? null),
        };
    });
    return (
        <Card title="How far apart the curves are">
            <LinePlot
                x={steps}
                lines={lines}
                xLabel="step"
                yLabel="|Δ loss|"
                log
                label="Difference of the losses by step, on a log scale"
            />
            <ul class="differences">
                {list.map(({ pair, max, max_first_epoch, at_step }, i) => (
                    <li key={pair}>
                        <svg width="28" height="8" aria-hidden="true">
                            <path
                                d="M0 4h28"
                                class="stroke"
                                data-line={i % 3}
                                stroke-dasharray={DASHES[i % 3].map((d) => d * 0.7).join(' ')}
                            />
                        </svg>
                        <span>
                            <strong>{pairTitle(pair)}</strong>: at most{' '}
                            <b class="num">{format.scientific(max)}</b> (step{' '}
                            {format.count(at_step)}), in the first epoch{' '}
                            <b class="num">{format.scientific(max_first_epoch)}</b>
                        </span>
                    </li>
                ))}
            </ul>
            <p class="muted">
                The same initial weights and the same batches: what is left is the rounding of float
                arithmetic, which grows as the engines add in another order.
            </p>
        </Card>
    );
}

function Groups({ group }: { group: string }) {
    const known = new Map<string, Run[]>();
    for (const run of newestRuns.value)
        if (run.group) known.set(run.group, [...(known.get(run.group) ?? []), run]);
    if (known.size < 2) return null;
    return (
        <label class="field earlier">
            <span>Showdown shown</span>
            <select
                value={group}
                onChange={(event) => setParams({ group: event.currentTarget.value })}
            >
                {[...known].map(([id, list]) => (
                    <option key={id} value={id}>
                        {format.time(list[0].created_at)}, {list.length} engines,{' '}
                        {list[0].settings.dataset}
                    </option>
                ))}
            </select>
        </label>
    );
}

function Result({ group }: { group: string }) {
    const list = newestRuns.value
        .filter((run) => run.group === group)
        .sort((a, b) => (a.id < b.id ? -1 : 1));
    const order = engines.value.map(({ id }) => id);
    list.sort((a, b) => order.indexOf(engineIds(a)[0]) - order.indexOf(engineIds(b)[0]));
    const stage = list.map((run) => `${run.state}${run.engine}${run.progress.epoch}`).join();
    const { value, error } = useFetched<Showdown>(`/api/showdowns/${group}`, stage);
    const trained = list.filter((run) => run.files.length > 0);
    if (error && !value && list.length === 0)
        return (
            <Trouble
                action={
                    <Button onClick={() => setParams({ group: null })}>
                        Show the newest showdown
                    </Button>
                }
            >
                There is no showdown {group} here: {error}
            </Trouble>
        );
    return (
        <>
            {error && <Trouble>{error}</Trouble>}
            {value?.verdict && (
                <Card class="verdict" title="Verdict">
                    <p>{value.verdict}</p>
                </Card>
            )}
            <ShowdownProgress list={list} />
            <LossPanel runs={list} />
            {value && <Table value={value} />}
            {value && value.differences.length > 0 && <Differences list={value.differences} />}
            {trained.length > 0 && (
                <DrawDigit key={trained.map((run) => run.id).join()} runs={trained} />
            )}
        </>
    );
}

export function ShowdownTab() {
    const group = param('group') || newestRuns.value.find((run) => run.group)?.group || '';
    return (
        <Page
            title="Showdown"
            about="The same network, the same initial weights, the same batches: which engine is faster, and do they agree?"
        >
            <div
                class="lab-grid"
                data-active={newestRuns.value.some((run) => run.group === group && isActive(run))}
            >
                <Parts class="stack">
                    <StartCard />
                    <Groups group={group} />
                </Parts>
                <Parts class="stack">
                    {group ? (
                        <Result key={group} group={group} />
                    ) : (
                        runs.value && (
                            <BeforeStart>
                                <Empty title="No showdown yet">
                                    One button trains every engine with the same settings. All
                                    curves grow in one plot; at the end a table says how long, how
                                    much and how well, a second plot how far the curves are apart,
                                    and a verdict sums it up.
                                </Empty>
                            </BeforeStart>
                        )
                    )}
                </Parts>
            </div>
        </Page>
    );
}
