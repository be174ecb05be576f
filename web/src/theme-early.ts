// Runs before the first paint, so that the page never flashes in the other theme.
import { resolveTheme, storedTheme } from './lib/theme-choice';

document.documentElement.dataset.theme = resolveTheme(storedTheme());
