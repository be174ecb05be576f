/* The frame around every tab: the rail, the address, the messages, the keys. */
import { computed, effect } from '@preact/signals';
import { togglePause } from './lib/actions';
import { engines, frameworks, labPath, type EngineLook } from './lib/engines';
import { follow, go, path, replace, search } from './lib/router';
import { activeRuns, connection, newestRuns } from './lib/studio';
import { nextTheme, theme } from './lib/theme';
import { Card, Empty, Page } from './parts/basics';
import { Guard } from './parts/guard';
import { Icon, type IconName } from './parts/icons';
import { Shortcuts, showShortcuts } from './parts/shortcuts';
import { Toasts } from './parts/toast';
import { AtlasTab } from './tabs/atlas';
import { Azure } from './tabs/azure';
import { Code } from './tabs/code';
import { Data } from './tabs/data';
import { DesignTab } from './tabs/design';
import { DiffPage } from './tabs/diff';
import { Lab } from './tabs/lab';
import { MicroscopeTab } from './tabs/microscope';
import { RunPage } from './tabs/run-page';
import { Runs } from './tabs/runs';
import { ShowdownTab } from './tabs/showdown';
import { SystemTab } from './tabs/system';
import { WherePage } from './tabs/where';
import type { EngineId } from './lib/shapes';
import type { JSX } from 'preact';

interface Tab {
    path: string;
    title: string;
    short: string;
    icon: IconName;
    view: () => JSX.Element;
    engine?: EngineId;
}

/** Each engine's lab; that of the default engine has no place in the rail: the labs' own switch leads to it. */
const labOf = (engine: EngineLook): Tab => ({
    path: labPath(engine.id),
    title: `${engine.title} Lab`,
    short: engine.title,
    icon: engine.mark,
    view: () => <Lab key={engine.id} engine={engine.id} />,
    engine: engine.id,
});

const FIRST: Tab[] = [
    { path: '/data', title: 'Data Inspector', short: 'Data', icon: 'data', view: () => <Data /> },
    {
        path: '/design',
        title: 'Design',
        short: 'Design',
        icon: 'design',
        view: () => <DesignTab />,
    },
    { path: '/code', title: 'Code Diff', short: 'Code', icon: 'code', view: () => <Code /> },
    {
        path: '/microscope',
        title: 'Step Microscope',
        short: 'Step',
        icon: 'microscope',
        view: () => <MicroscopeTab />,
    },
    { path: '/atlas', title: 'Atlas', short: 'Atlas', icon: 'atlas', view: () => <AtlasTab /> },
];
const LAST: Tab[] = [
    {
        path: '/showdown',
        title: 'Showdown',
        short: 'Showdown',
        icon: 'showdown',
        view: () => <ShowdownTab />,
    },
    { path: '/runs', title: 'Runs', short: 'Runs', icon: 'runs', view: () => <Runs /> },
    {
        path: '/azure',
        title: 'Azure Deployment',
        short: 'Azure',
        icon: 'azure',
        view: () => <Azure />,
    },
    {
        path: '/system',
        title: 'System',
        short: 'System',
        icon: 'system',
        view: () => <SystemTab />,
    },
];
/** Pages that have no place in the rail. */
const OTHERS: Record<string, string | undefined> = { '/diff': 'Diff', '/where': 'Where to run' };
const tabs = computed(() => [...FIRST, ...frameworks.value.map(labOf), ...LAST]);
const labs = computed(() => engines.value.map(labOf));

const tabOfPath = (): Tab | undefined =>
    path.value === '/'
        ? FIRST[0]
        : [...tabs.value, ...labs.value].find(
              (tab) => path.value === tab.path || path.value.startsWith(`${tab.path}/`),
          );

// Where the microscope was before it had a tab of its own.
effect(() => {
    if (path.value !== '/code' || search.value.get('view') !== 'step') return;
    const rest = new URLSearchParams(search.value);
    rest.delete('view');
    replace(`/microscope?${rest}`);
});

effect(() => {
    const title = OTHERS[path.value] ?? tabOfPath()?.title;
    document.title = title ? `${title} · Neural Net Studio` : 'Neural Net Studio';
});

function Nowhere() {
    return (
        <Page title="Page not found" about={`The studio has no page at ${path.value}.`}>
            <Card>
                <Empty
                    title="Page not found"
                    action={
                        <a class="button main" href="/data">
                            Open the Data Inspector
                        </a>
                    }
                >
                    It may be mistyped, or belong to another version of the studio. Every page is in
                    the list of tabs.
                </Empty>
            </Card>
        </Page>
    );
}

function View() {
    const run = /^\/runs\/([^/]+)$/.exec(path.value);
    if (run) return <RunPage key={run[1]} id={decodeURIComponent(run[1])} />;
    if (path.value === '/diff') return <DiffPage />;
    if (path.value === '/where') return <WherePage />;
    const tab = tabOfPath();
    if (tab) return tab.view();
    // On the very first visit the labs are not known yet.
    return engines.value.length > 0 ? <Nowhere /> : null;
}

function RailLink({ tab }: { tab: Tab }) {
    const current = tabOfPath()?.path === tab.path;
    const busy = tab.engine && activeRuns.value.some((run) => run.engine === tab.engine);
    return (
        <li>
            <a
                href={tab.path}
                aria-current={current ? 'page' : undefined}
                data-engine={tab.engine}
                ref={(link) =>
                    void (current && link?.scrollIntoView({ block: 'nearest', inline: 'nearest' }))
                }
            >
                <Icon name={tab.icon} />
                <span class="long">{tab.title}</span>
                <span class="short" aria-hidden="true">
                    {tab.short}
                </span>
                {busy && (
                    <span class="busy">
                        <span class="hidden">training</span>
                    </span>
                )}
            </a>
        </li>
    );
}

const CONNECTION_TEXT = {
    connecting: 'connecting…',
    live: 'live',
    lost: 'connection lost, reconnecting; nothing is lost',
} as const;
const THEME_ICONS = { system: 'theme', light: 'sun', dark: 'moon' } as const;

function Rail() {
    return (
        <nav class="rail" aria-label="Tabs">
            <a href="/data" class="brand">
                <img src="/assets/icon.svg" alt="" width="28" height="28" />
                <span>
                    Neural Net Studio<small>Dual-Engine Edition</small>
                </span>
            </a>
            <ul>
                {tabs.value.map((tab) => (
                    <RailLink key={tab.path} tab={tab} />
                ))}
            </ul>
            <div class="rail-foot">
                <span class="connection" data-state={connection.value} role="status">
                    {CONNECTION_TEXT[connection.value]}
                </span>
                <div class="row">
                    <button
                        type="button"
                        class="bare"
                        onClick={() => (theme.value = nextTheme[theme.value])}
                        title={`Theme: ${theme.value}`}
                    >
                        <Icon name={THEME_ICONS[theme.value]} />
                        <span class="hidden">Theme: {theme.value}. Change</span>
                    </button>
                    <button
                        type="button"
                        class="bare"
                        onClick={() => (showShortcuts.value = true)}
                        title="Keyboard shortcuts: ?"
                    >
                        ?<span class="hidden"> Keyboard shortcuts</span>
                    </button>
                </div>
            </div>
        </nav>
    );
}

/** The run that Space pauses: the one of the lab that is open, else the newest that trains. */
function runUnderSpace() {
    const engine = tabOfPath()?.engine;
    return activeRuns.value.find((run) => run.engine === engine) ?? activeRuns.value[0];
}

addEventListener('keydown', (event) => {
    const target = event.target as HTMLElement;
    if (
        event.ctrlKey ||
        event.metaKey ||
        event.altKey ||
        target.closest('input, textarea, select, dialog, [contenteditable]')
    )
        return;
    if (event.key === '?') showShortcuts.value = true;
    else if (event.key === ' ' && !target.closest('button, a, summary')) {
        const run = runUnderSpace();
        if (!run) return;
        togglePause(run);
    } else if (/^[1-9]$/.test(event.key) && tabs.value[Number(event.key) - 1])
        go(tabs.value[Number(event.key) - 1].path);
    else return;
    event.preventDefault();
});

export function App() {
    void newestRuns.value;
    return (
        <div class="frame" onClick={follow}>
            <a
                class="skip"
                href="#main"
                onClick={(event) => (
                    event.preventDefault(),
                    document.getElementById('main')?.focus()
                )}
            >
                Skip to content
            </a>
            <Rail />
            <main id="main" tabIndex={-1}>
                {connection.value === 'lost' && (
                    <p class="offline" role="alert">
                        The studio does not answer. What is on the screen stays; the page catches up
                        by itself once it is back.
                    </p>
                )}
                <Guard key={path.value}>
                    <View />
                </Guard>
            </main>
            <Toasts />
            <Shortcuts />
        </div>
    );
}
