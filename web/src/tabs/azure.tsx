/* Azure Deployment: register a trained model in Azure ML, in MLflow, or locally. */
import { useEffect, useState } from 'preact/hooks';
import { post, put, remove } from '../lib/api';
import { engineLook, engines, frameworks, labPath } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import { runTitle } from '../lib/run-title';
import * as format from '../lib/format';
import { param, setParams } from '../lib/router';
import { newestRuns, system, tasks } from '../lib/studio';
import { targets } from '../lib/targets';
import type {
    ModelFormat,
    NewRegistration,
    RegistrationList,
    Run,
    SignIn,
    Started,
    Target,
    Targets,
    Task,
    Workspace,
} from '../lib/shapes';
import { Parts } from '../parts/guard';
import { Button, Card, Empty, Page, Segmented, Trouble } from '../parts/basics';
import { Endpoints } from '../parts/endpoints';
import { Field, SelectField, TextField } from '../parts/fields';
import { RegistrationHistory, RegistrationView, SignInPrompt } from '../parts/registration';
import { toastError } from '../parts/toast';
import { Versions } from '../parts/versions';

/** The formats that the frameworks write themselves. */
const formats = () =>
    (system.value?.formats ?? []).filter(({ id }) =>
        frameworks.value.some((engine) => engine.model_format === id),
    );

const hasModel = (run: Run) => run.files.length > 0;
/** The newest that learned something. */
const defaultRun = (list: Run[]) => list.find((run) => run.diverged_at === null) ?? list[0];

function formatOf(run: Run): ModelFormat {
    const known = formats().map(({ id }) => id);
    const asked = param('format') || param('file').split('.').at(-1)!;
    return (
        [asked, engineLook(run.engine).model_format].find((id) => known.includes(id)) ?? known[0]
    );
}

function ModelCard({ list, run, kind }: { list: Run[]; run: Run; kind: ModelFormat }) {
    const written = run.files.find((file) => file.format === kind);
    return (
        <Card title="1. Model">
            <SelectField
                label="Run"
                value={run.id}
                onChange={(id) => setParams({ run: id, file: null, format: null })}
                options={list.map((one) => ({
                    value: one.id,
                    label: `${runTitle(one)}, ${engineLook(one.engine).title}, ${one.diverged_at !== null ? 'diverged' : format.percent(one.last.val_accuracy)}, ${format.time(one.created_at)}`,
                }))}
            />
            {run.diverged_at !== null && (
                <Trouble>
                    This run diverged at step {format.count(run.diverged_at)}: its model only
                    guesses. Choose another run.
                </Trouble>
            )}
            <Segmented
                name="File format"
                value={kind}
                options={formats().map(({ id, title }) => ({
                    value: id,
                    label: `.${id}`,
                    title,
                }))}
                onChange={(value) => setParams({ format: value, file: null })}
            />
            <p class="muted">
                {written
                    ? `${written.name}, ${format.bytes(written.bytes)}, as ${engineLook(run.engine).title} wrote it.`
                    : `Written in C from the run's ${run.files[0].format} file, bit for bit the same weights.`}
            </p>
        </Card>
    );
}

function WorkspacePicker({ signIn, onDone }: { signIn: string; onDone: () => void }) {
    const [task, setTask] = useState('');
    const now = task ? tasks.value.get(task) : undefined;
    const result = now?.result;
    const find = () =>
        void post<Started>('/api/registry/workspaces', { sign_in: signIn } satisfies SignIn).then(
            (made) => setTask(made.task),
            toastError,
        );
    const keep = (value: Workspace) =>
        void put('/api/registry/workspace', value).then(onDone, toastError);
    return (
        <>
            <div class="row">
                <Button disabled={now?.state === 'running'} onClick={find}>
                    {now?.state === 'running' ? 'Asking Azure…' : 'Choose from a list'}
                </Button>
                <label class="button">
                    Upload config.json
                    <input
                        type="file"
                        class="hidden"
                        accept=".json,application/json"
                        onChange={(event) => {
                            const file = event.currentTarget.files?.[0];
                            if (file) void file.text().then((config) => keep({ config }));
                        }}
                    />
                </label>
            </div>
            {now?.state === 'running' && result?.prompt && <SignInPrompt prompt={result.prompt} />}
            {now?.error && <Trouble>{now.error}</Trouble>}
            {result?.workspaces?.length === 0 && (
                <p class="note">
                    This sign-in sees no Azure ML workspace: ask for access to one, or sign in to
                    another tenant.
                </p>
            )}
            {result?.workspaces && result.workspaces.length > 0 && (
                <Field label="Workspace">
                    {(ids) => (
                        <select
                            {...ids}
                            value=""
                            onChange={(event) => {
                                const picked =
                                    result.workspaces![Number(event.currentTarget.value)];
                                keep({
                                    subscription_id: picked.subscription_id,
                                    resource_group: picked.resource_group,
                                    workspace_name: picked.workspace_name,
                                });
                            }}
                        >
                            <option value="" disabled>
                                choose
                            </option>
                            {result.workspaces!.map((one, i) => (
                                <option key={i} value={i}>
                                    {one.workspace_name}, {one.resource_group}, {one.location}
                                </option>
                            ))}
                        </select>
                    )}
                </Field>
            )}
        </>
    );
}

function AzureSignIn({
    target,
    signedIn,
    signIn,
    again,
}: {
    target: Target;
    signedIn: string | null;
    signIn: string;
    again: () => void;
}) {
    const way = target.sign_in.find((one) => one.id === signIn);
    return (
        <>
            <SelectField
                label="Sign-in method"
                value={signIn}
                onChange={(value) => setParams({ sign_in: value })}
                options={target.sign_in.map((one) => ({
                    value: one.id,
                    label: `${one.title}${one.available && !one.interactive ? ', found' : ''}`,
                }))}
            />
            <p class="muted">{way && format.sentence(way.found)}</p>
            {signedIn && signedIn === signIn && (
                <p class="row">
                    <span class="badge" data-state="finished">
                        ✓ signed in
                    </span>
                    <Button
                        onClick={() => void remove('/api/registry/sign-in').then(again, toastError)}
                    >
                        Sign out
                    </Button>
                </p>
            )}
            <h3>Workspace</h3>
            {target.ready ? (
                <dl class="pairs">
                    <dt>Name</dt>
                    <dd>{target.workspace_name}</dd>
                    <dt>Group</dt>
                    <dd>{target.resource_group}</dd>
                    <dt>Found in</dt>
                    <dd>
                        <code class="path">{target.found_in}</code>
                    </dd>
                </dl>
            ) : target.problem ? (
                <Trouble>{format.sentence(target.problem)}</Trouble>
            ) : (
                <p class="muted">
                    None is known yet: pick one from a list, or upload the config.json that its page
                    in the Azure portal offers to download.
                </p>
            )}
            <WorkspacePicker signIn={signIn} onDone={again} />
        </>
    );
}

function History({ finished }: { finished: number }) {
    const { value } = useFetched<RegistrationList>('/api/registry/registrations', finished);
    return <RegistrationHistory rows={value?.registrations ?? null} />;
}

/** The first method found that needs no user, or the device code. */
const likelyWay = (target?: Target) =>
    target?.sign_in.find((way) => way.available && !way.interactive)?.id ?? 'device-code';

/** The registration of this run that began last ("t12" comes after "t9"). */
function newestTask(run: string): Task | undefined {
    const own = [...tasks.value.values()].filter(
        (task) => task.kind === 'register' && task.result?.run === run,
    );
    return own.sort((a, b) => Number(b.id.slice(1)) - Number(a.id.slice(1)))[0];
}

function Deploy({ list, finished }: { list: Run[]; finished: number }) {
    const [counter, setCounter] = useState(0);
    const again = () => setCounter(counter + 1);
    const { value: found, error } = useFetched<Targets>('/api/registry/targets', counter);
    useEffect(() => void (found && (targets.value = found.targets)), [found]);
    const run = list.find((one) => one.id === param('run')) ?? defaultRun(list);
    const kind = formatOf(run);
    const id = param('target') || 'azure';
    const target = found?.targets.find((one) => one.id === id);
    const signIn = param('sign_in') || likelyWay(target);
    const [name, setName] = useState('');
    const [description, setDescription] = useState('');
    const [given, setGiven] = useState<Record<string, string>>({});
    const fields = target?.options.filter((one) => one.on_page && one.kind === 'text') ?? [];
    const values = Object.fromEntries(
        fields.filter((one) => given[one.key]).map((one) => [one.key, given[one.key]]),
    );
    const task = newestTask(run.id);
    const shared = values.registry_name;
    const ready =
        target &&
        (target.ready || (id === 'mlflow' ? 'tracking_uri' in values : shared !== undefined));
    const register = () =>
        void post('/api/registry/registrations', {
            run: run.id,
            format: kind,
            target: id,
            ...(name && { name }),
            ...(description && { description }),
            ...(id === 'azure' && { sign_in: signIn }),
            ...values,
        } satisfies NewRegistration).catch(toastError);
    return (
        <Parts class="deploy-grid">
            {param('run') !== '' && run.id !== param('run') && (
                <Trouble>
                    Run {param('run')} has no model here: {runTitle(run)} is chosen instead.
                </Trouble>
            )}
            <ModelCard list={list} run={run} kind={kind} />
            <Card title="2. Target">
                <Segmented
                    name="Target"
                    value={id}
                    onChange={(value) => setParams({ target: value })}
                    options={(found?.targets ?? []).map((one) => ({
                        value: one.id,
                        label: one.title,
                    }))}
                />
                {error && <Trouble>{error}</Trouble>}
                {target && id !== 'azure' && target.ready && <p class="muted">{target.place}</p>}
                {target && id !== 'azure' && target.problem && (
                    <Trouble>{format.sentence(target.problem)}</Trouble>
                )}
                {fields.map((one) => (
                    <TextField
                        key={one.key}
                        label={one.title}
                        value={given[one.key] ?? ''}
                        placeholder={
                            one.fallback ??
                            (one.key === 'tracking_uri'
                                ? (target?.place ?? 'http://127.0.0.1:5000')
                                : '')
                        }
                        hint={one.key === 'registry_name' ? format.sentence(one.help) : undefined}
                        onChange={(value) => setGiven({ ...given, [one.key]: value })}
                    />
                ))}
            </Card>
            <Card title="3. Sign in">
                {target && id === 'azure' && (
                    <AzureSignIn
                        target={target}
                        signedIn={found!.signed_in}
                        signIn={signIn}
                        again={again}
                    />
                )}
                {id === 'mlflow' && (
                    <p class="muted">
                        The server's own: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and
                        _PASSWORD, in the studio's environment. Many need none.
                    </p>
                )}
                {id === 'local' && (
                    <p class="muted">
                        No sign-in is needed: the version goes into a numbered folder in the
                        studio's home.
                    </p>
                )}
            </Card>
            <Card title="4. Register">
                <div class="fields one">
                    <TextField
                        label="Name"
                        value={name}
                        placeholder="named after format and data set"
                        onChange={setName}
                        hint={id === 'azure' ? 'letters, digits, - and _' : undefined}
                    />
                    <TextField label="Description" value={description} onChange={setDescription} />
                </div>
                <Button
                    kind="main"
                    disabled={!ready || task?.state === 'running'}
                    onClick={register}
                >
                    {task?.state === 'running'
                        ? 'Registering…'
                        : shared
                          ? `Register in ${shared}`
                          : `Register ${target?.where ?? ''}`}
                </Button>
                {target && !ready && (
                    <p class="muted">
                        {id === 'azure'
                            ? 'Choose a workspace in step 3, or enter a registry in step 2.'
                            : 'Enter the server’s address in step 2 first.'}
                    </p>
                )}
            </Card>
            {task && <RegistrationView task={task} onAgain={register} />}
            {target?.ready && id === 'azure' && <Endpoints signIn={signIn} finished={finished} />}
            {target && (
                <Versions
                    key={id}
                    target={target}
                    finished={finished}
                    place={{
                        ...(id === 'azure' && { sign_in: signIn }),
                        ...(values.tracking_uri && { tracking_uri: values.tracking_uri }),
                        ...(shared && { registry_name: shared }),
                    }}
                />
            )}
        </Parts>
    );
}

export function Azure() {
    const list = newestRuns.value.filter(hasModel);
    const ended = [...tasks.value.values()].filter(
        (task) => task.kind === 'register' && task.state !== 'running',
    ).length;
    const asked = param('run');
    useEffect(() => {
        if (!asked && list.length > 0) setParams({ run: defaultRun(list).id });
    }, [asked, list.length]);
    return (
        <Page
            title="Azure Deployment"
            about="From a trained file to a registered, versioned model, read back from where it went."
        >
            {list.length > 0 ? (
                <Deploy list={list} finished={ended} />
            ) : (
                <Card>
                    <Empty
                        title="No trained model yet"
                        action={
                            <a class="button main" href={labPath(engines.value[0]?.id ?? '')}>
                                Train one
                            </a>
                        }
                    >
                        Train a run first. Then pick a file format, say where it goes (Azure ML,
                        MLflow, or a versioned folder on this machine), sign in, and register. Name,
                        version, id and hash are read back from the target, not assumed.
                    </Empty>
                </Card>
            )}
            <History finished={ended} />
        </Page>
    );
}
