/* A value from an address, for a component: the old one stays on screen until the new one is there. */
import { useEffect, useState } from 'preact/hooks';
import { get } from './api';

interface Fetched<T> {
    value: T | null;
    error: string;
    /** Whether `value` is of an earlier address. */
    stale: boolean;
}

/** The value once it has stayed the same for a moment: of what is typed not every key is asked about. */
export function useSettled<T>(value: T, milliseconds = 200): T {
    const [settled, setSettled] = useState(value);
    useEffect(() => {
        const timer = setTimeout(() => setSettled(value), milliseconds);
        return () => clearTimeout(timer);
    }, [value]);
    return settled;
}

interface Question<T> {
    address: string;
    stop: AbortController;
    answer: Promise<T>;
}
function question<T>(address: string): Question<T> {
    const stop = new AbortController();
    return { address, stop, answer: get<T>(address, stop.signal) };
}

let early: Question<unknown> | null = null;

/** Asks before the component that will is drawn; it takes this answer, a newer question gives it up. */
export function askEarly(address: string) {
    if (early?.address === address) return;
    early?.stop.abort();
    early = question(address);
    early.answer.catch(() => {}); // said by the component that takes it
}

function ask<T>(address: string): Question<T> {
    if (early?.address !== address) return question<T>(address);
    const taken = early as Question<T>;
    early = null;
    return taken;
}

/** null: nothing to fetch (yet). `again` changes when the same address is to be read anew. */
export function useFetched<T>(address: string | null, again: unknown = 0): Fetched<T> {
    const [state, setState] = useState<{ address: string | null; value: T | null; error: string }>({
        address: null,
        value: null,
        error: '',
    });
    useEffect(() => {
        if (address === null) return;
        const { stop, answer } = ask<T>(address);
        answer.then(
            (value) => setState({ address, value, error: '' }),
            (error: Error) =>
                stop.signal.aborted ||
                setState((old) => ({
                    address,
                    value: old.address === address ? old.value : null,
                    error: error.message,
                })),
        );
        return () => stop.abort();
    }, [address, again]);
    return address === null
        ? { value: null, error: '', stale: false }
        : { ...state, stale: state.address !== address };
}
