/* The address is the state of the view: a path, and named values after "?". */
import { signal } from '@preact/signals';

export const path = signal(location.pathname);
export const search = signal(new URLSearchParams(location.search));

function adopt() {
    path.value = location.pathname;
    search.value = new URLSearchParams(location.search);
}
/** What is to be done once a step back that was asked for has been made; null: none is under way. */
let afterBack: (() => void)[] | null = null;
addEventListener('popstate', () => {
    adopt();
    const waiting = afterBack;
    afterBack = null;
    waiting?.forEach((act) => act());
});

/** Goes to another place; the Back button returns. */
export function go(address: string) {
    if (afterBack) {
        afterBack.push(() => go(address));
        return;
    }
    if (address === location.pathname + location.search) return;
    history.pushState(null, '', address);
    adopt();
    scrollTo(0, 0);
}

/** The same view under another address: Back does not return to the old one. */
export function replace(address: string) {
    history.replaceState(history.state, '', address);
    adopt();
}

/** One value of the address; reading it in a component subscribes to it. */
export function param(name: string, fallback = '') {
    return search.value.get(name) ?? fallback;
}

/** Changes values of the address in place; a value that equals its fallback ("" or null) leaves it. */
export function setParams(values: Record<string, string | number | null>) {
    if (afterBack) {
        afterBack.push(() => setParams(values));
        return;
    }
    const next = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(values))
        if (value === null || value === '') next.delete(name);
        else next.set(name, String(value));
    const text = next.toString().replaceAll('%2C', ',');
    replace(location.pathname + (text && `?${text}`));
}

/** Opens something over the view: Back closes it again. */
export function openOver(values: Record<string, string | number | null>) {
    history.pushState({ over: true }, '', location.href);
    setParams(values);
}
/** Closes what openOver() opened; what a link opened is taken out of the address. */
export function closeOver(name: string) {
    if (!(history.state as { over?: boolean } | null)?.over) {
        setParams({ [name]: null });
    } else if (!afterBack) {
        afterBack = [];
        history.back();
    }
}

/** For <a onClick>: plain clicks stay within the page, anything else is the browser's. */
export function follow(event: MouseEvent) {
    if (
        event.defaultPrevented ||
        event.button !== 0 ||
        event.metaKey ||
        event.ctrlKey ||
        event.shiftKey ||
        event.altKey
    )
        return;
    const link = (event.target as Element).closest('a');
    if (!link || link.origin !== location.origin || link.target || link.hasAttribute('download'))
        return;
    if (link.pathname.startsWith('/api/') || link.pathname.startsWith('/assets/')) return;
    event.preventDefault();
    go(link.pathname + link.search + link.hash);
}
