/* Everything the page knows, as signals, kept true by one event stream. */
import { batch, computed, signal, type Signal } from '@preact/signals';
import { ApiError, get } from './api';
import { Curve, CURVE_CAPACITY } from './curve';
import { listen } from './stream';
import type { EventKind, StreamMessage, StudioEvent } from './stream-source';
import type {
    Dataset,
    Epoch,
    Events,
    FullRun,
    LogLine,
    Points,
    RateChange,
    Run,
    RunList,
    Setting,
    Settings,
    SettingsDescription,
    StepsEvent,
    System,
    Task,
    TaskList,
} from './shapes';

export const connection = signal<'connecting' | 'live' | 'lost'>('connecting');
export const system = signal<System | null>(null);
export const datasets = signal<Dataset[] | null>(null);
export const defaults = signal<Settings | null>(null);
/** What is known about each setting: its kind, range, label … null: not read yet. */
export const settingsTable = signal<Setting[] | null>(null);
export const tasks = signal<ReadonlyMap<string, Task>>(new Map());
/** The newest runs and all that were asked for, by id. null: not read yet. */
export const runs = signal<ReadonlyMap<string, Run> | null>(null);
/** Changes when runs come or go, for lists that the server sorts. */
export const runsChanged = signal(0);

export const newestRuns = computed(() =>
    [...(runs.value?.values() ?? [])]
        .filter((run) => !run.deleted)
        .sort((a, b) => b.created_at - a.created_at),
);

const ACTIVE = new Set(['queued', 'starting', 'running', 'paused', 'stopping']);
export const isActive = (run: Run) => ACTIVE.has(run.state);
export const activeRuns = computed(() => newestRuns.value.filter(isActive));

/** What is loaded of a run beyond its row: points, epochs, log. */
export class LiveRun {
    readonly curve = new Curve();
    readonly epochs = signal<Epoch[]>([]);
    readonly log = signal<LogLine[]>([]);
    /** Where the learning rate was changed by hand. */
    readonly rates = signal<RateChange[]>([]);
    readonly state = signal<'loading' | 'ready' | 'failed'>('loading');
    readonly error = signal('');
    private waiting: (() => void)[] | null = null;
    private again = false;

    constructor(readonly id: string) {
        void this.load();
    }

    /** Reads everything anew; events that arrive meanwhile wait and are applied after. */
    async load() {
        if (this.waiting) {
            this.again = true; // what is being read may be from before the reason to read
            return;
        }
        const waiting: (() => void)[] = (this.waiting = []);
        const asked = streamMoment();
        try {
            const [run, points] = await Promise.all([
                get<FullRun>(`/api/runs/${this.id}`),
                get<Points>(`/api/runs/${this.id}/points?max=${CURVE_CAPACITY / 2}`),
            ]);
            batch(() => {
                rememberRun(run, asked);
                this.epochs.value = run.epochs;
                this.log.value = run.log;
                this.rates.value = run.rates;
                this.curve.replace(points, run.progress.steps_per_epoch);
                this.state.value = 'ready';
            });
            this.waiting = null;
            batch(() => waiting.forEach((apply) => apply()));
        } catch (error) {
            this.waiting = null;
            this.state.value = 'failed';
            this.error.value = (error as Error).message;
        }
        if (this.again) {
            this.again = false;
            void this.load();
        }
    }

    private whenRead(apply: () => void) {
        if (this.waiting) this.waiting.push(apply);
        else apply();
    }

    addSteps(steps: StepsEvent) {
        this.whenRead(() => {
            if (!this.curve.append(steps.first_step, steps.losses, steps.seconds)) void this.load(); // what lies between is read with the rest
        });
    }

    addEpoch(epoch: Epoch) {
        this.whenRead(() => {
            const before = this.epochs.value.filter((old) => old.epoch < epoch.epoch);
            this.epochs.value = [...before, epoch];
        });
    }

    addLine({ at, text }: LogLine) {
        this.whenRead(() => {
            const read = this.log.value.some((line) => line.at === at && line.text === text);
            if (read) return;
            this.log.value = [...this.log.value.slice(-199), { at, text }];
            void this.readRates();
        });
    }

    /** The stream tells of a changed rate as a line of the log, which is rare enough to ask each time. */
    private async readRates() {
        const known = JSON.stringify(this.rates.value);
        const run = await get<FullRun>(`/api/runs/${this.id}`).catch(() => null);
        if (run && JSON.stringify(run.rates) !== known) this.rates.value = run.rates;
    }
}

const LIVE_LIMIT = 48;
const live = new Map<string, LiveRun>();

export function liveRun(id: string): LiveRun {
    let found = live.get(id);
    if (found)
        live.delete(id); // to the end: the longest unused goes first
    else found = new LiveRun(id);
    live.set(id, found);
    if (live.size > LIVE_LIMIT) live.delete(live.keys().next().value!);
    return found;
}

/* The stream tells every change of a run, in order; an answer to a question comes on its own way and may be older than what
 * the stream has told meanwhile. So what was told of a run since the question went out stands. */
let tellings = 0;
const lastTelling = new Map<string, number>();
/** Before a question whose answer holds a run: what rememberRun() is to be given with it. */
export const streamMoment = () => tellings;
const isOlder = (id: string, asked: number) => (lastTelling.get(id) ?? 0) > asked;
const wasTold = (id: string) => lastTelling.set(id, ++tellings);

function setRun(run: Run) {
    const { epochs: _, log: __, rates: ___, ...row } = run as FullRun;
    const next = new Map(runs.value ?? []);
    const known = next.get(run.id);
    next.set(run.id, row);
    runs.value = next;
    if (!known || known.state !== run.state || known.deleted !== run.deleted) runsChanged.value++;
}

/** A run as an answer gave it; `asked` is the streamMoment() of the question. */
export function rememberRun(run: Run, asked: number) {
    if (!isOlder(run.id, asked)) setRun(run);
}

function rememberList(list: Run[], asked: number) {
    const known = runs.value;
    const next = new Map<string, Run>();
    for (const run of list) {
        const told = isOlder(run.id, asked);
        const newest = told ? known?.get(run.id) : run;
        if (newest) next.set(run.id, newest);
    }
    for (const [id, run] of known ?? []) if (isOlder(id, asked)) next.set(id, run);
    runs.value = next;
    runsChanged.value++;
}

function setMember<T extends { id: string }>(where: Signal<ReadonlyMap<string, T>>, value: T) {
    where.value = new Map(where.value).set(value.id, value);
}

export async function loadSystem() {
    const value = await get<System>('/api/system');
    batch(() => {
        system.value = value;
        datasets.value = value.datasets;
    });
}

async function loadAll() {
    const asked = streamMoment();
    const quietly = (job: Promise<unknown>) =>
        job.catch((error: ApiError) => console.warn(error.message));
    await Promise.all([
        quietly(loadSystem()),
        quietly(get<Settings>('/api/settings/defaults').then((value) => (defaults.value = value))),
        quietly(
            get<SettingsDescription>('/api/settings').then(
                (value) => (settingsTable.value = value.settings),
            ),
        ),
        quietly(
            get<TaskList>('/api/tasks').then((list) => {
                tasks.value = new Map(list.reverse().map((task) => [task.id, task])); // oldest first, as the stream adds them
            }),
        ),
        quietly(
            get<RunList>('/api/runs?limit=200').then(({ runs: list }) => rememberList(list, asked)),
        ),
    ]);
}

const HANDLERS: { [K in EventKind]: (data: Events[K]) => void } = {
    hello: () => {},
    run: (run) => {
        wasTold(run.id);
        setRun(run);
    },
    steps: (data) => live.get(data.run)?.addSteps(data),
    epoch: (data) => live.get(data.run)?.addEpoch(data),
    log: (data) => live.get(data.run)?.addLine(data),
    task: (task) => {
        setMember(tasks, task);
        if (task.state !== 'running') void loadSystem().catch(() => {});
    },
    removed: ({ run }) => {
        wasTold(run);
        const next = new Map(runs.value ?? []);
        next.delete(run);
        runs.value = next;
        live.delete(run);
        runsChanged.value++;
    },
    reset: readAnew,
};

function readAnew() {
    void loadAll();
    for (const run of live.values()) void run.load();
}

/* What happens many times per second (steps, progress) is taken a few times per second, all at once: each time costs the
 * browser a frame, and the processor belongs to the training. What changes the state of something is taken at once, with
 * all that came before it. */
const PACE_MS = 300;
const HELD_MOST = 200;
let held: StudioEvent[] = [];
let pace = 0;

function isUrgent(event: StudioEvent) {
    if (event.name === 'steps' || event.name === 'epoch' || event.name === 'log') return false;
    if (event.name !== 'run') return true;
    return runs.value?.get(event.data.id)?.state !== event.data.state;
}

const handle = <K extends EventKind>(name: K, data: Events[K]) => HANDLERS[name](data);

function takeHeld() {
    clearTimeout(pace);
    pace = 0;
    const events = held;
    held = [];
    batch(() => events.forEach(({ name, data }) => handle(name, data)));
}

function hold(event: StudioEvent) {
    held.push(event);
    if (isUrgent(event) || held.length > HELD_MOST) takeHeld();
    else pace ||= window.setTimeout(takeHeld, PACE_MS);
}

function receive(message: StreamMessage) {
    switch (message.kind) {
        case 'connecting':
            break;
        case 'open':
            connection.value = 'live';
            break;
        case 'lost':
            connection.value = 'lost';
            break;
        case 'reopened':
            connection.value = 'live';
            readAnew();
            break;
        case 'event':
            connection.value = 'live';
            hold(message);
    }
}

/** Once, at the start: listens first, then reads, so that nothing falls between. */
export function startStudio() {
    listen(receive);
    void loadAll();
}
