/* A lab: settings, one button, and the run as it goes. The same for every engine; what differs is the engine. */
import { useEffect } from 'preact/hooks';
import { fetchRun, startRun, startTask } from '../lib/actions';
import { defaultEngine, engineLook, engines, labPath } from '../lib/engines';
import { titleProblem } from '../lib/limits';
import { go, param, setParams } from '../lib/router';
import { proposedTitle, runTitle, titleDraft } from '../lib/run-title';
import { settings } from '../lib/settings';
import { isActive, newestRuns, runs, system } from '../lib/studio';
import { trackIsGood } from '../lib/tracking';
import type { EngineId, Run } from '../lib/shapes';
import { Parts } from '../parts/guard';
import { Button, Card, Empty, Page, Segmented, Trouble } from '../parts/basics';
import { BeforeStart } from '../parts/before-start';
import { DrawDigit } from '../parts/draw-digit';
import { TextField } from '../parts/fields';
import { RunPanel } from '../parts/run-panel';
import { SettingsForm, settingsAreGood } from '../parts/settings-form';
import { findTask, TaskView } from '../parts/tasks';
import { TrackFields } from '../parts/tracking';
import * as format from '../lib/format';

function Missing({ engine }: { engine: EngineId }) {
    const info = system.value?.engines.find((one) => one.id === engine);
    if (!info || info.found) return null;
    const task = findTask('install', (one) => one.subject === engine);
    return (
        <Card>
            <Empty
                title={`${info.title} is not installed`}
                action={
                    <>
                        <Button
                            kind="main"
                            engine={engine}
                            disabled={task?.state === 'running'}
                            onClick={() => void startTask(`/api/engines/${engine}/install`)}
                        >
                            Install {info.title}
                        </Button>
                        {defaultEngine.value && (
                            <a class="button" href={labPath(defaultEngine.value.id)}>
                                Train in the {defaultEngine.value.title} Lab meanwhile
                            </a>
                        )}
                    </>
                }
            >
                {info.missing ?? 'Its library was not found.'}
            </Empty>
            {task && <TaskView task={task} />}
        </Card>
    );
}

function Start({ engine }: { engine: EngineId }) {
    const found = system.value?.engines.find((one) => one.id === engine)?.found ?? true;
    const busy = newestRuns.value.some((run) => run.engine === engine && isActive(run));
    const from = param('from') || null;
    const start = async (event: Event) => {
        event.preventDefault();
        if (!settings.value || !settingsAreGood() || !trackIsGood()) return;
        const title = titleDraft.value ?? proposedTitle(settings.value);
        const run = await startRun(engine, { ...settings.value, from }, title.trim());
        if (!run) return;
        titleDraft.value = null;
        setParams({ run: run.id, from: null });
    };
    return (
        <form onSubmit={(event) => void start(event)}>
            <SettingsForm engine={engine} />
            {from && (
                <p class="note" role="status">
                    Starts with the weights and the network of <strong>{from}</strong>; the network
                    of the settings is not used.{' '}
                    <button type="button" class="link" onClick={() => setParams({ from: null })}>
                        Start with new weights
                    </button>
                </p>
            )}
            {settings.value && (
                <div class="run-title">
                    <TextField
                        label="Name of the run"
                        hint="proposed from what differs from the defaults; type over it for your own"
                        value={titleDraft.value ?? proposedTitle(settings.value)}
                        placeholder="simple_nn"
                        problem={titleProblem(titleDraft.value ?? '')}
                        onChange={(text) => (titleDraft.value = text)}
                        onLeave={() => titleDraft.value === '' && (titleDraft.value = null)}
                    />
                </div>
            )}
            {settings.value && <TrackFields />}
            <Button
                type="submit"
                kind="main"
                engine={engine}
                disabled={
                    !found ||
                    !settingsAreGood() ||
                    !trackIsGood() ||
                    titleProblem(titleDraft.value ?? '') !== undefined
                }
            >
                {busy ? 'Start another' : 'Start training'}
            </Button>
        </form>
    );
}

function Earlier({ engine, shown }: { engine: EngineId; shown: Run | undefined }) {
    const list = newestRuns.value
        .filter((run) => run.segments.some((s) => s.engine === engine) || run.engine === engine)
        .slice(0, 30);
    if (list.length < 2) return null;
    return (
        <label class="field earlier">
            <span>Run shown</span>
            <select
                value={shown?.id}
                onChange={(event) => setParams({ run: event.currentTarget.value })}
            >
                {shown && !list.includes(shown) && (
                    <option value={shown.id}>{runTitle(shown)}</option>
                )}
                {list.map((run) => (
                    <option key={run.id} value={run.id}>
                        {runTitle(run)}, {format.time(run.created_at)},{' '}
                        {run.diverged_at === null ? run.state : 'diverged'}
                    </option>
                ))}
            </select>
        </label>
    );
}

export function Lab({ engine }: { engine: EngineId }) {
    const look = engineLook(engine);
    const asked = param('run');
    const mine = newestRuns.value.filter((run) => run.engine === engine);
    const run = (asked && runs.value?.get(asked)) || mine.find(isActive) || mine[0];
    const wrong = asked && runs.value && !runs.value.has(asked);
    // An old one is not among the newest that are read at the start.
    useEffect(() => {
        if (wrong) fetchRun(asked).catch(() => {});
    }, [wrong]);
    return (
        <Page
            title={`${look.title} Lab`}
            about={`${format.sentence(look.paradigm)} Every step’s loss, as it is computed.`}
            actions={
                <Segmented<EngineId>
                    name="Engine"
                    value={engine}
                    options={engines.value.map(({ id, title }) => ({ value: id, label: title }))}
                    onChange={(id) => go(labPath(id))}
                />
            }
        >
            <Missing engine={engine} />
            <div class="lab-grid" data-active={run && isActive(run)}>
                <Parts class="stack">
                    <Card
                        title="Settings"
                        class="settings-card"
                        aside={<a href={`/where?engine=${engine}`}>Where to run</a>}
                    >
                        <Start engine={engine} />
                    </Card>
                    <Earlier engine={engine} shown={run} />
                </Parts>
                <Parts class="stack">
                    {wrong && (
                        <Trouble>
                            Run {asked} is no longer here: this is the newest one instead.
                        </Trouble>
                    )}
                    {run ? (
                        <>
                            <RunPanel key={run.id} run={run} />
                            {run.files.length > 0 && <DrawDigit key={run.id} runs={[run]} />}
                        </>
                    ) : (
                        runs.value && (
                            <BeforeStart>
                                <Empty title="No run yet">
                                    Press Start training: {look.title} trains in a process of its
                                    own. The loss of every step appears here as it is computed, with
                                    the mean of each epoch on it; pause, look, go on. At the end the
                                    model is saved as .{look.model_format}. Nothing is lost by a
                                    refresh, a closed tab or a killed server.
                                </Empty>
                            </BeforeStart>
                        )
                    )}
                </Parts>
            </div>
        </Page>
    );
}
