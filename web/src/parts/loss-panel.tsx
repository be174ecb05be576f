/* The loss plot with its controls and its table; what is chosen lives in the address. */
import { param, setParams } from '../lib/router';
import { runTitle } from '../lib/run-title';
import * as format from '../lib/format';
import { liveRun } from '../lib/studio';
import type { Run } from '../lib/shapes';
import { engineLook } from '../lib/engines';
import { Card, Segmented } from './basics';
import { LossPlot, type PlotView, type XAxis } from './loss-plot';
import { Wide } from './wide';

const X_OPTIONS = [
    { value: 'step', label: 'Step' },
    { value: 'epoch', label: 'Epoch' },
    { value: 'time', label: 'Time' },
] as const;
const DEFAULT_SMOOTHING = '0.98';

/** What a run that diverged has reached leaves nothing to see on a linear scale. */
const usualLog = (runs: Run[]) => (runs.some((run) => run.diverged_at !== null) ? '1' : '0');

function viewOfAddress(runs: Run[]): PlotView {
    const x = param('x', 'step');
    const smoothing = Number(param('smooth', DEFAULT_SMOOTHING));
    return {
        x: x === 'epoch' || x === 'time' ? x : 'step',
        log: param('log', usualLog(runs)) === '1',
        smoothing: smoothing >= 0 && smoothing < 1 ? smoothing : Number(DEFAULT_SMOOTHING),
    };
}

/** The slider is even in "steps remembered": 0, then 1 … 1000 by powers of ten. */
const toSlider = (factor: number) => (factor === 0 ? 0 : Math.log10(1 / (1 - factor)));
const fromSlider = (value: number) => (value === 0 ? 0 : Number((1 - 10 ** -value).toFixed(5)));

function Controls({ view, usual }: { view: PlotView; usual: string }) {
    return (
        <div class="row plot-controls">
            <Segmented<XAxis>
                name="Horizontal axis"
                value={view.x}
                options={X_OPTIONS}
                onChange={(x) => setParams({ x: x === 'step' ? null : x })}
            />
            <label class="check">
                <input
                    type="checkbox"
                    checked={view.log}
                    onChange={(event) => {
                        const log = event.currentTarget.checked ? '1' : '0';
                        setParams({ log: log === usual ? null : log });
                    }}
                />
                Log scale
            </label>
            <label
                class="slider"
                title="Each point becomes the mean of about this many steps to either side, near ones weighing more; the raw curve stays visible behind."
            >
                Smoothing
                <input
                    type="range"
                    min="0"
                    max="3"
                    step="0.1"
                    value={toSlider(view.smoothing)}
                    onInput={(event) => {
                        const factor = String(fromSlider(Number(event.currentTarget.value)));
                        setParams({ smooth: factor === DEFAULT_SMOOTHING ? null : factor });
                    }}
                />
                <output>
                    {view.smoothing === 0
                        ? 'off'
                        : `± ${Math.round(1 / (1 - view.smoothing))} steps`}
                </output>
            </label>
        </div>
    );
}

function PlotOrTable() {
    const value = param('view') === 'table' ? 'table' : 'plot';
    return (
        <Segmented
            name="Form"
            value={value}
            options={[
                { value: 'plot', label: 'Plot' },
                { value: 'table', label: 'Table' },
            ]}
            onChange={(next) => setParams({ view: next === 'table' ? next : null })}
        />
    );
}

const TABLE_ROWS = 25;

/** The same curve as numbers: evenly spaced steps, each with its raw and its smoothed loss. */
function LossTable({ runs, view }: { runs: Run[]; view: PlotView }) {
    const all = runs.map((run) => ({ run, curve: liveRun(run.id).curve }));
    const last = Math.max(0, ...all.map(({ curve }) => curve.next - 1));
    const steps = [
        ...new Set(
            Array.from({ length: TABLE_ROWS + 1 }, (_, i) => Math.round((last * i) / TABLE_ROWS)),
        ),
    ];
    return (
        <Wide label="Loss by step, as a table">
            <table>
                <thead>
                    <tr>
                        <th scope="col" class="num">
                            Step
                        </th>
                        {all.map(({ run }) => (
                            <th key={run.id} scope="col" class="num">
                                {engineLook(run.engine).title}, {runTitle(run)}
                            </th>
                        ))}
                        {view.smoothing > 0 &&
                            all.map(({ run }) => (
                                <th key={run.id} scope="col" class="num">
                                    {engineLook(run.engine).title}, smoothed
                                </th>
                            ))}
                    </tr>
                </thead>
                <tbody>
                    {steps.map((step) => {
                        const at = all.map(({ curve }) => ({
                            curve,
                            i: step < curve.next ? curve.indexOf(curve.step, step) : -1,
                        }));
                        return (
                            <tr key={step}>
                                <th scope="row" class="num">
                                    {format.count(step)}
                                </th>
                                {at.map(({ curve, i }, n) => (
                                    <td key={n} class="num">
                                        {i < 0 ? format.NOTHING : format.loss(curve.loss[i])}
                                    </td>
                                ))}
                                {view.smoothing > 0 &&
                                    at.map(({ curve, i }, n) => (
                                        <td key={n} class="num">
                                            {i < 0
                                                ? format.NOTHING
                                                : format.loss(curve.smoothed(view.smoothing)[i])}
                                        </td>
                                    ))}
                            </tr>
                        );
                    })}
                </tbody>
            </table>
        </Wide>
    );
}

export function LossPanel({ runs, title = 'Loss' }: { runs: Run[]; title?: string }) {
    const view = viewOfAddress(runs);
    const names = runs.map((run) => `${engineLook(run.engine).title} ${runTitle(run)}`).join(', ');
    return (
        <Card title={title} aside={<PlotOrTable />} class="loss-card">
            <Controls view={view} usual={usualLog(runs)} />
            {param('view') === 'table' ? (
                <LossTable runs={runs} view={view} />
            ) : (
                <LossPlot runs={runs} view={view} label={`Loss curves of ${names || 'no run'}`} />
            )}
        </Card>
    );
}
