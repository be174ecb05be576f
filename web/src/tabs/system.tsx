/* System: what is installed, what the machine has, where things lie. */
import { useEffect } from 'preact/hooks';
import { startTask } from '../lib/actions';
import * as format from '../lib/format';
import { loadSystem, system, tasks } from '../lib/studio';
import type { Engine, System } from '../lib/shapes';
import { Parts } from '../parts/guard';
import { Button, Card, Empty, EngineName, Page, Progress } from '../parts/basics';
import { findTask, TaskView } from '../parts/tasks';
import { Head, Wide } from '../parts/wide';

const REFRESH_MS = 5000;

const engineOfNow = (value: System) =>
    value.engines.find((engine) => engine.default)?.title.toLowerCase() ?? 'default';

function Ready({ value }: { value: System }) {
    const missing = value.engines.filter((engine) => !engine.found);
    return (
        <div class="ready" data-ready={value.ready}>
            <strong>
                {value.ready
                    ? 'Dual-Engine Ready!'
                    : `${missing.map((engine) => engine.title).join(' and ')} ${missing.length === 1 ? 'is' : 'are'} missing`}
            </strong>
            <span>
                {value.ready
                    ? value.engines
                          .filter((engine) => engine.installable)
                          .map((engine) => `${engine.title} ${engine.version}`)
                          .join(' and ') + ', each loaded from its own library.'
                    : `The ${engineOfNow(value)} engine works in the meantime. Install what is missing below.`}
            </span>
        </div>
    );
}

function EngineItem({ engine }: { engine: Engine }) {
    const task = findTask('install', (one) => one.subject === engine.id);
    return (
        <li class="engine" data-engine={engine.id}>
            <div class="row spread">
                <EngineName id={engine.id} version={engine.version} />
                {engine.found ? (
                    <span class="badge" data-state="finished">
                        ✓ ready
                    </span>
                ) : (
                    <Button
                        kind="main"
                        engine={engine.id}
                        disabled={task?.state === 'running'}
                        onClick={() => void startTask(`/api/engines/${engine.id}/install`)}
                    >
                        Install {engine.title}
                    </Button>
                )}
            </div>
            <p class="muted">{engine.found ? engine.detail : engine.missing}</p>
            {engine.path && <code class="path">{engine.path}</code>}
            {engine.found && engine.devices.length > 0 && (
                <p class="muted">devices: {engine.devices.join(', ')}</p>
            )}
            {task && (task.state === 'running' || task.state === 'failed') && (
                <TaskView task={task} />
            )}
        </li>
    );
}

function Machine({ value }: { value: System }) {
    const { total_bytes: total, available_bytes: free } = value.memory;
    return (
        <Card title="Machine">
            <dl class="pairs">
                <dt>Processor</dt>
                <dd>{value.cpu.name}</dd>
                <dt>Cores</dt>
                <dd class="num">{value.cpu.cores}</dd>
                <dt>Instructions</dt>
                <dd>{value.cpu.features.join(', ') || format.NOTHING}</dd>
                <dt>Memory</dt>
                <dd class="num">
                    {format.bytes(total - free)} of {format.bytes(total)} in use
                    <Progress value={total - free} max={total} label="Memory in use" />
                </dd>
                <dt>Studio</dt>
                <dd class="num">
                    {value.version}, up {format.duration(value.uptime_seconds)}
                </dd>
                <dt>Home</dt>
                <dd>
                    <code class="path">{value.home}</code>
                </dd>
            </dl>
        </Card>
    );
}

function DataSets({ value }: { value: System }) {
    return (
        <Card title="Data sets" class="wide">
            <Wide label="Data sets">
                <table>
                    <Head
                        columns={[
                            'Name',
                            { number: 'Training' },
                            { number: 'Test' },
                            'Where',
                            { hidden: 'Do' },
                        ]}
                    />
                    <tbody>
                        {value.datasets.map((set) => (
                            <tr key={set.name}>
                                <th scope="row">
                                    {set.title}
                                    {set.synthetic && <small class="muted"> synthetic</small>}
                                </th>
                                <td class="num">{format.count(set.train)}</td>
                                <td class="num">{format.count(set.test)}</td>
                                <td>
                                    <code class="path">
                                        {set.available
                                            ? set.source || 'drawn by the studio'
                                            : 'not fetched'}
                                    </code>
                                </td>
                                <td class="end">
                                    {set.available ? (
                                        <a href={`/data?dataset=${set.name}`}>Look</a>
                                    ) : (
                                        <Button
                                            onClick={() =>
                                                void startTask(`/api/datasets/${set.name}/fetch`)
                                            }
                                        >
                                            Fetch {format.bytes(set.download_bytes)}
                                        </Button>
                                    )}
                                </td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
        </Card>
    );
}

function Tasks() {
    const list = [...tasks.value.values()].reverse();
    return (
        <Card title="Downloads and installations">
            {list.length === 0 ? (
                <Empty title="None yet">
                    They appear here with their progress, also those that another tab started.
                </Empty>
            ) : (
                list.map((task) => <TaskView key={task.id} task={task} />)
            )}
        </Card>
    );
}

export function SystemTab() {
    useEffect(() => {
        const again = () => !document.hidden && void loadSystem().catch(() => {});
        again();
        const timer = setInterval(again, REFRESH_MS);
        return () => clearInterval(timer);
    }, []);
    const value = system.value;
    return (
        <Page
            title="System"
            about="What is installed, what the machine has, and where files are kept."
        >
            {value && (
                <>
                    <Ready value={value} />
                    <Parts class="system-grid">
                        <Card title="Engines">
                            <ul class="engines">
                                {value.engines.map((engine) => (
                                    <EngineItem key={engine.id} engine={engine} />
                                ))}
                            </ul>
                        </Card>
                        <Parts class="stack">
                            <Machine value={value} />
                            <Tasks />
                        </Parts>
                        <DataSets value={value} />
                    </Parts>
                </>
            )}
        </Page>
    );
}
