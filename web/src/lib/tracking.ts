/* Whether the runs that are started here are sent to an MLflow server, as the user chose last. */
import { effect, signal } from '@preact/signals';
import type { Track } from './shapes';

const KEY = 'tracking';

export interface TrackChoice {
    on: boolean;
    /** Empty: the server that the studio's environment names. */
    tracking_uri: string;
    experiment: string;
}

function kept(): TrackChoice {
    const usual = { on: false, tracking_uri: '', experiment: '' };
    try {
        return { ...usual, ...(JSON.parse(localStorage.getItem(KEY) ?? '{}') as TrackChoice) };
    } catch {
        return usual;
    }
}

export const trackChoice = signal<TrackChoice>(kept());
effect(() => {
    const text = JSON.stringify(trackChoice.value);
    try {
        localStorage.setItem(KEY, text);
    } catch {
        // No storage: the choice lasts as long as the page.
    }
});
/** Why no run may start with this choice; empty: nothing is known against it. */
export const trackProblem = signal('');

/** What a server is asked for. */
export const trackOf = ({ tracking_uri, experiment }: TrackChoice): Track => ({
    ...(tracking_uri.trim() && { tracking_uri: tracking_uri.trim() }),
    ...(experiment.trim() && { experiment: experiment.trim() }),
});
/** The members that a run's start has for it: none when nothing is tracked. */
export const chosenTrack = (): { track?: Track } =>
    trackChoice.value.on ? { track: trackOf(trackChoice.value) } : {};
export const trackIsGood = () => !trackChoice.value.on || trackProblem.value === '';
