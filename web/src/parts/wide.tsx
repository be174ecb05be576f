/* Tables: their head, and the box that one wider than its place scrolls in. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

type Side = 'right' | 'left' | 'right and to the left' | null;

/** A column's title; of numbers, which stand to the right; or for screen readers alone. */
type Column = string | { number: string } | { hidden: string };

export function Head({ columns }: { columns: Column[] }) {
    return (
        <thead>
            <tr>
                {columns.map((column, i) =>
                    typeof column === 'string' ? (
                        <th key={i} scope="col">
                            {column}
                        </th>
                    ) : 'number' in column ? (
                        <th key={i} scope="col" class="num">
                            {column.number}
                        </th>
                    ) : (
                        <th key={i} scope="col">
                            <span class="hidden">{column.hidden}</span>
                        </th>
                    ),
                )}
            </tr>
        </thead>
    );
}

/** Scrolls within its box, and a line says that there is more. */
export function Wide({
    label,
    class: name = '',
    quiet = false,
    children,
}: {
    label: string;
    class?: string;
    /** Of several alike the first alone says so in words. */
    quiet?: boolean;
    children: ComponentChildren;
}) {
    const box = useRef<HTMLDivElement>(null);
    const [more, setMore] = useState<Side>(null);
    const look = () => {
        if (!box.current) return; // taken off the page; the watch ends in a moment
        const { scrollLeft, scrollWidth, clientWidth } = box.current;
        const left = scrollLeft > 1;
        const right = scrollLeft + clientWidth < scrollWidth - 1;
        setMore(right ? (left ? 'right and to the left' : 'right') : left ? 'left' : null);
    };
    useEffect(() => {
        const watch = new ResizeObserver(look);
        watch.observe(box.current!);
        watch.observe(box.current!.firstElementChild!);
        return () => watch.disconnect();
    }, []);
    return (
        <>
            <div
                ref={box}
                class={`scroll ${name}`}
                tabIndex={0}
                role="group"
                aria-label={label}
                onScroll={look}
            >
                {children}
            </div>
            {more && !quiet && (
                <p class="muted wide-hint" aria-hidden="true">
                    More columns to the {more}: scroll the table
                </p>
            )}
        </>
    );
}
