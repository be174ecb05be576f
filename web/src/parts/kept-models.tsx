/* Model files of the user's own that were kept, to train on from. */
import { defaultEngine, labPath } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import { system } from '../lib/studio';
import type { KeptModels as Kept } from '../lib/shapes';
import { Card } from './basics';

export function KeptModels() {
    // What is kept changes the studio's lists, which are read anew then.
    const { value } = useFetched<Kept>('/api/models', system.value);
    if (!value || value.models.length === 0) return null;
    const lab = labPath(defaultEngine.value?.id ?? 'native');
    return (
        <Card title="Models of your own">
            <ul class="kept-models">
                {value.models.map(({ name }) => (
                    <li key={name} class="row spread">
                        <code>{name}</code>
                        <a href={`${lab}?from=${encodeURIComponent(name)}`}>
                            Start training from it
                        </a>
                    </li>
                ))}
            </ul>
        </Card>
    );
}
