/* Runs in words. */
import { engineLook } from '../lib/engines';
import { editRun } from '../lib/actions';
import type { Run } from '../lib/shapes';
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
