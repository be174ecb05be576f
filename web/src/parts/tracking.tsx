/* Runs that are sent to an MLflow server while they train: the choice before a start, and how far each is. */
import { useEffect, useState } from 'preact/hooks';
import { post } from '../lib/api';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import { isActive } from '../lib/studio';
import { trackChoice, trackOf, trackProblem, type TrackChoice } from '../lib/tracking';
import type { Run, Tracking, TrackingCheck } from '../lib/shapes';
import { Button, Trouble } from './basics';
import { SelectField, TextField } from './fields';
import { findTask } from './tasks';
import { toastError } from './toast';

const change = (part: Partial<TrackChoice>) =>
    (trackChoice.value = { ...trackChoice.value, ...part });

/** Asks about an address once it is not being typed any more. */
const QUIET_MS = 600;

/** What the studio says of the server; null while it asks. */
function useCheck(choice: TrackChoice): TrackingCheck | null {
    const [check, setCheck] = useState<TrackingCheck | null>(null);
    useEffect(() => {
        setCheck(null);
        trackProblem.value = '';
        if (!choice.on) return;
        let current = true;
        const timer = setTimeout(() => {
            post<TrackingCheck>('/api/tracking-check', trackOf(choice)).then(
                (found) => {
                    if (!current) return;
                    setCheck(found);
                    trackProblem.value = found.valid ? '' : (found.problem ?? '');
                },
                (error: Error) => current && setCheck({ valid: true, problem: error.message }),
            );
        }, QUIET_MS);
        return () => {
            current = false;
            clearTimeout(timer);
        };
    }, [choice.on, choice.tracking_uri]);
    return check;
}

export function TrackFields() {
    const choice = trackChoice.value;
    const check = useCheck(choice);
    return (
        <div class="track">
            <div class="fields">
                <SelectField
                    label="Track"
                    value={choice.on ? 'mlflow' : 'off'}
                    options={[
                        { value: 'off', label: 'off' },
                        { value: 'mlflow', label: 'MLflow server' },
                    ]}
                    onChange={(value) => change({ on: value === 'mlflow' })}
                />
                {choice.on && (
                    <>
                        <TextField
                            label="Tracking server"
                            value={choice.tracking_uri}
                            placeholder="http://127.0.0.1:5000"
                            problem={
                                check && !check.valid
                                    ? format.sentence(check.problem ?? '')
                                    : undefined
                            }
                            onChange={(tracking_uri) => change({ tracking_uri })}
                        />
                        <TextField
                            label="Experiment"
                            value={choice.experiment}
                            placeholder="nnstudio"
                            onChange={(experiment) => change({ experiment })}
                        />
                    </>
                )}
            </div>
            {choice.on && (!check || check.valid) && (
                <p class="muted" role="status">
                    {!check
                        ? 'Asking the server…'
                        : check.problem
                          ? `${format.sentence(check.problem)} A run can start anyway: it is sent once the server answers.`
                          : 'The server answers. It gets the settings, every loss and the model.'}
                </p>
            )}
        </div>
    );
}

const words = (now: Tracking) => {
    const { steps, all_steps: all } = now;
    if (now.state === 'sent') return `all ${format.count(all)} steps sent`;
    const sent = `${format.count(steps)} of ${format.count(all)} steps sent`;
    if (now.state === 'waiting') return `${sent}; the rest waits`;
    if (now.problem) return `${sent}; server lost, trying again`;
    return steps < all ? `${sent}; catching up` : `sent up to step ${format.count(steps)}`;
};

/** How much of a run an MLflow server has. Nothing for a run that is not tracked. */
export function TrackingLine({ run }: { run: Run }) {
    const task = findTask('track', (one) => one.subject === run.id);
    const live = task?.state === 'running' ? task.result?.tracking : undefined;
    const [asked, setAsked] = useState(0);
    const { value } = useFetched<Tracking>(
        `/api/runs/${run.id}/tracking`,
        `${task?.id} ${task?.state} ${asked}`,
    );
    const now = live ?? (value?.run === run.id ? value : null);
    if (!now || now.state === 'off') return null;
    const send = () =>
        void post<Tracking>(`/api/runs/${run.id}/tracking`).then(
            () => setAsked(asked + 1),
            toastError,
        );
    return (
        <div class="tracking" data-tracking={now.state} data-lost={now.problem !== null}>
            <p class="row spread num progress-words" role="status">
                <span>
                    MLflow: {words(now)}
                    {now.link && (
                        <>
                            {' '}
                            ·{' '}
                            <a href={now.link} target="_blank" rel="noreferrer">
                                its page there
                            </a>
                        </>
                    )}
                </span>
                {now.state === 'waiting' && (
                    <Button onClick={send}>{isActive(run) ? 'Send' : 'Send the rest'}</Button>
                )}
            </p>
            {now.problem && <Trouble>{format.sentence(now.problem)}</Trouble>}
            {now.model_problem && <p class="muted">The model was not sent: {now.model_problem}</p>}
        </div>
    );
}
