/* The atlas: where PyTorch and Keras mean different things by the same word. */
import { findRows } from '../lib/atlas';
import { useFetched } from '../lib/fetched';
import { go, param, setParams } from '../lib/router';
import type { Atlas, AtlasCurve, AtlasRow } from '../lib/shapes';
import { AtlasRowView, differenceWords } from '../parts/atlas-row';
import { Card, Empty, Page, Trouble } from '../parts/basics';

const WIDTH = 96;
const HEIGHT = 28;

/** A curve as a path in the small picture; `low` and `high` are of both. */
function pathOf(values: (number | null)[], low: number, high: number) {
    const across = (WIDTH - 4) / Math.max(values.length - 1, 1);
    const along = (HEIGHT - 4) / (high - low || 1);
    return values
        .map((value, i) =>
            value === null ? '' : `${2 + i * across},${HEIGHT - 2 - (value - low) * along}`,
        )
        .filter(Boolean)
        .join(' ');
}

function Spark({ row, curve }: { row: AtlasRow; curve: AtlasCurve }) {
    const all = [...curve.pytorch, ...curve.keras].filter((v): v is number => v !== null);
    const low = Math.min(...all);
    const high = Math.max(...all);
    return (
        <svg class="atlas-spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true">
            {(['pytorch', 'keras'] as const).map((side) => (
                <polyline
                    key={side}
                    data-engine={row[side].engine}
                    points={pathOf(curve[side], low, high)}
                />
            ))}
        </svg>
    );
}

const addressOf = (row: AtlasRow) => {
    const text = param('q');
    return `/atlas?row=${row.number}${text && `&q=${encodeURIComponent(text)}`}`;
};

function RowLink({ row, open }: { row: AtlasRow; open: boolean }) {
    return (
        <li>
            <a href={addressOf(row)} aria-current={open ? 'true' : undefined}>
                <span class="muted num">{row.number}</span>
                <span class="atlas-name">
                    {row.title}
                    <small class="muted">{row.subject}</small>
                </span>
                {row.curve ? <Spark row={row} curve={row.curve} /> : <span />}
                <span class="num atlas-number">
                    {row.curve ? differenceWords(row.curve) : 'no experiment'}
                </span>
            </a>
        </li>
    );
}

function List({ rows, open }: { rows: AtlasRow[]; open: AtlasRow | undefined }) {
    const found = findRows(rows, param('q'));
    return (
        <Card class="atlas-list">
            <label class="field">
                <span>Search</span>
                <input
                    type="search"
                    value={param('q')}
                    placeholder="momentum, epsilon, padding …"
                    onInput={(event) => setParams({ q: event.currentTarget.value })}
                    onKeyDown={(event) =>
                        event.key === 'Enter' && found[0] && go(addressOf(found[0]))
                    }
                />
            </label>
            <p class="row spread muted">
                <span role="status">
                    {found.length} of {rows.length} differences
                </span>
                <small>how far apart</small>
            </p>
            {found.length > 0 ? (
                <ol>
                    {found.map((row) => (
                        <RowLink key={row.number} row={row} open={row === open} />
                    ))}
                </ol>
            ) : (
                <Empty title="No difference found">
                    No row has all of these words: use fewer, or others.
                </Empty>
            )}
        </Card>
    );
}

export function AtlasTab() {
    const { value: atlas, error } = useFetched<Atlas>('/api/atlas');
    const asked = param('row');
    const open = atlas?.rows.find(({ number, id }) => asked === String(number) || asked === id);
    return (
        <Page
            title="Atlas"
            about="Where PyTorch and Keras mean different things by the same word, and how far two trainings part because of it."
        >
            {error && <Trouble>{error}</Trouble>}
            {asked && atlas && !open && (
                <Trouble>The atlas has no row “{asked}”: choose one of the list.</Trouble>
            )}
            {atlas && (
                <div class="atlas" data-open={open ? '' : undefined}>
                    <List rows={atlas.rows} open={open} />
                    {open ? (
                        <div class="atlas-detail">
                            <a class="button atlas-back" href="/atlas">
                                All differences
                            </a>
                            <AtlasRowView key={open.number} row={open} />
                        </div>
                    ) : (
                        <Card class="atlas-hint">
                            <Empty title="Choose a difference">
                                It shows both formulas and defaults, and runs two short trainings
                                that differ in nothing else, on every engine.
                            </Empty>
                        </Card>
                    )}
                </div>
            )}
        </Page>
    );
}
