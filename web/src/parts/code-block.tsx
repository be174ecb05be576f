/* Source text, highlighted by Prism line by line, with marked lines. Built from tokens: no markup from text. */
import Prism from 'prismjs/components/prism-core';
import 'prismjs/components/prism-clike';
import 'prismjs/components/prism-c';
import 'prismjs/components/prism-python';
import 'prismjs/components/prism-bash';
import type { Token, TokenStream } from 'prismjs';
import type { VNode } from 'preact';

export type Language = 'python' | 'c' | 'bash';

/** Long code may go on in the next line after one of these, and not within it. */
const BREAKS = /^(\(|\.|=|->)$/;

/** Tokens by line; a token that spans lines (a docstring, a comment) appears in each of them. */
export function highlightLines(text: string, language: Language): (VNode | string)[][] {
    const lines: (VNode | string)[][] = [[]];
    const add = (piece: string, kind: string) =>
        piece.split('\n').forEach((part, i) => {
            if (i > 0) lines.push([]);
            const line = lines[lines.length - 1];
            if (part) line.push(kind ? <span class={`token ${kind}`}>{part}</span> : part);
            if (BREAKS.test(part)) line.push(<wbr />);
        });
    const walk = (stream: TokenStream, kind: string) => {
        for (const token of Array.isArray(stream) ? stream : [stream])
            if (typeof token === 'string') add(token, kind);
            else walk((token as Token).content, (token as Token).type);
    };
    walk(Prism.tokenize(text.replace(/\n$/, ''), Prism.languages[language]), '');
    return lines;
}

export function CodeBlock({
    text,
    language,
    marked,
    label,
}: {
    text: string;
    language: Language;
    marked?: ReadonlySet<number>;
    label: string;
}) {
    return (
        <pre class="code" tabIndex={0} aria-label={label}>
            <code>
                {highlightLines(text, language).map((pieces, i) => (
                    <span key={i} class={marked?.has(i) ? 'line marked' : 'line'}>
                        {pieces.length ? pieces : ' '}
                    </span>
                ))}
            </code>
        </pre>
    );
}
