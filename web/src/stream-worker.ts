// One event stream for all tabs of a browser: HTTP/1.1 allows six connections to an address, and each tab would hold one.
// A tab says 'join' and gets every event from then on; the browser's EventSource resumes by Last-Event-ID by itself.
import { openStream, type StreamMessage } from './lib/stream-source';

const tabs = new Set<MessagePort>();
let latest: StreamMessage = { kind: 'connecting' };
let started = false;

function tell(message: StreamMessage) {
    if (message.kind !== 'event') latest = message;
    for (const tab of tabs) tab.postMessage(message);
}

(self as unknown as { onconnect: (event: MessageEvent) => void }).onconnect = (event) => {
    const tab = event.ports[0];
    tab.onmessage = ({ data }) => {
        if (data === 'leave') tabs.delete(tab);
        if (data !== 'join') return;
        tabs.add(tab);
        if (started) tab.postMessage(latest);
        else {
            started = true;
            openStream(tell);
        }
    };
};
