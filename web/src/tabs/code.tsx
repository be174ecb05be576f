/* Code Diff: the same network in both frameworks, side by side. */
import { Card, Empty, Page } from '../parts/basics';

export function Code() {
    return (
        <Page title="Code Diff" about="The same network and its training in PyTorch and in TensorFlow, side by side, stage by stage.">
            <Card>
                <Empty title="Two ways to say the same" action={<a class="button" href="/torch">Train in the PyTorch Lab meanwhile</a>}>
                    Data, network, loss and optimizer, one training step, the loop, saving: each stage appears here in both
                    frameworks’ Python and in the C that really runs, with the differing lines marked and the same ideas joined.
                </Empty>
            </Card>
        </Page>
    );
}
