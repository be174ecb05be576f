/* The server's event stream, kept open. See docs/internals/api.md, "The stream". */
import type { Events } from './shapes';

export type EventKind = keyof Events;
export type StudioEvent = {
    [K in EventKind]: { kind: 'event'; name: K; data: Events[K] };
}[EventKind];

export type StreamMessage =
    | { kind: 'connecting' }
    | { kind: 'open' } // what was missed comes next
    | { kind: 'lost' } // trying again by itself
    | { kind: 'reopened' } // a new stream without a past: read everything anew
    | StudioEvent;

/** As an object, so that the types see when one is missing. */
const EVENT_KINDS: Record<EventKind, true> = {
    hello: true,
    run: true,
    steps: true,
    epoch: true,
    log: true,
    task: true,
    removed: true,
    reset: true,
};
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
        for (const name of Object.keys(EVENT_KINDS) as EventKind[])
            source.addEventListener(name, (event) =>
                tell({
                    kind: 'event',
                    name,
                    data: JSON.parse((event as MessageEvent<string>).data),
                } as StudioEvent),
            );
    }
    connect();
}
