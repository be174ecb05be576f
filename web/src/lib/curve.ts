/* The loss of a run, step by step, in a fixed amount of memory.
 *
 * While steps fit, each is kept. When they no longer do, neighboring buckets are merged and of each only the lowest and
 * the highest loss stay (so that spikes stay visible), with the bucket's mean for the smoothing. */
import { signal } from '@preact/signals';
import type { Points } from './shapes';

export const CURVE_CAPACITY = 8192;
const SUMS = 5; // of the smoothing, per point
const RESERVE = 4; // room for the bucket that is not full yet

export class Curve {
    readonly step = new Float64Array(CURVE_CAPACITY + RESERVE);
    readonly epoch = new Float64Array(CURVE_CAPACITY + RESERVE);
    readonly seconds = new Float64Array(CURVE_CAPACITY + RESERVE);
    readonly loss = new Float64Array(CURVE_CAPACITY + RESERVE);
    private readonly mean = new Float64Array(CURVE_CAPACITY + RESERVE);
    private readonly smooth = new Float64Array(CURVE_CAPACITY + RESERVE);
    private readonly sums = new Float64Array(SUMS * (CURVE_CAPACITY + RESERVE));

    /** Points that may be drawn. */
    length = 0;
    /** The global step that comes next. */
    next = 0;
    /** Steps a pair of points stands for; 1: each step is a point. */
    bucket = 1;
    stepsPerEpoch = 1;
    /** Counts changes; read it in an effect to follow the curve. */
    readonly version = signal(0);

    private full = 0; // points of full buckets; what follows them is rewritten
    private pending = {
        count: 0,
        sum: 0,
        low: Infinity,
        lowStep: 0,
        lowTime: 0,
        high: -Infinity,
        highStep: 0,
        highTime: 0,
    };
    private time = 0; // training seconds at the last step
    private smoothing = { factor: -1, version: -1 };

    clear() {
        this.length = this.full = this.next = this.time = 0;
        this.bucket = 1;
        this.resetPending();
        this.version.value++;
    }

    /** Takes the server's answer to /points from step 0 on; it may be decimated there already. */
    replace(points: Points, stepsPerEpoch: number) {
        this.clear();
        this.stepsPerEpoch = Math.max(1, stepsPerEpoch);
        this.bucket = Math.max(1, points.stride);
        for (let i = 0; i < points.step.length; i++) {
            if (this.full >= CURVE_CAPACITY) this.compact();
            this.put(
                this.full++,
                points.step[i],
                points.loss[i] ?? NaN,
                points.mean[i] ?? NaN,
                points.seconds[i],
            );
        }
        this.length = this.full;
        this.next = points.total > 0 ? points.to + 1 : 0;
        this.time = points.seconds.at(-1) ?? 0;
        this.version.value++;
    }

    /** Consecutive steps from the live stream, `seconds` at the last of them. False: steps between are missing. */
    append(first: number, losses: (number | null)[], seconds: number): boolean {
        if (first > this.next) return false;
        if (first < this.next) this.rewind(first);
        const before = Math.min(this.time, seconds);
        for (let i = 0; i < losses.length; i++)
            this.add(
                first + i,
                losses[i] ?? NaN,
                before + ((seconds - before) * (i + 1)) / losses.length,
            );
        this.time = seconds;
        this.showPending();
        this.version.value++;
        return true;
    }

    /** Where `x` of this curve comes from. */
    axis(name: 'step' | 'epoch' | 'time') {
        return name === 'step' ? this.step : name === 'epoch' ? this.epoch : this.seconds;
    }

    /** A straight line through the steps around each, near ones weighing more (exponential weights to both sides), taken at
     *  that step: local linear regression. Amid the curve that is the weighted mean; at its ends, where only one side is
     *  there, a mean would lie above or below a steep descent. `factor` is what one step keeps of the weight, 0 … 0.9999. */
    smoothed(factor: number): Float64Array {
        const version = this.version.peek();
        if (this.smoothing.factor === factor && this.smoothing.version === version)
            return this.smooth;
        this.smoothing = { factor, version };
        this.sums.fill(0, 0, SUMS * this.length);
        this.gather(factor, 1);
        this.gather(factor, -1);
        for (let i = 0; i < this.length; i++) this.smooth[i] = this.lineAt(i);
        return this.smooth;
    }

    private lineAt(i: number) {
        const { sums } = this;
        const at = SUMS * i;
        const [w, wx, wxx, wy, wxy] = [
            sums[at],
            sums[at + 1],
            sums[at + 2],
            sums[at + 3],
            sums[at + 4],
        ];
        const spread = w * wxx - wx * wx;
        if (spread > 1e-9 * w * wxx) return (wxx * wy - wx * wxy) / spread;
        return w > 0 ? wy / w : this.mean[i];
    }

    /** One side's Σw, Σw·x, Σw·x², Σw·loss and Σw·x·loss, added to what is there; x counts steps from the point itself, which
     *  belongs to the side that goes first. A loss that is no number is left out. */
    private gather(factor: number, way: 1 | -1) {
        let [w, wx, wxx, wy, wxy] = [0, 0, 0, 0, 0];
        for (let n = 0; n < this.length; n++) {
            const i = way === 1 ? n : this.length - 1 - n;
            const own = Number.isFinite(this.mean[i]) ? 1 - factor ** this.stepsOf(i) : 0;
            const ownLoss = own > 0 ? own * this.mean[i] : 0;
            if (n > 0) {
                const steps = this.stepsOf(way === 1 ? i : i + 1);
                const keep = factor ** steps;
                const x = way * steps; // what was at 0 is now at -x
                wxx = keep * (wxx - 2 * x * wx + x * x * w);
                wxy = keep * (wxy - x * wy);
                wx = keep * (wx - x * w);
                wy *= keep;
                w *= keep;
            }
            if (way === 1) {
                w += own;
                wy += ownLoss;
            }
            const at = SUMS * i;
            this.sums[at] += w;
            this.sums[at + 1] += wx;
            this.sums[at + 2] += wxx;
            this.sums[at + 3] += wy;
            this.sums[at + 4] += wxy;
            if (way === -1) {
                w += own;
                wy += ownLoss;
            }
        }
    }

    /** Steps from the point before to this one. */
    private stepsOf(i: number) {
        return i === 0 ? 1 : Math.max(1, this.step[i] - this.step[i - 1]);
    }

    /** Index of the last point with step <= `step`; -1 when there is none. */
    indexOf(xs: Float64Array, x: number): number {
        let low = 0;
        let high = this.length;
        while (low < high) {
            const middle = (low + high) >> 1;
            if (xs[middle] <= x) low = middle + 1;
            else high = middle;
        }
        return low - 1;
    }

    private add(step: number, loss: number, seconds: number) {
        this.next = step + 1;
        if (this.full + 2 > CURVE_CAPACITY) this.compact();
        if (this.bucket === 1) {
            this.put(this.full++, step, loss, loss, seconds);
            return;
        }
        const p = this.pending;
        p.count++;
        p.sum += loss;
        if (loss < p.low) [p.low, p.lowStep, p.lowTime] = [loss, step, seconds];
        if (loss > p.high) [p.high, p.highStep, p.highTime] = [loss, step, seconds];
        if (p.count < this.bucket) return;
        this.full += this.putPair(this.full);
        this.resetPending();
    }

    private put(i: number, step: number, loss: number, mean: number, seconds: number) {
        this.step[i] = step;
        this.epoch[i] = step / this.stepsPerEpoch;
        this.loss[i] = loss;
        this.mean[i] = mean;
        this.seconds[i] = seconds;
    }

    private putPair(at: number): number {
        const p = this.pending;
        const mean = p.sum / p.count;
        if (p.lowStep === p.highStep) {
            this.put(at, p.lowStep, p.low, mean, p.lowTime);
            return 1;
        }
        const lowFirst = p.lowStep < p.highStep;
        this.put(
            at,
            lowFirst ? p.lowStep : p.highStep,
            lowFirst ? p.low : p.high,
            mean,
            lowFirst ? p.lowTime : p.highTime,
        );
        this.put(
            at + 1,
            lowFirst ? p.highStep : p.lowStep,
            lowFirst ? p.high : p.low,
            mean,
            lowFirst ? p.highTime : p.lowTime,
        );
        return 2;
    }

    private showPending() {
        this.length = this.full + (this.pending.count > 0 ? this.putPair(this.full) : 0);
    }

    private resetPending() {
        Object.assign(this.pending, { count: 0, sum: 0, low: Infinity, high: -Infinity });
    }

    /** Halves the points: of four neighbors the lowest and the highest stay, in their order. */
    private compact() {
        let to = 0;
        for (let from = 0; from < this.full; from += 4) {
            const end = Math.min(from + 4, this.full);
            let low = from;
            let high = from;
            let sum = 0;
            for (let i = from; i < end; i++) {
                if (this.loss[i] < this.loss[low]) low = i;
                if (this.loss[i] > this.loss[high]) high = i;
                sum += this.mean[i];
            }
            const mean = sum / (end - from);
            for (const i of low === high ? [low] : [Math.min(low, high), Math.max(low, high)])
                this.put(to++, this.step[i], this.loss[i], mean, this.seconds[i]);
        }
        this.full = to;
        this.bucket = this.bucket === 1 ? 4 : this.bucket * 2;
    }

    /** A run that went back to its checkpoint repeats steps; what was after it goes. */
    private rewind(step: number) {
        while (this.full > 0 && this.step[this.full - 1] >= step) this.full--;
        this.length = this.full;
        this.time = this.full > 0 ? this.seconds[this.full - 1] : 0;
        this.next = step;
        this.resetPending();
    }
}
