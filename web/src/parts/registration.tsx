/* A registration on its way, what was read back, and what was registered before. */
import type { ComponentChildren } from 'preact';
import { post, remove } from '../lib/api';
import * as format from '../lib/format';
import { targetTitle, targetWhere } from '../lib/targets';
import type { RegisteredModel, Registration, Task, TaskResult } from '../lib/shapes';
import { Button, Card, CopyButton, Empty, Hash, Progress, Trouble } from './basics';
import { toastError } from './toast';
import { Head, Wide } from './wide';

const MARKS = { running: '▸', finished: '✓', failed: '!', cancelled: '■' };
const BADGES = { running: 'running', finished: 'finished', failed: 'failed', cancelled: 'stopped' };

/** What the user must do on Microsoft's page before the studio can continue. */
export function SignInPrompt({ prompt }: { prompt: NonNullable<TaskResult['prompt']> }) {
    return (
        <div class="sign-in" role="status">
            {prompt.code ? (
                <>
                    <p>
                        Open{' '}
                        <a href={prompt.url} target="_blank" rel="noreferrer">
                            {prompt.url}
                        </a>{' '}
                        and enter this code:
                    </p>
                    <div class="row">
                        <code class="device-code">{prompt.code}</code>
                        <CopyButton text={() => prompt.code!} />
                    </div>
                </>
            ) : (
                <p>
                    Sign in on{' '}
                    <a href={prompt.url} target="_blank" rel="noreferrer">
                        Microsoft's page
                    </a>
                    : open it in a browser on the machine where the studio runs.
                </p>
            )}
            <p class="muted">
                The studio waits for you, at most {Math.round(prompt.expires_in / 60)} minutes, and
                goes on by itself.
            </p>
        </div>
    );
}

/** Name, version, id, link and hash, as the target has them. */
export function ReadBack({ value }: { value: RegisteredModel }) {
    return (
        <dl class="pairs read-back">
            <dt>Name</dt>
            <dd>{value.name}</dd>
            <dt>Version</dt>
            <dd class="num">{value.version}</dd>
            <dt>Id</dt>
            <dd>
                <code class="path">{value.id}</code>
            </dd>
            {value.link && (
                <>
                    <dt>See it at</dt>
                    <dd>
                        <a href={value.link} target="_blank" rel="noreferrer">
                            {targetTitle(value.target)}
                        </a>
                    </dd>
                </>
            )}
            <dt>File</dt>
            <dd>
                <code class="path">{value.uri}</code>
            </dd>
            <dt>SHA-256</dt>
            <dd class="row">
                {value.sha256 === null ? (
                    format.NOTHING
                ) : (
                    <>
                        <Hash value={value.sha256} />
                        <CopyButton text={() => value.sha256!} />
                    </>
                )}
            </dd>
            <dt>When</dt>
            <dd class="num">{format.time(value.created_at)}</dd>
        </dl>
    );
}

function Steps({ result, running, done }: { result: TaskResult; running: boolean; done: boolean }) {
    const steps = result.steps ?? [];
    return (
        <ol class="register-steps">
            {steps.map((title, i) => {
                const now = running && i === steps.length - 1;
                return (
                    <li key={`${i}${title}`} data-now={now || undefined}>
                        <span aria-hidden="true">{now ? '▸' : running || done ? '✓' : '·'}</span>{' '}
                        {title}
                    </li>
                );
            })}
        </ol>
    );
}

/** A task in steps at a target; `cancelled` says what a stop has left. */
export function RegistrationView({
    task,
    onAgain,
    cancelled = 'What was done is kept: registering again goes on from there.',
    children,
}: {
    task: Task;
    onAgain: () => void;
    cancelled?: string;
    children?: ComponentChildren;
}) {
    const { result } = task;
    const running = task.state === 'running';
    return (
        <Card
            title={task.title}
            class="registration"
            aside={
                running ? (
                    <Button onClick={() => void remove(`/api/tasks/${task.id}`).catch(toastError)}>
                        Cancel
                    </Button>
                ) : null
            }
        >
            {running && (
                <>
                    <Progress
                        value={task.total_bytes ? task.done_bytes : (result?.step ?? 0)}
                        max={task.total_bytes || (result?.step_count ?? 1)}
                        label={task.title}
                    />
                    <p class="row spread progress-words num">
                        <span>
                            {result?.step
                                ? `Step ${result.step} of ${result.step_count}: ${task.text}`
                                : 'Starting'}
                        </span>
                        {task.total_bytes > 0 && (
                            <span>
                                {format.bytes(task.done_bytes)} of {format.bytes(task.total_bytes)}
                            </span>
                        )}
                    </p>
                </>
            )}
            {running && result?.prompt && <SignInPrompt prompt={result.prompt} />}
            {task.error && (
                <Trouble action={<Button onClick={onAgain}>Try again</Button>}>
                    {format.sentence(task.error)} What was done is kept: another try goes on from
                    there.
                </Trouble>
            )}
            {task.state === 'cancelled' && <p class="note">Cancelled. {cancelled}</p>}
            {result?.registration && (
                <p class="read-back-title">
                    <strong>Registered</strong> {targetWhere(result.registration.target)}. What was
                    read back:
                </p>
            )}
            {result?.registration && <ReadBack value={result.registration} />}
            {children}
            {result?.steps?.length ? (
                <Steps result={result} running={running} done={task.state === 'done'} />
            ) : null}
        </Card>
    );
}

export function RegistrationHistory({ rows }: { rows: Registration[] | null }) {
    return (
        <Card title="Registered from here">
            {rows === null || rows.length === 0 ? (
                <Empty title="Nothing registered yet">
                    Each registration stays here with the run it came from, also those of the
                    command line: <code>nnstudio register FILE --to azure</code>.
                </Empty>
            ) : (
                <Wide label="Registered from here">
                    <table class="registrations">
                        <Head
                            columns={[
                                'Model',
                                { number: 'Version' },
                                'Where',
                                'State',
                                'SHA-256',
                                { number: 'When' },
                                'Run',
                                { hidden: 'Do' },
                            ]}
                        />
                        <tbody>
                            {rows.map((row) => (
                                <tr key={row.id}>
                                    <th scope="row">{row.name}</th>
                                    <td class="num">{row.version ?? format.NOTHING}</td>
                                    <td>
                                        {row.data.result?.link ? (
                                            <a
                                                href={row.data.result.link}
                                                target="_blank"
                                                rel="noreferrer"
                                            >
                                                {targetTitle(row.target)}
                                            </a>
                                        ) : (
                                            targetTitle(row.target)
                                        )}
                                    </td>
                                    <td>
                                        <span
                                            class="badge"
                                            data-state={BADGES[row.state]}
                                            title={row.data.error}
                                        >
                                            <span aria-hidden="true">{MARKS[row.state]}</span>{' '}
                                            {row.state}
                                        </span>
                                    </td>
                                    <td>
                                        <code title={row.sha256 ?? ''}>
                                            {row.sha256
                                                ? format.shortHash(row.sha256)
                                                : format.NOTHING}
                                        </code>
                                    </td>
                                    <td class="num">{format.time(row.created_at)}</td>
                                    <td>
                                        {row.run ? (
                                            <a href={`/runs/${row.run}`}>see it</a>
                                        ) : (
                                            format.NOTHING
                                        )}
                                    </td>
                                    <td class="end">
                                        {(row.state === 'failed' || row.state === 'cancelled') &&
                                            row.data.request && (
                                                <Button
                                                    onClick={() =>
                                                        void post(
                                                            '/api/registry/registrations',
                                                            row.data.request,
                                                        ).catch(toastError)
                                                    }
                                                >
                                                    Try again
                                                </Button>
                                            )}
                                    </td>
                                </tr>
                            ))}
                        </tbody>
                    </table>
                </Wide>
            )}
        </Card>
    );
}
