/* The learning rate over the steps: as a form's settings plan it, and as a run had it. What a schedule says is computed by
 * the studio. */
import { scheduleAddress } from '../lib/code';
import { useFetched, useSettled } from '../lib/fetched';
import * as format from '../lib/format';
import { findSetting } from '../lib/settings';
import { liveRun } from '../lib/studio';
import type { Epoch, Run, SchedulePlan, Settings } from '../lib/shapes';
import { Card, Key } from './basics';
import { LinePlot } from './line-plot';
import { tickLabel } from './plot-frame';

/** Whether the rate may change; the defaults keep it as it is. */
const isPlanned = (s: Settings) =>
    (['schedule', 'warmup'] as const).some(
        (key) => s[key] !== undefined && s[key] !== findSetting(key)?.default,
    );

/** "0.01 at first, at most 0.1 (step 469), 1 × 10⁻⁷ at last" */
const planWords = ({ first, largest, largest_step, last }: SchedulePlan) =>
    [
        `${format.number(first)} at first`,
        largest === first
            ? 'which is the most'
            : `at most ${format.number(largest)} (step ${format.count(largest_step)})`,
        `${format.number(last)} at last`,
    ].join(', ');

function PlanWords({ plan }: { plan: SchedulePlan }) {
    return (
        <p class="small muted num">
            {planWords(plan)}; {plan.estimated && 'about '}
            {format.counted(plan.steps, 'step')}
            {plan.estimated && ' (exact once the data is here)'}, it changes with every {plan.unit}.
            {plan.watches &&
                ' How it goes on depends on the run: the rate is reduced when the loss no longer falls.'}
        </p>
    );
}

/** Beside the field of the schedule, for as long as the settings do not keep the rate as it is. */
export function PlannedRate({ s }: { s: Settings }) {
    const address = useSettled(isPlanned(s) ? scheduleAddress(s) : null);
    const { value: plan, error, stale } = useFetched<SchedulePlan>(address);
    if (!isPlanned(s)) return null;
    const problem = (!stale && error) || plan?.problem;
    if (problem) {
        return (
            <p class="planned-rate problem" role="alert">
                {format.sentence(problem)}
            </p>
        );
    }
    if (!plan || plan.constant) return null;
    return (
        <div class="planned-rate">
            <LinePlot
                x={plan.step}
                xLabel="step"
                yLabel="learning rate"
                yText={tickLabel}
                lines={[{ label: 'planned', color: '--accent', values: plan.rate }]}
                label={`Learning rate by step: ${planWords(plan)}`}
            />
            <PlanWords plan={plan} />
        </div>
    );
}

/** What was planned and what was recorded, on the steps of both. */
function together(plan: SchedulePlan | null, rows: Epoch[]) {
    const planned = new Map(plan?.step.map((step, i) => [step, plan.rate[i]]));
    const recorded = new Map(rows.map((row) => [row.global_step - 1, row.learning_rate]));
    const x = [...new Set([...planned.keys(), ...recorded.keys()])].sort((a, b) => a - b);
    return {
        x,
        planned: x.map((step) => planned.get(step) ?? null),
        recorded: x.map((step) => recorded.get(step) ?? null),
    };
}

/** Of a run whose rate was planned to change, or did. */
export function RateCard({ run }: { run: Run }) {
    const rows = liveRun(run.id).epochs.value.filter((row) => row.learning_rate !== null);
    const each = run.progress.steps_per_epoch;
    const { value, error } = useFetched<SchedulePlan>(
        isPlanned(run.settings) && each > 0 ? scheduleAddress(run.settings, each) : null,
    );
    const plan = value && !value.constant && !value.problem ? value : null;
    const changed = rows.some((row) => row.learning_rate !== rows[0].learning_rate);
    if (!plan && !changed) return null;
    const { x, planned, recorded } = together(plan, rows);
    return (
        <Card title="Learning rate" class="rate-card">
            <LinePlot
                x={x}
                xLabel="step"
                yLabel="learning rate"
                yText={tickLabel}
                lines={[
                    ...(plan ? [{ label: 'planned', color: '--muted', values: planned }] : []),
                    {
                        label: 'recorded',
                        color: `--${run.engine}`,
                        values: recorded,
                        apart: true,
                    },
                ]}
                label={`Learning rate by step${plan ? `, planned: ${planWords(plan)}` : ''}`}
            />
            <p class="muted keyline">
                <Key engines={[run.engine]}>recorded, of each epoch’s last step</Key>{' '}
                {plan && <Key kind="gray">planned by the settings</Key>}
            </p>
            {plan && <PlanWords plan={plan} />}
            {error && <p class="muted">The plan cannot be shown: {error}.</p>}
        </Card>
    );
}
