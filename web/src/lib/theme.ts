/* Light, dark, or as the system says. */
import { effect, signal } from '@preact/signals';
import { onSystemTheme, resolveTheme, storedTheme, storeTheme, type Theme } from './theme-choice';

export const theme = signal<Theme>(storedTheme());
/** Changes whenever colors do; canvases draw themselves anew. */
export const isDark = signal(false);

function apply() {
    const resolved = resolveTheme(theme.peek());
    document.documentElement.dataset.theme = resolved;
    isDark.value = resolved === 'dark';
}

effect(() => {
    storeTheme(theme.value);
    apply();
});
onSystemTheme(apply);

export const nextTheme: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };
