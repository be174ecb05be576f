/* What the bundler gives that TypeScript does not know. */
declare module '*.css';

declare module 'prismjs/components/prism-core' {
    import Prism from 'prismjs';
    export default Prism;
}
declare module 'prismjs/components/*';
