/* Calls to the server. Every failure is an ApiError with the server's own sentence. */

export class ApiError extends Error {
    constructor(
        readonly code: string,
        message: string,
    ) {
        super(message);
    }
}

const JSON_TYPE = { 'Content-Type': 'application/json' };
const BYTES_TYPE = { 'Content-Type': 'application/octet-stream' };

async function call<T>(
    method: string,
    path: string,
    body?: unknown,
    signal?: AbortSignal,
): Promise<T> {
    const bytes = body instanceof Blob;
    let response: Response;
    try {
        response = await fetch(path, {
            method,
            signal,
            headers: method === 'GET' ? {} : bytes ? BYTES_TYPE : JSON_TYPE,
            body: method === 'GET' ? undefined : bytes ? body : JSON.stringify(body ?? {}),
        });
    } catch (cause) {
        if (signal?.aborted) throw cause;
        throw new ApiError(
            'unreachable',
            'the studio does not answer: check that "nnstudio serve" is running; nothing is lost',
        );
    }
    const value: unknown = await response.json().catch(() => null);
    if (signal?.aborted) throw signal.reason; // given up while the answer was being read
    if (response.ok) return value as T;
    const error = (value as { error?: { code?: string; message?: string } } | null)?.error;
    throw new ApiError(
        error?.code ?? String(response.status),
        error?.message ?? `the studio answered ${response.status}: try again`,
    );
}

export const get = <T>(path: string, signal?: AbortSignal) =>
    call<T>('GET', path, undefined, signal);
export const post = <T>(path: string, body?: unknown, signal?: AbortSignal) =>
    call<T>('POST', path, body, signal);
export const put = <T>(path: string, body: unknown) => call<T>('PUT', path, body);
export const putBytes = <T>(path: string, bytes: Blob, signal?: AbortSignal) =>
    call<T>('PUT', path, bytes, signal);
export const patch = <T>(path: string, body: unknown) => call<T>('PATCH', path, body);
export const remove = <T>(path: string) => call<T>('DELETE', path);

/** "?a=1&b=2" of the members that have a value. */
export function query(members: Record<string, string | number | boolean | null | undefined>) {
    const search = new URLSearchParams();
    for (const [name, value] of Object.entries(members))
        if (value !== null && value !== undefined && value !== '') search.set(name, String(value));
    const text = search.toString();
    return text && `?${text}`;
}

export function bytesOf(base64: string): Uint8Array {
    const text = atob(base64);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
}

export function base64Of(bytes: Uint8Array): string {
    let text = '';
    for (let i = 0; i < bytes.length; i += 8192)
        text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
}
