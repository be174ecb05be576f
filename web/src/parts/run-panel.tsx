/* One run: what it does now, what can be done to it, its curve, its figures, its files. */
import { useState } from 'preact/hooks';
import {
    changeRate,
    continueRun,
    dataHasChanged,
    deleteRuns,
    engineFound,
    exportAddress,
    pauseRun,
    resumeRun,
    stopRun,
} from '../lib/actions';
import { engines, engineLook } from '../lib/engines';
import { runTitle } from '../lib/run-title';
import * as format from '../lib/format';
import { findSetting } from '../lib/settings';
import { isActive, liveRun } from '../lib/studio';
import type { EngineId, Epoch, Run } from '../lib/shapes';
import {
    Button,
    Card,
    CopyButton,
    EngineName,
    Figure,
    Hash,
    Key,
    Progress,
    RunBadge,
    Trouble,
} from './basics';
import { Parts } from './guard';
import { NumberField, SelectField } from './fields';
import { LinePlot, type Line } from './line-plot';
import { LossPanel } from './loss-panel';
import { RateCard } from './rate-plot';
import { Diverged, engineIds, engineLine, lossName, ratePerRank, Tags } from './run-words';
import { TrackingLine } from './tracking';
import { toast } from './toast';
import { Head, Wide } from './wide';

/** What can be done to a run in its state, the likeliest first. */
export function RunButtons({ run }: { run: Run }) {
    switch (run.state) {
        case 'running':
        case 'starting':
        case 'queued':
            return (
                <>
                    <Button
                        kind="main"
                        engine={run.engine}
                        disabled={run.state !== 'running'}
                        onClick={() => void pauseRun(run)}
                    >
                        Pause
                    </Button>
                    <Button onClick={() => void stopRun(run)}>Stop</Button>
                </>
            );
        case 'paused':
            return (
                <>
                    <Button kind="main" engine={run.engine} onClick={() => void resumeRun(run)}>
                        Resume
                    </Button>
                    <Button onClick={() => void stopRun(run)}>Stop</Button>
                </>
            );
        case 'stopping':
            return <Button disabled>Stopping…</Button>;
        case 'finished':
            return null;
        default:
            return (
                run.resumable && (
                    <Button
                        kind="main"
                        engine={run.engine}
                        onClick={() =>
                            void continueRun(
                                run,
                                run.engine,
                                run.settings.epochs,
                                dataHasChanged(run),
                            )
                        }
                    >
                        {dataHasChanged(run)
                            ? 'Resume with the changed data'
                            : 'Resume from its checkpoint'}
                    </Button>
                )
            );
    }
}

function epochWords({ state, progress: p }: Run) {
    if (state === 'finished' && p.epoch < p.epochs)
        return `ended early, after epoch ${format.count(p.epoch)} of ${format.count(p.epochs)}`;
    if (p.total_steps > 0 && p.global_step >= p.total_steps)
        return `${format.count(p.epochs)} of ${format.count(p.epochs)} epochs`;
    return `epoch ${format.count(Math.min(p.epoch + 1, p.epochs))} of ${format.count(p.epochs)}, step ${format.count(p.step)} of ${format.count(p.steps_per_epoch)}`;
}

/** Another learning rate while the run trains. */
function RateField({ run }: { run: Run }) {
    const [typed, setTyped] = useState<number | null>(null);
    const [asked, setAsked] = useState(false);
    // the last epoch's, until something is typed
    const rate =
        typed ?? liveRun(run.id).epochs.value.at(-1)?.learning_rate ?? run.settings.lr ?? NaN;
    const most = findSetting('lr')?.high ?? Infinity;
    const fits = rate > 0 && rate <= most;
    const apply = async () => {
        setAsked(true);
        if (!fits || !(await changeRate(run, rate))) return;
        toast(`The learning rate is ${format.number(rate)} from the next step on.`);
    };
    return (
        <form class="row rate-form" onSubmit={(event) => (event.preventDefault(), void apply())}>
            <NumberField
                label="Rate from the next step"
                value={rate}
                onChange={setTyped}
                problem={asked && !fits ? `more than 0, at most ${most}` : undefined}
            />
            <Button type="submit">Apply</Button>
        </form>
    );
}

export function RunStatus({ run, buttons = true }: { run: Run; buttons?: boolean }) {
    const p = run.progress;
    const active = isActive(run);
    return (
        <Card
            class="status"
            data-run={run.id}
            title={
                <>
                    {engineIds(run).map((id, i, all) => (
                        <EngineName
                            key={i}
                            id={id}
                            version={i === all.length - 1 ? run.engine_version : null}
                        />
                    ))}{' '}
                    {runTitle(run)}
                </>
            }
            aside={
                <>
                    <RunBadge run={run} />
                    {buttons && <RunButtons run={run} />}
                </>
            }
        >
            {run.error && (
                <Trouble>
                    {run.error}
                    {run.resumable &&
                        ' All points up to here are kept; it can go on from its last checkpoint.'}
                </Trouble>
            )}
            {run.state === 'interrupted' && !run.error && (
                <Trouble>
                    The studio ended while this run trained. All its points are kept; it can go on
                    from its last checkpoint.
                </Trouble>
            )}
            <Diverged run={run} />
            <Progress
                value={p.global_step}
                max={p.total_steps}
                label={`Progress of ${runTitle(run)}`}
                engine={run.engine}
            />
            <div class="row spread num progress-words">
                <span>{epochWords(run)}</span>
                <span>
                    {active && p.eta_seconds !== null
                        ? `about ${format.duration(p.eta_seconds)} left`
                        : run.ended_at
                          ? `ended ${format.time(run.ended_at)}`
                          : ' '}
                </span>
            </div>
            {buttons && (run.state === 'running' || run.state === 'paused') && (
                <RateField key={run.id} run={run} />
            )}
            <TrackingLine run={run} />
            <dl class="figures">
                <Figure name={lossName(run)} value={format.loss(run.last.loss)} />
                <Figure name="accuracy" value={format.percent(run.last.accuracy)} />
                <Figure name="test loss" value={format.loss(run.last.val_loss)} />
                <Figure name="test accuracy" value={format.percent(run.last.val_accuracy)} />
                <Figure name="samples/s" value={format.rate(p.samples_per_second)} />
                {p.ranks > 1 && <RankFigures progress={p} />}
                <Figure name="training" value={format.duration(p.seconds)} />
                <Figure name="CPU" value={format.duration(run.cpu_seconds)} />
                <Figure
                    name={active ? 'memory' : 'peak memory'}
                    value={format.bytes(active ? run.rss_bytes : run.peak_rss_bytes)}
                />
            </dl>
        </Card>
    );
}

/** What several ranks bring and cost. */
function RankFigures({ progress }: { progress: Run['progress'] }) {
    return (
        <>
            <Figure name="ranks" value={format.count(progress.ranks)} />
            <Figure name="samples/s per rank" value={format.rate(ratePerRank(progress))} />
            <Figure name="communication" value={format.percent(progress.communication_share, 0)} />
        </>
    );
}

/** Test accuracy, a line for each stretch of one engine; it begins where the stretch before it ended. */
function testLines(rows: Epoch[]): Line[] {
    const stretches: { engine: EngineId; from: number; to: number }[] = [];
    rows.forEach(({ engine }, i) => {
        const last = stretches.at(-1);
        if (last?.engine === engine) last.to = i;
        else stretches.push({ engine, from: Math.max(0, i - 1), to: i });
    });
    return stretches.map(({ engine, from, to }) => ({
        label: `test, ${engine}`,
        color: `--${engine}`,
        dash: engineLook(engine).dash,
        values: rows.map((row, i) => (i >= from && i <= to ? row.val_accuracy : null)),
        points: true,
    }));
}

export function EpochsCard({ run }: { run: Run }) {
    const { epochs } = liveRun(run.id);
    const rows = epochs.value;
    const validated = rows.some((row) => row.validation_loss !== null);
    return (
        <Card title="Epochs" class="epochs-card">
            <div>
                <LinePlot
                    label={`Accuracy of ${runTitle(run)} by epoch`}
                    x={rows.map((row) => row.epoch)}
                    xLabel="epoch"
                    yLabel="accuracy"
                    yText={(v) => `${+(100 * v).toFixed(1)} %`}
                    lines={[
                        ...testLines(rows),
                        {
                            label: 'training',
                            color: '--muted',
                            values: rows.map((row) => row.accuracy),
                        },
                        ...(validated
                            ? [
                                  {
                                      label: 'validation',
                                      color: '--text',
                                      dash: [2, 4],
                                      values: rows.map((row) => row.validation_accuracy),
                                  },
                              ]
                            : []),
                    ]}
                />
                <p class="muted keyline">
                    <Key engines={[...new Set(rows.map(({ engine }) => engine))]}>
                        test, after the epoch
                    </Key>{' '}
                    <Key kind="gray">training, before each update</Key>
                    {validated && ' dotted: validation, after the epoch'}
                </p>
            </div>
            <Wide label="Epochs, as a table" class="epochs">
                <table>
                    <Head
                        columns={[
                            { number: 'Epoch' },
                            { number: 'Loss' },
                            { number: 'Accuracy' },
                            ...(validated
                                ? [{ number: 'Validation loss' }, { number: 'Validation acc.' }]
                                : []),
                            { number: 'Test loss' },
                            { number: 'Test acc.' },
                            { number: 'Rate' },
                            { number: 'Time' },
                        ]}
                    />
                    <tbody>
                        {rows.map((row) => (
                            <tr key={row.epoch}>
                                <th scope="row" class="num">
                                    {row.epoch}
                                </th>
                                <td class="num">{format.loss(row.loss)}</td>
                                <td class="num">{format.percent(row.accuracy)}</td>
                                {validated && (
                                    <>
                                        <td class="num">{format.loss(row.validation_loss)}</td>
                                        <td class="num">
                                            {format.percent(row.validation_accuracy)}
                                        </td>
                                    </>
                                )}
                                <td class="num">{format.loss(row.val_loss)}</td>
                                <td class="num">{format.percent(row.val_accuracy)}</td>
                                <td class="num">{format.number(row.learning_rate)}</td>
                                <td class="num">{format.duration(row.seconds)}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
        </Card>
    );
}

export function LogCard({ run }: { run: Run }) {
    const { log } = liveRun(run.id);
    return (
        <Card title="Log" class="log-card">
            <ol class="log" tabIndex={0} aria-label={`Log of ${runTitle(run)}`}>
                {log.value.length === 0 && <li class="muted">No log entries yet.</li>}
                {log.value.toReversed().map((line, i) => (
                    <li key={log.value.length - i}>
                        <time>{format.clock(line.at)}</time> {line.text}
                    </li>
                ))}
            </ol>
        </Card>
    );
}

export function FilesCard({ run }: { run: Run }) {
    return (
        <Card
            title="Model"
            class="files-card"
            aside={
                <>
                    <a class="button" href={exportAddress(run, 'csv')} download>
                        CSV
                    </a>
                    <a class="button" href={exportAddress(run, 'json')} download>
                        JSON
                    </a>
                </>
            }
        >
            {run.files.length === 0 ? (
                <p class="muted">
                    The file is written when the run ends or stops: the engine’s own .
                    {engineLook(run.engine).model_format}, as {engineLook(run.engine).title} itself
                    reads it.
                </p>
            ) : (
                <ul class="files">
                    {run.files.map((file, i) => (
                        <li key={file.name}>
                            <div class="row spread">
                                <strong>{file.name}</strong>
                                <span class="num muted">
                                    {i > 0 && 'before it changed hands · '}
                                    {format.bytes(file.bytes)}
                                </span>
                            </div>
                            <div class="row">
                                <span class="muted">SHA-256</span>
                                <Hash value={file.sha256} />
                                <CopyButton text={() => file.sha256} />
                            </div>
                            <div class="row">
                                <a class="button" href={file.url} download>
                                    Download
                                </a>
                                <a
                                    class="button main"
                                    href={`/azure?run=${run.id}&file=${file.name}`}
                                >
                                    Deploy
                                </a>
                            </div>
                        </li>
                    ))}
                </ul>
            )}
        </Card>
    );
}

/** Go on from the last checkpoint, with this engine or another: the weights belong to none. */
export function ContinueCard({ run }: { run: Run }) {
    const [engine, setEngine] = useState<EngineId>(run.engine);
    const done = Math.max(run.progress.epoch, 0);
    const [epochs, setEpochs] = useState(
        run.state === 'finished' ? run.progress.epochs + 5 : run.progress.epochs,
    );
    if (isActive(run) || !run.resumable) return null;
    const most = findSetting('epochs')?.high ?? Number.MAX_SAFE_INTEGER;
    const bad =
        Number.isInteger(epochs) && epochs > done && epochs <= most
            ? undefined
            : `a whole number from ${done + 1} to ${most.toLocaleString('en')}`;
    return (
        <Card title="Continue" class="continue-card">
            <p class="muted">
                Weights and position can be handed to any engine: the curve changes color where it
                changed hands.
            </p>
            <div class="fields inline">
                <SelectField
                    label="Engine"
                    value={engine}
                    onChange={setEngine}
                    options={engines.value.map(({ id, title }) => ({
                        value: id,
                        label: engineFound(id) ? title : `${title}, not installed`,
                        disabled: !engineFound(id),
                    }))}
                />
                <NumberField
                    label="Up to epoch"
                    value={epochs}
                    problem={bad}
                    onChange={setEpochs}
                />
                <Button
                    kind="main"
                    engine={engine}
                    disabled={bad !== undefined}
                    onClick={() => void continueRun(run, engine, epochs)}
                >
                    Continue in {engineLook(engine).title}
                </Button>
            </div>
        </Card>
    );
}

/** Everything of a run that a lab and the run's own page both show. */
export function RunPanel({ run }: { run: Run }) {
    const { state, error } = liveRun(run.id);
    return (
        <>
            <RunStatus run={run} />
            {state.value === 'failed' && (
                <Trouble
                    action={<Button onClick={() => void liveRun(run.id).load()}>Try again</Button>}
                >
                    {error.value}
                </Trouble>
            )}
            <LossPanel runs={[run]} title={engineLine(run)} />
            <EpochsCard run={run} />
            <RateCard run={run} />
            <Parts class="halves">
                <Parts class="stack">
                    <FilesCard run={run} />
                    <ContinueCard key={run.state} run={run} />
                </Parts>
                <LogCard run={run} />
            </Parts>
        </>
    );
}

export function RunHead({ run, onEdit }: { run: Run; onEdit: () => void }) {
    return (
        <>
            <Tags tags={run.tags} />
            <Button onClick={onEdit}>Rename, tags, notes</Button>
            <Button kind="danger" onClick={() => void deleteRuns([run])} disabled={isActive(run)}>
                Delete
            </Button>
        </>
    );
}
