/* What is in a file that was dropped, in numbers and pictures, and the form for what it leaves open. */
import * as format from '../lib/format';
import { findSetting } from '../lib/settings';
import type {
    DataNote,
    UploadAnswers,
    UploadedData,
    UploadedModel,
    UploadLook,
} from '../lib/shapes';
import { useEffect, useState } from 'preact/hooks';
import { Figure, Trouble } from './basics';
import { SelectField, TextField } from './fields';
import { SampleRow } from './sample-row';
import { Head, Wide } from './wide';

const CLASSES_SHOWN = 24;

function Notes({ title, notes }: { title: string; notes: DataNote[] }) {
    if (notes.length === 0) return null;
    return (
        <div>
            <h3>{title}</h3>
            <ul class="notes">
                {notes.map(({ what }) => (
                    <li key={what}>{what}</li>
                ))}
            </ul>
        </div>
    );
}

function DataFigures({ data }: { data: UploadedData }) {
    const [rows, columns, channels] = data.shape;
    const size = data.table
        ? `${format.count(columns)} numbers`
        : `${rows} × ${columns}${channels > 1 ? ', color' : ''}`;
    const named = data.classes.slice(0, CLASSES_SHOWN);
    const more = data.classes.length - named.length;
    return (
        <>
            <dl class="figures">
                <Figure name="to train" value={format.count(data.samples.train)} />
                <Figure name="to test" value={format.count(data.samples.test)} />
                <Figure name="each sample" value={size} />
                <Figure name="classes" value={format.count(data.classes.length)} />
                <Figure name="values" value={data.range.map(format.number).join(' … ')} />
                <Figure name="divided by" value={format.number(data.scale)} />
                {data.label_column && <Figure name="label column" value={data.label_column} />}
            </dl>
            <p class="muted">
                Classes: {named.join(', ')}
                {more > 0 && ` and ${more} more`}
            </p>
            {data.shown && (
                <SampleRow samples={data.shown} classes={data.classes} label="Some samples" />
            )}
            <Notes title="Assumed" notes={data.assumed} />
            <Notes title="Skipped" notes={data.skipped} />
        </>
    );
}

function ModelFigures({ model }: { model: UploadedModel }) {
    const [rows, columns, channels] = model.input;
    return (
        <>
            <dl class="figures">
                <Figure name="parameters" value={format.count(model.parameters)} />
                <Figure name="layers" value={format.count(model.layers.length)} />
                <Figure
                    name="input"
                    value={`${rows} × ${columns}${channels > 1 ? ` × ${channels}` : ''}`}
                />
                <Figure name="classes" value={format.count(model.classes)} />
                <Figure name="precision" value={model.dtype} />
            </dl>
            <p class="muted">{model.format}</p>
            <Wide label="Layers">
                <table>
                    <Head
                        columns={[
                            'Layer',
                            'Type',
                            'Output',
                            'Activation',
                            { number: 'Parameters' },
                        ]}
                    />
                    <tbody>
                        {model.layers.map((layer, i) => (
                            <tr key={i}>
                                <th scope="row">{layer.name}</th>
                                <td>{layer.type}</td>
                                <td>{layer.output}</td>
                                <td>{layer.activation}</td>
                                <td class="num">{format.count(layer.parameters)}</td>
                            </tr>
                        ))}
                    </tbody>
                </table>
            </Wide>
            <Notes
                title="Assumed, as the file does not say"
                notes={model.assumed.map((what) => ({ what, count: 0 }))}
            />
        </>
    );
}

export function LookedAt({ look, busy }: { look: UploadLook; busy: boolean }) {
    return (
        <div class="stack" aria-busy={busy} aria-live="polite">
            {look.problem && <Trouble>{look.problem}.</Trouble>}
            {look.data && <DataFigures data={look.data} />}
            {look.model && <ModelFigures model={look.model} />}
        </div>
    );
}

/* --- what the file does not decide --- */

type Text = 'label_column' | 'activation' | 'order' | 'key';
type Change = (answers: UploadAnswers) => void;

const without = (answers: UploadAnswers, key: keyof UploadAnswers): UploadAnswers => {
    const { [key]: _, ...rest } = answers;
    return rest;
};
const withText = (answers: UploadAnswers, key: Text, text: string) =>
    text.trim() ? { ...answers, [key]: text.trim() } : without(answers, key);

/** A name, where it says which; else the number. */
const columnValue = (names: string[], i: number) =>
    /[A-Za-z_]/.test(names[i]) && names.indexOf(names[i]) === names.lastIndexOf(names[i])
        ? names[i]
        : String(i);

function LabelColumn({
    look,
    answers,
    onChange,
}: {
    look: UploadLook;
    answers: UploadAnswers;
    onChange: Change;
}) {
    return (
        <SelectField
            label="Label column"
            value={answers.label_column ?? ''}
            problem={look.asks === 'label_column' ? 'The file does not say: choose one' : undefined}
            options={[
                { value: '', label: look.data?.label_column ? 'as found' : 'choose…' },
                ...look.columns.map((name, i) => ({
                    value: columnValue(look.columns, i),
                    label: `${i}: ${name || '(no name)'}`,
                })),
            ]}
            onChange={(value) => onChange(withText(answers, 'label_column', value))}
        />
    );
}

function Activation({
    look,
    answers,
    onChange,
}: {
    look: UploadLook;
    answers: UploadAnswers;
    onChange: Change;
}) {
    const names = findSetting('activation')?.choices?.map(({ value }) => value) ?? [];
    return (
        <SelectField
            label="Activation"
            value={answers.activation ?? ''}
            problem={
                look.asks === 'activation'
                    ? 'The file does not say what follows its hidden layers: choose it'
                    : undefined
            }
            options={[
                { value: '', label: 'choose…' },
                ...[...names, 'none'].map((value) => ({ value, label: value })),
            ]}
            onChange={(value) => onChange(withText(answers, 'activation', value))}
        />
    );
}

/** Taken when it is left, or by Enter: each answer is another look at the file. */
function TypedAnswer({
    label,
    hint,
    text,
    problem,
    onTake,
}: {
    label: string;
    hint: string;
    text: string;
    problem?: (text: string) => string | undefined;
    onTake: (text: string) => void;
}) {
    const [typed, setTyped] = useState(text);
    useEffect(() => setTyped(text), [text]);
    const wrong = problem?.(typed.trim());
    const take = () => !wrong && onTake(typed.trim());
    return (
        <form
            onSubmit={(event) => {
                event.preventDefault();
                take();
            }}
        >
            <TextField
                label={label}
                hint={hint}
                value={typed}
                problem={wrong}
                onChange={setTyped}
                onLeave={take}
            />
        </form>
    );
}

export function Answers({
    look,
    answers,
    onChange,
}: {
    look: UploadLook;
    answers: UploadAnswers;
    onChange: Change;
}) {
    const asked = (key: Text) => look.asks === key || answers[key] !== undefined;
    const about = { look, answers, onChange };
    return (
        <div class="fields inline">
            {(look.columns.length > 0 || asked('label_column')) && <LabelColumn {...about} />}
            {look.kind === 'data' && (
                <TypedAnswer
                    label="Scale"
                    hint="values are divided by it; empty: by the largest"
                    text={answers.scale === undefined ? '' : String(answers.scale)}
                    problem={(text) =>
                        text === '' || (Number(text) > 0 && Number(text) <= 1e6)
                            ? undefined
                            : 'a number above 0, at most 1,000,000'
                    }
                    onTake={(text) =>
                        onChange(
                            text ? { ...answers, scale: Number(text) } : without(answers, 'scale'),
                        )
                    }
                />
            )}
            {asked('activation') && <Activation {...about} />}
            {asked('order') && (
                <TypedAnswer
                    label="Order of layers"
                    hint="their names with commas, from the first to the last"
                    text={answers.order ?? ''}
                    onTake={(text) => onChange(withText(answers, 'order', text))}
                />
            )}
            {asked('key') && (
                <TypedAnswer
                    label="Name within the file"
                    hint="which of several the network is"
                    text={answers.key ?? ''}
                    onTake={(text) => onChange(withText(answers, 'key', text))}
                />
            )}
        </div>
    );
}
