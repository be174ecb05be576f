export type Theme = 'system' | 'light' | 'dark';

const KEY = 'theme';
const systemIsDark = matchMedia('(prefers-color-scheme: dark)');

export function storedTheme(): Theme {
    try {
        const value = localStorage.getItem(KEY);
        return value === 'light' || value === 'dark' ? value : 'system';
    } catch {
        return 'system'; // no storage
    }
}

export function storeTheme(theme: Theme) {
    try {
        if (theme === 'system') localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, theme);
    } catch {
        // No storage: it holds until the page is left.
    }
}

export const resolveTheme = (theme: Theme) =>
    theme === 'system' ? (systemIsDark.matches ? 'dark' : 'light') : theme;
export const onSystemTheme = (act: () => void) => systemIsDark.addEventListener('change', act);
