/* What is registered at a target: a model's versions, what can be changed of them, two side by side. */
import { useState } from 'preact/hooks';
import { get, post, query } from '../lib/api';
import { useFetched } from '../lib/fetched';
import * as format from '../lib/format';
import type {
    ChangedVersion,
    ChangeId,
    RegisteredModel,
    Target,
    VersionChange,
    VersionComparison,
    VersionDifference,
    VersionList,
} from '../lib/shapes';
import { Button, Card, Empty, Trouble } from './basics';
import { Dialog } from './dialog';
import { SelectField, TextField } from './fields';
import { ReadBack } from './registration';
import { Head, Wide } from './wide';

/** How to get to the target: members of a request. */
export type Place = Pick<VersionChange, 'sign_in' | 'tracking_uri'>;
type Version = VersionList['versions'][number];
type Change = Omit<VersionChange, keyof Place>;

const address = (target: Target, ...parts: string[]) =>
    ['/api/registry/models', target.id, ...parts.map(encodeURIComponent)].join('/');

function Tags({
    tags,
    can,
    act,
}: {
    tags: [string, string][];
    can: (id: ChangeId) => boolean;
    act: (change: Change) => void;
}) {
    const [key, setKey] = useState('');
    const [value, setValue] = useState('');
    return (
        <>
            <h3>Tags</h3>
            <ul class="chips">
                {tags.map(([name, text]) => (
                    <li key={name}>
                        <span class="chip-text">
                            {name}: {text}
                        </span>
                        {can('drop-tag') && (
                            <button
                                type="button"
                                class="bare"
                                aria-label={`Remove the tag ${name}`}
                                onClick={() => act({ change: 'drop-tag', key: name })}
                            >
                                ×
                            </button>
                        )}
                    </li>
                ))}
            </ul>
            {can('tag') && (
                <form
                    class="row fields-row"
                    onSubmit={(event) => {
                        event.preventDefault();
                        act({ change: 'tag', key, value });
                        setKey('');
                        setValue('');
                    }}
                >
                    <TextField label="Tag" value={key} onChange={setKey} />
                    <TextField label="Value" value={value} onChange={setValue} />
                    <Button type="submit" disabled={!key}>
                        Set tag
                    </Button>
                </form>
            )}
        </>
    );
}

function Aliases({ names, act }: { names: string[]; act: (change: Change) => void }) {
    const [alias, setAlias] = useState('');
    return (
        <>
            <h3>Aliases</h3>
            {names.length > 0 && (
                <ul class="chips">
                    {names.map((name) => (
                        <li key={name}>
                            <span class="chip-text">@{name}</span>
                            <button
                                type="button"
                                class="bare"
                                aria-label={`Remove the alias ${name}`}
                                onClick={() => act({ change: 'drop-alias', key: name })}
                            >
                                ×
                            </button>
                        </li>
                    ))}
                </ul>
            )}
            <form
                class="row fields-row"
                onSubmit={(event) => {
                    event.preventDefault();
                    act({ change: 'alias', key: alias });
                    setAlias('');
                }}
            >
                <TextField
                    label="Alias"
                    value={alias}
                    onChange={setAlias}
                    placeholder="champion"
                    hint="moves here if another version has it"
                />
                <Button type="submit" disabled={!alias}>
                    Set alias
                </Button>
            </form>
        </>
    );
}

function Deletion({ words, act }: { words: string; act: (change: Change) => void }) {
    const [typed, setTyped] = useState('');
    return (
        <form
            class="row fields-row"
            onSubmit={(event) => {
                event.preventDefault();
                act({ change: 'delete', confirm: typed });
            }}
        >
            <TextField
                label={`Type ${words} to delete this version`}
                value={typed}
                onChange={setTyped}
                hint="cannot be undone"
            />
            <Button kind="danger" type="submit" disabled={typed !== words}>
                Delete version
            </Button>
        </form>
    );
}

function VersionDialog({
    target,
    first,
    place,
    onChanged,
    onClose,
}: {
    target: Target;
    first: RegisteredModel;
    place: Place;
    onChanged: () => void;
    onClose: () => void;
}) {
    const [value, setValue] = useState(first);
    const [about, setAbout] = useState(first.description ?? '');
    const [error, setError] = useState('');
    const can = (id: ChangeId) => target.changes.includes(id);
    const act = (change: Change) =>
        void post<ChangedVersion>(`${address(target, value.name, value.version)}/changes`, {
            ...change,
            ...place,
        } satisfies VersionChange).then(
            ({ version }) => {
                setError('');
                onChanged();
                if (version) setValue(version);
                else onClose();
            },
            (cause: Error) => setError(cause.message),
        );
    return (
        <Dialog title={`${value.name}, version ${value.version}`} onClose={onClose} wide>
            {error && <Trouble>{format.sentence(error)}</Trouble>}
            {value.archived && <p class="note">Archived: it is not the latest version.</p>}
            <ReadBack value={value} />
            {can('describe') && (
                <form
                    class="row fields-row"
                    onSubmit={(event) => {
                        event.preventDefault();
                        act({ change: 'describe', value: about });
                    }}
                >
                    <TextField label="Description" value={about} onChange={setAbout} />
                    <Button type="submit" disabled={about === (value.description ?? '')}>
                        Save description
                    </Button>
                </form>
            )}
            {can('alias') ? (
                <Aliases names={value.aliases ?? []} act={act} />
            ) : (
                <p class="muted">{target.title} has no aliases: use a tag.</p>
            )}
            <Tags
                tags={Object.entries(value.tags ?? {}).filter(([key]) => key !== 'sha256')}
                can={can}
                act={act}
            />
            <h3>Retire</h3>
            <p class="row">
                <Button onClick={() => act({ change: value.archived ? 'restore' : 'archive' })}>
                    {value.archived ? 'Restore' : 'Archive'}
                </Button>
            </p>
            {can('delete') && <Deletion words={`${value.name}:${value.version}`} act={act} />}
        </Dialog>
    );
}

function Side({ row, text }: { row: VersionDifference; text: string | null }) {
    if (text === null) return <td>{format.NOTHING}</td>;
    if (row.group !== 'file') return <td>{text}</td>;
    return (
        <td>
            {row.key === 'sha256' ? (
                <code title={text}>{format.shortHash(text)}</code>
            ) : (
                <span title={`${format.count(Number(text))} bytes`}>
                    {format.bytes(Number(text))}
                </span>
            )}
        </td>
    );
}

function Differences({ value }: { value: VersionComparison }) {
    return (
        <>
            {value.same_file && <p class="note">Both are the same file.</p>}
            {value.differences.length > 0 && (
                <Wide label="Differences">
                    <table class="version-differences">
                        <Head
                            columns={[
                                'What',
                                `Version ${value.a.version}`,
                                `Version ${value.b.version}`,
                            ]}
                        />
                        <tbody>
                            {value.differences.map((row) => (
                                <tr key={`${row.group} ${row.key}`}>
                                    <th scope="row">
                                        {row.group} {row.key}
                                    </th>
                                    <Side row={row} text={row.a} />
                                    <Side row={row} text={row.b} />
                                </tr>
                            ))}
                        </tbody>
                    </table>
                </Wide>
            )}
            {value.differences.length === 0 && <p class="note">No differences.</p>}
            {!value.runs_known && (
                <p class="muted">
                    Settings and metrics are not compared: the runs of both are not in this studio.
                </p>
            )}
        </>
    );
}

function Compare({ target, rows, place }: { target: Target; rows: Version[]; place: Place }) {
    const [a, setA] = useState(rows[1].version);
    const [b, setB] = useState(rows[0].version);
    const [found, setFound] = useState<VersionComparison | null>(null);
    const [error, setError] = useState('');
    const options = rows.map((row) => ({ value: row.version, label: row.version }));
    const compare = () =>
        void get<VersionComparison>(
            `/api/registry/comparison/${target.id}/${encodeURIComponent(rows[0].name)}${query({ a, b, ...place })}`,
        ).then(
            (value) => {
                setFound(value);
                setError('');
            },
            (cause: Error) => setError(cause.message),
        );
    return (
        <>
            <h3>Compare</h3>
            <div class="row fields-row">
                <SelectField label="Version" value={a} onChange={setA} options={options} />
                <SelectField label="With version" value={b} onChange={setB} options={options} />
                <Button onClick={compare}>Compare</Button>
            </div>
            {error && <Trouble>{format.sentence(error)}</Trouble>}
            {found && <Differences value={found} />}
        </>
    );
}

function VersionTable({ rows, onOpen }: { rows: Version[]; onOpen: (row: Version) => void }) {
    return (
        <Wide label="Versions">
            <table class="versions">
                <Head
                    columns={[
                        { number: 'Version' },
                        'Aliases',
                        'Description',
                        { number: 'Accuracy' },
                        { number: 'When' },
                        { hidden: 'Do' },
                    ]}
                />
                <tbody>
                    {rows.map((row) => (
                        <tr key={row.version} data-archived={row.archived || undefined}>
                            <th scope="row" class="num">
                                {row.version}
                                {row.archived && <small> archived</small>}
                            </th>
                            <td>
                                {row.aliases?.length
                                    ? row.aliases.map((name) => `@${name}`).join(', ')
                                    : format.NOTHING}
                            </td>
                            <td>{row.description || format.NOTHING}</td>
                            <td class="num">
                                {row.tags?.accuracy
                                    ? format.percent(Number(row.tags.accuracy))
                                    : format.NOTHING}
                            </td>
                            <td class="num">{format.time(row.created_at ?? null)}</td>
                            <td class="end">
                                <Button
                                    aria-label={`Open version ${row.version}`}
                                    onClick={() => onOpen(row)}
                                >
                                    Open
                                </Button>
                            </td>
                        </tr>
                    ))}
                </tbody>
            </table>
        </Wide>
    );
}

/** Asked of the target only when the user wants it, except on this machine. */
export function Versions({
    target,
    place,
    finished,
}: {
    target: Target;
    place: Place;
    finished: number;
}) {
    const [asked, setAsked] = useState('');
    const [picked, setPicked] = useState('');
    const [counter, setCounter] = useState(0);
    const [opened, setOpened] = useState<RegisteredModel | null>(null);
    const [trouble, setTrouble] = useState('');
    const again = `${finished} ${counter}`;
    const where = query({ ...place });
    const here = `${target.id}${where}`;
    const shown = target.id === 'local' || asked === here;
    const models = useFetched<VersionList>(shown ? `${address(target)}${where}` : null, again);
    const names = (models.value?.versions ?? []).map((row) => row.name);
    const name = names.includes(picked) ? picked : (names[0] ?? '');
    const list = useFetched<VersionList>(
        shown && name ? `${address(target, name)}${where}` : null,
        again,
    );
    const rows = list.stale ? [] : (list.value?.versions ?? []);
    const open = (row: Version) =>
        void get<RegisteredModel>(`${address(target, row.name, row.version)}${where}`).then(
            (value) => {
                setTrouble('');
                setOpened(value);
            },
            (cause: Error) => setTrouble(cause.message),
        );
    return (
        <Card
            title="Versions"
            class="versions-card"
            aside={
                target.id !== 'local' && (
                    <Button
                        onClick={() => {
                            setAsked(here);
                            setCounter(counter + 1);
                        }}
                    >
                        List models {target.where}
                    </Button>
                )
            }
        >
            {[models.error, list.error, trouble].filter(Boolean).map((text) => (
                <Trouble key={text}>{format.sentence(text)}</Trouble>
            ))}
            {shown && names.length > 0 && (
                <SelectField
                    label="Model"
                    value={name}
                    onChange={setPicked}
                    options={names.map((one) => ({ value: one, label: one }))}
                />
            )}
            {rows.length > 0 && <VersionTable rows={rows} onOpen={open} />}
            {rows.length > 1 && (
                <Compare key={`${here} ${name}`} target={target} rows={rows} place={place} />
            )}
            {shown && models.value && names.length === 0 && (
                <Empty title="No model yet">What is registered {target.where} appears here.</Empty>
            )}
            {!shown && (
                <p class="muted">
                    The versions of each model: their aliases, tags and descriptions, archiving,
                    deleting, and two of them side by side.
                </p>
            )}
            {opened && (
                <VersionDialog
                    key={`${opened.name} ${opened.version}`}
                    target={target}
                    first={opened}
                    place={place}
                    onChanged={() => setCounter((old) => old + 1)}
                    onClose={() => setOpened(null)}
                />
            )}
        </Card>
    );
}
