/* What the studio fetches or installs right now. */
import { remove } from '../lib/api';
import * as format from '../lib/format';
import { tasks } from '../lib/studio';
import type { Task } from '../lib/shapes';
import { Button, Progress } from './basics';
import { toastError } from './toast';

export const findTask = (kind: Task['kind'], match: (task: Task) => boolean) =>
    [...tasks.value.values()].reverse().find((task) => task.kind === kind && match(task));

export function TaskView({ task }: { task: Task }) {
    const isRunning = task.state === 'running';
    return (
        <div class="task">
            <div class="row spread">
                <strong>{task.title}</strong>
                <span class="muted num">
                    {task.total_bytes > 0 && isRunning
                        ? `${format.bytes(task.done_bytes)} of ${format.bytes(task.total_bytes)}`
                        : task.state}
                </span>
                {isRunning && (
                    <Button onClick={() => void remove(`/api/tasks/${task.id}`).catch(toastError)}>
                        Cancel
                    </Button>
                )}
            </div>
            {isRunning && (
                <Progress value={task.done_bytes} max={task.total_bytes} label={task.title} />
            )}
            <p class={task.error ? 'problem' : 'muted task-text'}>{task.error ?? task.text}</p>
        </div>
    );
}
