/* A part that fails says so in its place, and the rest of the page goes on. */
import { Component, type ComponentChildren } from 'preact';

interface Props {
    children?: ComponentChildren;
}

export class Guard extends Component<Props, { error: Error | null }> {
    override state = { error: null as Error | null };

    override componentDidCatch(error: unknown) {
        console.warn(error);
        this.setState({ error: error instanceof Error ? error : new Error(String(error)) });
    }

    override render() {
        const { error } = this.state;
        if (!error) return this.props.children;
        return (
            <div class="trouble" role="alert">
                <p>This part of the page failed: {error.message}. The rest goes on.</p>
                <button type="button" class="button" onClick={() => this.setState({ error: null })}>
                    Try again
                </button>
            </div>
        );
    }
}

/** Each child guarded by itself. A child keeps its place, so that one that comes or goes does not make the others anew. */
export const guarded = (children: ComponentChildren) =>
    (Array.isArray(children) ? children : [children]).map((child, i) => (
        <Guard key={i}>{child}</Guard>
    ));

/** A box of parts that do not take each other down. */
export function Parts({ class: name, children }: { class: string } & Props) {
    return <div class={name}>{guarded(children)}</div>;
}
