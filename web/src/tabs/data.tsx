/* Data Inspector: what the engines learn from, and what they really receive. */
import { bytesOf, query } from '../lib/api';
import { startTask } from '../lib/actions';
import { findDataset, usualDataset } from '../lib/dataset';
import * as format from '../lib/format';
import { useFetched } from '../lib/fetched';
import { closeOver, openOver, param, setParams } from '../lib/router';
import { chooseDataset, settings } from '../lib/settings';
import { datasets, system } from '../lib/studio';
import type {
    Dataset,
    DatasetStats,
    DeletedDataset,
    FirstBatch,
    KeptNames,
    Samples,
} from '../lib/shapes';
import {
    Bars,
    Button,
    Card,
    Empty,
    EngineName,
    Hash,
    Page,
    Segmented,
    Trouble,
} from '../parts/basics';
import { Parts } from '../parts/guard';
import { NumberField, SelectField } from '../parts/fields';
import { FileDrop } from '../parts/file-drop';
import { DeletedNames, deleteKept } from '../parts/kept';
import { Picture } from '../parts/picture';
import { LargeSample } from '../parts/large-sample';
import { findTask, TaskView } from '../parts/tasks';
import { Head, Wide } from '../parts/wide';

const COUNTS = ['24', '48', '96'];

function NotFetched({ set }: { set: Dataset }) {
    const task = findTask('fetch', (one) => one.subject === set.name);
    if (task?.state === 'running')
        return (
            <Card title={set.title}>
                <TaskView task={task} />
            </Card>
        );
    const another = datasets.value?.find((one) => one.available);
    return (
        <Card>
            <Empty
                title={`${set.title} is not on this machine yet`}
                action={
                    <>
                        <Button
                            kind="main"
                            onClick={() => void startTask(`/api/datasets/${set.name}/fetch`)}
                        >
                            Fetch {format.bytes(set.download_bytes)}
                        </Button>
                        {another && (
                            <Button onClick={() => setParams({ dataset: another.name })}>
                                Look at {another.title}
                            </Button>
                        )}
                    </>
                }
            >
                It is fetched from its public mirror, checked against its known SHA-256, and kept in
                the studio’s data folder.
            </Empty>
            {task && <TaskView task={task} />}
        </Card>
    );
}

function Grid({ set, samples }: { set: Dataset; samples: Samples }) {
    const pixels = bytesOf(samples.pixels);
    const size = samples.rows * samples.columns * samples.channels;
    return (
        <ul class="samples" aria-label="Samples">
            {samples.indices.map((index, i) => {
                const name = set.classes[samples.labels[i]];
                return (
                    <li key={index}>
                        <button
                            type="button"
                            class="sample"
                            aria-label={`Sample ${index}, ${name}`}
                            onClick={() => openOver({ open: index })}
                        >
                            <Picture
                                pixels={pixels.subarray(i * size, (i + 1) * size)}
                                rows={samples.rows}
                                columns={samples.columns}
                                channels={samples.channels}
                            />
                            <span>{name}</span>
                        </button>
                    </li>
                );
            })}
        </ul>
    );
}

function SampleGrid({ set }: { set: Dataset }) {
    const seed = Number(param('seed', '0'));
    const label = param('label');
    const count = COUNTS.includes(param('count')) ? param('count') : COUNTS[0];
    const split = param('split', 'train');
    const address = `/api/datasets/${set.name}/samples${query({ count, seed, label, split })}`;
    const { value: samples, error } = useFetched<Samples>(address);
    const open = samples?.indices.indexOf(Number(param('open', '-1'))) ?? -1;
    return (
        <Card
            title="Samples"
            class="samples-card"
            aside={
                <Button kind="main" onClick={() => setParams({ seed: seed + 1, open: null })}>
                    Shuffle again
                </Button>
            }
        >
            <div class="fields inline">
                <SelectField
                    label="Class"
                    value={label}
                    onChange={(value) => setParams({ label: value, open: null })}
                    options={[
                        { value: '', label: 'all' },
                        ...set.classes.map((name, i) => ({ value: String(i), label: name })),
                    ]}
                />
                <SelectField
                    label="How many"
                    value={count}
                    options={COUNTS.map((value) => ({ value, label: value }))}
                    onChange={(value) => setParams({ count: value === COUNTS[0] ? null : value })}
                />
                <NumberField
                    label="Seed"
                    value={seed}
                    onChange={(value) =>
                        Number.isInteger(value) &&
                        value >= 0 &&
                        setParams({ seed: value || null, open: null })
                    }
                />
            </div>
            {error && <Trouble>{error}</Trouble>}
            {samples && param('open') !== '' && open < 0 && (
                <Trouble
                    action={
                        <Button onClick={() => setParams({ open: null })}>Show the samples</Button>
                    }
                >
                    Sample {param('open')} is not among those that seed, class and number choose.
                </Trouble>
            )}
            <div class="samples-place" data-count={count}>
                {samples && <Grid set={set} samples={samples} />}
            </div>
            {samples && open >= 0 && (
                <LargeSample
                    set={set}
                    samples={samples}
                    at={open}
                    onMove={(at) => setParams({ open: samples.indices[at] })}
                    onClose={() => closeOver('open')}
                />
            )}
        </Card>
    );
}

function Classes({ set, stats }: { set: Dataset; stats: DatasetStats | null }) {
    const label = param('label');
    return (
        <Card
            title="Classes"
            class="classes-card"
            aside={
                <span class="muted num">
                    {format.count(
                        stats?.count ?? (param('split') === 'test' ? set.test : set.train),
                    )}{' '}
                    samples
                </span>
            }
        >
            <Bars
                label="Samples per class"
                names={set.classes}
                values={stats?.per_class ?? []}
                marked={label === '' ? undefined : Number(label)}
                onPick={(i) => setParams({ label: label === String(i) ? null : i, open: null })}
            />
        </Card>
    );
}

function MeanImages({ set, stats }: { set: Dataset; stats: DatasetStats | null }) {
    const rows = set.rows ?? 0;
    const columns = set.columns ?? 0;
    const channels = set.channels ?? 1;
    const size = rows * columns * channels;
    const pixels = stats && bytesOf(stats.mean_images);
    return (
        <Card title="The mean of each class" class="means-card">
            <ul class="means">
                {set.classes.map((name, i) => (
                    <li key={name}>
                        <Picture
                            pixels={
                                pixels
                                    ? pixels.subarray(i * size, (i + 1) * size)
                                    : new Uint8Array(size)
                            }
                            rows={rows}
                            columns={columns}
                            channels={channels}
                            label={`Mean of class ${name}`}
                        />
                        <span>{name}</span>
                    </li>
                ))}
            </ul>
            <p class="muted">
                The average picture of each class. Where it is sharp the class varies little; where
                it is blurred, much.
            </p>
        </Card>
    );
}

function WhatTheyReceive({ set }: { set: Dataset }) {
    const batch = settings.value?.batch_size || 32;
    const seed = settings.value?.seed ?? 0;
    const { value, error } = useFetched<FirstBatch>(
        `/api/datasets/${set.name}/engines${query({ seed, batch_size: batch })}`,
    );
    return (
        <Card
            title="What the engines receive"
            class="receive-card"
            aside={<span class="muted">the first batch, seed {seed}</span>}
        >
            {error && <Trouble>{error}</Trouble>}
            <dl class="figures">
                {(
                    [
                        ['shape', value?.shape.join(' × ')],
                        ['dtype', value?.dtype],
                        [
                            'range',
                            value && `${format.number(value.min)} … ${format.number(value.max)}`,
                        ],
                        ['mean', value && format.number(value.mean)],
                        ['std', value && format.number(value.std)],
                    ] as const
                ).map(([name, text]) => (
                    <div class="figure" key={name}>
                        <dt>{name}</dt>
                        <dd>{text ?? format.NOTHING}</dd>
                    </div>
                ))}
            </dl>
            <Wide label="What each engine receives">
                <table class="receive">
                    <Head
                        columns={['Engine', 'Order of the samples', 'The batch’s bytes', 'Same?']}
                    />
                    <tbody>
                        {(value?.engines ?? []).map((engine) => (
                            <tr key={engine.id}>
                                <th scope="row">
                                    <EngineName id={engine.id} />
                                </th>
                                <td>
                                    <Hash value={engine.order_hash} />
                                </td>
                                <td>
                                    {engine.batch_hash ? (
                                        <Hash value={engine.batch_hash} />
                                    ) : (
                                        <span class="muted">{engine.error ?? 'no answer'}</span>
                                    )}
                                </td>
                                <td>
                                    {engine.equal ? (
                                        '✓ equal'
                                    ) : engine.batch_hash ? (
                                        <strong class="problem">≠ differs</strong>
                                    ) : (
                                        '–'
                                    )}
                                </td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
            <p class="muted">
                {!set.own && 'Pixels 0 … 255 divided by 255, the same for all. '}Each engine was
                asked just now, in a process of its own: the hashes are of what went into its first
                layer.
            </p>
        </Card>
    );
}

const pick = ({ rows, columns, channels, classes }: DatasetStats) => ({
    rows,
    columns,
    channels,
    classes,
});

function deletedText(name: string, runs: number) {
    const trained =
        runs === 0
            ? ''
            : ` ${runs === 1 ? '1 run was' : `${runs} runs were`} trained on it and cannot be evaluated without it.`;
    return `Deleted the data set ${name}. It is kept for 24 hours.${trained}`;
}

async function deleteDataset(name: string) {
    const done = await deleteKept<DeletedDataset>('datasets', name, ({ runs }) =>
        deletedText(name, runs),
    );
    if (!done) return;
    setParams({ dataset: null, label: null, open: null, seed: null });
    if (settings.value?.dataset === name) chooseDataset(usualDataset.value);
}

function Deleted() {
    const { value } = useFetched<KeptNames>('/api/datasets/deleted', system.value);
    if (!value || value.length === 0) return null;
    return (
        <Card title="Deleted data sets">
            <DeletedNames kind="datasets" names={value} />
        </Card>
    );
}

export function Data() {
    const name = param('dataset', usualDataset.value);
    const found = findDataset(name);
    const split = param('split', 'train');
    const list = datasets.value ?? [];
    const { value: stats, stale } = useFetched<DatasetStats>(
        found?.available ? `/api/datasets/${found.name}/stats${query({ split })}` : null,
    );
    // Of a user's own set only its statistics know the shape and the classes.
    const set = found?.rows === null && stats && !stale ? { ...found, ...pick(stats) } : found;
    return (
        <Page
            title="Data Inspector"
            about="The data that the engines learn from. Look at it before you trust a number."
            actions={
                <>
                    <FileDrop />
                    <Segmented
                        name="Split"
                        value={split}
                        options={[
                            { value: 'train', label: 'Training' },
                            { value: 'test', label: 'Test' },
                        ]}
                        onChange={(value) =>
                            setParams({ split: value === 'train' ? null : value, open: null })
                        }
                    />
                    <SelectField
                        label="Data set"
                        value={name}
                        onChange={(value) =>
                            setParams({ dataset: value, label: null, open: null, seed: null })
                        }
                        options={list.map((one) => ({
                            value: one.name,
                            label: one.available ? one.title : `${one.title}, not fetched yet`,
                        }))}
                    />
                    {found?.own && (
                        <Button
                            kind="danger"
                            aria-label={`Delete ${found.name}`}
                            onClick={() => void deleteDataset(found.name)}
                        >
                            Delete
                        </Button>
                    )}
                </>
            }
        >
            {datasets.value && !set && (
                <Trouble>There is no data set called “{name}”: choose one above.</Trouble>
            )}
            {set?.synthetic && (
                <p class="note">
                    These digits are drawn by the studio itself: they need no network and are not
                    MNIST. Accuracies on them do not compare with published ones.
                </p>
            )}
            {set && !set.available && <NotFetched set={set} />}
            {set?.available && (
                <Parts class="data-grid">
                    <SampleGrid set={set} />
                    <Classes set={set} stats={stats} />
                    <MeanImages set={set} stats={stats} />
                    <WhatTheyReceive set={set} />
                </Parts>
            )}
            <Deleted />
        </Page>
    );
}
