/* Runs in words. */
import { engineLook } from '../lib/engines';
import * as format from '../lib/format';
import { editRun } from '../lib/actions';
import type { Run, Settings } from '../lib/shapes';
import { useState } from 'preact/hooks';
import { Button } from './basics';
import { Dialog } from './dialog';
import { Field, TextField } from './fields';

/** "Loss, PyTorch then TensorFlow" */
export function engineLine(run: Run) {
    const names = run.segments.map((segment) => engineLook(segment.engine).title);
    return names.length > 1 ? `Loss, ${names.join(', then ')}` : 'Loss';
}

export function Tags({ tags }: { tags: string[] }) {
    return tags.length === 0 ? null : (
        <span class="tags">
            {tags.map((tag) => (
                <span key={tag} class="tag">
                    {tag}
                </span>
            ))}
        </span>
    );
}

export const SETTING_NAMES: Record<keyof Settings, string> = {
    dataset: 'data set',
    epochs: 'epochs',
    lr: 'learning rate',
    batch_size: 'batch size',
    seed: 'seed',
    init: 'first weights',
    dtype: 'numbers',
    threads: 'threads',
    hidden: 'hidden layers',
    activation: 'activation',
    optimizer: 'optimizer',
    momentum: 'momentum',
    weight_decay: 'weight decay',
    limit: 'training samples',
    device: 'device',
    from: 'started from',
};

export function settingText(settings: Settings, name: keyof Settings): string {
    const value = settings[name];
    if (name === 'limit') return value === 0 ? 'all' : format.count(value as number);
    if (Array.isArray(value)) return value.join(', ') || 'none';
    return value === null || value === '' ? format.NOTHING : String(value);
}

const FILE_NAME = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,98}$/;

export function EditRun({ run, onClose }: { run: Run; onClose: () => void }) {
    const [name, setName] = useState(run.name);
    const [tags, setTags] = useState(run.tags.join(', '));
    const [notes, setNotes] = useState(run.notes);
    const problem = FILE_NAME.test(name)
        ? undefined
        : 'letters, digits, . _ and - only, as it names files';
    const save = async (event: Event) => {
        event.preventDefault();
        const list = tags
            .split(',')
            .map((tag) => tag.trim())
            .filter(Boolean);
        if (await editRun(run, { name, tags: [...new Set(list)], notes })) onClose();
    };
    return (
        <Dialog title={`${engineLook(run.engine).title} ${run.name}`} onClose={onClose}>
            <form class="stack" onSubmit={(event) => void save(event)}>
                <TextField
                    label="Name"
                    value={name}
                    onChange={setName}
                    hint="its files get this name"
                    problem={problem}
                />
                <TextField
                    label="Tags"
                    hint="separated by commas, as in lecture, week 3"
                    value={tags}
                    onChange={setTags}
                />
                <Field label="Notes">
                    {(ids) => (
                        <textarea
                            {...ids}
                            rows={5}
                            value={notes}
                            onInput={(event) => setNotes(event.currentTarget.value)}
                        />
                    )}
                </Field>
                <div class="row end">
                    <Button type="submit" kind="main" disabled={problem !== undefined}>
                        Save
                    </Button>
                </div>
            </form>
        </Dialog>
    );
}
