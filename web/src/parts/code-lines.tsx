/* Lines of code that know which idea they stand for. A line's counterparts light up with it. */
import type { CodeLine, Ideas } from '../lib/shapes';
import { param, setParams } from '../lib/router';
import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';

import { highlightLines, type Language } from './code-block';

/** The ideas under the pointer or the focus, or of the microscope's stage: their lines are lit on both sides. */
export const litIdeas = signal<readonly string[]>([]);
export const light = (idea: string | null) => (litIdeas.value = idea ? [idea] : []);

interface Props {
    lines: CodeLine[];
    other: CodeLine[];
    ideas: Ideas;
    numbers: Map<string, number>;
    language: Language;
    label: string;
    lit?: readonly string[];
}

/** Lines of a Python program before those that differ by framework: up to the end of reading the files. */
function preambleLength(lines: CodeLine[], language: Language) {
    const last = language === 'python' ? lines.findLastIndex(({ idea }) => idea === 'read') : -1;
    let end = last + 1;
    while (end > 0 && lines[end]?.text.trim() === '') end++;
    return end;
}

/** One voice of one stage. The margin has a number for each joined idea, the same on both sides. */
export function CodeLines({ lines, other, ideas, numbers, language, label, lit }: Props) {
    const block = useRef<HTMLPreElement>(null);
    const shown = lit ?? litIdeas.value;
    useEffect(() => {
        // What the microscope lights is brought into view.
        const line = lit && block.current?.querySelector<HTMLElement>('[data-lit]');
        if (line && block.current) block.current.scrollTop = line.offsetTop - 24;
    }, [lit?.join()]);
    const pieces = highlightLines(lines.map((line) => line.text).join('\n'), language);
    const said = new Set(other.map((line) => line.text));
    const folded = lit === undefined && param('all') !== '1' ? preambleLength(lines, language) : 0;
    if (lines.length === 0) return <p class="no-code muted">No code is needed here.</p>;
    return (
        <pre
            ref={block}
            class="code joined"
            data-dim={lit !== undefined || undefined}
            tabIndex={0}
            aria-label={label}
        >
            {preambleLength(lines, language) > 0 && lit === undefined && (
                <button
                    type="button"
                    class="link code-fold"
                    aria-expanded={folded === 0}
                    onClick={() => setParams({ all: folded > 0 ? 1 : null })}
                >
                    {folded > 0
                        ? `Show ${folded} lines: imports, arguments, reading the files`
                        : 'Hide imports, arguments and reading the files'}
                </button>
            )}
            <code>
                {lines.map(({ text, idea }, i) => {
                    if (i < folded) return null;
                    const joined = idea !== null && !ideas[idea]?.only;
                    const mark =
                        text.trim() === '' || said.has(text)
                            ? ''
                            : idea !== null && !joined
                              ? 'alone'
                              : 'differs';
                    const first = joined && lines[i - 1]?.idea !== idea;
                    const indent = text.length - text.trimStart().length; // what does not fit goes on below, a little deeper
                    return (
                        <span
                            key={i}
                            class={`line ${mark}`}
                            style={{ '--indent': Math.min(indent, 16) + 4 }}
                            data-idea={idea ?? undefined}
                            data-lit={(idea !== null && shown.includes(idea)) || undefined}
                            onMouseEnter={() => light(idea)}
                            onMouseLeave={() => light(null)}
                        >
                            <span class="margin" aria-hidden="true">
                                {first ? numbers.get(idea) : ''}
                            </span>
                            {pieces[i]?.length ? pieces[i] : ' '}
                        </span>
                    );
                })}
            </code>
        </pre>
    );
}
