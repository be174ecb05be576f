/* Azure Deployment: register a trained model in Azure ML, in MLflow, or locally. */
import { param } from '../lib/router';
import { Card, Empty, Page } from '../parts/basics';

const STEPS = ['Model', 'Target', 'Sign in', 'Register'];

export function Azure() {
    const run = param('run');
    return (
        <Page title="Azure Deployment" about="From a trained file to a registered, versioned model, read back from where it went.">
            <ol class="steps">
                {STEPS.map((step, i) => (
                    <li key={step} aria-current={i === 0 ? 'step' : undefined}>{step}</li>
                ))}
            </ol>
            <Card>
                <Empty title={run ? 'This model waits for its target' : 'No model chosen yet'} action={<a class="button" href={run ? `/runs/${run}` : '/runs?state=finished'}>{run ? 'Back to the run' : 'Choose a finished run'}</a>}>
                    Pick the .pth or .h5 of any run, say where it goes (Azure ML, MLflow, or a versioned folder on this machine), sign
                    in, and register. Name, version, id and hash are then read back from the target, not assumed.
                </Empty>
            </Card>
        </Page>
    );
}
