/* A row of the atlas, opened: both formulas, the experiment as it runs on every engine, a way to Code Diff. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { forgetResults, resultOf, runExperiment, takeSettings } from '../lib/atlas';
import { engineLook } from '../lib/engines';
import * as format from '../lib/format';
import { go } from '../lib/router';
import { system } from '../lib/studio';
import type { AtlasCurve, AtlasRow, EngineId } from '../lib/shapes';
import { Button, Card, EngineName, Progress, Segmented, Trouble } from './basics';
import { LinePlot } from './line-plot';
import { toast } from './toast';

const SIDES = ['pytorch', 'keras'] as const;

export const differenceWords = (curve: AtlasCurve) =>
    curve.equal ? 'equal' : format.number(Number(curve.largest.toPrecision(3)));

function Formulas({ row }: { row: AtlasRow }) {
    return (
        <div class="sides">
            {SIDES.map((side) => (
                <section
                    key={side}
                    class="atlas-side"
                    data-engine={row[side].engine}
                    aria-label={row[side].title}
                >
                    <h3>{row[side].title}</h3>
                    <pre tabIndex={0}>{row[side].formula}</pre>
                    <p>
                        <span class="muted">Defaults:</span> {row[side].defaults}
                    </p>
                </section>
            ))}
        </div>
    );
}

/** Runs on one engine after the other what has no result yet; ends when the row is left. */
function useExperiment(row: AtlasRow, engines: EngineId[]) {
    const [busy, setBusy] = useState<EngineId | null>(null);
    const [error, setError] = useState('');
    const [turn, setTurn] = useState(0);
    const control = useRef(new AbortController());
    useEffect(() => {
        const mine = (control.current = new AbortController());
        const work = async () => {
            for (const engine of engines) {
                if (resultOf(row.number, engine)) continue;
                setBusy(engine);
                await runExperiment(row.number, engine, mine.signal);
            }
        };
        setError('');
        work()
            .catch((cause: Error) => mine.signal.aborted || setError(cause.message))
            .finally(() => control.current === mine && setBusy(null));
        return () => mine.abort();
    }, [row.number, engines.join(), turn]);
    return {
        busy,
        error,
        cancel: () => control.current.abort(),
        again: () => {
            forgetResults(row.number);
            setTurn(turn + 1);
        },
    };
}

function Confirmations({ row, engines }: { row: AtlasRow; engines: EngineId[] }) {
    return (
        <table class="atlas-engines">
            <thead>
                <tr>
                    <th scope="col">Engine</th>
                    <th scope="col">Both meanings computed</th>
                    <th scope="col" class="num">
                        Away from {engineLook(engines[0]).title}
                    </th>
                </tr>
            </thead>
            <tbody>
                {engines.map((engine) => {
                    const result = resultOf(row.number, engine);
                    return (
                        <tr key={engine}>
                            <th scope="row">
                                <EngineName id={engine} version={result?.version} />
                            </th>
                            <td>
                                {!result
                                    ? format.NOTHING
                                    : result.agrees
                                      ? '✓ the same curves'
                                      : '! other curves'}
                            </td>
                            <td class="num">
                                {result ? format.scientific(result.apart) : format.NOTHING}
                            </td>
                        </tr>
                    );
                })}
            </tbody>
        </table>
    );
}

function Curves({ row, curves }: { row: AtlasRow; curves: AtlasCurve[] }) {
    const [chosen, setChosen] = useState('');
    const curve = curves.find(({ what }) => what === chosen) ?? curves[0];
    const first = curve.x === 'sample' || curve.what === 'weight' ? 0 : 1; // weights are there before the first step
    return (
        <>
            {curves.length > 1 && (
                <Segmented
                    name="Curves"
                    value={curve.what}
                    options={curves.map(({ what }) => ({ value: what, label: what }))}
                    onChange={setChosen}
                />
            )}
            <ul class="row atlas-legend" aria-hidden="true">
                {SIDES.map((side) => (
                    <li key={side} data-engine={row[side].engine}>
                        <svg width="20" height="8" viewBox="0 0 20 8">
                            <path
                                d="M1 4h18"
                                stroke-dasharray={side === 'keras' ? '4 3' : undefined}
                            />
                        </svg>{' '}
                        {row[side].title}
                    </li>
                ))}
            </ul>
            <LinePlot
                key={`${row.number}/${curve.what}`}
                x={curve.pytorch.map((_, i) => i + first)}
                xLabel={curve.x}
                yLabel={curve.what}
                lines={SIDES.map((side) => ({
                    label: row[side].title,
                    color: `--${row[side].engine}`,
                    dash: side === 'keras' ? [6, 4] : undefined,
                    values: curve[side],
                }))}
                label={`Two curves of a ${curve.what}: ${row.pytorch.title} and ${row.keras.title}`}
            />
            <p class="atlas-largest" role="status">
                {curve.equal ? (
                    <>
                        <b>Equal</b> but for rounding: {format.scientific(curve.largest)}
                    </>
                ) : (
                    <>
                        Largest difference of a {curve.what}: <b>{differenceWords(curve)}</b>{' '}
                        <span class="muted">
                            {curve.name && `${curve.name}, `}
                            {curve.x} {curve.at + first}
                        </span>
                    </>
                )}
            </p>
        </>
    );
}

function Experiment({ row }: { row: AtlasRow }) {
    const engines = (system.value?.engines ?? [])
        .filter(({ found }) => found)
        .sort((a, b) => Number(b.default) - Number(a.default))
        .map(({ id }) => id);
    const { busy, error, cancel, again } = useExperiment(row, engines);
    const done = engines.filter((engine) => resultOf(row.number, engine)).length;
    const curves = resultOf(row.number, engines[0])?.curves ?? (row.curve ? [row.curve] : []);
    return (
        <Card
            title="Experiment"
            class="atlas-experiment"
            aside={
                busy ? (
                    <Button onClick={cancel}>Cancel</Button>
                ) : (
                    <Button onClick={again}>Run again</Button>
                )
            }
        >
            <p>{row.experiment}</p>
            <div class="atlas-progress">
                {busy && (
                    <>
                        <Progress value={done} max={engines.length} label="Engines done" />
                        <span>Computing on {engineLook(busy).title}…</span>
                    </>
                )}
            </div>
            {error && <Trouble>{error}</Trouble>}
            {curves.length > 0 && <Curves key={row.number} row={row} curves={curves} />}
            {engines.length > 0 && <Confirmations row={row} engines={engines} />}
        </Card>
    );
}

export function AtlasRowView({ row }: { row: AtlasRow }) {
    const showCode = () => {
        const undo = takeSettings(row.code!);
        go('/code');
        toast('The settings follow the row of the atlas.', { label: 'Undo', act: undo });
    };
    return (
        <article class="stack atlas-open" aria-labelledby="atlas-title">
            <Card
                title={
                    <span id="atlas-title">
                        <span class="muted">{row.number}</span> {row.title}
                    </span>
                }
                aside={row.code && <Button onClick={showCode}>Show in Code Diff</Button>}
            >
                <Formulas row={row} />
                <dl class="atlas-words">
                    <dt>Who meets it</dt>
                    <dd>{row.affects}</dd>
                    <dt>What to do</dt>
                    <dd>{row.migrate}</dd>
                    <dt>Arguments close it</dt>
                    <dd>{row.closes ? 'yes' : 'no'}</dd>
                </dl>
            </Card>
            {row.experiment ? (
                <Experiment row={row} />
            ) : (
                <Card title="No experiment">
                    <p>{`${row.without!.charAt(0).toUpperCase()}${row.without!.slice(1)}.`}</p>
                </Card>
            )}
        </article>
    );
}
