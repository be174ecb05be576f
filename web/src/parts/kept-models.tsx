/* Model files of the user's own that were kept, to train on from; deleted ones come back for a day. */
import { defaultLab } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import { system } from '../lib/studio';
import type { KeptModels as Kept, KeptUpload } from '../lib/shapes';
import { Button, Card } from './basics';
import { DeletedNames, deleteKept } from './kept';

const deleteModel = (name: string) =>
    deleteKept<KeptUpload>(
        'models',
        name,
        () => `Deleted the model ${name}. It is kept for 24 hours.`,
    );

export function KeptModels() {
    const { value } = useFetched<Kept>('/api/models', system.value);
    if (!value || value.models.length + value.deleted.length === 0) return null;
    const lab = defaultLab();
    return (
        <Card title="Models of your own">
            <ul class="kept">
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
            <DeletedNames kind="models" names={value.deleted} />
        </Card>
    );
}
