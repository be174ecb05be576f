/* The stages of the code, always at hand: where one is, and a way to each. */
import { useEffect, useState } from 'preact/hooks';
import type { CodeStage } from '../lib/shapes';

/** The stage at the top of the window: the last whose heading has passed the rail. */
function useCurrent(stages: CodeStage[]) {
    const [current, setCurrent] = useState(stages[0]?.id);
    useEffect(() => {
        const find = () => {
            const passed = stages.filter(
                ({ id }) => (document.getElementById(id)?.getBoundingClientRect().top ?? 1) < 120,
            );
            setCurrent((passed.at(-1) ?? stages[0])?.id);
        };
        find();
        addEventListener('scroll', find, { passive: true });
        return () => removeEventListener('scroll', find);
    }, [stages]);
    return current;
}

export function StageRail({ stages }: { stages: CodeStage[] }) {
    const current = useCurrent(stages);
    const show = (event: MouseEvent, id: string) => {
        event.preventDefault();
        history.replaceState(null, '', `${location.pathname}${location.search}#${id}`);
        document.getElementById(id)?.scrollIntoView();
    };
    return (
        <nav class="stage-rail" aria-label="Stages">
            <ol>
                {stages.map(({ id, title }, i) => (
                    <li key={id}>
                        <a
                            href={`#${id}`}
                            aria-current={id === current ? 'true' : undefined}
                            onClick={(event) => show(event, id)}
                        >
                            <span class="muted">{i + 1}</span> {title}
                        </a>
                    </li>
                ))}
            </ol>
        </nav>
    );
}
