/* Which data set the Data Inspector and the forms speak of when nothing else is said. */
import { computed } from '@preact/signals';
import { query } from './api';
import { datasets } from './studio';

/** Real MNIST where it is there, else the first that works at once. */
export const usualDataset = computed(() => {
    const list = datasets.value ?? [];
    return (
        (
            list.find((set) => set.name === 'mnist' && set.available) ??
            list.find((set) => set.available) ??
            list[0]
        )?.name ?? 'synthetic'
    );
});
export const findDataset = (name: string) => datasets.value?.find((set) => set.name === name);
/** A file or folder of the user's own; what is in it is known when it is opened. */
export const isOwnData = (name: string) => findDataset(name)?.own ?? true;

/** Whether a set's classes are the ten digits: what one draws then is a digit. */
export const hasDigits = (name: string) => {
    const classes = findDataset(name)?.classes ?? [];
    return classes.length === 10 && classes.every((title) => /^\d$/.test(title));
};

/** The sizes of a network's layers for a set; `null` where the set was not opened yet and cannot say. */
export function layerSizes(name: string, hidden: number[]): (number | null)[] {
    const set = findDataset(name);
    const pixels = set?.rows && set.columns ? set.rows * set.columns * (set.channels ?? 1) : null;
    return [pixels, ...hidden, set?.classes.length || null];
}
export const sizesText = (sizes: (number | null)[]) => sizes.map((n) => n ?? '?').join(' → ');

/** Where the server says what a network given as text is, for the pictures of a set. */
export function networkAddress(name: string, net: string): string | null {
    const set = findDataset(name);
    if (!net) return null;
    return `/api/network${query({ net, rows: set?.rows || 28, columns: set?.columns || 28, channels: set?.channels || 1 })}`;
}
