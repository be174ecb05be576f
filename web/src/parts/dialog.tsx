/* A modal box: the browser's own <dialog>, which keeps the focus and closes on Escape. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

export function Dialog({
    title,
    onClose,
    wide,
    children,
}: {
    title: string;
    onClose: () => void;
    wide?: boolean;
    children: ComponentChildren;
}) {
    const box = useRef<HTMLDialogElement>(null);
    useEffect(() => box.current?.showModal(), []);
    return (
        <dialog
            ref={box}
            class={wide ? 'dialog wide' : 'dialog'}
            aria-label={title}
            onClose={onClose}
            onClick={(event) => event.target === box.current && box.current!.close()}
        >
            <div class="dialog-body">
                <div class="card-head">
                    <h2>{title}</h2>
                    <button
                        type="button"
                        class="bare"
                        aria-label="Close"
                        onClick={() => box.current!.close()}
                    >
                        ×
                    </button>
                </div>
                {children}
            </div>
        </dialog>
    );
}
