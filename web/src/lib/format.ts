/* Numbers as text. A value that is not known is an en dash, never a zero. */

export const NOTHING = '–';
type Maybe = number | null | undefined;
const known = (value: Maybe): value is number =>
    value !== null && value !== undefined && Number.isFinite(value);

/** "1 run", "2 runs". */
export const counted = (value: number, one: string) =>
    `${count(value)} ${one}${value === 1 ? '' : 's'}`;

export const count = (value: Maybe) =>
    known(value) ? Math.round(value).toLocaleString('en') : NOTHING;
export const percent = (value: Maybe, digits = 2) =>
    known(value) ? `${(100 * value).toFixed(digits)} %` : NOTHING;
/** Four places while they say something; a loss that diverged keeps to its place all the same. */
export const loss = (value: Maybe) =>
    !known(value)
        ? NOTHING
        : Math.abs(value) < 100
          ? value.toFixed(4)
          : Math.abs(value) < 1e5
            ? value.toFixed(1)
            : scientific(value);
export const ratio = (value: Maybe) =>
    known(value) ? (value < 10 ? value.toFixed(2) : value.toFixed(1)) : NOTHING;

export function bytes(value: Maybe) {
    if (!known(value)) return NOTHING;
    const units = ['B', 'kB', 'MB', 'GB', 'TB'];
    let i = 0;
    while (value >= 1000 && i < units.length - 1) {
        value /= 1000;
        i++;
    }
    return `${i === 0 || value >= 100 ? value.toFixed(0) : value.toFixed(1)} ${units[i]}`;
}

/** 0.42 s, 12.3 s, 3 min 04 s, 1 h 02 min */
export function duration(seconds: Maybe) {
    if (!known(seconds)) return NOTHING;
    if (seconds < 10) return `${seconds.toFixed(2)} s`;
    if (seconds < 60) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    const two = (value: number) => String(value).padStart(2, '0');
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
    return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

export function rate(value: Maybe) {
    if (!known(value)) return NOTHING;
    return value >= 10_000 ? `${(value / 1000).toFixed(value >= 100_000 ? 0 : 1)} k` : count(value);
}

/** 3.1 × 10⁻⁷ */
export function scientific(value: Maybe) {
    if (!known(value)) return NOTHING;
    if (value === 0) return '0';
    const [mantissa, exponent] = value.toExponential(1).split('e');
    const raised = String(Number(exponent)).replace(
        /[-\d]/g,
        (sign) => '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'['-0123456789'.indexOf(sign)],
    );
    return `${mantissa} × 10${raised}`;
}

/** Three digits and a true minus, where no more is of use. */
export const short = (value: Maybe) =>
    known(value) ? number(Number(value.toPrecision(3))).replace('-', '−') : NOTHING;

export function number(value: Maybe) {
    if (!known(value)) return NOTHING;
    if (value !== 0 && (Math.abs(value) < 1e-4 || Math.abs(value) >= 1e7)) return scientific(value);
    return String(Number(value.toPrecision(6)));
}

const DAY = new Intl.DateTimeFormat('en-GB', {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
});
export const time = (milliseconds: Maybe) =>
    known(milliseconds) ? DAY.format(milliseconds) : NOTHING;
export const clock = (milliseconds: number) => new Date(milliseconds).toLocaleTimeString('en-GB');
export const shortHash = (hash: string) => `${hash.slice(0, 12)}…`;
/** The server's words, which begin small and end without a stop, as a sentence of the page. */
export const sentence = (words: string) =>
    words.slice(0, 1).toUpperCase() + words.slice(1) + (/[.!?)]$/.test(words) ? '' : '.');
