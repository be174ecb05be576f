// The curve's memory: every step while they fit, honest extremes and means after, and going back to a checkpoint.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PAGE_PACKAGES, ROOT } from './support.mjs';

const skip =
    !existsSync(join(ROOT, 'web/node_modules/esbuild')) && "the page's packages are not installed";
let Curve, CURVE_CAPACITY, padded, folder;

before(async () => {
    if (skip) return;
    folder = await mkdtemp(join(tmpdir(), 'nnstudio-curve-'));
    await PAGE_PACKAGES('esbuild').build({
        entryPoints: ['lib/curve', 'parts/plot-frame'].map((name) =>
            join(ROOT, `web/src/${name}.ts`),
        ),
        entryNames: '[name]',
        outExtension: { '.js': '.mjs' },
        bundle: true,
        format: 'esm',
        outdir: folder,
    });
    ({ Curve, CURVE_CAPACITY } = await import(join(folder, 'curve.mjs')));
    ({ padded } = await import(join(folder, 'plot-frame.mjs')));
});
after(() => folder && rm(folder, { recursive: true }));

const losses = (from, count) =>
    Array.from({ length: count }, (_, i) => 2 / (1 + (from + i) / 50) + 0.1 * Math.sin(from + i));
function feed(curve, count, batch = 97) {
    for (let at = 0; at < count; at += batch)
        assert.equal(curve.append(at, losses(at, Math.min(batch, count - at)), at / 1000), true);
}

test('keeps each step while they fit', { skip }, () => {
    const curve = new Curve();
    feed(curve, 5000);
    assert.equal(curve.length, 5000);
    assert.equal(curve.next, 5000);
    assert.deepEqual([...curve.loss.subarray(0, 5000)], losses(0, 5000));
});

test('a million steps keep the spikes, the order and the end, in bounded room', { skip }, () => {
    const curve = new Curve();
    const all = losses(0, 1_000_000);
    all[123_456] = 99;
    all[777_777] = -5;
    for (let at = 0; at < all.length; at += 1000)
        curve.append(at, all.slice(at, at + 1000), at / 1e4);
    const n = curve.length;
    assert.ok(n <= CURVE_CAPACITY + 2 && n > CURVE_CAPACITY / 4, `${n} points`);
    const points = [...curve.loss.subarray(0, n)];
    assert.ok(points.includes(99) && points.includes(-5));
    for (let i = 1; i < n; i++) assert.ok(curve.step[i] > curve.step[i - 1], 'steps grow');
    assert.ok(curve.step[n - 1] > 1_000_000 - 2 * curve.bucket);
    // Even density: the first tenth of the steps has about a tenth of the points.
    const tenth = curve.indexOf(curve.step, 100_000);
    assert.ok(Math.abs(tenth / n - 0.1) < 0.02, `${tenth} of ${n}`);
});

test('the smoothing is a line through both sides, the same in pieces or at once', { skip }, () => {
    const curve = new Curve();
    const factor = 0.98;
    const all = losses(0, 1000);
    for (let at = 0; at < 1000; at += 250) {
        curve.append(at, losses(at, 250), at);
        curve.smoothed(factor);
    }
    const smooth = curve.smoothed(factor);
    for (const i of [0, 1, 17, 500, 998, 999]) {
        // The weighted least squares line through all steps, at this one.
        let [w, wx, wxx, wy, wxy] = [0, 0, 0, 0, 0];
        all.forEach((loss, n) => {
            const [weight, x] = [factor ** Math.abs(n - i), n - i];
            w += weight;
            wx += weight * x;
            wxx += weight * x * x;
            wy += weight * loss;
            wxy += weight * x * loss;
        });
        const line = (wxx * wy - wx * wxy) / (w * wxx - wx * wx);
        assert.ok(Math.abs(smooth[i] - line) < 1e-9, `step ${i}`);
    }
    assert.deepEqual([...curve.smoothed(0).subarray(0, 1000)], [...all], 'no smoothing, no change');
});

test('the smoothed curve does not lag behind a straight descent', { skip }, () => {
    const curve = new Curve();
    curve.append(
        0,
        Array.from({ length: 2001 }, (_, i) => 10 - i / 200),
        1,
    );
    const smooth = curve.smoothed(0.98);
    for (const step of [0, 1, 20, 1000, 1990, 2000])
        assert.ok(Math.abs(smooth[step] - (10 - step / 200)) < 1e-9, `step ${step}`);
});

test('a decimated answer of the server is taken as it is, means included', { skip }, () => {
    const curve = new Curve();
    curve.replace(
        {
            from: 0,
            to: 7,
            total: 8,
            stride: 4,
            step: [1, 3, 4, 6],
            loss: [1, 3, 0, 4],
            mean: [2, 2, 2, 2],
            seconds: [0.1, 0.3, 0.4, 0.6],
        },
        4,
    );
    assert.equal(curve.next, 8);
    assert.deepEqual([...curve.smoothed(0.5).subarray(0, 4)], [2, 2, 2, 2]);
    assert.deepEqual([...curve.epoch.subarray(0, 4)], [0.25, 0.75, 1, 1.5]);
    curve.append(8, [2, null], 1);
    assert.equal(curve.smoothed(0.5)[curve.length - 1], 2, 'a loss that is no number is left out');
});

test('steps that are missing are noticed, repeated ones replaced', { skip }, () => {
    const curve = new Curve();
    feed(curve, 1000, 100);
    assert.equal(curve.append(1200, [1], 2), false, 'a gap');
    assert.equal(curve.append(500, [7, 8], 3), true, 'back to a checkpoint');
    assert.equal(curve.next, 502);
    assert.equal(curve.length, 502);
    assert.deepEqual([...curve.loss.subarray(499, 502)], [losses(499, 1)[0], 7, 8]);
});

test('an axis has room around what is there, and none below zero for nothing', { skip }, () => {
    assert.deepEqual(padded(Infinity, -Infinity, false), [0, 1], 'no numbers yet');
    assert.deepEqual(padded(Infinity, -Infinity, true), [0.01, 1]);
    assert.deepEqual(padded(0, 0, false), [0, 0.06], 'zeros only');
    for (const [low, high] of [
        [0, 0.98],
        [0.1, 2.3],
        [0.9, 0.9],
    ]) {
        const [from, to] = padded(low, high, false);
        assert.ok(from >= 0 && from <= low && to > high, `${from} … ${to}`);
    }
    assert.ok(padded(-1, 1, false)[0] < -1);
});
