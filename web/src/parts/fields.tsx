/* Form fields: a label, a control, and under it what is wrong. */
import type { ComponentChildren } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';

interface FieldProps {
    label: string;
    hint?: string;
    problem?: string;
}

export function Field({
    label,
    hint,
    problem,
    children,
}: FieldProps & {
    children: (ids: {
        id: string;
        'aria-describedby'?: string;
        'aria-invalid'?: boolean;
    }) => ComponentChildren;
}) {
    const id = useId();
    const note = problem ?? hint;
    return (
        <div class="field" data-bad={problem ? true : undefined}>
            <label for={id}>{label}</label>
            {children({
                id,
                'aria-describedby': note ? `${id}-note` : undefined,
                'aria-invalid': problem ? true : undefined,
            })}
            {note && <small id={`${id}-note`}>{note}</small>}
        </div>
    );
}

/** A number as text, so that "1e-3" and a half-typed "0." are fine while typing. */
export function NumberField({
    value,
    onChange,
    disabled,
    ...field
}: FieldProps & { value: number; onChange: (value: number) => void; disabled?: boolean }) {
    const [text, setText] = useState(String(value));
    useEffect(() => {
        if (Number(text) !== value && !Number.isNaN(value)) setText(String(value));
    }, [value]);
    return (
        <Field {...field}>
            {(ids) => (
                <input
                    {...ids}
                    type="text"
                    inputMode="decimal"
                    autocomplete="off"
                    disabled={disabled}
                    value={text}
                    onInput={(event) => {
                        setText(event.currentTarget.value);
                        onChange(
                            event.currentTarget.value.trim() === ''
                                ? NaN
                                : Number(event.currentTarget.value),
                        );
                    }}
                />
            )}
        </Field>
    );
}

export function SelectField<T extends string>({
    value,
    options,
    onChange,
    ...field
}: FieldProps & {
    value: T;
    options: readonly { value: T; label: string; disabled?: boolean }[];
    onChange: (value: T) => void;
}) {
    return (
        <Field {...field}>
            {(ids) => (
                <select
                    {...ids}
                    value={value}
                    onChange={(event) => onChange(event.currentTarget.value as T)}
                >
                    {options.map((option) => (
                        <option key={option.value} value={option.value} disabled={option.disabled}>
                            {option.label}
                        </option>
                    ))}
                </select>
            )}
        </Field>
    );
}

export function TextField({
    value,
    onChange,
    onLeave,
    placeholder,
    disabled,
    numeric,
    ...field
}: FieldProps & {
    value: string;
    onChange: (value: string) => void;
    onLeave?: () => void;
    placeholder?: string;
    disabled?: boolean;
    numeric?: boolean;
}) {
    return (
        <Field {...field}>
            {(ids) => (
                <input
                    {...ids}
                    type="text"
                    autocomplete="off"
                    inputMode={numeric ? 'decimal' : undefined}
                    placeholder={placeholder}
                    disabled={disabled}
                    value={value}
                    onInput={(event) => onChange(event.currentTarget.value)}
                    onBlur={onLeave}
                />
            )}
        </Field>
    );
}

/** Something that is on or off; the hint is what being on means. */
export function CheckField({
    label,
    hint,
    checked,
    onChange,
}: Omit<FieldProps, 'problem'> & { checked: boolean; onChange: (checked: boolean) => void }) {
    const id = useId();
    return (
        <div class="field">
            <label class="check">
                <input
                    type="checkbox"
                    checked={checked}
                    aria-describedby={hint ? `${id}-note` : undefined}
                    onChange={(event) => onChange(event.currentTarget.checked)}
                />
                {label}
            </label>
            {hint && <small id={`${id}-note`}>{hint}</small>}
        </div>
    );
}
