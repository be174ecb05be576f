/* Online endpoints: a version in Azure ML as a service there, what runs and is billed, and its end. */
import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import { post } from '../lib/api';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import { tasks } from '../lib/studio';
import type {
    Endpoint,
    EndpointDrawing,
    EndpointTest,
    NewEndpoint,
    RegistrationList,
    SignIn,
    Started,
    Task,
} from '../lib/shapes';
import { Bars, Button, Card, CopyButton, Trouble } from './basics';
import { Dialog } from './dialog';
import { DRAW_SIDE, DrawPad } from './draw-pad';
import { NumberField, SelectField, TextField } from './fields';
import { RegistrationView, SignInPrompt } from './registration';
import { toastError } from './toast';

const INSTANCE_TYPE = 'Standard_DS3_v2';
const INSTANCES_MAX = 20;

/** The newest task about endpoints whose subject begins so ("t12" comes after "t9"). */
const newest = (subject: string, fits: (task: Task) => boolean = () => true): Task | undefined =>
    [...tasks.value.values()]
        .filter(
            (task) => task.kind === 'endpoint' && task.subject.startsWith(subject) && fits(task),
        )
        .sort((a, b) => Number(b.id.slice(1)) - Number(a.id.slice(1)))[0];

/** The tasks that this page started and that change what there is: other pages see its list. */
const own = signal<ReadonlySet<string>>(new Set());
const started = ({ task }: Started) => void (own.value = new Set([...own.value, task]));

const address = (endpoint: string, action: string) =>
    `/api/registry/endpoints/${encodeURIComponent(endpoint)}/${action}`;

/** What the endpoint said of a sample, and whether the file says the same here. */
function Answer({ value }: { value: EndpointTest }) {
    return (
        <div class="endpoint-answer" role="status">
            <p>
                <strong>{value.class_name}</strong> for {value.sample}, answered in{' '}
                {Math.round(value.milliseconds)} ms.
            </p>
            {value.same ? (
                <p class="muted">
                    The same file on this machine gives the same answer (largest difference of a
                    probability {value.max_difference.toExponential(1)}).
                </p>
            ) : (
                <Trouble>
                    The same file on this machine says class {value.expected_class}, and
                    probabilities differ by up to {value.max_difference.toExponential(1)}: do not
                    use the endpoint before you know why.
                </Trouble>
            )}
            <Bars
                label="Probabilities of the endpoint"
                names={value.probabilities.map((_, i) => String(i))}
                values={value.probabilities}
                max={1}
                marked={value.class}
                format={(v) => format.percent(v, 1)}
            />
        </div>
    );
}

function TaskTrouble({ task }: { task: Task | undefined }) {
    return (
        <>
            {task?.state === 'running' && task.result?.prompt && (
                <SignInPrompt prompt={task.result.prompt} />
            )}
            {task?.error && <Trouble>{format.sentence(task.error)}</Trouble>}
        </>
    );
}

function TestDialog({
    endpoint,
    signIn,
    onClose,
}: {
    endpoint: string;
    signIn: string;
    onClose: () => void;
}) {
    const [ink, setInk] = useState<(() => string) | null>(null);
    const [id, setId] = useState('');
    const task = tasks.value.get(id);
    const send = () =>
        void post<Started>(address(endpoint, 'test'), {
            pixels: ink!(),
            width: DRAW_SIDE,
            height: DRAW_SIDE,
            sign_in: signIn,
        } satisfies EndpointDrawing).then((made) => setId(made.task), toastError);
    return (
        <Dialog title={`Test ${endpoint}`} onClose={onClose}>
            <div class="endpoint-test">
                <DrawPad onInk={(drawn) => setInk(() => drawn)} />
                <Button kind="main" disabled={!ink || task?.state === 'running'} onClick={send}>
                    {task?.state === 'running' ? 'Waiting for the answer…' : 'Send to the endpoint'}
                </Button>
                <TaskTrouble task={task} />
                {task?.result?.test && <Answer value={task.result.test} />}
            </div>
        </Dialog>
    );
}

function LogsDialog({
    endpoint,
    signIn,
    onClose,
}: {
    endpoint: string;
    signIn: string;
    onClose: () => void;
}) {
    const [id, setId] = useState('');
    const task = tasks.value.get(id);
    useEffect(() => {
        void post<Started>(address(endpoint, 'logs'), { sign_in: signIn } satisfies SignIn).then(
            (made) => setId(made.task),
            toastError,
        );
    }, [endpoint, signIn]);
    return (
        <Dialog title={`Logs of ${endpoint}`} onClose={onClose} wide>
            {(!task || task.state === 'running') && <p class="muted">Asking Azure…</p>}
            <TaskTrouble task={task} />
            {task?.result?.logs && (
                <pre tabIndex={0} aria-label="The container's last lines">
                    {task.result.logs}
                </pre>
            )}
        </Dialog>
    );
}

function DeleteDialog({
    endpoint,
    signIn,
    onClose,
}: {
    endpoint: string;
    signIn: string;
    onClose: () => void;
}) {
    const task = newest(`delete ${endpoint}`);
    const running = task?.state === 'running';
    useEffect(() => {
        if (task?.result?.deleted) onClose();
    }, [task?.result?.deleted]);
    return (
        <Dialog title={`Delete ${endpoint}?`} onClose={onClose}>
            <p>
                The endpoint and its deployments go, and nothing more is billed for them. The
                registered version stays.
            </p>
            <TaskTrouble task={task} />
            <div class="row">
                <Button
                    kind="main"
                    disabled={running}
                    onClick={() =>
                        void post<Started>(address(endpoint, 'deletion'), {
                            sign_in: signIn,
                        } satisfies SignIn).then(started, toastError)
                    }
                >
                    {running ? 'Deleting…' : 'Delete the endpoint'}
                </Button>
                <Button onClick={onClose}>Keep it</Button>
            </div>
        </Dialog>
    );
}

const DIALOGS = { test: TestDialog, logs: LogsDialog, delete: DeleteDialog };
type Action = keyof typeof DIALOGS;

function Row({ row, open }: { row: Endpoint; open: (action: Action) => void }) {
    const runs = row.deployments.length > 0;
    return (
        <tr>
            <th scope="row">
                {row.endpoint}
                {!row.made_here && <small> not made here</small>}
                {row.scoring_uri && (
                    <div class="row">
                        <code class="path">{row.scoring_uri}</code>
                        <CopyButton text={() => row.scoring_uri!} label="Copy address" />
                    </div>
                )}
            </th>
            <td>{row.model ? `${row.model}, version ${row.version}` : format.NOTHING}</td>
            <td>{row.state}</td>
            <td>
                {row.deployments.map((one) => (
                    <div key={one.name}>
                        {one.instances} × {one.instance_type}, {one.state}
                        <small>{one.traffic}% of the traffic</small>
                    </div>
                ))}
                {!runs && format.NOTHING}
            </td>
            <td class="end">
                <div class="row">
                    <Button disabled={!runs || !row.model} onClick={() => open('test')}>
                        Test
                    </Button>
                    <Button disabled={!runs} onClick={() => open('logs')}>
                        Logs
                    </Button>
                    <Button onClick={() => open('delete')}>Delete</Button>
                </div>
            </td>
        </tr>
    );
}

function List({ rows, signIn }: { rows: Endpoint[]; signIn: string }) {
    const [open, setOpen] = useState<{ endpoint: string; action: Action } | null>(null);
    const billed = rows.reduce((sum, row) => sum + row.billed, 0);
    const Opened = open && DIALOGS[open.action];
    return (
        <>
            <p class={billed ? 'note' : 'muted'}>
                {billed
                    ? `${format.count(billed)} ${billed === 1 ? 'machine is' : 'machines are'} billed by the hour until you delete the endpoint.`
                    : 'No machine is billed.'}
            </p>
            {rows.length > 0 && (
                <div class="scroll" tabIndex={0} role="group" aria-label="Endpoints">
                    <table class="endpoints">
                        <thead>
                            <tr>
                                <th scope="col">Endpoint</th>
                                <th scope="col">Model</th>
                                <th scope="col">State</th>
                                <th scope="col">Machines</th>
                                <th scope="col" />
                            </tr>
                        </thead>
                        <tbody>
                            {rows.map((row) => (
                                <Row
                                    key={`${row.workspace} ${row.endpoint}`}
                                    row={row}
                                    open={(action) => setOpen({ endpoint: row.endpoint, action })}
                                />
                            ))}
                        </tbody>
                    </table>
                </div>
            )}
            {Opened && (
                <Opened endpoint={open.endpoint} signIn={signIn} onClose={() => setOpen(null)} />
            )}
        </>
    );
}

/** What to deploy, on what, and the cost that must be accepted first. */
function NewOne({ signIn, versions }: { signIn: string; versions: string[] }) {
    const [chosen, setChosen] = useState('');
    const [name, setName] = useState('');
    const [type, setType] = useState('');
    const [instances, setInstances] = useState(1);
    const [accepted, setAccepted] = useState(false);
    const picked = versions.includes(chosen) ? chosen : versions[0];
    const model = picked.slice(0, picked.lastIndexOf(':'));
    const task = newest('create');
    const deploy = () =>
        void post<Started>('/api/registry/endpoints', {
            model,
            version: picked.slice(model.length + 1),
            accept_cost: accepted,
            sign_in: signIn,
            ...(name && { name }),
            ...(type && { instance_type: type }),
            ...(instances !== 1 && { instances }),
        } satisfies NewEndpoint).then(started, toastError);
    const fits = instances >= 1 && instances <= INSTANCES_MAX;
    return (
        <>
            <div class="fields">
                <SelectField
                    label="Registered version"
                    value={picked}
                    onChange={setChosen}
                    options={versions.map((one) => ({
                        value: one,
                        label: one.replace(/:(?=[^:]*$)/, ', version '),
                    }))}
                />
                <TextField
                    label="Machine size"
                    value={type}
                    placeholder={INSTANCE_TYPE}
                    onChange={setType}
                />
                <NumberField
                    label="Machines"
                    value={instances}
                    onChange={setInstances}
                    problem={fits ? undefined : `1 to ${INSTANCES_MAX}`}
                />
                <TextField
                    label="Endpoint name"
                    value={name}
                    placeholder="model and six random digits"
                    onChange={setName}
                />
            </div>
            <label class="check">
                <input
                    type="checkbox"
                    checked={accepted}
                    onChange={(event) => setAccepted(event.currentTarget.checked)}
                />{' '}
                Azure may bill {format.count(instances)} × {type || INSTANCE_TYPE} by the hour until
                I delete the endpoint, used or not, also when the deployment fails.
            </label>
            <Button
                kind="main"
                disabled={!accepted || !fits || task?.state === 'running'}
                onClick={deploy}
            >
                {task?.state === 'running' ? 'Deploying…' : 'Deploy to Azure ML'}
            </Button>
            {task && (
                <RegistrationView
                    task={task}
                    onAgain={deploy}
                    cancelled="What Azure has made is kept and may be billed: deploying again goes on from there, deleting ends it."
                >
                    {task.result?.logs && <pre tabIndex={0}>{task.result.logs}</pre>}
                    {task.result?.endpoint && (
                        <>
                            <p>
                                <strong>{task.result.endpoint.endpoint}</strong> answers at{' '}
                                <code class="path">{task.result.endpoint.scoring_uri}</code>
                            </p>
                            <Answer value={task.result.endpoint.test} />
                        </>
                    )}
                </RegistrationView>
            )}
        </>
    );
}

export function Endpoints({ signIn, finished }: { signIn: string; finished: number }) {
    const { value } = useFetched<RegistrationList>('/api/registry/registrations', finished);
    const versions = (value?.registrations ?? [])
        .filter((row) => row.target === 'azure' && row.state === 'finished' && row.version)
        .map((row) => `${row.name}:${row.version}`);
    /* One question at a time. What was last answered stays until the next answer. */
    const [asked, setAsked] = useState({ pending: false, changes: 0 });
    const listed = newest('list');
    const asking = asked.pending || listed?.state === 'running';
    const rows = newest('list', (task) => !!task.result?.endpoints)?.result?.endpoints;
    /* What was made or deleted shows by itself. */
    const changes = [...own.value].filter((id) => {
        const state = tasks.value.get(id)?.state;
        return state && state !== 'running';
    }).length;
    const list = () => {
        setAsked({ pending: true, changes });
        void post<Started>('/api/registry/endpoint-list', { sign_in: signIn } satisfies SignIn)
            .catch(toastError)
            .then(() => setAsked({ pending: false, changes }));
    };
    useEffect(() => {
        if (changes > asked.changes && !asking) list();
    }, [changes, asking]);
    return (
        <Card
            title="5. Deploy"
            class="endpoints-card"
            aside={
                <Button disabled={asking} onClick={list}>
                    {asking ? 'Asking Azure…' : 'List endpoints'}
                </Button>
            }
        >
            <p class="muted">
                An online endpoint answers requests with a registered version: an address and a key.
                It takes Azure 10 to 20 minutes the first time. Its machines are billed by the hour
                until the endpoint is deleted.
            </p>
            {versions.length > 0 ? (
                <NewOne signIn={signIn} versions={[...new Set(versions)]} />
            ) : (
                <p class="muted">Register a model in Azure ML first (step 4).</p>
            )}
            <TaskTrouble task={listed} />
            {rows && <List rows={rows} signIn={signIn} />}
        </Card>
    );
}
