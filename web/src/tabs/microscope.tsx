/* One real training step of every engine, tensor by tensor. The lines of code beside it are those of Code Diff. */
import { codeAddress } from '../lib/code';
import { useFetched } from '../lib/fetched';
import { param } from '../lib/router';
import { settings, settingsAreValid } from '../lib/settings';
import { settingsTable } from '../lib/studio';
import type { CodeDiff } from '../lib/shapes';
import { Page, Trouble } from '../parts/basics';
import { numbersOf, SettingsStrip } from '../parts/code-head';
import { MicroscopeView } from '../parts/microscope';

export function MicroscopeTab() {
    const s = settings.value;
    const { value: diff, error } = useFetched<CodeDiff>(
        s && settingsTable.value && codeAddress(param('left'), param('right'), s),
    );
    return (
        <Page
            title="Step Microscope"
            about="One batch, one training step: what every engine computes, tensor by tensor, and how far they are apart."
        >
            {error && <Trouble>{error}</Trouble>}
            {s && <SettingsStrip s={s} />}
            {s && (
                <MicroscopeView
                    s={s}
                    good={settingsAreValid()}
                    diff={diff}
                    numbers={numbersOf(diff)}
                />
            )}
        </Page>
    );
}
