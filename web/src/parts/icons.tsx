/* Line icons on a 20 × 20 grid, drawn with the text's color. An engine's lab has the icon of its mark. */
const PATHS = {
    data: 'M3 3h5v5H3zM12 3h5v5h-5zM3 12h5v5H3zM12 12h5v5h-5z',
    design: 'M2.5 5.5h4v9h-4zM8.5 3.5h4v13h-4zM14.5 7.5h3v5h-3z',
    code: 'M7 5 2.5 10 7 15M13 5l4.5 5-4.5 5',
    microscope: 'M8.5 3a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M12.5 12.5 17 17M6 8.5h5M8.5 6v5',
    atlas: 'M3 4.5 7.5 3l5 1.5L17 3v12.5L12.5 17l-5-1.5L3 17zM7.5 3v12.5M12.5 4.5V17',
    circle: 'M3 3v14h14M5.5 6c2 6 5 8 10.5 8.5',
    square: 'M3 3v14h14M6 13.5l3-3 2.5 2L16 6',
    diamond: 'M5 5h10v10H5zM8 2v3M12 2v3M8 15v3M12 15v3M2 8h3M2 12h3M15 8h3M15 12h3',
    showdown: 'M3 4c3 7 7 9.5 14 10M3 9c3 5 7 7.5 14 8M3 17h14',
    runs: 'M3 5h14M3 10h14M3 15h9',
    azure: 'M6 15.5a3.5 3.5 0 0 1-.3-7 4.5 4.5 0 0 1 8.7 1A3 3 0 0 1 14.5 15.5M10 17.5v-6M7.5 13.5 10 11l2.5 2.5',
    system: 'M3 4h14v9H3zM7 17h6M10 13v4',
    theme: 'M10 3a7 7 0 1 0 0 14zM10 3a7 7 0 0 1 0 14',
    sun: 'M10 6.5a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7M10 1.5v2M10 16.5v2M1.5 10h2M16.5 10h2M4 4l1.4 1.4M14.6 14.6 16 16M16 4l-1.4 1.4M5.4 14.6 4 16',
    moon: 'M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
    return (
        <svg class="icon" viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
            <path d={PATHS[name]} />
        </svg>
    );
}
