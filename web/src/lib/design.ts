/* The network that is being designed: a list of layers, its text, and what the studio says of it. The layers are shown
 * as they are edited; shapes, costs, problems and the text come back from the server, which alone knows what fits. */
import { batch, computed, signal } from '@preact/signals';
import { ApiError, get, post } from './api';
import { findDataset } from './dataset';
import { search, setParams } from './router';
import { settings } from './settings';
import type {
    Design,
    Designs,
    DraftLayer,
    LayerDescription,
    LayerKind,
    LayerTable,
    NetworkDraft,
    NetworkFix,
    NetworkPresets,
    NetworkQuestion,
    Run,
    Settings,
} from './shapes';

/** A layer on the drawing; the id stays with it while it moves. */
export interface Layer {
    id: number;
    value: LayerDescription;
}
/** What the studio says of a layer; `null` output: it does not fit, or stands behind what does not. */
export type Info = Omit<DraftLayer, 'layer'>;

const UNDO_LIMIT = 200;
/** Milliseconds: what reads the address, and the browser itself, need not follow every key. */
const ADDRESS_WAITS = 250;
/** What is designed for when the data set was not opened yet. */
const USUAL = { rows: 28, columns: 28, classes: 10 };

export const layers = signal<readonly Layer[]>([]);
export const selectedId = signal(0);
export const infos = signal<ReadonlyMap<number, Info>>(new Map());
export const answer = signal<NetworkDraft | null>(null);
/** The layer that does not fit. */
export const problemId = signal<number | null>(null);
/** The text line; while it is typed in, nothing else writes it. */
export const text = signal('');
export const typing = signal(false);
/** The last text of a network that fits: what is trained, saved and shown as code. */
export const fitting = signal('');
/** Why nothing was heard of the last change; empty when it was answered. */
export const silence = signal('');

export const layerTable = signal<LayerTable | null>(null);
export const presets = signal<NetworkPresets['presets']>([]);
export const designs = signal<readonly Design[]>([]);

export const kindOf = (type: string): LayerKind | undefined =>
    layerTable.value?.layers.find((kind) => kind.type === type);
export const selectedPlace = computed(() =>
    layers.value.findIndex((layer) => layer.id === selectedId.value),
);
export const selectedLayer = computed(() => layers.value[selectedPlace.value]);

let nextId = 1;
const fresh = (value: LayerDescription): Layer => ({ id: nextId++, value });

/** The pictures and classes that the network is for. */
export function subject() {
    const set = findDataset(settings.value?.dataset ?? '');
    return {
        rows: set?.rows || USUAL.rows,
        columns: set?.columns || USUAL.columns,
        classes: set?.classes.length || USUAL.classes,
    };
}

/* --- asking the studio --- */

let asking: AbortController | null = null;

/** The answer to the newest question; an older one is given up, and says null. */
async function ask(question: NetworkQuestion): Promise<NetworkDraft | null> {
    asking?.abort();
    const mine = (asking = new AbortController());
    try {
        const said = await post<NetworkDraft>(
            '/api/network',
            { ...question, ...subject() } satisfies NetworkQuestion,
            mine.signal,
        );
        if (asking !== mine) return null;
        silence.value = '';
        return said;
    } catch (error) {
        if (!mine.signal.aborted) silence.value = (error as ApiError).message;
        return null;
    }
}

/** Layers of a text that is a part of a network: whether it fits alone does not matter. */
export async function readFragment(
    net: string,
    signal?: AbortSignal,
): Promise<{ layers: LayerDescription[]; problem: string }> {
    const said = await post<NetworkDraft>(
        '/api/network',
        { net } satisfies NetworkQuestion,
        signal,
    );
    return said.draft
        ? { layers: said.draft.layers.map((one) => one.layer), problem: '' }
        : { layers: [], problem: said.reason ?? '' };
}

let addressTimer = 0;
/** The network that the address had last from here. */
let written = '';

/** Puts the network that fits into the address, if that is not there yet. */
export function writeAddress() {
    clearTimeout(addressTimer);
    if (location.pathname !== '/design' || !fitting.value || fitting.value === written) return;
    written = fitting.value;
    setParams({ net: written });
}

function take(said: NetworkDraft, asked: readonly Layer[]) {
    const draft = said.draft;
    batch(() => {
        answer.value = said;
        problemId.value = said.at === null ? null : (asked[said.at]?.id ?? null);
        if (!draft) return;
        infos.value = new Map(asked.map((layer, i) => [layer.id, draft.layers[i]]));
        if (!typing.value) text.value = draft.compact;
        if (said.problem !== null) return;
        fitting.value = draft.compact;
        clearTimeout(addressTimer);
        addressTimer = window.setTimeout(writeAddress, ADDRESS_WAITS);
    });
}

/** Asks of the layers as they are. */
export async function check() {
    const asked = layers.value;
    if (asked.length === 0) {
        asking?.abort();
        batch(() => {
            answer.value = null;
            problemId.value = null;
            if (!typing.value) text.value = '';
        });
        return;
    }
    const said = await ask({ layers: asked.map((layer) => layer.value) });
    if (said) take(said, asked);
}

/* --- history --- */

interface Moment {
    layers: readonly Layer[];
    selected: number;
}
const past = signal<readonly Moment[]>([]);
const future = signal<readonly Moment[]>([]);
export const canUndo = computed(() => past.value.length > 0);
export const canRedo = computed(() => future.value.length > 0);
let lastKey = '';

/** Remembers how it was; changes with the same key, one after another, are one step. */
function remember(key: string) {
    if (key && key === lastKey) return;
    lastKey = key;
    past.value = [
        ...past.value.slice(-UNDO_LIMIT + 1),
        { layers: layers.value, selected: selectedId.value },
    ];
    future.value = [];
}
/** What follows is a step of its own. */
export const endStep = () => (lastKey = '');

function travel(from: typeof past, to: typeof past) {
    const moment = from.value[from.value.length - 1];
    if (!moment) return;
    endStep();
    batch(() => {
        from.value = from.value.slice(0, -1);
        to.value = [...to.value, { layers: layers.value, selected: selectedId.value }];
        layers.value = moment.layers;
        selectedId.value = moment.selected;
        typing.value = false;
    });
    void check();
}
export const undo = () => travel(past, future);
export const redo = () => travel(future, past);

/* --- changes --- */

function change(next: readonly Layer[], selected: number, key = '') {
    remember(key);
    batch(() => {
        layers.value = next;
        selectedId.value = selected;
        typing.value = false;
    });
    void check();
}

export function insertLayers(place: number, values: LayerDescription[]) {
    const added = values.map(fresh);
    if (added.length === 0) return;
    const next = [...layers.value.slice(0, place), ...added, ...layers.value.slice(place)];
    change(next, added[added.length - 1].id);
}

/** Where a new layer goes: behind the selected one; what must come first, to the front. */
export const placeFor = (kind?: LayerKind) =>
    kind?.first_only ? 0 : selectedPlace.value < 0 ? layers.value.length : selectedPlace.value + 1;

export function duplicateLayer(place: number) {
    const layer = layers.value[place];
    if (layer) insertLayers(place + 1, [layer.value]);
}

export function removeLayer(place: number) {
    const next = layers.value.filter((_, i) => i !== place);
    if (next.length === layers.value.length) return;
    change(next, next[Math.min(place, next.length - 1)]?.id ?? 0);
}

export function moveLayer(from: number, to: number, key = '') {
    if (to < 0 || to >= layers.value.length || from === to) return;
    const next = [...layers.value];
    const [moved] = next.splice(from, 1);
    next.splice(to, 0, moved);
    change(next, moved.id, key);
}

export function editLayer(id: number, value: LayerDescription, key = '') {
    change(
        layers.value.map((layer) => (layer.id === id ? { id, value } : layer)),
        id,
        key,
    );
}

/** One written as text may have become several. */
export function replaceLayer(id: number, values: LayerDescription[], key = '') {
    const place = layers.value.findIndex((layer) => layer.id === id);
    if (place < 0 || values.length === 0) return;
    const [first, ...rest] = values;
    const next = [...layers.value];
    next.splice(place, 1, { id, value: first }, ...rest.map(fresh));
    change(next, id, key);
}

const same = (a: LayerDescription, b: LayerDescription) => JSON.stringify(a) === JSON.stringify(b);

/** Layers as they are now; those at both ends that are the same keep their ids. */
function adopt(values: LayerDescription[]): Layer[] {
    const old = layers.value;
    const shorter = Math.min(old.length, values.length);
    let front = 0;
    while (front < shorter && same(old[front].value, values[front])) front++;
    let back = 0;
    while (
        back < shorter - front &&
        same(old[old.length - 1 - back].value, values[values.length - 1 - back])
    )
        back++;
    return values.map((value, i) => {
        if (i < front) return old[i];
        if (i >= values.length - back) return old[old.length - (values.length - i)];
        // What was changed in place stays the same card.
        return i < old.length - back ? { id: old[i].id, value } : fresh(value);
    });
}

/** Takes a whole network as text: typed (the text stays as it is), or chosen. */
export async function readText(net: string, byTyping: boolean, key = '') {
    batch(() => {
        typing.value = byTyping;
        text.value = net;
    });
    const said = await ask({ net });
    if (!said) return;
    if (!said.draft) {
        take(said, layers.value);
        return;
    }
    const next = adopt(said.draft.layers.map((one) => one.layer));
    if (next.length !== layers.value.length || next.some((layer, i) => layer !== layers.value[i])) {
        remember(key);
        batch(() => {
            layers.value = next;
            if (!next.some((layer) => layer.id === selectedId.value))
                selectedId.value = next[next.length - 1]?.id ?? 0;
        });
    }
    take(said, next);
}

/** The text line was left: a text that was read becomes the network's own. */
export function leaveText() {
    endStep();
    if (!answer.value?.draft) return;
    typing.value = false;
    text.value = answer.value.draft.compact;
}

export const applyFix = (fix: NetworkFix) => void readText(fix.net, false);

/** A run's network, as this page edits it. */
export async function openRun(run: Run) {
    if (!run.network) return;
    const net = JSON.stringify({ layers: run.network.layers });
    const said = await ask({ net });
    if (said?.draft) await readText(said.draft.compact, false);
}

/* --- the start --- */

/** What the labs' form holds, as text. */
const netOfSettings = (s: Settings) =>
    s.net ||
    [
        ...s.hidden.map((width) => `dense ${width} ${s.activation}`),
        `dense ${subject().classes}`,
    ].join(', ');

export async function readDesigns() {
    designs.value = (await get<Designs>('/api/designs')).designs;
}

/** Reads the tables once, and the network of the address, or what was drawn before, or the labs'. */
export async function startDesign(s: Settings) {
    const asked = search.peek().get('net');
    // The address may still have the network as it was before the last edits.
    const isOld = asked === written && layers.value.length > 0;
    written = asked ?? '';
    if (asked !== null && asked !== fitting.value && !isOld) await readText(asked, false);
    else if (layers.value.length > 0) await check();
    else await readText(netOfSettings(s), false);
    if (layers.value.length > 0 && selectedPlace.value < 0) selectedId.value = layers.value[0].id;
    past.value = layers.value.length > 0 ? past.value.filter((one) => one.layers.length > 0) : [];
}

export async function readTables() {
    if (layerTable.value) return;
    const [table, known] = await Promise.all([
        get<LayerTable>('/api/layers'),
        get<NetworkPresets>('/api/networks'),
        readDesigns(),
    ]);
    batch(() => {
        layerTable.value = table;
        presets.value = known.presets;
    });
}
