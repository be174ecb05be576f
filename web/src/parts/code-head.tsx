/* What Code Diff and the microscope share: the settings that the code follows, and the numbers of joined ideas. */
import { findDataset, layerSizes, sizesText } from '../lib/dataset';
import * as format from '../lib/format';
import type { CodeDiff, Settings } from '../lib/shapes';
import { SettingsForm } from './settings-form';

/** What the code follows, in a line that opens into the form. */
export function SettingsStrip({ s }: { s: Settings }) {
    const set = findDataset(s.dataset);
    const parts = [
        set?.title ?? s.dataset,
        ...(s.net ? [s.net] : [sizesText(layerSizes(s.dataset, s.hidden)), s.activation]),
        `${s.optimizer} ${s.lr}`,
        `batch ${s.batch_size}`,
        format.counted(s.epochs, 'epoch'),
        `seed ${s.seed}`,
    ];
    return (
        <details class="card settings-strip">
            <summary>
                <span class="strip-title">Settings</span>
                <ul>
                    {parts.map((part) => (
                        <li key={part}>{part}</li>
                    ))}
                </ul>
                <span class="strip-change">change</span>
            </summary>
            <SettingsForm />
        </details>
    );
}

/** Joined ideas are numbered as they come. */
export function numbersOf(diff: CodeDiff | null) {
    const numbers = new Map<string, number>();
    for (const { idea } of diff?.stages.flatMap((stage) => [...stage.left, ...stage.right]) ?? [])
        if (idea !== null && diff?.ideas[idea] && !diff.ideas[idea].only && !numbers.has(idea))
            numbers.set(idea, numbers.size + 1);
    return numbers;
}
