/* What was kept of the user's own, models and data sets: deleted, and brought back for a day. */
import { post, remove } from '../lib/api';
import { loadSystem } from '../lib/studio';
import type { KeptNames, KeptUpload } from '../lib/shapes';
import { Button } from './basics';
import { toast, toastError } from './toast';

type Kind = 'models' | 'datasets';

const address = (kind: Kind, name: string) => `/api/${kind}/${encodeURIComponent(name)}`;

/** The studio's lists are read anew then. null: it failed, and that was said. */
async function change<T>(what: Promise<T>): Promise<T | null> {
    try {
        const done = await what;
        await loadSystem();
        return done;
    } catch (error) {
        toastError(error);
        return null;
    }
}

const restore = (kind: Kind, name: string) =>
    change(post<KeptUpload>(`${address(kind, name)}/restore`));

/** `text` says what was deleted, by the studio's answer. False: it was not. */
export async function deleteKept<T>(kind: Kind, name: string, text: (answer: T) => string) {
    const answer = await change(remove<T>(address(kind, name)));
    if (answer !== null)
        toast(text(answer), { label: 'Undo', act: () => void restore(kind, name) });
    return answer !== null;
}

export function DeletedNames({ kind, names }: { kind: Kind; names: KeptNames }) {
    if (names.length === 0) return null;
    return (
        <details>
            <summary>{names.length} deleted, kept for 24 hours</summary>
            <ul class="kept">
                {names.map(({ name }) => (
                    <li key={name} class="row spread">
                        <code>{name}</code>
                        <Button
                            aria-label={`Restore ${name}`}
                            onClick={() => void restore(kind, name)}
                        >
                            Restore
                        </Button>
                    </li>
                ))}
            </ul>
        </details>
    );
}
