/* What may be wider than its place: it scrolls within its box, and a line says that there is more. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

type Side = 'right' | 'left' | 'right and to the left' | null;

export function Wide({ label, children }: { label: string; children: ComponentChildren }) {
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
                class="scroll"
                tabIndex={0}
                role="group"
                aria-label={label}
                onScroll={look}
            >
                {children}
            </div>
            {more && (
                <p class="muted wide-hint" aria-hidden="true">
                    More columns to the {more}: scroll the table
                </p>
            )}
        </>
    );
}
