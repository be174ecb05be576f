/* One run in full: its curve and files as in the labs, and what it learned. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import { restoreRun } from '../lib/actions';
import { bytesOf } from '../lib/api';
import { engineLook } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import { runTitle } from '../lib/run-title';
import * as format from '../lib/format';
import { isActive, liveRun, runs } from '../lib/studio';
import { belongs, findSetting, settingLabel, settingWords, type SettingKey } from '../lib/settings';
import type { Evaluation, Run, Weights } from '../lib/shapes';
import { Parts } from '../parts/guard';
import { Button, Card, Empty, Key, Page, Trouble } from '../parts/basics';
import { Confusion } from '../parts/confusion';
import { DrawDigit } from '../parts/draw-digit';
import { FeatureMaps } from '../parts/feature-maps';
import { Picture, Tiles } from '../parts/picture';
import { RunHead, RunPanel } from '../parts/run-panel';
import { EditRun } from '../parts/run-words';

function Mistakes({ value, classes }: { value: Evaluation; classes: string[] }) {
    return (
        <Card
            title="Worst mistakes"
            class="mistakes-card"
            aside={<span class="muted">most confident in the wrong answer first</span>}
        >
            <ul class="mistakes">
                {value.mistakes.map((one) => (
                    <li key={one.index}>
                        <Picture
                            pixels={bytesOf(one.pixels)}
                            rows={value.rows}
                            columns={value.columns}
                            channels={value.channels}
                            label={`Test sample ${one.index}`}
                        />
                        <span>
                            is <b>{classes[one.label]}</b>, said <b>{classes[one.predicted]}</b>
                        </span>
                        <small class="muted num">{format.percent(one.probability, 1)} sure</small>
                    </li>
                ))}
            </ul>
            {value.mistakes.length === 0 && <p class="muted">No mistakes on the test split.</p>}
        </Card>
    );
}

/** What 99 of 100 weights do not exceed: a few large ones would leave the rest without color. */
function usualSize(values: Float32Array): number {
    const sizes = values.map(Math.abs).sort();
    return sizes[Math.floor(0.99 * (sizes.length - 1))] || 1;
}

function FirstLayer({ value }: { value: Weights }) {
    const bytes = bytesOf(value.values);
    const values = new Float32Array(bytes.buffer, 0, bytes.length / 4);
    const limit = useMemo(() => usualSize(values), [value]);
    return (
        <Card
            title="First-layer weights"
            aside={
                <span class="muted num">
                    from {format.short(value.low)} to {format.short(value.high)}
                </span>
            }
        >
            <Tiles
                values={values}
                count={value.count}
                rows={value.rows}
                columns={value.columns}
                across={16}
                limit={limit}
                label={`Weights of ${value.count} units, each as a picture of ${value.rows} by ${value.columns}`}
            />
            <p class="muted keyline">
                <Key kind="low">negative</Key> <Key kind="high">positive,</Key> full color from ±
                {format.number(Number(limit.toPrecision(2)))}. Each tile is what one of the{' '}
                {value.count} hidden units looks for.
            </p>
        </Card>
    );
}

function Learned({ run }: { run: Run }) {
    const ready = run.files.length > 0;
    const stamp = run.files[0]?.sha256 ?? '';
    const evaluation = useFetched<Evaluation>(
        ready ? `/api/runs/${run.id}/evaluation` : null,
        stamp,
    );
    const weights = useFetched<Weights>(ready ? `/api/runs/${run.id}/weights` : null, stamp);
    if (!ready) return null;
    const classes = evaluation.value?.classes ?? []; // also of data of the user's own
    return (
        <Parts class="learned">
            {evaluation.error && <Trouble>{evaluation.error}</Trouble>}
            {evaluation.value && <Confusion value={evaluation.value} classes={classes} />}
            {weights.value && <FirstLayer value={weights.value} />}
            {weights.error && <Trouble>{weights.error}</Trouble>}
            {evaluation.value && <Mistakes value={evaluation.value} classes={classes} />}
            <DrawDigit runs={[run]} />
            <FeatureMaps run={run} key={stamp} />
        </Parts>
    );
}

function SettingsOf({ run }: { run: Run }) {
    return (
        <Card title="Settings">
            <dl class="settings-list">
                {(Object.keys(run.settings) as SettingKey[])
                    .filter((name) => {
                        const setting = findSetting(name);
                        return !setting || belongs(setting, run.settings);
                    })
                    .map((name) => (
                        <div key={name}>
                            <dt>{settingLabel(name)}</dt>
                            <dd class="num">{settingWords(name, run.settings[name])}</dd>
                        </div>
                    ))}
                <div>
                    <dt>Parameters</dt>
                    <dd class="num">{format.count(run.parameters)}</dd>
                </div>
                <div>
                    <dt>Created</dt>
                    <dd class="num">{format.time(run.created_at)}</dd>
                </div>
                <div>
                    <dt>Id</dt>
                    <dd>
                        <code>{run.id}</code>
                    </dd>
                </div>
            </dl>
            {run.notes && <p class="notes">{run.notes}</p>}
        </Card>
    );
}

export function RunPage({ id }: { id: string }) {
    const [editing, setEditing] = useState(false);
    const run = runs.value?.get(id);
    const live = liveRun(id);
    useEffect(() => void (live.state.value === 'failed' && live.load()), [id]);
    if (!run) {
        return (
            <Page title="Run" about={id}>
                {live.state.value === 'failed' && (
                    <Card>
                        <Empty
                            title="This run cannot be shown"
                            action={
                                <a class="button" href="/runs">
                                    All runs
                                </a>
                            }
                        >
                            {live.error.value}
                        </Empty>
                    </Card>
                )}
            </Page>
        );
    }
    return (
        <Page
            title={runTitle(run)}
            about={
                <>
                    {engineLook(run.engine).title} · <a href="/runs">all runs</a>
                    {run.group && (
                        <>
                            {' '}
                            · <a href={`/showdown?group=${run.group}`}>its showdown</a>
                        </>
                    )}
                </>
            }
            actions={<RunHead run={run} onEdit={() => setEditing(true)} />}
        >
            {run.deleted && (
                <Trouble action={<Button onClick={() => void restoreRun(run)}>Restore</Button>}>
                    This run is deleted; its files are kept for 24 hours.
                </Trouble>
            )}
            <Parts class="stack">
                <RunPanel run={run} />
                {!isActive(run) && <Learned run={run} />}
                <SettingsOf run={run} />
            </Parts>
            {editing && <EditRun run={run} onClose={() => setEditing(false)} />}
        </Page>
    );
}
