/* Runs in words. */
import { editRun, startRun } from '../lib/actions';
import { findDataset } from '../lib/dataset';
import { engineLook, labPath } from '../lib/engines';
import * as format from '../lib/format';
import { titleProblem } from '../lib/limits';
import { go } from '../lib/router';
import { proposedTitle, runTitle } from '../lib/run-title';
import { changeSettings, findSetting, usualValue } from '../lib/settings';
import { isActive } from '../lib/studio';
import type { EngineId, Run } from '../lib/shapes';
import { useState } from 'preact/hooks';
import { Button, Trouble } from './basics';
import { Dialog } from './dialog';
import { Field, TextField } from './fields';

/** The engines of a run in their order; one that was stopped and resumed is named once. */
export function engineIds(run: Run): EngineId[] {
    const all = run.segments.length ? run.segments.map(({ engine }) => engine) : [run.engine];
    return all.filter((id, i) => i === 0 || id !== all[i - 1]);
}

/** "Loss, PyTorch, then TensorFlow" */
export function engineLine(run: Run) {
    const names = engineIds(run).map((id) => engineLook(id).title);
    return names.length > 1 ? `Loss, ${names.join(', then ')}` : 'Loss';
}

/** What the run's last loss is of: its last batch, or all of the epoch that has just ended. */
export const lossName = ({ progress }: Run) =>
    progress.step === 0 && progress.epoch > 0 ? 'epoch loss' : 'batch loss';

/** The usual learning rate of the run's optimizer where the run's own is above it, else a tenth of that. */
function gentlerRate({ settings }: Run) {
    const setting = findSetting('lr');
    const usual = setting ? Number(usualValue(setting, settings)) : NaN;
    const { lr } = settings;
    return lr > usual ? usual : Number((lr / 10).toPrecision(3));
}

/** Says that a run diverged, and offers the way out. */
export function Diverged({ run }: { run: Run }) {
    if (run.diverged_at === null) return null;
    const classes = findDataset(run.settings.dataset)?.classes.length;
    const lr = gentlerRate(run);
    const again = async () => {
        changeSettings({ lr });
        const next = await startRun(
            run.engine,
            { ...run.settings, lr },
            proposedTitle({ ...run.settings, lr }),
        );
        if (next) go(`${labPath(next.engine)}?run=${next.id}`);
    };
    return (
        <Trouble
            action={
                !isActive(run) &&
                run.settings.from === null && (
                    <Button onClick={() => void again()}>Train with a learning rate of {lr}</Button>
                )
            }
        >
            Diverged at step {format.count(run.diverged_at)}: the loss grew beyond what training
            comes back from.
            {run.last.val_accuracy !== null &&
                ` Test accuracy is ${format.percent(run.last.val_accuracy)}${classes ? `; guessing gives ${format.percent(1 / classes, 0)}` : ''}.`}{' '}
            The learning rate was {run.settings.lr}: try {lr}.
        </Trouble>
    );
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

export function EditRun({ run, onClose }: { run: Run; onClose: () => void }) {
    const [title, setTitle] = useState(runTitle(run));
    const [tags, setTags] = useState(run.tags.join(', '));
    const [notes, setNotes] = useState(run.notes);
    const problem = titleProblem(title);
    const save = async (event: Event) => {
        event.preventDefault();
        const list = tags
            .split(',')
            .map((tag) => tag.trim())
            .filter(Boolean);
        const called = title.trim() === run.name ? '' : title.trim();
        if (await editRun(run, { title: called, tags: [...new Set(list)], notes })) onClose();
    };
    return (
        <Dialog title={`${engineLook(run.engine).title} ${runTitle(run)}`} onClose={onClose}>
            <form class="stack" onSubmit={(event) => void save(event)}>
                <TextField
                    label="Name"
                    value={title}
                    onChange={setTitle}
                    hint={`its files are called ${run.name}`}
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

export const ratePerRank = ({ ranks, samples_per_second: rate }: Run['progress']) =>
    rate === null ? null : rate / ranks;
