/* Two runs, or two models, set side by side: what differs, where first, and why. */
import { Fragment } from 'preact';
import { useState } from 'preact/hooks';
import { query } from '../lib/api';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import { param, setParams } from '../lib/router';
import { runTitle } from '../lib/run-title';
import { settingWords, type SettingKey } from '../lib/settings';
import { datasets, newestRuns, system } from '../lib/studio';
import type { DiffTensor, KeptModels, ModelsDiff, Run, RunsDiff } from '../lib/shapes';
import { Card, Empty, EngineName, Page, Trouble } from '../parts/basics';
import { SelectField } from '../parts/fields';
import { FileDrop } from '../parts/file-drop';
import { LinePlot } from '../parts/line-plot';
import { Wide } from '../parts/wide';

const CAUSES: Record<RunsDiff['cause'], string> = {
    settings: 'Settings',
    data: 'Data',
    initialization: 'Initial values',
    meaning: 'Meaning',
    rounding: 'Rounding',
    none: 'None',
    unexplained: 'Unexplained',
};

/** "fc1.weight [3, 17]" */
const placeWords = (name: string, at?: number[]) => (at ? `${name} [${at.join(', ')}]` : name);

const pairWords = (values?: (number | null)[]) =>
    values ? `${format.number(values[0])} in A, ${format.number(values[1])} in B` : '';

const SIDES = ['a', 'b'] as const;

/** Runs, and models that were kept; what the address names and no list has stands there too. */
function Choice({ list, kept }: { list: Run[]; kept: string[] }) {
    const options = [
        { value: '', label: 'choose a run or a model' },
        ...kept.map((name) => ({ value: name, label: `model ${name}` })),
        ...list.map((run) => ({
            value: run.id,
            label: `${runTitle(run)}, ${run.engine}, ${format.time(run.created_at)}`,
        })),
    ];
    return (
        <Card>
            <div class="fields inline">
                {SIDES.map((side) => {
                    const value = param(side);
                    const known = options.some((one) => one.value === value);
                    return (
                        <SelectField
                            key={side}
                            label={side.toUpperCase()}
                            value={value}
                            onChange={(next) => setParams({ [side]: next })}
                            options={known ? options : [...options, { value, label: value }]}
                        />
                    );
                })}
            </div>
        </Card>
    );
}

/** The one line, and what stands behind it. */
function Verdict({ diff, models }: { diff: RunsDiff; models: ModelsDiff | null }) {
    const first = diff.first_difference;
    return (
        <Card title="Verdict" class="diff-verdict">
            <p class="diff-line" data-same={diff.same}>
                <span aria-hidden="true">{diff.same ? '✓' : '≠'}</span> {diff.verdict}
            </p>
            {models && (
                <p class="diff-line small" data-same={models.same}>
                    <span aria-hidden="true">{models.same ? '✓' : '≠'}</span> Models:{' '}
                    {models.verdict}
                </p>
            )}
            <dl class="facts">
                <dt>A</dt>
                <dd>
                    <EngineName id={diff.a.engine} /> {diff.a.dtype},{' '}
                    {format.counted(diff.a.steps, 'step')}
                </dd>
                <dt>B</dt>
                <dd>
                    <EngineName id={diff.b.engine} /> {diff.b.dtype},{' '}
                    {format.counted(diff.b.steps, 'step')}
                </dd>
                {diff.parted && (
                    <>
                        <dt>Losses part</dt>
                        <dd class="num">
                            step {format.count(diff.parted.step)}: {pairWords(diff.parted.losses)}
                        </dd>
                        <dt>Cause</dt>
                        <dd>{CAUSES[diff.cause]}</dd>
                    </>
                )}
                {first && (
                    <>
                        <dt>First tensor</dt>
                        <dd class="num">
                            step {format.count(first.step)}, {placeWords(first.tensor, first.at)}
                            {first.values && `: ${pairWords(first.values)}`}
                        </dd>
                    </>
                )}
                {diff.evidence && (
                    <>
                        <dt>Evidence</dt>
                        <dd>{diff.evidence}</dd>
                    </>
                )}
                {diff.row && (
                    <>
                        <dt>Atlas</dt>
                        <dd>
                            <a href={`/atlas?row=${diff.row}`}>
                                Row {diff.row}: {diff.row_title}
                            </a>
                        </dd>
                    </>
                )}
            </dl>
        </Card>
    );
}

function Settings({ diff }: { diff: RunsDiff }) {
    const list = diff.setting_values;
    return (
        <Card
            title="Settings"
            aside={<span class="muted">{format.counted(list.length, 'difference')}</span>}
        >
            {list.length === 0 ? (
                <p class="muted">Both runs have the same settings.</p>
            ) : (
                <Wide label="Settings that differ">
                    <table>
                        <thead>
                            <tr>
                                <th scope="col">Setting</th>
                                <th scope="col">A</th>
                                <th scope="col">B</th>
                            </tr>
                        </thead>
                        <tbody>
                            {list.map(({ key, label, a, b }) => (
                                <tr key={key}>
                                    <th scope="row">{label}</th>
                                    {[a, b].map((value, side) => (
                                        <td key={side} class="num left">
                                            {settingWords(key as SettingKey, value as never)}
                                        </td>
                                    ))}
                                </tr>
                            ))}
                        </tbody>
                    </table>
                </Wide>
            )}
        </Card>
    );
}

/** Both curves; the step at which they part is a mark on A's. */
function Losses({ diff }: { diff: RunsDiff }) {
    const { step, a, b } = diff.curve;
    const parted = diff.parted?.step;
    const mark = step.map((one, i) => (one === parted ? (a[i] ?? b[i]) : null));
    return (
        <Card
            title="Losses"
            aside={
                <span class="muted num">
                    {parted === undefined ? 'they do not part' : `part at step ${parted}`}
                </span>
            }
        >
            <LinePlot
                x={step}
                xLabel="Step"
                yLabel="Loss"
                label="The losses of both runs by step, with the step at which they part"
                yText={format.loss}
                lines={[
                    { label: 'A', color: '--accent', values: a },
                    { label: 'B', color: '--text', dash: [6, 4], values: b },
                    ...(parted === undefined
                        ? []
                        : [
                              {
                                  label: 'first step apart',
                                  color: '--bad',
                                  values: mark,
                                  points: true,
                              },
                          ]),
                ]}
            />
            <p class="muted">
                A is the solid line, B the dashed one
                {parted !== undefined && '; the mark is the first step at which they part'}.
            </p>
        </Card>
    );
}

/** Differences from 1e-9 of a tensor's largest value up to all of it, on a logarithmic scale. */
const barShare = (relative: number | null) =>
    relative === null || relative <= 0
        ? 0
        : Math.min(1, Math.max(0.02, (Math.log10(relative) + 9) / 9));

/** As both have it, or what A and B have. */
const both = (a: string, b: string) => (a === b ? a : `${a} → ${b}`);

function TensorRow({ tensor }: { tensor: DiffTensor }) {
    return (
        <tr>
            <th scope="row">{both(tensor.name, tensor.name_b)}</th>
            <td class="num left">{both(tensor.shape.join(' × '), tensor.shape_b.join(' × '))}</td>
            <td>{tensor.difference.replaceAll('_', ' ')}</td>
            <td class="num">{tensor.max_abs === null ? '' : format.number(tensor.max_abs)}</td>
            <td>
                <span class="diff-bar" data-same={tensor.same} aria-hidden="true">
                    <span style={{ width: `${100 * barShare(tensor.relative)}%` }} />
                </span>
            </td>
            <td class="num">{tensor.relative === null ? '' : format.number(tensor.relative)}</td>
            <td class="num left">{tensor.at ? `[${tensor.at.join(', ')}]` : ''}</td>
            <td class="num left">
                {tensor.values &&
                    `${format.number(tensor.values[0])} → ${format.number(tensor.values[1])}`}
            </td>
        </tr>
    );
}

/** Of two models alone: the one line, and what each file is. */
function ModelsVerdict({ diff }: { diff: ModelsDiff }) {
    return (
        <Card title="Verdict" class="diff-verdict">
            <p class="diff-line" data-same={diff.same}>
                <span aria-hidden="true">{diff.same ? '✓' : '≠'}</span> {diff.verdict}
            </p>
            <dl class="facts">
                <dt>Network</dt>
                <dd>{diff.same_network ? 'the same' : 'another'}</dd>
                {SIDES.map((side) => (
                    <Fragment key={side}>
                        <dt>{side.toUpperCase()}</dt>
                        <dd>
                            {diff[side].format}, {diff[side].dtype},{' '}
                            {format.counted(diff[side].parameters, 'parameter')}
                            {diff[side].assumed?.map((text) => (
                                <div key={text} class="muted">
                                    assumed: {text}
                                </div>
                            ))}
                        </dd>
                    </Fragment>
                ))}
            </dl>
        </Card>
    );
}

/** Whose samples both classify. */
function LogitsData() {
    const sets = (datasets.value ?? []).filter(({ available }) => available);
    const chosen = param('dataset');
    return (
        <div class="fields inline diff-logits">
            <SelectField
                label="Logits on the test samples of"
                value={chosen}
                onChange={(dataset) => setParams({ dataset: dataset || null })}
                options={[
                    { value: '', label: 'what A was trained on' },
                    ...sets.map(({ name, title }) => ({ value: name, label: title })),
                    ...(chosen && !sets.some(({ name }) => name === chosen)
                        ? [{ value: chosen, label: chosen }]
                        : []),
                ]}
            />
        </div>
    );
}

function Tensors({ diff }: { diff: ModelsDiff }) {
    return (
        <Card
            title="Models"
            aside={
                <span class="muted num">
                    {diff.tensors.filter(({ same }) => same).length} of {diff.tensors.length}{' '}
                    tensors the same
                </span>
            }
        >
            {diff.findings.length > 0 && (
                <ul class="diff-findings">
                    {diff.findings.map(({ text }) => (
                        <li key={text}>{text}</li>
                    ))}
                </ul>
            )}
            <Wide label="Tensors of both models">
                <table>
                    <thead>
                        <tr>
                            <th scope="col">Tensor</th>
                            <th scope="col">Shape</th>
                            <th scope="col">Difference</th>
                            <th scope="col" class="num">
                                Largest
                            </th>
                            <th scope="col" colSpan={2}>
                                Relative
                            </th>
                            <th scope="col">At</th>
                            <th scope="col">A → B</th>
                        </tr>
                    </thead>
                    <tbody>
                        {diff.tensors.map((tensor) => (
                            <TensorRow key={tensor.name} tensor={tensor} />
                        ))}
                    </tbody>
                </table>
            </Wide>
            {diff.only_in_a.length > 0 && <p>Only in A: {diff.only_in_a.join(', ')}</p>}
            {diff.only_in_b.length > 0 && <p>Only in B: {diff.only_in_b.join(', ')}</p>}
            <LogitsData />
            <Logits diff={diff} />
        </Card>
    );
}

function Logits({ diff }: { diff: ModelsDiff }) {
    const { logits } = diff;
    if (!logits) return <p class="muted">Logits were not compared: {diff.logits_missing}.</p>;
    return (
        <p>
            On {format.counted(logits.samples, 'test sample')} both name the same class for{' '}
            <b class="num">{format.percent(logits.agree)}</b>; logits are at most{' '}
            <span class="num">
                {logits.max_abs === null ? 'infinitely' : format.number(logits.max_abs)}
            </span>{' '}
            apart; test accuracy is{' '}
            <span class="num">
                {format.percent(logits.accuracy[0])} and {format.percent(logits.accuracy[1])}
            </span>
            .
            {logits.changed.length > 0 && (
                <>
                    {' '}
                    For example, test sample {logits.changed[0].sample} (class{' '}
                    {logits.changed[0].label}) is {logits.changed[0].a} to A and{' '}
                    {logits.changed[0].b} to B.
                </>
            )}
        </p>
    );
}

export function DiffPage() {
    const [a, b, dataset] = [param('a'), param('b'), param('dataset')];
    const list = useFetched<KeptModels>('/api/models', system.value);
    const [dropped, setDropped] = useState<string[]>([]); // the list may not have them yet
    const kept = [...new Set([...(list.value?.models.map(({ name }) => name) ?? []), ...dropped])];
    /** A dropped model takes the side that is free, B when none is. */
    const take = (name: string) => {
        setDropped([...dropped, name]);
        setParams({ [param('a') ? 'b' : 'a']: name });
    };
    const asked = list.value || list.error ? a && b : ''; // which of them are runs is known then
    const trained = asked && !kept.includes(a) && !kept.includes(b);
    const runs = useFetched<RunsDiff>(trained ? `/api/diff/runs${query({ a, b })}` : null);
    const models = useFetched<ModelsDiff>(
        asked ? `/api/diff/models${query({ a, b, dataset })}` : null,
    );
    const diff = runs.stale ? null : runs.value;
    const tensors = models.stale ? null : models.value;
    const runsWrong = !runs.stale && runs.error;
    const modelsWrong = !models.stale && models.error;
    return (
        <Page
            title="Diff"
            about="Two runs or two models side by side: what differs, where first, and why. Where the losses of runs part, both are trained again to find the first tensor that parts."
            actions={<FileDrop onModel={take} />}
        >
            <Choice list={newestRuns.value} kept={kept} />
            {!(a && b) && (
                <Card>
                    <Empty title="Choose two runs or two models">
                        Select them above, drop model files anywhere here, or select two runs in the
                        list of runs, and see what sets them apart.
                    </Empty>
                </Card>
            )}
            {runsWrong && <Trouble>{runsWrong}</Trouble>}
            {trained && !diff && !runsWrong && (
                <Card>
                    <p class="muted" role="status">
                        Comparing; trainings that part are trained again …
                    </p>
                </Card>
            )}
            {diff && <Verdict diff={diff} models={tensors} />}
            {diff && <Settings diff={diff} />}
            {diff && <Losses diff={diff} />}
            {modelsWrong && modelsWrong !== runsWrong && <Trouble>{modelsWrong}</Trouble>}
            {asked && !trained && !tensors && !modelsWrong && (
                <Card>
                    <p class="muted" role="status">
                        Comparing …
                    </p>
                </Card>
            )}
            {tensors && !trained && <ModelsVerdict diff={tensors} />}
            {tensors && <Tensors diff={tensors} />}
        </Page>
    );
}
