/* Limits that the studio's interface states in its schemas, for what the page asks before it sends. */
import { Look } from '../../../src/http/schemas/code.json';
import { RunTitle } from '../../../src/http/schemas/common.json';
import { findDataset } from './dataset';
import type { Settings } from './shapes';

const RUN_TITLE_MAX = RunTitle.maxLength;
export const titleProblem = (title: string) =>
    title.length <= RUN_TITLE_MAX ? undefined : `at most ${RUN_TITLE_MAX} characters`;

/** The number of the last batch of an epoch; of a set that was not opened yet, the last that may be asked for. */
export function lastBatch({ dataset, limit, batch_size }: Settings): number {
    const all = findDataset(dataset)?.train;
    const samples = all ? Math.min(all, limit || all) : limit || Infinity;
    return Math.min(Look.properties.batch.maximum, Math.ceil(samples / batch_size) - 1);
}
