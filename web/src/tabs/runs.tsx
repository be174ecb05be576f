/* Runs: everything that was ever trained here; search, sort, overlay, compare, tidy up. */
import { useState } from 'preact/hooks';
import { deleteRuns, exportAddress } from '../lib/actions';
import { query } from '../lib/api';
import { engines } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import { param, setParams } from '../lib/router';
import { differing, runSettingWords, settingLabel, type SettingKey } from '../lib/settings';
import { runTitle } from '../lib/run-title';
import { isActive, runs as knownRuns, runsChanged, settingsTable } from '../lib/studio';
import type { Run, RunList } from '../lib/shapes';
import { Button, Card, Empty, EngineName, Page, RunBadge, Trouble } from '../parts/basics';
import { SelectField, TextField } from '../parts/fields';
import { FileDrop } from '../parts/file-drop';
import { KeptModels } from '../parts/kept-models';
import { LossPanel } from '../parts/loss-panel';
import { EditRun, engineIds, ratePerRank, Tags } from '../parts/run-words';
import { Wide } from '../parts/wide';

const PAGE = 100;
const STATES = ['running', 'paused', 'finished', 'stopped', 'failed', 'interrupted'];

interface Column {
    name: string;
    sort?: string;
    number?: boolean;
    cell: (run: Run) => preact.ComponentChildren;
}

/** Settings in which the runs of the list differ, and those that are pinned; the usual columns have the rest. */
function settingColumns(list: Run[]): Column[] {
    const pinned = param('columns').split(',').filter(Boolean);
    const differ = differing(list.map((run) => run.settings));
    const keys = (settingsTable.value ?? []).map(({ key }) => key as SettingKey);
    return keys
        .filter((key) => pinned.includes(key) || (differ.has(key) && !OWN_COLUMN.has(key)))
        .map((key) => ({
            name: settingLabel(key),
            sort: `settings.${key}`,
            number: typeof list[0]?.settings[key] === 'number',
            cell: (run: Run) => runSettingWords(key, run.settings),
        }));
}
const OWN_COLUMN = new Set<string>(['dataset', 'epochs', 'from']);

/** Which settings have a column at all times. */
function PinnedColumns() {
    const pinned = param('columns').split(',').filter(Boolean);
    return (
        <details class="fold">
            <summary>Columns</summary>
            <p class="muted">
                Settings that differ among the runs shown have a column by themselves; those that
                are checked always have one.
            </p>
            <div class="row pinned-columns">
                {(settingsTable.value ?? [])
                    .filter(({ key }) => !OWN_COLUMN.has(key))
                    .map(({ key, label }) => (
                        <label key={key} class="check">
                            <input
                                type="checkbox"
                                checked={pinned.includes(key)}
                                onChange={(event) =>
                                    setParams({
                                        columns: (event.currentTarget.checked
                                            ? [...pinned, key]
                                            : pinned.filter((one) => one !== key)
                                        ).join(),
                                    })
                                }
                            />
                            {label}
                        </label>
                    ))}
            </div>
        </details>
    );
}

const COLUMNS: Column[] = [
    {
        name: 'Engine',
        sort: 'engine',
        cell: (run) => (
            <>
                {engineIds(run).map((id, i) => (
                    <EngineName key={i} id={id} />
                ))}
            </>
        ),
    },
    { name: 'State', sort: 'state', cell: (run) => <RunBadge run={run} /> },
    { name: 'Data set', sort: 'settings.dataset', cell: (run) => run.settings.dataset },
    {
        name: 'Epochs',
        number: true,
        cell: (run) => `${run.progress.epoch} / ${run.progress.epochs || run.settings.epochs}`,
    },
    { name: 'Loss', sort: 'loss', number: true, cell: (run) => format.loss(run.last.loss) },
    {
        name: 'Test acc.',
        sort: 'val_accuracy',
        number: true,
        cell: (run) => format.percent(run.last.val_accuracy),
    },
    {
        name: 'Samples/s',
        number: true,
        cell: (run) => format.rate(run.progress.samples_per_second),
    },
    {
        name: 'Training',
        sort: 'seconds',
        number: true,
        cell: (run) => format.duration(run.progress.seconds),
    },
    {
        name: 'Created',
        sort: 'created_at',
        number: true,
        cell: (run) => format.time(run.created_at),
    },
];

function Heading({ name, sort, number }: { name: string; sort?: string; number?: boolean }) {
    const current = param('sort', 'created_at');
    const order = param('order', 'desc');
    if (!sort)
        return (
            <th scope="col" class={number ? 'num' : ''}>
                {name}
            </th>
        );
    const mine = sort === current;
    return (
        <th
            scope="col"
            class={number ? 'num' : ''}
            aria-sort={mine ? (order === 'asc' ? 'ascending' : 'descending') : 'none'}
        >
            <button
                type="button"
                class="sort"
                onClick={() =>
                    setParams({
                        sort: sort === 'created_at' ? null : sort,
                        order: mine && order === 'desc' ? 'asc' : null,
                    })
                }
            >
                {name}
                <span aria-hidden="true">{mine ? (order === 'asc' ? ' ▴' : ' ▾') : ''}</span>
            </button>
        </th>
    );
}

function List({
    list,
    selected,
    onSelect,
}: {
    list: Run[];
    selected: string[];
    onSelect: (id: string, on: boolean) => void;
}) {
    const results = COLUMNS.findIndex(({ name }) => name === 'Samples/s');
    const columns = [
        ...COLUMNS.slice(0, results),
        ...settingColumns(list),
        ...COLUMNS.slice(results),
    ];
    return (
        <Wide label="Runs">
            <table class="runs">
                <thead>
                    <tr>
                        <th scope="col">
                            <span class="hidden">Selected</span>
                        </th>
                        <Heading name="Name" sort="name" />
                        {columns.map((column) => (
                            <Heading key={column.name} {...column} />
                        ))}
                    </tr>
                </thead>
                <tbody>
                    {list.map((run) => (
                        <tr key={run.id} data-selected={selected.includes(run.id) || undefined}>
                            <td>
                                <input
                                    type="checkbox"
                                    aria-label={`Select ${runTitle(run)}, ${run.engine}, ${format.time(run.created_at)}`}
                                    checked={selected.includes(run.id)}
                                    onChange={(event) =>
                                        onSelect(run.id, event.currentTarget.checked)
                                    }
                                />
                            </td>
                            <th scope="row">
                                <a href={`/runs/${run.id}`} title={run.notes || run.id}>
                                    {runTitle(run)}
                                </a>{' '}
                                <Tags tags={run.tags} />
                            </th>
                            {columns.map((column) => (
                                <td key={column.name} class={column.number ? 'num' : ''}>
                                    {column.cell(run)}
                                </td>
                            ))}
                        </tr>
                    ))}
                </tbody>
            </table>
        </Wide>
    );
}

const RESULTS: {
    name: string;
    of: (run: Run) => number | null;
    text: (value: number | null) => string;
    best?: 'least' | 'most';
    /** shown only where a run has it */
    rare?: boolean;
}[] = [
    { name: 'Epochs done', of: (run) => run.progress.epoch, text: format.count },
    {
        name: 'Test accuracy',
        of: (run) => run.last.val_accuracy,
        text: format.percent,
        best: 'most',
    },
    { name: 'Test loss', of: (run) => run.last.val_loss, text: format.loss, best: 'least' },
    { name: 'Training accuracy', of: (run) => run.last.accuracy, text: format.percent },
    { name: 'Training', of: (run) => run.progress.seconds, text: format.duration },
    { name: 'Samples/s', of: (run) => run.progress.samples_per_second, text: format.rate },
    {
        name: 'Ranks',
        of: ({ progress }) => (progress.ranks > 1 ? progress.ranks : null),
        text: format.count,
        rare: true,
    },
    {
        name: 'Samples/s per rank',
        of: ({ progress }) => (progress.ranks > 1 ? ratePerRank(progress) : null),
        text: format.rate,
        rare: true,
    },
    {
        name: 'Communication',
        of: (run) => run.progress.communication_share,
        text: format.percent,
        rare: true,
    },
    { name: 'CPU', of: (run) => run.cpu_seconds, text: format.duration },
    { name: 'Peak memory', of: (run) => run.peak_rss_bytes, text: format.bytes },
    { name: 'Parameters', of: (run) => run.parameters, text: format.count },
    { name: 'File', of: (run) => run.files[0]?.bytes ?? null, text: format.bytes },
];

/** What came out, a row each; best is said only of what does not grow with the work, and only of other values. */
function Results({ list }: { list: Run[] }) {
    const shown = RESULTS.filter(({ rare, of }) => !rare || list.some((run) => of(run) !== null));
    return (
        <>
            {shown.map(({ name, of, text, best }) => {
                const values = list.map(of).filter((value) => value !== null);
                const top = best === 'most' ? Math.max(...values) : Math.min(...values);
                const crown = best && new Set(values).size > 1;
                return (
                    <tr key={name}>
                        <th scope="row">{name}</th>
                        {list.map((run) => (
                            <td
                                key={run.id}
                                class={crown && of(run) === top ? 'num left best' : 'num left'}
                            >
                                {text(of(run))}
                                {name === 'Test accuracy' &&
                                    run.diverged_at !== null &&
                                    ', diverged'}
                            </td>
                        ))}
                    </tr>
                );
            })}
        </>
    );
}

function Compare({ list }: { list: Run[] }) {
    const differ = differing(list.map((run) => run.settings));
    // What belongs to none of them is left out.
    const names = (Object.keys(list[0].settings) as SettingKey[]).filter((name) =>
        list.some((run) => runSettingWords(name, run.settings) !== format.NOTHING),
    );
    names.sort((a, b) => Number(differ.has(b)) - Number(differ.has(a)));
    return (
        <Card
            title="Side by side"
            aside={
                <span class="muted">
                    {differ.size === 0 ? 'all equal' : `${differ.size} differ, marked ≠`}
                </span>
            }
        >
            <Wide label="Results and settings side by side">
                <table class="compare">
                    <thead>
                        <tr>
                            <th scope="col">Result</th>
                            {list.map((run) => (
                                <th key={run.id} scope="col">
                                    <EngineName id={run.engine} /> {runTitle(run)}
                                </th>
                            ))}
                        </tr>
                    </thead>
                    <tbody>
                        <Results list={list} />
                        <tr class="group-row">
                            <th scope="rowgroup" colSpan={list.length + 1}>
                                Settings
                            </th>
                        </tr>
                        {names.map((name) => (
                            <tr key={name} class={differ.has(name) ? 'differs' : ''}>
                                <th scope="row">
                                    {differ.has(name) && <span aria-label="differs">≠ </span>}
                                    {settingLabel(name)}
                                </th>
                                {list.map((run) => (
                                    <td key={run.id} class="num left">
                                        {runSettingWords(name, run.settings)}
                                    </td>
                                ))}
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
        </Card>
    );
}

function Selection({ list, onNone }: { list: Run[]; onNone: () => void }) {
    const [editing, setEditing] = useState(false);
    const one = list.length === 1 ? list[0] : null;
    return (
        <div class="selection" role="group" aria-label="Selected runs">
            <strong class="num">
                {list.length === 0
                    ? 'Select runs to overlay and compare them'
                    : `${list.length} selected`}
            </strong>
            <Button disabled={!one} onClick={() => setEditing(true)}>
                Rename, tags, notes
            </Button>
            {(['csv', 'json'] as const).map((kind) => (
                <Button
                    key={kind}
                    disabled={list.length === 0}
                    onClick={() => list.forEach((run) => download(exportAddress(run, kind)))}
                >
                    Export {kind.toUpperCase()}
                </Button>
            ))}
            {list.length === 2 ? (
                <a class="button" href={`/diff${query({ a: list[0].id, b: list[1].id })}`}>
                    Diff
                </a>
            ) : (
                <Button disabled title="Select two runs">
                    Diff
                </Button>
            )}
            <Button
                kind="danger"
                disabled={list.length === 0 || list.some(isActive)}
                onClick={() => (void deleteRuns(list), onNone())}
            >
                Delete
            </Button>
            <Button disabled={list.length === 0} onClick={onNone}>
                Clear selection
            </Button>
            {editing && one && <EditRun run={one} onClose={() => setEditing(false)} />}
        </div>
    );
}

function download(address: string) {
    const link = document.createElement('a');
    link.href = address;
    link.download = '';
    link.click();
}

export function Runs() {
    const [q, state, engine] = [param('q'), param('state'), param('engine')];
    const sort = param('sort', 'created_at');
    const address = `/api/runs${query({ q, state, engine, sort, order: param('order', 'desc'), limit: PAGE })}`;
    const { value, error } = useFetched<RunList>(address, runsChanged.value);
    // The server says which runs and in what order; the stream says how each one stands by now.
    const list = (value?.runs ?? [])
        .map((run) => knownRuns.value?.get(run.id) ?? run)
        .filter((run) => !run.deleted);
    const ids = [...new Set(param('sel').split(',').filter(Boolean))];
    const selected = ids
        .map((id) => knownRuns.value?.get(id) ?? list.find((run) => run.id === id))
        .filter((run) => run !== undefined && !run.deleted) as Run[];
    const select = (id: string, on: boolean) =>
        setParams({ sel: (on ? [...ids, id] : ids.filter((one) => one !== id)).join(',') });
    const filtered = Boolean(q || state || engine);
    return (
        <Page
            title="Runs"
            about="Everything that was trained here, from this page or from the terminal."
            actions={<FileDrop />}
        >
            <Card>
                <div class="fields inline filters">
                    <TextField
                        label="Search"
                        placeholder="name, tag, note"
                        value={q}
                        onChange={(text) => setParams({ q: text })}
                    />
                    <SelectField
                        label="State"
                        value={state}
                        onChange={(value) => setParams({ state: value })}
                        options={[
                            { value: '', label: 'any' },
                            ...STATES.map((value) => ({ value, label: value })),
                        ]}
                    />
                    <SelectField
                        label="Engine"
                        value={engine}
                        onChange={(value) => setParams({ engine: value })}
                        options={[
                            { value: '', label: 'any' },
                            ...engines.value.map(({ id, title }) => ({
                                value: id as string,
                                label: title,
                            })),
                        ]}
                    />
                    <span class="muted num total">
                        {value ? format.counted(value.total, 'run') : ' '}
                    </span>
                </div>
                {error && <Trouble>{error}</Trouble>}
                {value && list.length === 0 ? (
                    filtered ? (
                        <Empty
                            title="No run matches"
                            action={
                                <Button
                                    onClick={() =>
                                        setParams({ q: null, state: null, engine: null })
                                    }
                                >
                                    Show all
                                </Button>
                            }
                        >
                            Nothing was found for this search.
                        </Empty>
                    ) : (
                        <Empty
                            title="No runs yet"
                            action={
                                <a class="button main" href="/showdown">
                                    Train all engines
                                </a>
                            }
                        >
                            Every run is kept here with its settings, every step’s loss, its log and
                            its files, until you delete it.
                        </Empty>
                    )
                ) : (
                    <>
                        <List list={list} selected={ids} onSelect={select} />
                        <PinnedColumns />
                    </>
                )}
                {(list.length > 0 || selected.length > 0) && (
                    <Selection list={selected} onNone={() => setParams({ sel: null })} />
                )}
            </Card>
            {selected.length > 0 && <LossPanel runs={selected} title="Overlay" />}
            {selected.length > 1 && <Compare list={selected} />}
            <KeptModels />
        </Page>
    );
}
