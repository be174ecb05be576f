import { signal } from '@preact/signals';
import { Dialog } from './dialog';

export const showShortcuts = signal(false);

const KEYS: [string, string][] = [
    ['1 … 9', 'go to a tab'],
    ['Space', 'pause or resume the active run'],
    ['?', 'this list'],
    ['Esc', 'close a dialog'],
    ['+ −', 'in a plot: zoom in, zoom out'],
    ['← →', 'in a plot: move along'],
    ['← →', 'in the step microscope: previous or next stage'],
    ['0', 'in a plot: show all'],
    ['Delete', 'in the drawing area: clear'],
];

export function Shortcuts() {
    if (!showShortcuts.value) return null;
    return (
        <Dialog title="Keyboard" onClose={() => (showShortcuts.value = false)}>
            <dl class="keys">
                {KEYS.map(([key, what]) => (
                    <div key={key}>
                        <dt>
                            <kbd>{key}</kbd>
                        </dt>
                        <dd>{what}</dd>
                    </div>
                ))}
            </dl>
        </Dialog>
    );
}
