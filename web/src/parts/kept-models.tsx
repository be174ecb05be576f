/* Model files of the user's own that were kept, to train on from; deleted ones come back for a day. */
import { post, remove } from '../lib/api';
import { defaultEngine, labPath } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import { loadSystem, system } from '../lib/studio';
import type { KeptModels as Kept, KeptUpload } from '../lib/shapes';
import { Button, Card } from './basics';
import { toast, toastError } from './toast';

const address = (name: string) => `/api/models/${encodeURIComponent(name)}`;

/** The studio's lists are read anew then, and this one with them. */
async function change(what: Promise<KeptUpload>) {
    try {
        await what;
        await loadSystem();
        return true;
    } catch (error) {
        toastError(error);
        return false;
    }
}

const restore = (name: string) => change(post<KeptUpload>(`${address(name)}/restore`));

async function deleteModel(name: string) {
    if (await change(remove<KeptUpload>(address(name))))
        toast(`Deleted the model ${name}. It is kept for 24 hours.`, {
            label: 'Undo',
            act: () => void restore(name),
        });
}

export function KeptModels() {
    const { value } = useFetched<Kept>('/api/models', system.value);
    if (!value || value.models.length + value.deleted.length === 0) return null;
    const lab = labPath(defaultEngine.value?.id ?? 'native');
    return (
        <Card title="Models of your own">
            <ul class="kept-models">
                {value.models.map(({ name }) => (
                    <li key={name} class="row spread">
                        <code>{name}</code>
                        <span class="row">
                            <a href={`${lab}?from=${encodeURIComponent(name)}`}>
                                Start training from it
                            </a>
                            <Button
                                kind="danger"
                                aria-label={`Delete ${name}`}
                                onClick={() => void deleteModel(name)}
                            >
                                Delete
                            </Button>
                        </span>
                    </li>
                ))}
            </ul>
            {value.deleted.length > 0 && (
                <details>
                    <summary>{value.deleted.length} deleted, kept for 24 hours</summary>
                    <ul class="kept-models">
                        {value.deleted.map(({ name }) => (
                            <li key={name} class="row spread">
                                <code>{name}</code>
                                <Button
                                    aria-label={`Restore ${name}`}
                                    onClick={() => void restore(name)}
                                >
                                    Restore
                                </Button>
                            </li>
                        ))}
                    </ul>
                </details>
            )}
        </Card>
    );
}
