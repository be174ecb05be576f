/* Where files of the user's own come in: dropped anywhere on the tab, or chosen by a button. */
import { useEffect, useRef, useState } from 'preact/hooks';
import { Button } from './basics';
import { toast } from './toast';
import { UploadDialog } from './upload-dialog';

const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;

/** Folders cannot be sent as they are. */
function filesOf(transfer: DataTransfer): File[] | null {
    const folders = [...transfer.items].some((item) => item.webkitGetAsEntry?.()?.isDirectory);
    return folders ? null : [...transfer.files];
}

/** Files that are dragged over the window, and dropped on it. */
function useDrop(onFiles: (files: File[]) => void): boolean {
    const [over, setOver] = useState(false);
    const taken = useRef(onFiles);
    taken.current = onFiles;
    useEffect(() => {
        let depth = 0; // enter and leave come for each element that is passed
        const stop = new AbortController();
        const on = (name: string, act: (event: DragEvent) => void) =>
            addEventListener(
                name,
                (event) => {
                    if (!hasFiles(event as DragEvent)) return;
                    event.preventDefault();
                    act(event as DragEvent);
                },
                { signal: stop.signal },
            );
        on('dragenter', () => setOver(++depth > 0));
        on('dragleave', () => setOver(--depth > 0));
        on('dragover', (event) => (event.dataTransfer!.dropEffect = 'copy'));
        on('drop', (event) => {
            depth = 0;
            setOver(false);
            const files = filesOf(event.dataTransfer!);
            if (files) taken.current(files);
            else toast('A folder cannot be dropped: zip it and drop the archive.', undefined, true);
        });
        return () => stop.abort();
    }, []);
    return over;
}

/** The button, and all that follows. `onNetwork`: what a model's layers are opened with here; `onModel`: what happens to a
 * model once it is kept. */
export function FileDrop({
    onNetwork,
    onModel,
}: {
    onNetwork?: (net: string) => void;
    onModel?: (name: string) => void;
}) {
    const [files, setFiles] = useState<File[] | null>(null);
    const chooser = useRef<HTMLInputElement>(null);
    const take = (chosen: File[]) => chosen.length > 0 && files === null && setFiles(chosen);
    const over = useDrop(take);
    return (
        <>
            <input
                ref={chooser}
                type="file"
                multiple
                hidden
                aria-label="Files to open"
                onChange={(event) => {
                    take([...event.currentTarget.files!]);
                    event.currentTarget.value = ''; // the same file may be chosen again
                }}
            />
            <Button
                title="Data or a model of your own; or drop it anywhere on this tab"
                onClick={() => chooser.current!.click()}
            >
                Open file…
            </Button>
            {over && (
                <div class="drop-here" aria-hidden="true">
                    <p>
                        <strong>Drop to look at it</strong>
                        <br />
                        data: CSV, a zip of folders, IDX pair, .npz, .npy, .parquet
                        <br />
                        or a model: .pth, .h5, .keras, .safetensors, .onnx
                    </p>
                </div>
            )}
            {files && (
                <UploadDialog
                    files={files}
                    onNetwork={onNetwork}
                    onModel={onModel}
                    onClose={() => setFiles(null)}
                />
            )}
        </>
    );
}
