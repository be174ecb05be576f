/* The frame around every tab: the rail, the address, the messages, the keys. */
import { effect } from '@preact/signals';
import { togglePause } from './lib/actions';
import { follow, go, path } from './lib/router';
import { activeRuns, connection, newestRuns } from './lib/studio';
import { nextTheme, theme } from './lib/theme';
import { Icon, type IconName } from './parts/icons';
import { Shortcuts, showShortcuts } from './parts/shortcuts';
import { Toasts } from './parts/toast';
import { Azure } from './tabs/azure';
import { Code } from './tabs/code';
import { Data } from './tabs/data';
import { Lab } from './tabs/lab';
import { RunPage } from './tabs/run-page';
import { Runs } from './tabs/runs';
import { ShowdownTab } from './tabs/showdown';
import { SystemTab } from './tabs/system';
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

export const TABS: Tab[] = [
    { path: '/data', title: 'Data Inspector', short: 'Data', icon: 'data', view: () => <Data /> },
    { path: '/code', title: 'Code Diff', short: 'Code', icon: 'code', view: () => <Code /> },
    {
        path: '/torch',
        title: 'PyTorch Lab',
        short: 'PyTorch',
        icon: 'torch',
        view: () => <Lab key="torch" engine="torch" />,
        engine: 'torch',
    },
    {
        path: '/tensorflow',
        title: 'TensorFlow Lab',
        short: 'TensorFlow',
        icon: 'tensorflow',
        view: () => <Lab key="tensorflow" engine="tensorflow" />,
        engine: 'tensorflow',
    },
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
/** The third lab has an address and no place in the rail: the labs' own switch leads to it. */
const NATIVE_LAB: Tab = {
    path: '/native',
    title: 'Native Lab',
    short: 'Native',
    icon: 'native',
    view: () => <Lab key="native" engine="native" />,
    engine: 'native',
};

const tabOfPath = () =>
    [...TABS, NATIVE_LAB].find(
        (tab) => path.value === tab.path || path.value.startsWith(`${tab.path}/`),
    ) ?? TABS[0];

effect(() => {
    document.title = `${tabOfPath().title} · Neural Net Studio`;
});

function View() {
    const run = /^\/runs\/([^/]+)$/.exec(path.value);
    return run ? <RunPage key={run[1]} id={decodeURIComponent(run[1])} /> : tabOfPath().view();
}

function RailLink({ tab }: { tab: Tab }) {
    const current = tabOfPath() === tab;
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
    lost: 'connection lost, trying again; nothing is lost',
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
                {TABS.map((tab) => (
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
                        title={`Colours: ${theme.value}`}
                    >
                        <Icon name={THEME_ICONS[theme.value]} />
                        <span class="hidden">Colours: {theme.value}. Change</span>
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
    const engine = tabOfPath().engine;
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
    } else if (/^[1-8]$/.test(event.key)) go(TABS[Number(event.key) - 1].path);
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
                Skip to the tab
            </a>
            <Rail />
            <main id="main" tabIndex={-1}>
                {connection.value === 'lost' && (
                    <p class="offline" role="alert">
                        The studio does not answer. What is on the screen stays; the page catches up
                        by itself when it is back.
                    </p>
                )}
                <View />
            </main>
            <Toasts />
            <Shortcuts />
        </div>
    );
}
