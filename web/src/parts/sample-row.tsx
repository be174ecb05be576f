/* Some samples of a data set with their classes, side by side. */
import { bytesOf } from '../lib/api';
import type { Samples } from '../lib/shapes';
import { Picture } from './picture';

export function SampleRow({
    samples,
    classes,
    label,
}: {
    samples: Samples;
    classes: string[];
    label: string;
}) {
    const size = samples.rows * samples.columns * samples.channels;
    const pixels = bytesOf(samples.pixels);
    return (
        <ul class="before-samples" aria-label={label}>
            {samples.labels.map((which, i) => (
                <li key={i}>
                    <Picture
                        pixels={pixels.subarray(i * size, (i + 1) * size)}
                        rows={samples.rows}
                        columns={samples.columns}
                        channels={samples.channels}
                    />
                    <small class="muted">{classes[which] ?? `class ${which}`}</small>
                </li>
            ))}
        </ul>
    );
}
