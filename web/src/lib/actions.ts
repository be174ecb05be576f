/* What the user can do to a run; a failure becomes a message. */
import { get, patch, post, query, remove } from './api';
import { engines, labPath } from './engines';
import { path, setParams } from './router';
import { chosenTrack } from './tracking';
import { liveRun, rememberRun, streamMoment, system } from './studio';
import type {
    Continue,
    EngineId,
    NewRate,
    NewRun,
    Run,
    RunEdit,
    Settings,
    Started,
} from './shapes';
import { toast, toastError } from '../parts/toast';

async function change(job: Promise<Run>): Promise<Run | null> {
    const asked = streamMoment();
    try {
        const run = await job;
        rememberRun(run, asked);
        return run;
    } catch (error) {
        toastError(error);
        return null;
    }
}

/** `title` is what the run is called; its files have the usual name. */
export const startRun = (engine: EngineId, settings: Settings, title: string) =>
    change(
        post<Run>('/api/runs', {
            engine,
            settings,
            name: 'simple_nn',
            title,
            tags: [],
            ...chosenTrack(),
        } satisfies NewRun),
    );
/** What was acted on stays on the screen, whatever else starts or whoever goes on with it. */
function pin(run: Run) {
    if (path.value === '/showdown' && run.group) setParams({ group: run.group });
    if (engines.value.some(({ id }) => labPath(id) === path.value)) setParams({ run: run.id });
}

function steer(run: Run, command: 'pause' | 'resume' | 'stop') {
    pin(run);
    return change(post<Run>(`/api/runs/${run.id}/${command}`));
}
export const pauseRun = (run: Run) => steer(run, 'pause');
export const resumeRun = (run: Run) => steer(run, 'resume');
export const stopRun = (run: Run) => steer(run, 'stop');
/** From the next step on. */
export const changeRate = (run: Run, rate: number) => {
    pin(run);
    return change(post<Run>(`/api/runs/${run.id}/rate`, { rate } satisfies NewRate));
};
export const editRun = (run: Run, values: RunEdit) =>
    change(patch<Run>(`/api/runs/${run.id}`, values));

/** Why the studio did not go on with a run: the words of the worker's refusal. */
export const dataHasChanged = (run: Run) =>
    run.error?.includes('has changed since the run was begun') ?? false;

export async function continueRun(
    run: Run,
    engine: EngineId,
    epochs: number,
    accept_changed_data = false,
) {
    pin(run);
    const continued = await change(
        post<Run>(`/api/runs/${run.id}/continue`, {
            engine,
            epochs,
            accept_changed_data,
        } satisfies Continue),
    );
    if (continued) void liveRun(run.id).load(); // it may have gone back to a checkpoint
    return continued;
}

export async function deleteRuns(list: Run[]) {
    const gone = (
        await Promise.all(list.map((run) => change(remove<Run>(`/api/runs/${run.id}`))))
    ).filter((run) => run !== null);
    if (gone.length === 0) return;
    const what =
        gone.length === 1
            ? `Deleted ${gone[0].title || gone[0].name}, ${gone[0].engine}.`
            : `Deleted ${gone.length} runs.`;
    toast(`${what} Its files are kept for 24 hours.`, {
        label: 'Undo',
        act: () => gone.forEach((run) => void restoreRun(run)),
    });
}
export const restoreRun = (run: Run) => change(post<Run>(`/api/runs/${run.id}/restore`));

export function togglePause(run: Run) {
    if (run.state === 'paused') void resumeRun(run);
    else if (run.state === 'running') void pauseRun(run);
}

export async function startTask(address: string) {
    try {
        await post<Started>(address);
    } catch (error) {
        toastError(error);
    }
}

export const exportAddress = (run: Run, format: 'csv' | 'json') =>
    `/api/runs/${run.id}/export${query({ format })}`;
export async function fetchRun(id: string) {
    const asked = streamMoment();
    rememberRun(await get<Run>(`/api/runs/${id}`), asked);
}
/** Until the studio has said what it has, an engine is taken to be there. */
export const engineFound = (id: EngineId) =>
    system.value?.engines.find((engine) => engine.id === id)?.found ?? system.value === null;
