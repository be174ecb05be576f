/* The network as a program, beside its picture: the selected layer's lines are lit, what an edit changed flashes once. */
import { effect } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { codeAddress } from '../lib/code';
import { fitting, layers, selectedId, selectedPlace } from '../lib/design';
import { engineLook } from '../lib/engines';
import { askEarly, useFetched } from '../lib/fetched';
import { param, setParams } from '../lib/router';
import { system } from '../lib/studio';
import type { CodeDiff, CodeLine, Settings, Voice } from '../lib/shapes';
import { Card, Segmented } from './basics';
import { highlightLines } from './code-block';

const tabName = (voice: Voice) =>
    voice.language === 'c'
        ? `${engineLook(voice.engine).title} in C`
        : engineLook(voice.engine).title;

function Lines({ lines, voice }: { lines: CodeLine[]; voice: Voice }) {
    const block = useRef<HTMLPreElement>(null);
    const before = useRef<{ voice: string; lines: Set<string> } | null>(null);
    const place = selectedPlace.value;
    const all = lines.map((line) => line.text);
    const old = before.current?.voice === voice.id ? before.current.lines : null;
    useEffect(() => {
        before.current = { voice: voice.id, lines: new Set(all) };
    }, [all.join('\n'), voice.id]);
    useEffect(() => {
        const box = block.current;
        const line = box?.querySelector<HTMLElement>('[data-lit]');
        if (!box || !line) return;
        const top = line.offsetTop - box.offsetTop;
        if (top < box.scrollTop || top > box.scrollTop + box.clientHeight - 40)
            box.scrollTop = top - 40;
    }, [place, voice.id, all.length]);
    const source = all.join('\n');
    const pieces = useMemo(() => highlightLines(source, voice.language), [source, voice.id]);
    return (
        <pre
            ref={block}
            class="code design-code"
            tabIndex={0}
            aria-label={`${voice.title}: the network`}
        >
            <code>
                {lines.map((line, i) => (
                    <span
                        key={`${i}:${line.text}`}
                        class="line"
                        data-lit={line.layers.includes(place) || undefined}
                        data-new={(old && line.text.trim() && !old.has(line.text)) || undefined}
                        onClick={() => {
                            const layer = layers.value[line.layers[0] ?? -1];
                            if (layer) selectedId.value = layer.id;
                        }}
                    >
                        {pieces[i]?.length ? pieces[i] : ' '}
                    </span>
                ))}
            </code>
        </pre>
    );
}

export function DesignCode({ s }: { s: Settings }) {
    const voices = system.value?.voices ?? [];
    const voice = voices.find(({ id }) => id === param('code')) ?? voices[0];
    const other = voices.find(
        ({ id, language }) => id !== voice?.id && language === voice?.language,
    );
    const net = fitting.value;
    // As soon as the network is known to fit: the drawing takes its time.
    useEffect(
        () =>
            effect(() => {
                if (!voice || !fitting.value) return;
                askEarly(codeAddress(voice.id, (other ?? voice).id, { ...s, net: fitting.value }));
            }),
        [voice?.id, other?.id, s],
    );
    const { value, error } = useFetched<CodeDiff>(
        voice && net ? codeAddress(voice.id, (other ?? voice).id, { ...s, net }) : null,
    );
    if (!voice) return null;
    const stage = value?.stages.find(({ id }) => id === 'network');
    return (
        <Card
            title="Code"
            class="design-code-card"
            aside={
                <a class="button" href="/code">
                    All of the program
                </a>
            }
        >
            <Segmented
                name="Program"
                value={voice.id}
                options={voices.map((one) => ({ value: one.id, label: tabName(one) }))}
                onChange={(id) => setParams({ code: id === voices[0].id ? null : id })}
            />
            {error && <p class="problem">{error}</p>}
            {!net && <p class="muted">The program is written as soon as the network fits.</p>}
            {value && stage && <Lines lines={stage.left} voice={value.left} />}
        </Card>
    );
}
