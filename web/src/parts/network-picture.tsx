/* The picture of the network: a card per layer, shapes on the edges between them. Everything that the mouse does the keys
 * do as well: arrows select, with Alt they move, Enter edits, A adds, D duplicates, Delete removes. */
import { signal } from '@preact/signals';
import { useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import * as format from '../lib/format';
import {
    answer,
    applyFix,
    duplicateLayer,
    endStep,
    infos,
    insertLayers,
    kindOf,
    layers,
    layerTable,
    moveLayer,
    problemId,
    readFragment,
    redo,
    removeLayer,
    replaceLayer,
    selectedId,
    selectedPlace,
    subject,
    undo,
    type Layer,
} from '../lib/design';
import { flow, isOf, Thumb } from './layer-flow';
import { HEIGHT, scaleOf, shapeWords, volume, WIDTH, type Scale } from '../lib/volume';

/** Where a layer is being written as text: before this place; null: nowhere. */
export const adding = signal<number | null>(null);
/** The card whose words are being edited in place. */
const editing = signal<number | null>(null);
/** Asks for the keyboard's focus on the selected card, once it is drawn. */
const wantsFocus = signal(0);
export const focusCard = () => void wantsFocus.value++;

function Volume({ shape, scale, learned }: { shape: number[]; scale: Scale; learned: boolean }) {
    // Drawn again only where it looks otherwise: an edit changes one layer of many.
    return useMemo(
        () => (
            <svg
                class="volume"
                data-learned={learned || undefined}
                viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
                width={WIDTH}
                height={HEIGHT}
                aria-hidden="true"
            >
                {volume(shape, scale, learned ? 'learned' : 'plain').map((mark, i) =>
                    mark.kind === 'box' ? (
                        <rect
                            key={i}
                            x={mark.x}
                            y={mark.y}
                            width={mark.w}
                            height={mark.h}
                            rx="1.5"
                        />
                    ) : mark.kind === 'line' ? (
                        <path key={i} d={`M${mark.x1} ${mark.y1}L${mark.x2} ${mark.y2}`} />
                    ) : null,
                )}
            </svg>
        ),
        [shape.join(), scale.side, scale.units, learned],
    );
}

/** The shape that flows along an edge: rows and columns above the arrow, maps below it. */
function Edge({
    shape,
    bad,
    place,
    end,
}: {
    shape: number[] | null;
    bad: boolean;
    place: number;
    end: string;
}) {
    const maps = shape?.length === 3;
    return (
        <span class="net-edge" data-bad={bad || undefined}>
            <span class="edge-shape num" title={shape ? shapeWords(shape) : 'not known yet'}>
                {!shape ? '?' : maps ? `${shape[0]}×${shape[1]}` : format.count(shape[0])}
            </span>
            <span class="edge-line" aria-hidden="true" />
            <span class="edge-maps num">{end || (maps ? `×${shape[2]}` : '')}</span>
            <button
                type="button"
                class="edge-add"
                tabIndex={-1}
                title="Insert a layer here"
                aria-label={`Insert a layer at place ${place + 1}`}
                onClick={() => (adding.value = place)}
            >
                +
            </button>
        </span>
    );
}

const compact = (value: number) =>
    value < 10_000
        ? format.count(value)
        : value < 1e6
          ? `${(value / 1000).toFixed(value < 1e5 ? 1 : 0)} k`
          : value < 1e9
            ? `${(value / 1e6).toFixed(value < 1e7 ? 2 : 1)} M`
            : `${(value / 1e9).toFixed(1)} G`;

const SHARE_WORDS = { parameters: ' parameters ', cost: ' multiply-adds ' };

function Share({ name, value, of }: { name: 'parameters' | 'cost'; value: number; of: number }) {
    return (
        <span class="share" data-what={name}>
            {value > 0 && (
                <>
                    <span class="share-track">
                        <span
                            class="share-bar"
                            style={{ width: `${Math.max(2, (100 * value) / (of || 1))}%` }}
                        />
                    </span>
                    <span class="share-value num">{compact(value)}</span>
                    <span class="hidden">{SHARE_WORDS[name]}</span>
                </>
            )}
        </span>
    );
}

interface Totals {
    parameters: number;
    cost: number;
}

/** What a layer gives, its name and words, and its share of the whole. */
function Card({
    layer,
    place,
    scale,
    totals,
    onPointerDown,
}: {
    layer: Layer;
    place: number;
    scale: Scale;
    totals: Totals;
    onPointerDown: (event: PointerEvent) => void;
}) {
    const info = infos.value.get(layer.id);
    const bad = problemId.value === layer.id;
    const selected = selectedId.value === layer.id;
    const kind = kindOf(layer.value.type);
    const seen = flow.value?.layers[place];
    return (
        <button
            type="button"
            class="net-card"
            data-card={layer.id}
            data-bad={bad || undefined}
            tabIndex={selected ? 0 : -1}
            aria-current={selected ? 'true' : undefined}
            title={kind?.help}
            onClick={() => (selectedId.value = layer.id)}
            onDblClick={() => (editing.value = layer.id)}
            onPointerDown={onPointerDown}
        >
            {info?.output ? (
                <Volume shape={info.output} scale={scale} learned={info.parameters > 0} />
            ) : (
                <span class="volume unknown" aria-hidden="true">
                    ?
                </span>
            )}
            {seen && isOf(seen, layer.value.type, info?.output) && <Thumb layer={seen} />}
            <span class="net-words">
                <span class="hidden">
                    Layer {place + 1} of {layers.value.length}:{' '}
                </span>
                <span class="net-name">{info?.name ?? kind?.title ?? layer.value.type}</span>{' '}
                <span class="net-text">{info?.text ?? layer.value.type}</span>
                <span class="hidden">
                    {' '}
                    {info?.output && `gives ${shapeWords(info.output)}`}
                    {bad && `does not fit: ${answer.value?.reason ?? ''}`}
                </span>
            </span>
            <span class="net-shares">
                <Share name="parameters" value={info?.parameters ?? 0} of={totals.parameters} />
                <Share name="cost" value={info?.multiply_adds ?? 0} of={totals.cost} />
            </span>
        </button>
    );
}

/** A field for layers as text, with the forms of the table to choose from. */
function LayerText({
    start,
    label,
    onText,
    onDone,
    onCancel,
}: {
    start: string;
    label: string;
    onText?: (text: string) => void;
    onDone: (text: string) => void;
    onCancel: () => void;
}) {
    const field = useRef<HTMLInputElement>(null);
    const [value, setValue] = useState(start);
    const list = useId();
    const closed = useRef(false);
    // Before the next key comes: it belongs to the field.
    useLayoutEffect(() => {
        field.current?.focus();
        field.current?.select();
    }, []);
    const close = (act: () => void) => {
        if (closed.current) return;
        closed.current = true;
        act();
    };
    return (
        <>
            <input
                ref={field}
                class="net-input"
                type="text"
                autocomplete="off"
                spellcheck={false}
                aria-label={label}
                placeholder="conv 16 5x5 relu"
                list={start ? undefined : list}
                value={value}
                onInput={(event) => {
                    setValue(event.currentTarget.value);
                    onText?.(event.currentTarget.value);
                }}
                onKeyDown={(event) => {
                    event.stopPropagation();
                    if (event.key === 'Enter') {
                        event.preventDefault();
                        onDone(event.currentTarget.value);
                    } else if (event.key === 'Escape') close(onCancel);
                }}
                onBlur={() => close(onCancel)}
            />
            {!start && (
                <datalist id={list}>
                    {layerTable.value?.layers.map((kind) => (
                        <option key={kind.type} value={kind.form}>
                            {kind.title}
                        </option>
                    ))}
                </datalist>
            )}
        </>
    );
}

/** A card whose words are typed: the network follows every key that leaves it readable. */
function CardEditor({ layer }: { layer: Layer }) {
    const [problem, setProblem] = useState('');
    const before = useRef(layer.value);
    const reading = useRef<AbortController | null>(null);
    const read = async (text: string) => {
        reading.current?.abort();
        const mine = (reading.current = new AbortController());
        try {
            const said = await readFragment(text, mine.signal);
            if (mine.signal.aborted) return;
            setProblem(said.problem);
            replaceLayer(layer.id, said.layers, `text:${layer.id}`);
        } catch {
            // Given up for a newer text, or the studio does not answer: the connection's state says so.
        }
    };
    const done = () => {
        editing.value = null;
        endStep();
        focusCard();
    };
    return (
        <div class="net-card editor" data-bad={problem ? true : undefined}>
            <LayerText
                start={infos.value.get(layer.id)?.text ?? ''}
                label="This layer as text"
                onText={(text) => void read(text)}
                onDone={done}
                onCancel={() => {
                    if (problem) replaceLayer(layer.id, [before.current], `text:${layer.id}`);
                    done();
                }}
            />
            <small class={problem ? 'problem' : 'muted'} role="status">
                {problem || 'Enter keeps it.'}
            </small>
        </div>
    );
}

function Adder({ place }: { place: number }) {
    const [problem, setProblem] = useState('');
    const add = async (text: string) => {
        if (!text.trim()) {
            adding.value = null;
            return;
        }
        try {
            const said = await readFragment(text);
            setProblem(said.problem);
            if (said.problem) return;
            adding.value = null;
            insertLayers(place, said.layers);
            focusCard();
        } catch (error) {
            setProblem((error as Error).message);
        }
    };
    return (
        <li class="net-layer adder" data-wide>
            <div class="net-card editor" data-bad={problem ? true : undefined}>
                <LayerText
                    start=""
                    label="New layer as text"
                    onDone={(text) => void add(text)}
                    onCancel={() => {
                        adding.value = null;
                        focusCard();
                    }}
                />
                <small class={problem ? 'problem' : 'muted'} role="status">
                    {problem || 'Enter adds it, Escape leaves.'}
                </small>
            </div>
        </li>
    );
}

/** What does not fit, on the card where it does not, with changes that were tried. */
function Problem() {
    const said = answer.value;
    if (!said?.reason) return null;
    return (
        <div class="net-problem" role="alert">
            <p>{format.sentence(said.reason)}</p>
            <div class="row">
                {said.fixes.map((fix) => (
                    <button
                        key={fix.label}
                        type="button"
                        class="button fix"
                        title={fix.net}
                        onClick={() => applyFix(fix)}
                    >
                        {fix.label}
                    </button>
                ))}
            </div>
        </div>
    );
}

/* --- dragging --- */

const DRAG_STARTS = 6; // pixels

/** The place of the card under the pointer. */
function placeUnder(list: HTMLElement, x: number, y: number): number | null {
    const cards = [...list.querySelectorAll<HTMLElement>('[data-place]')];
    for (const card of cards) {
        const box = card.getBoundingClientRect();
        if (x >= box.left && x <= box.right && y >= box.top && y <= box.bottom)
            return Number(card.dataset.place);
    }
    return null;
}

const dragged = signal<number | null>(null);

function startDrag(event: PointerEvent, layer: Layer, list: HTMLElement | null) {
    if (event.button !== 0 || !list || event.pointerType === 'touch') return;
    const { clientX, clientY } = event;
    const move = (now: PointerEvent) => {
        if (
            dragged.value === null &&
            Math.hypot(now.clientX - clientX, now.clientY - clientY) < DRAG_STARTS
        )
            return;
        dragged.value = layer.id;
        const from = layers.value.findIndex((one) => one.id === layer.id);
        const to = placeUnder(list, now.clientX, now.clientY);
        if (to !== null && to !== from) moveLayer(from, to, `drag:${layer.id}`);
    };
    const end = () => {
        removeEventListener('pointermove', move);
        removeEventListener('pointerup', end);
        removeEventListener('pointercancel', end);
        dragged.value = null;
        endStep();
    };
    addEventListener('pointermove', move);
    addEventListener('pointerup', end);
    addEventListener('pointercancel', end);
}

/* --- keys --- */

function select(place: number) {
    const layer = layers.value[Math.max(0, Math.min(place, layers.value.length - 1))];
    if (!layer) return;
    selectedId.value = layer.id;
    focusCard();
}

/** Acts on the selected layer; false: the key is not one of ours. */
function act(event: KeyboardEvent): boolean {
    const place = selectedPlace.value;
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.ctrlKey || event.metaKey) {
        if (event.key.toLowerCase() !== 'd') return false;
        duplicateLayer(place);
    } else if (step && event.altKey) moveLayer(place, place + step);
    else if (event.altKey) return false;
    else if (step) select(place + step);
    else if (event.key === 'Home') select(0);
    else if (event.key === 'End') select(layers.value.length - 1);
    else if (event.key === 'Delete' || event.key === 'Backspace') removeLayer(place);
    else if (event.key === 'd' || event.key === 'D') duplicateLayer(place);
    else if (event.key === 'Enter') editing.value = layers.value[place]?.id ?? null;
    else if (event.key === 'a' || event.key === 'A' || event.key === 'Insert')
        adding.value = place + 1;
    else return false;
    if (adding.value === null && editing.value === null) focusCard();
    return true;
}

/** Ctrl+Z and Ctrl+Shift+Z (or Ctrl+Y) anywhere on the tab but in a field, which has its own. */
export function useHistoryKeys() {
    useEffect(() => {
        const press = (event: KeyboardEvent) => {
            const key = event.key.toLowerCase();
            if (!(event.ctrlKey || event.metaKey) || (key !== 'z' && key !== 'y')) return;
            if ((event.target as HTMLElement).closest('input, textarea, select, dialog')) return;
            event.preventDefault();
            if (key === 'y' || event.shiftKey) redo();
            else undo();
            focusCard();
        };
        addEventListener('keydown', press);
        return () => removeEventListener('keydown', press);
    }, []);
}

/* --- the picture --- */

export function NetworkPicture() {
    const list = useRef<HTMLOListElement>(null);
    const wish = wantsFocus.value;
    // Right after the drawing: the next key must find the card.
    useLayoutEffect(() => {
        if (wish > 0)
            list.current?.querySelector<HTMLElement>(`[data-card="${selectedId.peek()}"]`)?.focus();
    }, [wish]);
    const { rows, columns } = subject();
    const input = [rows, columns, 1];
    const shapes = layers.value.map((layer) => infos.value.get(layer.id)?.output ?? null);
    const scale = scaleOf([input, ...shapes]);
    const all = [...layers.value].map((layer) => infos.value.get(layer.id));
    const totals: Totals = {
        parameters: all.reduce((sum, info) => sum + (info?.parameters ?? 0), 0),
        cost: all.reduce((sum, info) => sum + (info?.multiply_adds ?? 0), 0),
    };
    return (
        <ol
            ref={list}
            class="net"
            aria-label="Layers"
            data-dragging={dragged.value !== null || undefined}
            onKeyDown={(event) => {
                if (!(event.target as HTMLElement).closest('[data-card]')) return;
                if (!act(event)) return;
                event.preventDefault();
                event.stopPropagation();
            }}
        >
            <li class="net-layer input">
                <div class="net-card">
                    <Volume shape={input} scale={scale} learned={false} />
                    <span class="net-words">
                        <span class="net-name">input</span>
                        <span class="net-text">
                            {rows}×{columns} picture
                        </span>
                    </span>
                </div>
                <Edge
                    shape={input}
                    bad={problemId.value === layers.value[0]?.id}
                    place={0}
                    end=""
                />
            </li>
            {layers.value.flatMap((layer, place) => [
                adding.value === place && <Adder key="adder" place={place} />,
                <li
                    key={layer.id}
                    class="net-layer"
                    data-place={place}
                    data-selected={selectedId.value === layer.id || undefined}
                    data-wide={
                        problemId.value === layer.id || editing.value === layer.id || undefined
                    }
                    data-dragged={dragged.value === layer.id || undefined}
                >
                    {editing.value === layer.id ? (
                        <CardEditor layer={layer} />
                    ) : (
                        <Card
                            layer={layer}
                            place={place}
                            scale={scale}
                            totals={totals}
                            onPointerDown={(event) => startDrag(event, layer, list.current)}
                        />
                    )}
                    {problemId.value === layer.id && <Problem />}
                    <Edge
                        shape={shapes[place]}
                        bad={problemId.value === layers.value[place + 1]?.id}
                        place={place + 1}
                        end={
                            place === layers.value.length - 1 && answer.value?.problem === null
                                ? 'classes'
                                : ''
                        }
                    />
                </li>,
            ])}
            {adding.value === layers.value.length && (
                <Adder key="adder" place={layers.value.length} />
            )}
        </ol>
    );
}
