/* Source text, highlighted by Prism line by line, with marked lines. Built from tokens: no markup from text. */
import Prism from 'prismjs/components/prism-core';
import 'prismjs/components/prism-clike';
import 'prismjs/components/prism-c';
import 'prismjs/components/prism-python';
import 'prismjs/components/prism-bash';
import type { Token, TokenStream } from 'prismjs';
import type { VNode } from 'preact';

export type Language = 'python' | 'c' | 'bash';

/** Tokens by line; a token that spans lines (a docstring, a comment) appears in each of them. */
export function highlightLines(text: string, language: Language): (VNode | string)[][] {
    const lines: (VNode | string)[][] = [[]];
    const add = (piece: string, kind: string) =>
        piece.split('\n').forEach((part, i) => {
            if (i > 0) lines.push([]);
            if (part) lines[lines.length - 1].push(kind ? <span class={`token ${kind}`}>{part}</span> : part);
        });
    const walk = (stream: TokenStream, kind: string) => {
        for (const token of Array.isArray(stream) ? stream : [stream])
            if (typeof token === 'string') add(token, kind);
            else walk((token as Token).content, (token as Token).type);
    };
    walk(Prism.tokenize(text.replace(/\n$/, ''), Prism.languages[language]), '');
    return lines;
}

export function CodeBlock({ text, language, marked, label }: { text: string; language: Language; marked?: ReadonlySet<number>; label: string }) {
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
