/* The small parts every tab is made of. */
import type { ButtonHTMLAttributes, ComponentChildren } from 'preact';
import { engineLook } from '../lib/engines';
import { count, NOTHING } from '../lib/format';
import { Guard, guarded } from './guard';
import type { EngineId, Run, RunState } from '../lib/shapes';

type Children = { children?: ComponentChildren };

/** Heading of a tab: what it is, one sentence, and what can be done with the whole of it. */
export function Page({
    title,
    about,
    actions,
    children,
}: { title: string; about: ComponentChildren; actions?: ComponentChildren } & Children) {
    return (
        <>
            <header class="page-head">
                <div>
                    <h1>{title}</h1>
                    <p>{about}</p>
                </div>
                {actions && <div class="row">{actions}</div>}
            </header>
            {guarded(children)}
        </>
    );
}

export function Card({
    title,
    aside,
    class: name = '',
    children,
    ...rest
}: {
    title?: ComponentChildren;
    aside?: ComponentChildren;
    class?: string;
    id?: string;
    'data-run'?: string;
} & Children) {
    return (
        <section class={`card ${name}`} {...rest}>
            {(title || aside) && (
                <div class="card-head">
                    {title && <h2>{title}</h2>}
                    {aside && <div class="row">{aside}</div>}
                </div>
            )}
            <Guard>{children}</Guard>
        </section>
    );
}

type ButtonProps = { kind?: 'plain' | 'main' | 'danger'; engine?: EngineId } & Omit<
    ButtonHTMLAttributes<HTMLButtonElement>,
    'class'
>;

export function Button({ kind = 'plain', engine, type = 'button', ...rest }: ButtonProps) {
    return <button type={type} class={`button ${kind}`} data-engine={engine} {...rest} />;
}

/** What an empty place shows, and the one button that fills it. */
export function Empty({
    title,
    children,
    action,
}: { title: string; action?: ComponentChildren } & Children) {
    return (
        <div class="empty">
            <h2>{title}</h2>
            <p>{children}</p>
            {action && <div class="row">{action}</div>}
        </div>
    );
}

export function Trouble({ children, action }: { action?: ComponentChildren } & Children) {
    return (
        <div class="trouble" role="alert">
            <p>{children}</p>
            {action}
        </div>
    );
}

/** The engine's name with its color and its line pattern. */
export function EngineName({ id, version }: { id: EngineId; version?: string | null }) {
    const look = engineLook(id);
    return (
        <span class="engine-name" data-engine={id}>
            <svg width="20" height="8" viewBox="0 0 20 8" aria-hidden="true">
                <path d="M1 4h18" stroke-dasharray={look.dash.map((d) => d * 0.5).join(' ')} />
            </svg>
            {look.title}
            {version && <small>{version}</small>}
        </span>
    );
}

const STATE_MARKS: Record<RunState, string> = {
    queued: '·',
    starting: '·',
    running: '▸',
    paused: 'Ⅱ',
    stopping: '·',
    finished: '✓',
    stopped: '■',
    failed: '!',
    interrupted: '!',
};

function StateBadge({ state, run }: { state: RunState; run: string }) {
    return (
        <span class="badge" data-state={state} data-run={run}>
            <span aria-hidden="true">{STATE_MARKS[state]}</span> {state}
        </span>
    );
}

/** A run's state; one that ended without having learned anything says that instead. */
export function RunBadge({ run }: { run: Run }) {
    const ended = run.state === 'finished' || run.state === 'stopped';
    if (run.diverged_at === null || !ended) return <StateBadge state={run.state} run={run.id} />;
    return (
        <span
            class="badge"
            data-state="diverged"
            data-run={run.id}
            title={`${run.state}; its loss diverged`}
        >
            <span aria-hidden="true">!</span> diverged
        </span>
    );
}

export function Progress({
    value,
    max,
    label,
    engine,
}: {
    value: number;
    max: number;
    label: string;
    engine?: EngineId;
}) {
    return (
        <progress
            class="progress"
            data-engine={engine}
            value={value}
            max={max || 1}
            aria-label={label}
        />
    );
}

/** An entry of a plot's key: a sample of the color and what has it, never on two lines. */
export function Key({
    kind = '',
    engines = [undefined],
    children,
}: { kind?: 'gray' | 'low' | 'high' | ''; engines?: (EngineId | undefined)[] } & Children) {
    return (
        <span class="key">
            {engines.map((id) => (
                <span key={id ?? ''} class={`swatch ${kind}`} data-engine={id} />
            ))}{' '}
            {children}
        </span>
    );
}

/** A named number. Its place is kept while it changes. */
export function Figure({
    name,
    value,
    unit,
}: {
    name: string;
    value: ComponentChildren;
    unit?: string;
}) {
    return (
        <div class="figure">
            <dt>{name}</dt>
            <dd>
                {value}
                {unit && <small>{unit}</small>}
            </dd>
        </div>
    );
}

/** Choices side by side, as radio buttons are. */
export function Segmented<T extends string>({
    name,
    value,
    options,
    onChange,
}: {
    name: string;
    value: T;
    options: readonly { value: T; label: string; disabled?: boolean; title?: string }[];
    onChange: (value: T) => void;
}) {
    return (
        <fieldset class="segmented">
            <legend class="hidden">{name}</legend>
            {options.map((option) => (
                <label key={option.value} title={option.title}>
                    <input
                        type="radio"
                        name={name}
                        value={option.value}
                        checked={option.value === value}
                        disabled={option.disabled}
                        onChange={() => onChange(option.value)}
                    />
                    <span>{option.label}</span>
                </label>
            ))}
        </fieldset>
    );
}

/** Horizontal bars with their values: histograms and probabilities. A value that is not known yet has no bar. */
export function Bars({
    label,
    names,
    values,
    format = count,
    max,
    marked,
    onPick,
}: {
    label: string;
    names: string[];
    values: (number | undefined)[];
    format?: (value: number) => string;
    max?: number;
    marked?: number;
    onPick?: (index: number) => void;
}) {
    const top = max ?? Math.max(...values.map((value) => value ?? 0), 1e-12);
    return (
        <ul
            class="bars"
            aria-label={label}
            style={{ '--bar-name': `${Math.max(...names.map((name) => name.length), 1) + 1}ch` }}
        >
            {names.map((name, i) => {
                const shown = values[i];
                const inner = (
                    <>
                        <span class="bar-name">{name}</span>
                        <span class="bar-track">
                            <span class="bar" style={{ width: `${(100 * (shown ?? 0)) / top}%` }} />
                        </span>
                        <span class="bar-value">
                            {shown === undefined ? NOTHING : format(shown)}
                        </span>
                    </>
                );
                return (
                    <li key={i} data-marked={marked === i || undefined}>
                        {onPick ? (
                            <button
                                type="button"
                                class="bar-row"
                                aria-pressed={marked === i}
                                onClick={() => onPick(i)}
                            >
                                {inner}
                            </button>
                        ) : (
                            <div class="bar-row">{inner}</div>
                        )}
                    </li>
                );
            })}
        </ul>
    );
}

export function Hash({ value }: { value: string }) {
    return (
        <code class="hash" title={value}>
            {value}
        </code>
    );
}

export function CopyButton({
    text,
    label = 'Copy',
    disabled,
}: {
    text: () => string;
    label?: string;
    disabled?: boolean;
}) {
    return (
        <Button
            disabled={disabled}
            onClick={(event) => {
                const button = event.currentTarget;
                void navigator.clipboard.writeText(text()).then(() => {
                    button.textContent = 'Copied';
                    setTimeout(() => (button.textContent = label), 1500);
                });
            }}
        >
            {label}
        </Button>
    );
}
