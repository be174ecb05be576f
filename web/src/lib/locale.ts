/* A browser may name a language that its own Intl refuses ("C", where a system has no locale), and plots ask for the numbers
 * of that language when they are loaded. The page's language is English then, as its texts are. To be imported first. */
try {
    new Intl.NumberFormat(navigator.language);
} catch {
    Object.defineProperty(navigator, 'language', { value: 'en', configurable: true });
}
export {};
