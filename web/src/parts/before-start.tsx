/* What an empty lab or showdown shows: the network, some of the samples, and what Start will do, in numbers. */
import { query } from '../lib/api';
import { findDataset, layerSizes } from '../lib/dataset';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import { parameterCount, settings } from '../lib/settings';
import type { Samples, Settings } from '../lib/shapes';
import { Card } from './basics';
import { SampleRow } from './sample-row';
import type { ComponentChildren } from 'preact';

const SHOWN = 10;

function Examples({ s }: { s: Settings }) {
    const set = findDataset(s.dataset);
    const { value } = useFetched<Samples>(
        set?.available ? `/api/datasets/${set.name}/samples${query({ count: SHOWN })}` : null,
    );
    if (!set || !value) return null;
    return <SampleRow samples={value} classes={set.classes} label={`Samples of ${set.title}`} />;
}

/** Each layer a bar as high as the logarithm of its width. */
function NetworkPicture({ sizes }: { sizes: number[] }) {
    const height = (n: number) => 18 + 62 * (Math.log2(n + 1) / Math.log2(Math.max(...sizes) + 1));
    const width = 600;
    const gap = sizes.length > 1 ? (width - 80) / (sizes.length - 1) : 0;
    const at = (i: number) => 40 + i * gap;
    return (
        <svg
            class="before-network"
            viewBox="0 0 600 116"
            role="img"
            aria-label={sizes.join(' to ')}
        >
            {sizes.slice(1).map((n, i) => (
                <path
                    key={i}
                    d={`M${at(i) + 7} ${46 - height(sizes[i]) / 2}L${at(i + 1) - 7} ${46 - height(n) / 2}V${46 + height(n) / 2}L${at(i) + 7} ${46 + height(sizes[i]) / 2}Z`}
                    class="before-weights"
                />
            ))}
            {sizes.map((n, i) => (
                <g key={i}>
                    <rect
                        x={at(i) - 7}
                        y={46 - height(n) / 2}
                        width="14"
                        height={height(n)}
                        rx="3"
                        class="before-layer"
                    />
                    <text x={at(i)} y="108" text-anchor="middle">
                        {format.count(n)}
                    </text>
                </g>
            ))}
        </svg>
    );
}

/** The samples and the network of the form; `children` say what will happen. */
export function BeforeStart({ children }: { children: ComponentChildren }) {
    const s = settings.value;
    if (!s) return null;
    const set = findDataset(s.dataset);
    const sizes = layerSizes(s.dataset, s.hidden);
    const train = s.limit && set?.train ? Math.min(s.limit, set.train) : (set?.train ?? null);
    const steps = train && Math.ceil(train / s.batch_size);
    return (
        <Card class="first-run" title="What Start will do">
            <Examples s={s} />
            {!s.net && sizes.every((n) => n !== null) && <NetworkPicture sizes={sizes} />}
            <dl class="figures">
                <div class="figure">
                    <dt>training samples</dt>
                    <dd>{format.count(train)}</dd>
                </div>
                {!s.net && (
                    <div class="figure">
                        <dt>parameters</dt>
                        <dd>{format.count(parameterCount(sizes))}</dd>
                    </div>
                )}
                <div class="figure">
                    <dt>steps per epoch</dt>
                    <dd>{format.count(steps)}</dd>
                </div>
                <div class="figure">
                    <dt>updates in all</dt>
                    <dd>{format.count(steps && steps * s.epochs)}</dd>
                </div>
            </dl>
            {children}
        </Card>
    );
}
