/* What the server sends: docs/internals/api.md in TypeScript. */

export type EngineId = 'torch' | 'tensorflow' | 'native';

export interface Settings {
    dataset: string;
    epochs: number;
    lr: number;
    batch_size: number;
    seed: number;
    init: 'torch' | 'keras';
    dtype: 'float32' | 'float64';
    threads: number;
    hidden: number[];
    activation: 'relu' | 'tanh' | 'sigmoid';
    optimizer: 'sgd' | 'adam';
    momentum: number;
    weight_decay: number;
    limit: number;
    device: string;
    from: string | null;
}

export type RunState =
    | 'queued'
    | 'starting'
    | 'running'
    | 'paused'
    | 'stopping'
    | 'finished'
    | 'stopped'
    | 'failed'
    | 'interrupted';

export interface Progress {
    epoch: number;
    epochs: number;
    step: number;
    steps_per_epoch: number;
    global_step: number;
    total_steps: number;
    seconds: number;
    eta_seconds: number | null;
    samples_per_second: number | null;
}

export interface Segment {
    engine: EngineId;
    engine_version: string;
    first_step: number;
    started_at: number;
}

export interface ModelFile {
    format: string;
    name: string;
    bytes: number;
    sha256: string;
    url: string;
}

export interface Run {
    id: string;
    name: string;
    engine: EngineId;
    engine_version: string;
    state: RunState;
    error: string | null;
    settings: Settings;
    network: {
        input: number[];
        layers: { type: string; inputs: number; outputs: number; activation: string }[];
    } | null;
    parameters: number;
    tags: string[];
    notes: string;
    group: string | null;
    created_at: number;
    started_at: number | null;
    ended_at: number | null;
    progress: Progress;
    last: {
        loss: number | null;
        accuracy: number | null;
        val_loss: number | null;
        val_accuracy: number | null;
    };
    cpu_seconds: number | null;
    rss_bytes: number | null;
    peak_rss_bytes: number | null;
    segments: Segment[];
    files: ModelFile[];
    resumable: boolean;
    deleted: boolean;
}

export interface Epoch {
    epoch: number;
    loss: number;
    accuracy: number;
    val_loss: number;
    val_accuracy: number;
    seconds: number;
    samples_per_second: number;
    engine: EngineId;
    global_step: number;
}

export interface LogLine {
    at: number;
    text: string;
}

export interface RunDetail extends Run {
    epochs: Epoch[];
    log: LogLine[];
}

export interface Points {
    from: number;
    to: number;
    total: number;
    stride: number;
    step: number[];
    loss: (number | null)[]; // null: not a finite number, which ends a run
    seconds: number[];
    mean: (number | null)[]; // mean loss of the bucket that a point stands for
}

export interface EngineInfo {
    id: EngineId;
    title: string;
    color: string;
    found: boolean;
    version: string | null;
    path: string | null;
    detail: string | null;
    missing: string | null;
    devices: string[];
}

export interface DatasetInfo {
    name: string;
    title: string;
    available: boolean;
    synthetic: boolean;
    source: string;
    download_bytes: number;
    train: number;
    test: number;
    rows: number;
    columns: number;
    classes: string[];
}

export interface System {
    version: string;
    ready: boolean;
    engines: EngineInfo[];
    cpu: { name: string; cores: number; features: string[] };
    memory: { total_bytes: number; available_bytes: number };
    home: string;
    datasets: DatasetInfo[];
    uptime_seconds: number;
}

export interface Task {
    id: string;
    kind: 'install' | 'fetch' | 'register' | 'workspaces';
    subject: string; // the engine, the data set; of a registration the run, the format and the target
    title: string;
    state: 'running' | 'done' | 'failed' | 'cancelled';
    done_bytes: number;
    total_bytes: number;
    text: string;
    error: string | null;
    result?: unknown; // what it made, by its kind
}

/** What a registration tells while it goes on. */
export interface RegisterResult {
    run: string | null;
    steps: string[];
    step: number;
    step_count: number;
    prompt: {
        kind: 'device-code' | 'browser';
        url: string;
        code: string | null;
        expires_in: number;
    } | null;
    registration?: Registered;
}

export type TargetId = 'azure' | 'mlflow' | 'local';

/** A version as its target has it. */
export interface Registered {
    target: TargetId;
    name: string;
    version: string;
    id: string;
    uri: string;
    sha256: string;
    bytes?: number;
    created_at: number;
    place: string;
    link: string | null;
    tags: Record<string, string>;
}

export interface SignInWay {
    id: string;
    title: string;
    found: string;
    available: boolean;
    interactive: boolean;
}

/** An option of a target, as the registry's table has it. */
export interface TargetOption {
    key: string;
    kind: 'text' | 'file' | 'choice';
    title: string;
    help: string;
    on_page: boolean;
    max_length: number;
    fallback: string | null;
    variable: string | null;
    choices: string[];
}

export interface Target {
    id: TargetId;
    title: string;
    ready: boolean;
    place: string | null;
    problem: string | null;
    sign_in: SignInWay[];
    options: TargetOption[];
    workspace_name?: string | null;
    resource_group?: string | null;
    subscription_id?: string | null;
    found_in?: string | null;
}

export interface Targets {
    targets: Target[];
    signed_in: string | null;
}

export interface Workspace {
    subscription_id: string;
    resource_group: string;
    workspace_name: string;
    location: string;
}

export interface RegistrationRow {
    id: number;
    run: string | null;
    target: TargetId;
    name: string;
    version: string | null;
    sha256: string | null;
    created_at: number;
    state: 'running' | 'finished' | 'failed' | 'cancelled';
    data: { request?: Record<string, unknown>; result?: Registered; error?: string };
}

export interface Samples {
    indices: number[];
    labels: number[];
    rows: number;
    columns: number;
    pixels: string;
}

export interface DatasetStats {
    count: number;
    classes: string[];
    per_class: number[];
    mean: number;
    std: number;
    min: number;
    max: number;
    mean_images: string;
}

export interface Received {
    shape: number[];
    dtype: string;
    min: number;
    max: number;
    mean: number;
    std: number;
    order_hash: string;
    engines: {
        id: EngineId;
        order_hash: string;
        batch_hash: string | null;
        equal: boolean;
        error: string | null;
    }[];
}

export interface ShowdownRow {
    run: string;
    engine: EngineId;
    seconds_per_epoch: number | null;
    samples_per_second: number | null;
    seconds_to_90: number | null;
    cpu_seconds: number | null;
    peak_rss_bytes: number | null;
    file_bytes: number | null;
    val_accuracy: number | null;
}

export interface Difference {
    pair: string;
    max: number;
    max_first_epoch: number;
    at_step: number;
    curve: { step: number[]; value: number[] };
}

export interface Showdown {
    group: string;
    mode: 'parallel' | 'sequence';
    state: string;
    runs: Run[];
    rows: ShowdownRow[];
    differences: Difference[];
    verdict: string | null;
}

export interface Evaluation {
    samples: number;
    loss: number;
    accuracy: number;
    confusion: number[][];
    rows: number;
    columns: number;
    mistakes: {
        index: number;
        label: number;
        predicted: number;
        probability: number;
        pixels: string;
    }[];
}

export interface Weights {
    count: number;
    rows: number;
    columns: number;
    low: number;
    high: number;
    values: string;
}

export interface Classification {
    input: string;
    answers: {
        run: string;
        engine: EngineId;
        name: string;
        class: number;
        probabilities: number[];
    }[];
}
