/* Code Diff: the same network in both frameworks, side by side, true to what runs. */
import { useEffect, useState } from 'preact/hooks';
import { codeAddress, programAddress, settingsWords } from '../lib/code';
import { engineLook } from '../lib/engines';
import { useFetched } from '../lib/fetched';
import { runTitle } from '../lib/run-title';
import * as format from '../lib/format';
import { param, setParams } from '../lib/router';
import { settings } from '../lib/settings';
import { defaults, newestRuns, settingsTable, system } from '../lib/studio';
import type { CodeDiff, CodeStage, Ideas, Settings, Voice } from '../lib/shapes';
import { Card, CopyButton, EngineName, Page, Trouble } from '../parts/basics';
import { CodeBlock } from '../parts/code-block';
import { numbersOf, SettingsStrip } from '../parts/code-head';
import { CodeLines, light, litIdeas } from '../parts/code-lines';
import { StageRail } from '../parts/stage-rail';

function VoiceHead({ side, voice, s }: { side: 'left' | 'right'; voice: Voice; s: Settings }) {
    const [whole, setWhole] = useState(''); // fetched ahead: a browser lets a page copy only right after the click
    const address = programAddress(voice.id, 'file', s);
    useEffect(() => {
        const stop = new AbortController();
        setWhole('');
        void fetch(address, { signal: stop.signal })
            .then((answer) => (answer.ok ? answer.text() : ''))
            .then(setWhole, () => {});
        return () => stop.abort();
    }, [address]);
    return (
        <div class="voice-head" data-engine={voice.engine}>
            <label class="field voice-field">
                <span class="hidden">{side === 'left' ? 'Left' : 'Right'} voice</span>
                <select
                    value={voice.id}
                    onChange={(event) => setParams({ [side]: event.currentTarget.value })}
                >
                    {(system.value?.voices ?? [voice]).map(({ id, title }) => (
                        <option key={id} value={id}>
                            {title}
                        </option>
                    ))}
                </select>
            </label>
            <div class="row">
                <CopyButton text={() => whole} disabled={!whole} />
                <a class="button" href={address} download={voice.file}>
                    {voice.file}
                </a>
                {voice.language === 'python' && (
                    <a
                        class="button"
                        href={programAddress(voice.id, 'notebook', s)}
                        download={voice.file.replace('.py', '.ipynb')}
                    >
                        Notebook
                    </a>
                )}
            </div>
        </div>
    );
}

/** A voice in a word; its language only where that tells the two apart. */
const sideName = (diff: CodeDiff, side: 'left' | 'right') =>
    diff.left.language === diff.right.language
        ? engineLook(diff[side].engine).title
        : diff[side].title;

/** Ideas that are missing for the same reason, together. */
function byReason(list: string[], ideas: Ideas) {
    const groups = new Map<string, string[]>();
    for (const idea of list)
        groups.set(ideas[idea].why ?? '', [...(groups.get(ideas[idea].why ?? '') ?? []), idea]);
    return [...groups].sort(([a], [b]) => Number(a === '') - Number(b === ''));
}

/** The ideas of a stage: the joined ones to point at, the lonely ones in words. */
function StageIdeas({
    stage,
    diff,
    numbers,
}: {
    stage: CodeStage;
    diff: CodeDiff;
    numbers: Map<string, number>;
}) {
    const here = [...new Set([...stage.left, ...stage.right].map((line) => line.idea))].filter(
        (idea): idea is string => idea !== null && idea in diff.ideas,
    );
    const joined = here.filter((idea) => !diff.ideas[idea].only);
    const alone = here.filter((idea) => diff.ideas[idea].only);
    return (
        <div class="stage-ideas">
            {joined.length > 0 && (
                <ul class="joins" aria-label="The same idea on both sides">
                    {joined.map((idea) => (
                        <li key={idea}>
                            <button
                                type="button"
                                class="join"
                                aria-pressed={litIdeas.value.includes(idea)}
                                onFocus={() => light(idea)}
                                onBlur={() => light(null)}
                                onMouseEnter={() => light(idea)}
                                onMouseLeave={() => light(null)}
                                onClick={() => light(idea)}
                            >
                                <b>{numbers.get(idea)}</b> {diff.ideas[idea].title}
                            </button>
                        </li>
                    ))}
                </ul>
            )}
            {(['left', 'right'] as const).map((side) => {
                const only = alone.filter((idea) => diff.ideas[idea].only === side);
                return (
                    only.length > 0 && (
                        <div key={side} class="alone-words">
                            <h3>Only in {sideName(diff, side)}</h3>
                            <ul>
                                {byReason(only, diff.ideas).map(([why, list]) => (
                                    <li
                                        key={why}
                                        onMouseEnter={() => (litIdeas.value = list)}
                                        onMouseLeave={() => light(null)}
                                    >
                                        <b>
                                            {list.map((idea) => diff.ideas[idea].title).join(', ')}
                                        </b>
                                        {why && `: ${why}`}
                                    </li>
                                ))}
                            </ul>
                        </div>
                    )
                );
            })}
        </div>
    );
}

function Stage({
    stage,
    diff,
    number,
    numbers,
}: {
    stage: CodeStage;
    diff: CodeDiff;
    number: number;
    numbers: Map<string, number>;
}) {
    return (
        <section class="code-stage" aria-labelledby={`stage-${stage.id}`} id={stage.id}>
            <div class="stage-head">
                <h2 id={`stage-${stage.id}`}>
                    <span class="muted">{number}</span> {stage.title}
                </h2>
                <p>{stage.note}</p>
            </div>
            <div class="sides">
                {(['left', 'right'] as const).map((side) => (
                    <div key={side} class="side" data-engine={diff[side].engine}>
                        <p class="side-name">
                            <EngineName id={diff[side].engine} />{' '}
                            <small>
                                {diff[side].language === 'c' ? 'the C that runs' : 'Python'}
                            </small>
                        </p>
                        <CodeLines
                            lines={stage[side]}
                            other={stage[side === 'left' ? 'right' : 'left']}
                            ideas={diff.ideas}
                            numbers={numbers}
                            language={diff[side].language}
                            label={`${stage.title}, ${diff[side].title}`}
                        />
                    </div>
                ))}
            </div>
            <StageIdeas stage={stage} diff={diff} numbers={numbers} />
        </section>
    );
}

function RunItYourself({ diff, s }: { diff: CodeDiff; s: Settings }) {
    const words = settingsWords(s, defaults.value);
    const both = [...new Set([diff.left.engine, diff.right.engine])];
    const programs = (system.value?.voices ?? []).filter(
        (voice) => voice.language === 'python' && both.includes(voice.engine),
    );
    const commands = programs.flatMap(({ engine, file }) => [
        `nnstudio code ${engine} ${words} --out ${file}`,
        `python ${file} --data-dir data`,
    ]);
    const text = [
        'pip install -r requirements.txt',
        `nnstudio data export ${s.dataset} --out data`,
        ...commands,
        '',
        '# the same training here, in C',
        `nnstudio train --engine ${both.join()} ${words}`,
    ].join('\n');
    return (
        <Card
            title="Run it yourself"
            aside={
                <>
                    <CopyButton text={() => text} />
                    <a class="button" href="/api/code/requirements" download="requirements.txt">
                        requirements.txt
                    </a>
                </>
            }
        >
            <CodeBlock text={text} language="bash" label="Commands for a terminal" />
            <p class="muted">
                The export writes the set as four IDX files into <code>data/{s.dataset}</code>: what
                the programs read, without the studio. On several processes, machines or a cluster:{' '}
                <a href="/where">Where to run</a>.
            </p>
        </Card>
    );
}

function Bundle() {
    const done = newestRuns.value.filter((run) => run.files.length > 0);
    const chosen =
        done.find((run) => run.id === param('bundle')) ??
        done.find((run) => run.diverged_at === null) ??
        done[0];
    return (
        <Card title="Download a run">
            <p>
                One .zip of a run: the model in every format, both programs and notebooks, the
                settings, the curve, the weights it began with and the order of its samples.
            </p>
            {chosen ? (
                <div class="row bundle-row">
                    <label class="field">
                        <span class="hidden">Run</span>
                        <select
                            value={chosen.id}
                            onChange={(event) => setParams({ bundle: event.currentTarget.value })}
                        >
                            {done.slice(0, 50).map((run) => (
                                <option key={run.id} value={run.id}>
                                    {runTitle(run)} · {run.engine} · {run.settings.dataset} ·{' '}
                                    {format.time(run.created_at)}
                                </option>
                            ))}
                        </select>
                    </label>
                    <a
                        class="button main"
                        href={`/api/runs/${encodeURIComponent(chosen.id)}/bundle`}
                        download={`${chosen.id}.zip`}
                    >
                        Download the bundle
                    </a>
                </div>
            ) : (
                <p class="muted">
                    No run has a model yet: train one in a lab, and its bundle is here.
                </p>
            )}
        </Card>
    );
}

export function Code() {
    const s = settings.value;
    const left = param('left');
    const right = param('right');
    const { value: diff, error } = useFetched<CodeDiff>(
        s && settingsTable.value && codeAddress(left, right, s),
    );
    const numbers = numbersOf(diff);
    useEffect(
        () => document.getElementById(location.hash.slice(1))?.scrollIntoView(),
        [diff !== null],
    );
    return (
        <Page
            title="Code Diff"
            about="The same network and its training, side by side, stage by stage: what you would write, and the C that really runs."
        >
            {error && <Trouble>{error}</Trouble>}
            {s && <SettingsStrip s={s} />}
            {s && diff && (
                <>
                    <div class="card code-card">
                        <div class="sides voices">
                            <VoiceHead side="left" voice={diff.left} s={s} />
                            <VoiceHead side="right" voice={diff.right} s={s} />
                        </div>
                        <p class="muted code-key">
                            <span class="key-mark differs" /> differs{' '}
                            <span class="key-mark alone" /> only on this side{' '}
                            <span class="key-mark joined">7</span> the same idea on both sides:
                            point at a line to see its counterpart
                        </p>
                        <StageRail stages={diff.stages} />
                        {diff.stages.map((stage, i) => (
                            <Stage
                                key={stage.id}
                                stage={stage}
                                diff={diff}
                                number={i + 1}
                                numbers={numbers}
                            />
                        ))}
                    </div>
                    <div class="halves take-away">
                        <RunItYourself diff={diff} s={s} />
                        <Bundle />
                    </div>
                </>
            )}
        </Page>
    );
}
