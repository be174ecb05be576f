/* Designs with a name: save this one, open or delete another, go back to an earlier version. */
import { useState } from 'preact/hooks';
import { put, remove } from '../lib/api';
import { designs, fitting, readDesigns, readText, subject } from '../lib/design';
import * as format from '../lib/format';
import type { Design, NewDesign } from '../lib/shapes';
import { Button } from './basics';
import { Dialog } from './dialog';
import { TextField } from './fields';
import { toast, toastError } from './toast';

const address = (name: string) => `/api/designs/${encodeURIComponent(name)}`;

async function save(name: string, net: string) {
    const { rows, columns } = subject();
    await put<Design>(address(name), { net, rows, columns } satisfies NewDesign);
    await readDesigns();
}

async function forget(design: Design) {
    try {
        await remove<Design>(address(design.name));
        await readDesigns();
        toast(`Deleted the design ${design.name}.`, {
            label: 'Undo',
            act: () => void save(design.name, design.net).catch(toastError),
        });
    } catch (error) {
        toastError(error);
    }
}

function Row({ design, onOpen }: { design: Design; onOpen: (net: string) => void }) {
    return (
        <li class="design-row">
            <div>
                <strong>{design.name}</strong>
                <small class="muted num">
                    {format.count(design.parameters)} parameters · {format.time(design.saved_at)}
                </small>
                <code>{design.net}</code>
                {design.earlier.length > 0 && (
                    <details>
                        <summary>
                            {design.earlier.length} earlier{' '}
                            {design.earlier.length === 1 ? 'version' : 'versions'}
                        </summary>
                        <ul>
                            {design.earlier.map((version) => (
                                <li key={version.saved_at}>
                                    <button
                                        type="button"
                                        class="link"
                                        onClick={() => onOpen(version.net)}
                                    >
                                        {format.time(version.saved_at)}
                                    </button>{' '}
                                    <code>{version.net}</code>
                                </li>
                            ))}
                        </ul>
                    </details>
                )}
            </div>
            <div class="row">
                <Button onClick={() => onOpen(design.net)} aria-label={`Open ${design.name}`}>
                    Open
                </Button>
                <Button
                    kind="danger"
                    onClick={() => void forget(design)}
                    aria-label={`Delete ${design.name}`}
                >
                    Delete
                </Button>
            </div>
        </li>
    );
}

export function DesignDialog({ good, onClose }: { good: boolean; onClose: () => void }) {
    const [name, setName] = useState('');
    const [problem, setProblem] = useState('');
    const known = designs.value.some((design) => design.name === name.trim());
    const submit = async (event: Event) => {
        event.preventDefault();
        try {
            await save(name.trim(), fitting.value);
            toast(`Saved as ${name.trim()}.`);
            onClose();
        } catch (error) {
            setProblem(format.sentence((error as Error).message));
        }
    };
    return (
        <Dialog title="Designs" wide onClose={onClose}>
            <form class="design-save" onSubmit={(event) => void submit(event)}>
                <TextField
                    label="Save this network as"
                    value={name}
                    problem={problem || undefined}
                    hint={
                        good
                            ? known
                                ? 'The design of that name becomes an earlier version.'
                                : undefined
                            : 'The network does not fit yet: the last one that did is saved.'
                    }
                    onChange={(next) => (setName(next), setProblem(''))}
                />
                <Button type="submit" kind="main" disabled={!name.trim() || !fitting.value}>
                    Save
                </Button>
            </form>
            {designs.value.length === 0 ? (
                <p class="muted">No designs are saved yet.</p>
            ) : (
                <ul class="design-list">
                    {designs.value.map((design) => (
                        <Row
                            key={design.name}
                            design={design}
                            onOpen={(net) => {
                                void readText(net, false);
                                onClose();
                            }}
                        />
                    ))}
                </ul>
            )}
        </Dialog>
    );
}
