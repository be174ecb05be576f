/* The picture of a network as a list of shapes: drawn on the page as SVG, and written as an SVG file or a PNG. Sizes are
 * to scale, logarithmically, so that 784 and 10 both read. */

export type Mark =
    | { kind: 'box'; x: number; y: number; w: number; h: number; tone: Tone }
    | { kind: 'line'; x1: number; y1: number; x2: number; y2: number; tone: Tone }
    | {
          kind: 'text';
          x: number;
          y: number;
          text: string;
          size: number;
          tone: Tone;
          bold?: boolean;
      };
/** What a mark stands for; the colors are the theme's. */
export type Tone = 'learned' | 'plain' | 'edge' | 'bad' | 'text' | 'muted' | 'card' | 'second';

export const WIDTH = 96;
export const HEIGHT = 68;
const PLATES = 8;
const STEP = 3.5;
const SIDE = 44;
const STRIP = 14;

/** The largest sizes of the network: what the others are drawn against. */
export interface Scale {
    side: number;
    units: number;
}

export function scaleOf(shapes: (number[] | null)[]): Scale {
    let side = 28;
    let units = 16;
    for (const shape of shapes)
        if (shape?.length === 3) side = Math.max(side, shape[0], shape[1]);
        else if (shape) units = Math.max(units, shape[0]);
    return { side, units };
}

const share = (value: number, most: number) => Math.log1p(value) / Math.log1p(most);

/** Feature maps: plates one behind another, as many as their number has bits. */
function maps(shape: number[], { side }: Scale, tone: Tone): Mark[] {
    const w = Math.max(4, SIDE * share(shape[1], side));
    const h = Math.max(4, SIDE * share(shape[0], side));
    const plates = Math.min(PLATES, 1 + Math.round(Math.log2(shape[2])));
    const depth = (plates - 1) * STEP;
    const x = (WIDTH - w - depth) / 2;
    const y = (HEIGHT - h - depth) / 2;
    return Array.from({ length: plates }, (_, i) => ({
        kind: 'box' as const,
        x: x + depth - i * STEP,
        y: y + i * STEP,
        w,
        h,
        tone,
    }));
}

/** Units: a strip of cells, one each while they can be told apart. */
function units(count: number, { units: most }: Scale, tone: Tone): Mark[] {
    const h = Math.max(10, (HEIGHT - 8) * share(count, most));
    const x = (WIDTH - STRIP) / 2;
    const y = (HEIGHT - h) / 2;
    const cells = Math.min(count, 10);
    const lines = Array.from({ length: cells - 1 }, (_, i) => {
        const at = y + ((i + 1) * h) / cells;
        return { kind: 'line' as const, x1: x, y1: at, x2: x + STRIP, y2: at, tone };
    });
    return [{ kind: 'box', x, y, w: STRIP, h, tone }, ...lines];
}

export const volume = (shape: number[], scale: Scale, tone: Tone): Mark[] =>
    shape.length === 3 ? maps(shape, scale, tone) : units(shape[0], scale, tone);

/* --- the whole network, for a slide --- */

export interface Column {
    title: string;
    words: string;
    shape: number[] | null;
    learned: boolean;
    bad: boolean;
    parameters: string;
}

export const shapeWords = (shape: number[] | null | undefined) =>
    shape ? shape.filter((size, i) => i < 2 || size > 1).join('×') : '?';

const CARD = 112;
const GAP = 64;
const MARGIN = 24;
const CARD_HEIGHT = 132;
const TOP = 56;

/** Words in lines of so many letters. */
function wrap(words: string, letters: number): string[] {
    const lines = [''];
    for (const word of words.split(' ')) {
        const last = lines[lines.length - 1];
        if (last && last.length + word.length + 1 > letters) lines.push(word);
        else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines.slice(0, 2);
}

const moved = (mark: Mark, dx: number, dy: number): Mark =>
    mark.kind === 'line'
        ? { ...mark, x1: mark.x1 + dx, x2: mark.x2 + dx, y1: mark.y1 + dy, y2: mark.y2 + dy }
        : { ...mark, x: mark.x + dx, y: mark.y + dy };

export function poster(columns: Column[], title: string, perRow = 8) {
    const scale = scaleOf(columns.map((column) => column.shape));
    const rows = Math.ceil(columns.length / perRow);
    const across = Math.min(columns.length, perRow);
    const width = 2 * MARGIN + across * CARD + (across - 1) * GAP;
    const height = TOP + rows * (CARD_HEIGHT + MARGIN) + 8;
    const marks: Mark[] = [
        { kind: 'text', x: width / 2, y: 32, text: title, size: 15, tone: 'text', bold: true },
    ];
    columns.forEach((column, i) => {
        const x = MARGIN + (i % perRow) * (CARD + GAP);
        const y = TOP + Math.floor(i / perRow) * (CARD_HEIGHT + MARGIN);
        const middle = x + CARD / 2;
        marks.push({
            kind: 'box',
            x,
            y,
            w: CARD,
            h: CARD_HEIGHT,
            tone: column.bad ? 'bad' : 'card',
        });
        if (i > 0) {
            const shape = shapeWords(columns[i - 1].shape);
            const from = x - GAP;
            if (i % perRow > 0) {
                marks.push(
                    { kind: 'line', x1: from + 6, y1: y + 48, x2: x - 6, y2: y + 48, tone: 'edge' },
                    { kind: 'line', x1: x - 11, y1: y + 44, x2: x - 6, y2: y + 48, tone: 'edge' },
                    { kind: 'line', x1: x - 11, y1: y + 52, x2: x - 6, y2: y + 48, tone: 'edge' },
                    {
                        kind: 'text',
                        x: from + GAP / 2,
                        y: y + 40,
                        text: shape,
                        size: 10.5,
                        tone: 'muted',
                    },
                );
            }
        }
        if (column.shape)
            for (const mark of volume(column.shape, scale, column.learned ? 'learned' : 'plain'))
                marks.push(moved(mark, x + (CARD - WIDTH) / 2, y + 6));
        marks.push({
            kind: 'text',
            x: middle,
            y: y + 90,
            text: column.title,
            size: 12,
            tone: 'text',
            bold: true,
        });
        wrap(column.words, 20).forEach((line, k) =>
            marks.push({
                kind: 'text',
                x: middle,
                y: y + 105 + 12 * k,
                text: line,
                size: 10,
                tone: 'muted',
            }),
        );
    });
    return { width, height, marks };
}

export type Colors = Record<Tone, { fill: string; stroke: string }> & {
    paper: string;
    font: string;
};

/** The theme's colors, as they are now. */
export function themeColors(): Colors {
    const style = getComputedStyle(document.documentElement);
    const of = (name: string) => style.getPropertyValue(name).trim();
    const pair = (fill: string, stroke: string) => ({ fill: of(fill), stroke: of(stroke) });
    return {
        learned: pair('--learned-fill', '--learned'),
        plain: pair('--sunken', '--muted'),
        second: pair('--sunken', '--muted'),
        edge: pair('--muted', '--muted'),
        bad: pair('--bad-bg', '--bad'),
        text: pair('--text', '--text'),
        muted: pair('--muted', '--muted'),
        card: pair('--surface', '--border'),
        paper: of('--bg'),
        font: of('--font'),
    };
}

const escape = (words: string) =>
    words.replace(
        /[&<>"]/g,
        (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[sign]!,
    );

export function posterSvg(columns: Column[], title: string): string {
    const { width, height, marks } = poster(columns, title);
    const colors = themeColors();
    const body = marks.map((mark) => {
        const { fill, stroke } = colors[mark.tone];
        if (mark.kind === 'box')
            return `<rect x="${mark.x}" y="${mark.y}" width="${mark.w}" height="${mark.h}" rx="${mark.tone === 'card' || mark.tone === 'bad' ? 6 : 1.5}" fill="${fill}" stroke="${stroke}"/>`;
        if (mark.kind === 'line')
            return `<path d="M${mark.x1} ${mark.y1}L${mark.x2} ${mark.y2}" stroke="${stroke}"/>`;
        return `<text x="${mark.x}" y="${mark.y}" font-size="${mark.size}" text-anchor="middle" fill="${fill}"${mark.bold ? ' font-weight="600"' : ''}>${escape(mark.text)}</text>`;
    });
    return (
        `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="${escape(colors.font)}">` +
        `<rect width="${width}" height="${height}" fill="${colors.paper}"/>${body.join('')}</svg>`
    );
}

/** The same, drawn on a canvas at twice its size. */
export function posterPng(columns: Column[], title: string): Promise<Blob | null> {
    const { width, height, marks } = poster(columns, title);
    const colors = themeColors();
    const canvas = document.createElement('canvas');
    canvas.width = 2 * width;
    canvas.height = 2 * height;
    const pen = canvas.getContext('2d');
    if (!pen) return Promise.resolve(null);
    pen.scale(2, 2);
    pen.fillStyle = colors.paper;
    pen.fillRect(0, 0, width, height);
    pen.textAlign = 'center';
    for (const mark of marks) {
        const { fill, stroke } = colors[mark.tone];
        pen.fillStyle = fill;
        pen.strokeStyle = stroke;
        pen.beginPath();
        if (mark.kind === 'text') {
            pen.font = `${mark.bold ? 600 : 400} ${mark.size}px ${colors.font}`;
            pen.fillText(mark.text, mark.x, mark.y);
        } else if (mark.kind === 'line') {
            pen.moveTo(mark.x1, mark.y1);
            pen.lineTo(mark.x2, mark.y2);
            pen.stroke();
        } else {
            pen.roundRect(mark.x, mark.y, mark.w, mark.h, mark.tone === 'card' ? 6 : 1.5);
            pen.fill();
            pen.stroke();
        }
    }
    return new Promise((done) => canvas.toBlob(done, 'image/png'));
}
