/* A file that was dropped: sent, looked at, and kept or thrown away. What it does not decide is asked for here. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { defaultLab } from '../lib/engines';
import * as format from '../lib/format';
import { go } from '../lib/router';
import { chooseDataset } from '../lib/settings';
import { discard, keep, look, sendFiles } from '../lib/upload';
import type { KeptUpload, Upload, UploadAnswers, UploadLook } from '../lib/shapes';
import { Button, Progress, Trouble } from './basics';
import { Dialog } from './dialog';
import { TextField } from './fields';
import { toast } from './toast';
import { Answers, LookedAt } from './upload-look';

/** As the studio takes names. */
const NAME = /^[A-Za-z0-9_]([A-Za-z0-9._-]{0,97}[A-Za-z0-9_-])?$/;

function useSent(files: File[]) {
    const [bytes, setBytes] = useState(0);
    const [upload, setUpload] = useState<Upload | null>(null);
    const [error, setError] = useState('');
    const stop = useRef(new AbortController());
    const sent = useRef<Upload | null>(null);
    useEffect(() => {
        sendFiles(files, setBytes, stop.current.signal).then(
            (done) => {
                sent.current = done;
                setUpload(done);
            },
            (cause: Error) => stop.current.signal.aborted || setError(cause.message),
        );
    }, []);
    /** Ends the sending, and throws away what has come. */
    const end = () => {
        stop.current.abort();
        if (sent.current) discard(sent.current);
        sent.current = null;
    };
    return { bytes, upload, error, end, kept: () => (sent.current = null) };
}

/** What is in the files, by the answers given so far; the last answer stays while the next is fetched. */
function useLook(upload: Upload | null, answers: UploadAnswers) {
    const [state, setState] = useState<{ value: UploadLook | null; asked: string; error: string }>({
        value: null,
        asked: '',
        error: '',
    });
    const asked = JSON.stringify(answers);
    const running = useRef<Promise<unknown>>(Promise.resolve());
    useEffect(() => {
        if (!upload) return;
        let wanted = true;
        // The studio looks once at a time.
        const next = running.current.then(async () => {
            if (!wanted) return;
            try {
                const value = await look(upload, answers);
                if (wanted) setState({ value, asked, error: '' });
            } catch (cause) {
                if (wanted) setState((old) => ({ ...old, asked, error: (cause as Error).message }));
            }
        });
        running.current = next;
        return () => void (wanted = false);
    }, [upload, asked]);
    return { ...state, busy: state.asked !== asked };
}

function Sending({ files, bytes }: { files: File[]; bytes: number }) {
    const total = files.reduce((sum, file) => sum + file.size, 0);
    return (
        <div class="task" role="status">
            <div class="row spread">
                <strong>{files.map(({ name }) => name).join(', ')}</strong>
                <span class="muted num">
                    {format.bytes(bytes)} of {format.bytes(total)}
                </span>
            </div>
            <Progress value={bytes} max={total} label="Sent" />
        </div>
    );
}

export function UploadDialog({
    files,
    onNetwork,
    onModel,
    onClose,
}: {
    files: File[];
    onNetwork?: (net: string) => void;
    onModel?: (name: string) => void;
    onClose: () => void;
}) {
    const { bytes, upload, error, end, kept } = useSent(files);
    const [answers, setAnswers] = useState<UploadAnswers>({});
    const [typed, setTyped] = useState<string | null>(null);
    const [saving, setSaving] = useState(false);
    const [refused, setRefused] = useState('');
    const { value, error: failed, busy } = useLook(upload, answers);
    const name = typed ?? upload?.name ?? '';
    const decided = value !== null && value.problem === null && value.asks === null && !busy;
    const ready = decided && NAME.test(name) && !saving;

    const close = () => {
        end();
        onClose();
    };
    const act = async (then: (done: KeptUpload) => void) => {
        setSaving(true);
        setRefused('');
        try {
            const done = await keep(upload!, name, answers);
            kept();
            onClose();
            then(done);
        } catch (cause) {
            setRefused((cause as Error).message);
            setSaving(false);
        }
    };
    const train = (done: KeptUpload) => {
        const lab = defaultLab();
        if (done.kind === 'data') chooseDataset(done.name);
        go(done.kind === 'data' ? lab : `${lab}?from=${encodeURIComponent(done.name)}`);
    };
    const show = (done: KeptUpload) => {
        toast(`Kept as ${done.name}.`);
        if (done.kind === 'model') onModel?.(done.name);
        if (done.kind === 'data') go(`/data?dataset=${encodeURIComponent(done.name)}`);
    };
    const net = value?.model?.net;
    return (
        <Dialog title={upload ? 'What is in it' : 'Opening'} wide onClose={close}>
            <div class="stack upload">
                {!upload && !error && <Sending files={files} bytes={bytes} />}
                {!upload && (
                    <div class="row end">
                        <Button onClick={close}>{error ? 'Close' : 'Stop'}</Button>
                    </div>
                )}
                {(error || failed) && <Trouble>{format.sentence(error || failed)}</Trouble>}
                {upload && !value && !failed && <p role="status">Looking at it…</p>}
                {upload && (
                    <p class="muted">
                        {files.map(({ name }) => name).join(', ')} ·{' '}
                        {format.bytes(files.reduce((sum, { size }) => sum + size, 0))}
                    </p>
                )}
                {value && <LookedAt look={value} busy={busy} />}
                {value && <Answers look={value} answers={answers} onChange={setAnswers} />}
                {upload && value && (
                    <form
                        class="stack"
                        onSubmit={(event) => {
                            event.preventDefault();
                            if (ready) void act(show);
                        }}
                    >
                        <TextField
                            label="Keep as"
                            value={name}
                            onChange={setTyped}
                            hint="in the studio’s home; nothing there is replaced"
                            problem={
                                refused
                                    ? format.sentence(refused)
                                    : NAME.test(name)
                                      ? undefined
                                      : 'Letters, digits, “.”, “_” and “-”, at most 99'
                            }
                        />
                        <div class="row end">
                            <Button onClick={close}>Discard</Button>
                            {net !== undefined && onNetwork && (
                                <Button
                                    kind="main"
                                    onClick={() => {
                                        close();
                                        onNetwork(net);
                                    }}
                                >
                                    Open its network
                                </Button>
                            )}
                            <Button type="submit" disabled={!ready}>
                                Keep
                            </Button>
                            <Button
                                kind={onNetwork && net !== undefined ? 'plain' : 'main'}
                                disabled={!ready}
                                onClick={() => void act(train)}
                            >
                                Start training from it
                            </Button>
                        </div>
                    </form>
                )}
            </div>
        </Dialog>
    );
}
