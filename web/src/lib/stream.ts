/* The stream as a tab sees it: shared with the other tabs where the browser can, its own otherwise. */
import { openStream, type StreamMessage } from './stream-source';

export function listen(tell: (message: StreamMessage) => void) {
    if (typeof SharedWorker === 'undefined') {
        openStream(tell);
        return;
    }
    const worker = new SharedWorker('/assets/stream.js', { name: 'stream' });
    worker.port.onmessage = ({ data }) => tell(data as StreamMessage);
    worker.onerror = () => openStream(tell);
    worker.port.postMessage('join');
    addEventListener('pagehide', () => worker.port.postMessage('leave'));
    addEventListener('pageshow', ({ persisted }) => {
        if (!persisted) return;
        worker.port.postMessage('join');
        tell({ kind: 'reopened' }); // back from the browser's page cache: events were missed
    });
}
