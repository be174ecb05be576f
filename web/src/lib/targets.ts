/* Where models can be registered, as the studio last listed it. */
import { signal } from '@preact/signals';
import type { Target, TargetId } from './shapes';

export const targets = signal<Target[]>([]);
/** "in Azure ML" */
export const targetWhere = (id: TargetId) =>
    targets.value.find((target) => target.id === id)?.where ?? id;
export const targetTitle = (id: TargetId) =>
    targets.value.find((target) => target.id === id)?.title ?? id;
