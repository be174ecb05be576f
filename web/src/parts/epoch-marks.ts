/* Marks on a loss plot. A dashed upright: the learning rate was changed by hand. Epoch means: a filled mark for training, a hollow one for the test loss. Each engine has its shape. */
import type uPlot from 'uplot';
import { engineColor, engineLook } from '../lib/engines';
import type { Engine, EngineId } from '../lib/shapes';
import type { Piece, XAxis } from './loss-plot';
import { token } from './plot-frame';

const MARKS: Record<Engine['mark'], (path: Path2D, x: number, y: number, r: number) => void> = {
    circle: (path, x, y, r) => path.arc(x, y, r, 0, 2 * Math.PI),
    square: (path, x, y, r) => path.rect(x - r * 0.9, y - r * 0.9, 1.8 * r, 1.8 * r),
    diamond: (path, x, y, r) => {
        path.moveTo(x, y - 1.2 * r);
        path.lineTo(x + 1.2 * r, y);
        path.lineTo(x, y + 1.2 * r);
        path.lineTo(x - 1.2 * r, y);
        path.closePath();
    },
};

function mark(
    context: CanvasRenderingContext2D,
    engine: EngineId,
    x: number,
    y: number,
    filled: boolean,
) {
    const path = new Path2D();
    MARKS[engineLook(engine).mark](path, x, y, 4 * devicePixelRatio);
    context.fillStyle = filled ? engineColor(engine) : token('--surface');
    context.strokeStyle = filled ? token('--surface') : engineColor(engine);
    context.lineWidth = 1.5 * devicePixelRatio;
    context.fill(path);
    context.stroke(path);
}

/** Draws within the plot alone. */
function inside(u: uPlot, draw: (context: CanvasRenderingContext2D) => void) {
    const { left, top, width, height } = u.bbox;
    u.ctx.save();
    u.ctx.beginPath();
    u.ctx.rect(left, top, width, height);
    u.ctx.clip();
    draw(u.ctx);
    u.ctx.restore();
}

/** Where the learning rate was changed by hand. */
export function drawRateMarks(u: uPlot, pieces: Piece[], x: XAxis) {
    const { top, height } = u.bbox;
    inside(u, (context) => {
        context.lineWidth = 1.5 * devicePixelRatio;
        context.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
        context.strokeStyle = token('--text');
        for (const { live, first, end } of pieces) {
            for (const { step } of live.rates.value) {
                if (step < first || step >= end || live.curve.length === 0) continue;
                const i = live.curve.indexOf(live.curve.step, step);
                const px = u.valToPos(live.curve.axis(x)[Math.max(i, 0)], 'x', true);
                context.stroke(new Path2D(`M${px} ${top}V${top + height}`));
            }
        }
    });
}

export function drawEpochMarks(u: uPlot, pieces: Piece[], x: XAxis) {
    const lows = u.scales.y.min ?? 0;
    inside(u, (context) => {
        for (const piece of pieces) {
            if (piece.live.epochs.value.length > 200) continue; // marks would be a carpet
            const { curve } = piece.live;
            for (const epoch of piece.live.epochs.value) {
                if (epoch.global_step <= piece.first || epoch.global_step > piece.end) continue;
                const i = curve.indexOf(curve.step, epoch.global_step);
                if (i < 0) continue;
                const px = u.valToPos(curve.axis(x)[i], 'x', true);
                const draw = (value: number | null, filled: boolean) =>
                    value !== null &&
                    value >= lows &&
                    mark(context, piece.engine, px, u.valToPos(value, 'y', true), filled);
                draw(epoch.val_loss, false);
                draw(epoch.loss, true);
            }
        }
    });
}
