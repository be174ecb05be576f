/* Short messages at the lower edge; those with a way back stay longer. */
import { signal } from '@preact/signals';

interface Toast {
    id: number;
    text: string;
    bad: boolean;
    action?: { label: string; act: () => void };
}

const toasts = signal<Toast[]>([]);
let counter = 0;
const close = (id: number) => (toasts.value = toasts.value.filter((toast) => toast.id !== id));

export function toast(text: string, action?: Toast['action'], bad = false) {
    const id = ++counter;
    toasts.value = [...toasts.value.slice(-3), { id, text, action, bad }];
    setTimeout(() => close(id), action ? 12_000 : bad ? 10_000 : 5_000);
}

export const toastError = (error: unknown) => toast((error as Error).message, undefined, true);

export function Toasts() {
    return (
        <div class="toasts" role="status" aria-live="polite">
            {toasts.value.map(({ id, text, action, bad }) => (
                <div key={id} class={bad ? 'toast bad' : 'toast'}>
                    <span>{text}</span>
                    {action && (
                        <button
                            type="button"
                            class="link"
                            onClick={() => (action.act(), close(id))}
                        >
                            {action.label}
                        </button>
                    )}
                    <button
                        type="button"
                        class="bare"
                        aria-label="Close message"
                        onClick={() => close(id)}
                    >
                        ×
                    </button>
                </div>
            ))}
        </div>
    );
}
