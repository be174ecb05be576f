/* The server's event stream, kept open. See docs/internals/api.md, "The stream". */

export const EVENT_KINDS = [
    'hello',
    'run',
    'steps',
    'epoch',
    'log',
    'task',
    'removed',
    'reset',
] as const;
export type EventKind = (typeof EVENT_KINDS)[number];

export type StreamMessage =
    | { kind: 'connecting' }
    | { kind: 'open' } // what was missed comes next
    | { kind: 'lost' } // trying again by itself
    | { kind: 'reopened' } // a new stream without a past: read everything anew
    | { kind: 'event'; name: EventKind; data: unknown };

const RETRY_MS = 1500;

export function openStream(tell: (message: StreamMessage) => void) {
    let isFirst = true;

    function connect() {
        const source = new EventSource('/api/events');
        let fresh = true;
        source.onopen = () => {
            tell({ kind: isFirst || !fresh ? 'open' : 'reopened' });
            isFirst = fresh = false;
        };
        source.onerror = () => {
            tell({ kind: 'lost' });
            // The browser retries a cut connection; an answer that is no stream (a restart, a proxy) it gives up on.
            if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
        };
        for (const name of EVENT_KINDS)
            source.addEventListener(name, (event) =>
                tell({
                    kind: 'event',
                    name,
                    data: JSON.parse((event as MessageEvent<string>).data),
                }),
            );
    }
    connect();
}
