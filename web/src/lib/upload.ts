/* Files of the user's own, sent to the studio in pieces; what is in them, and keeping them. */
import { post, putBytes, remove } from './api';
import { loadSystem } from './studio';
import type {
    KeptUpload,
    KeepUpload,
    NewUpload,
    Upload,
    UploadAnswers,
    UploadLook,
} from './shapes';

const address = (upload: Upload) => `/api/uploads/${upload.id}`;

/** Sends the files, a piece after the other; `told` is how many bytes have come. Stopped by the signal. */
export async function sendFiles(
    files: File[],
    told: (bytes: number) => void,
    signal: AbortSignal,
): Promise<Upload> {
    let upload = await post<Upload>('/api/uploads', {
        files: files.map(({ name, size }) => ({ name, bytes: size })),
    } satisfies NewUpload);
    let before = 0;
    try {
        for (const [i, file] of files.entries()) {
            for (let at = 0; at < file.size; at += upload.piece_bytes) {
                signal.throwIfAborted();
                const piece = file.slice(at, at + upload.piece_bytes);
                upload = await putBytes<Upload>(
                    `${address(upload)}/files/${i}?offset=${at}`,
                    piece,
                    signal,
                );
                told(before + at + piece.size);
            }
            before += file.size;
        }
    } catch (error) {
        discard(upload);
        throw error;
    }
    return upload;
}

/** Nothing of it is needed anymore; what the studio cannot be told it finds out by itself. */
export const discard = (upload: Upload) => void remove(address(upload)).catch(() => {});

export const look = (upload: Upload, answers: UploadAnswers, signal?: AbortSignal) =>
    post<UploadLook>(`${address(upload)}/look`, answers, signal);

export async function keep(upload: Upload, name: string, answers: UploadAnswers) {
    const kept = await post<KeptUpload>(`${address(upload)}/keep`, {
        ...answers,
        name,
    } satisfies KeepUpload);
    await loadSystem().catch(() => {}); // its data sets are read anew
    return kept;
}
