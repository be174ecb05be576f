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
    ['← →', 'in a design: select a layer; with Alt, move it'],
    ['Enter', 'in a design: edit the layer as text'],
    ['A', 'in a design: add a layer behind it'],
    ['D', 'in a design: duplicate it'],
    ['Delete', 'in a design: remove it'],
    ['Ctrl+Z', 'in a design: undo; with Shift, redo'],
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
