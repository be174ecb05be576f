/* The selected layer's fields, made of the studio's layer table; and what such a layer does. */
import { useEffect, useState } from 'preact/hooks';
import * as format from '../lib/format';
import {
    editLayer,
    endStep,
    infos,
    kindOf,
    layerTable,
    selectedPlace,
    type Layer,
} from '../lib/design';
import { shapeWords } from '../lib/volume';
import type { LayerDescription, LayerField } from '../lib/shapes';
import { Field, SelectField } from './fields';
import { LayerFlow } from './layer-flow';

type Value = unknown;

const SPLIT = /[\s,×x]+/;

/** The text of a field's value, or of what stands in its place. */
function words(field: LayerField, layer: LayerDescription): string {
    const value: Value = layer[field.name] ?? (field.as_size ? layer.size : field.default);
    if (field.kind === 'pair') {
        const [a, b] = Array.isArray(value) ? (value as number[]) : [value, value];
        return a === b ? String(a ?? '') : `${a}×${b}`;
    }
    if (Array.isArray(value)) {
        const list = value as number[];
        return list.every((one) => one === list[0]) && field.kind === 'channels'
            ? String(list[0])
            : list.join(' ');
    }
    return String(value ?? '');
}

/** The value that a text stands for; undefined when it does not fit. */
function parse(field: LayerField, text: string): Value {
    const parts = text.trim().split(SPLIT).filter(Boolean);
    const numbers = parts.map(Number);
    const whole = field.kind !== 'real' && field.kind !== 'channels';
    const fit = numbers.every(
        (one) => one >= field.low && one <= field.high && (!whole || Number.isInteger(one)),
    );
    const most = { count: 1, real: 1, pair: 2, channels: 3, padding: 4, bias: 0 }[field.kind];
    if (!fit || numbers.length === 0 || (numbers.length !== 1 && numbers.length !== most))
        return undefined;
    if (field.kind === 'count' || field.kind === 'real') return numbers[0];
    return numbers.length === most ? numbers : Array.from({ length: most }, () => numbers[0]);
}

const limits = ({ kind, low, high }: LayerField) => {
    const range = `${format.number(low)} to ${format.count(high)}`;
    if (kind === 'pair') return `whole numbers, ${range}: 3 or 3×5`;
    if (kind === 'padding') return `top, bottom, left, right: ${range}`;
    return kind === 'count' ? `a whole number, ${range}` : range;
};

/** The arrows change a number by one, with Shift by ten; of a pair both. */
function nudged(field: LayerField, text: string, by: number): string | null {
    if (field.kind !== 'count' && field.kind !== 'pair') return null;
    const value = parse(field, text);
    if (value === undefined) return null;
    const list = (Array.isArray(value) ? (value as number[]) : [value as number]).map((one) =>
        Math.min(field.high, Math.max(field.low, one + by)),
    );
    return list.every((one) => one === list[0]) ? String(list[0]) : list.join('×');
}

function NumberText({
    field,
    label = field.label,
    text,
    hint,
    onValue,
}: {
    field: LayerField;
    label?: string;
    text: string;
    hint?: string;
    onValue: (value: Value) => void;
}) {
    const [draft, setDraft] = useState<string | null>(null);
    // Undo, another card, the text line: a draft that no longer stands for the value gives way.
    useEffect(() => {
        setDraft((old) =>
            old !== null && JSON.stringify(parse(field, old)) === JSON.stringify(parse(field, text))
                ? old
                : null,
        );
    }, [text]);
    const shown = draft ?? text;
    const problem = parse(field, shown) === undefined ? limits(field) : undefined;
    const type = (next: string) => {
        setDraft(next);
        const value = parse(field, next);
        if (value !== undefined) onValue(value);
    };
    return (
        <Field label={label} problem={problem} hint={hint}>
            {(ids) => (
                <input
                    {...ids}
                    type="text"
                    inputMode="decimal"
                    autocomplete="off"
                    value={shown}
                    onInput={(event) => type(event.currentTarget.value)}
                    onKeyDown={(event) => {
                        const up = { ArrowUp: 1, ArrowDown: -1 }[event.key];
                        const next = up && nudged(field, shown, up * (event.shiftKey ? 10 : 1));
                        if (!next) return;
                        event.preventDefault();
                        type(next);
                    }}
                    onBlur={() => {
                        endStep();
                        if (problem === undefined) setDraft(null);
                    }}
                />
            )}
        </Field>
    );
}

function PaddingField({
    field,
    layer,
    onValue,
}: {
    field: LayerField;
    layer: LayerDescription;
    onValue: (value: Value) => void;
}) {
    const value = layer.padding ?? field.default;
    const own = Array.isArray(value);
    return (
        <>
            <SelectField
                label={field.label}
                value={own ? 'own' : String(value)}
                options={[
                    { value: 'valid', label: 'valid: none' },
                    { value: 'same', label: 'same: keeps the size' },
                    { value: 'own', label: 'by side' },
                ]}
                onChange={(next) => onValue(next === 'own' ? [1, 1, 1, 1] : next)}
            />
            {own && (
                <NumberText
                    field={field}
                    label="Sides"
                    hint="top, bottom, left, right"
                    text={(value as number[]).join(' ')}
                    onValue={onValue}
                />
            )}
        </>
    );
}

/** A member that has its usual value is left out, so that equal layers are equal texts. */
function withMember(layer: LayerDescription, name: string, value: Value, usual: Value) {
    const { [name]: _, ...rest } = layer;
    const plain = JSON.stringify(value) === JSON.stringify(usual);
    return (plain ? rest : { ...rest, [name]: value }) as LayerDescription;
}

function OneField({ field, layer }: { field: LayerField; layer: Layer }) {
    const set = (value: Value) => {
        const usual =
            field.kind === 'pair' && field.default ? [field.default, field.default] : field.default;
        editLayer(
            layer.id,
            withMember(layer.value, field.name, value, usual),
            `${layer.id}:${field.name}`,
        );
    };
    if (field.kind === 'bias')
        return (
            <label class="check layer-check">
                <input
                    type="checkbox"
                    checked={layer.value.bias !== false}
                    onChange={(event) => (endStep(), set(event.currentTarget.checked), endStep())}
                />
                {field.label}
            </label>
        );
    if (field.kind === 'padding')
        return <PaddingField field={field} layer={layer.value} onValue={set} />;
    return (
        <NumberText
            field={field}
            text={words(field, layer.value)}
            hint={
                field.name === 'groups' && layer.value.groups === 0 ? 'one per channel' : undefined
            }
            onValue={set}
        />
    );
}

function ActivationField({ layer }: { layer: Layer }) {
    const table = layerTable.value?.activations ?? [];
    const alone = layer.value.type === 'activation';
    const now = layer.value.activation ?? 'none';
    const kind = table.find((one) => one.name === now);
    const without = () => {
        const { activation: _, ...rest } = layer.value;
        for (const { member } of table) if (member) delete rest[member];
        return rest as LayerDescription;
    };
    const member = kind?.member;
    return (
        <>
            <SelectField
                label="Activation"
                value={now}
                options={table
                    .filter((one) => !alone || one.name !== 'none')
                    .map(({ name }) => ({ value: name, label: name.replace('_', ' ') }))}
                onChange={(name) => {
                    endStep();
                    editLayer(layer.id, { ...without(), activation: name });
                }}
            />
            {member && (
                <NumberText
                    field={{
                        name: member,
                        label: member[0].toUpperCase() + member.slice(1),
                        kind: 'real',
                        low: -100,
                        high: 100,
                        default: kind.default,
                        as_size: false,
                    }}
                    text={String(layer.value[member] ?? kind.default)}
                    onValue={(value) =>
                        editLayer(
                            layer.id,
                            withMember(layer.value, member, value, kind.default),
                            `${layer.id}:${member}`,
                        )
                    }
                />
            )}
        </>
    );
}

export function LayerForm({ layer }: { layer: Layer }) {
    const kind = kindOf(layer.value.type);
    const info = infos.value.get(layer.id);
    if (!kind) return null;
    return (
        <div class="layer-form" key={layer.id}>
            {(kind.fields.length > 0 || kind.activates) && (
                <div class="fields">
                    {kind.fields
                        .filter((field) => field.name !== 'filters' || layer.value.groups !== 0)
                        .map((field) => (
                            <OneField key={field.name} field={field} layer={layer} />
                        ))}
                    {kind.activates && <ActivationField layer={layer} />}
                </div>
            )}
            <p class="layer-help">
                {kind.help} {kind.why}
            </p>
            <LayerFlow layer={layer} place={selectedPlace.value} />
            {info?.output && (
                <p class="muted num">
                    Output {shapeWords(info.output)} · {format.count(info.parameters)} parameters ·{' '}
                    {format.count(info.multiply_adds)} multiply-adds per sample
                </p>
            )}
        </div>
    );
}
