/* Where to run: the same training on one machine, on several processes, or on a cluster, and the file for each. */
import { useState } from 'preact/hooks';
import { clusterAddress, settingsWords } from '../lib/code';
import { defaultEngine, engines } from '../lib/engines';
import { useFetched, useSettled } from '../lib/fetched';
import { param, setParams } from '../lib/router';
import { settings } from '../lib/settings';
import { defaults } from '../lib/studio';
import type { ClusterFile, Settings } from '../lib/shapes';
import { Card, CopyButton, Page, Segmented, Trouble } from '../parts/basics';
import { CodeBlock } from '../parts/code-block';
import { SettingsStrip } from '../parts/code-head';
import { NumberField, SelectField, TextField } from '../parts/fields';

type Field = 'engine' | 'nodes' | 'ranks' | 'image' | 'compute' | 'partition' | 'time';

/** `launcher`: whose file the studio writes; without one it is a command. */
const PLACES: {
    id: string;
    label: string;
    launcher?: string;
    fields: Field[];
    about: string;
    needs: string;
}[] = [
    {
        id: 'here',
        label: 'This machine',
        fields: ['engine'],
        about: 'One process with all cores. The right choice for anything that trains in minutes: telling other processes of a step takes longer than a step of a small network.',
        needs: 'Nothing: a lab does the same.',
    },
    {
        id: 'mpi',
        label: 'MPI',
        fields: ['engine', 'ranks'],
        about: 'Several processes, here or on machines that mpirun reaches by ssh. Each computes its part of every batch; the losses are those of one process but for rounding. Wide networks and convolutions gain.',
        needs: 'Open MPI or MPICH, where the program was built and where it runs. The run is live in this studio when rank 0 has the same home folder.',
    },
    {
        id: 'slurm',
        label: 'SLURM',
        launcher: 'slurm',
        fields: ['engine', 'nodes', 'ranks', 'partition', 'time'],
        about: 'The same, started by the queue of a computing center, which gives it machines when they are free.',
        needs: 'nnstudio and the data at one path on every machine.',
    },
    {
        id: 'kubernetes',
        label: 'Kubernetes',
        launcher: 'kubeflow',
        fields: ['engine', 'nodes', 'ranks', 'image', 'time'],
        about: 'An MPIJob: pods for the ranks and one that launches them.',
        needs: "Kubeflow's MPI operator in the cluster, and a container image with nnstudio, Open MPI and the data.",
    },
    {
        id: 'azure',
        label: 'Azure ML',
        launcher: 'azureml',
        fields: ['engine', 'nodes', 'ranks', 'image', 'compute', 'time'],
        about: 'A command job on a compute cluster of a workspace, billed while its machines run. The command “nnstudio job submit azureml” with the same options sends it, follows it, and brings the run here.',
        needs: 'A workspace with a compute cluster, and a container image with nnstudio, Open MPI and the data.',
    },
    {
        id: 'torchrun',
        label: 'torchrun',
        launcher: 'torchrun',
        fields: ['nodes', 'ranks'],
        about: 'A PyTorch program of its own (DistributedDataParallel), without the studio: to read, to change, or for GPUs.',
        needs: 'Python with PyTorch on every machine. Dropout and batch normalization depend on the whole batch and are refused.',
    },
    {
        id: 'tensorflow',
        label: 'TensorFlow',
        launcher: 'tensorflow',
        fields: ['nodes'],
        about: 'A TensorFlow program of its own (MultiWorkerMirroredStrategy), one worker on each machine.',
        needs: 'Python with TensorFlow on every machine, and TF_CONFIG. Dropout and batch normalization depend on the whole batch and are refused.',
    },
];

interface Asked {
    engine: string;
    nodes: number;
    ranks: number;
    image: string;
    compute: string;
    partition: string;
    time: string;
}

const TEXTS: Partial<Record<Field, { label: string; placeholder: string }>> = {
    image: { label: 'Container image', placeholder: 'example.com/nnstudio:1' },
    compute: { label: 'Compute cluster', placeholder: 'cpu-cluster' },
    partition: { label: 'Partition', placeholder: "the cluster's own" },
    time: { label: 'Time limit', placeholder: 'HH:MM:SS' },
};

function Fields({
    fields,
    asked,
    change,
}: {
    fields: Field[];
    asked: Asked;
    change: (some: Partial<Asked>) => void;
}) {
    return (
        <div class="fields">
            {fields.includes('engine') && (
                <SelectField
                    label="Engine"
                    value={asked.engine}
                    options={engines.value.map(({ id, title }) => ({ value: id, label: title }))}
                    onChange={(engine) => change({ engine })}
                />
            )}
            {fields.includes('nodes') && (
                <NumberField
                    label="Machines"
                    value={asked.nodes}
                    onChange={(nodes) => change({ nodes })}
                />
            )}
            {fields.includes('ranks') && (
                <NumberField
                    label={fields.includes('nodes') ? 'Processes per machine' : 'Processes'}
                    value={asked.ranks}
                    onChange={(ranks) => change({ ranks })}
                />
            )}
            {(['image', 'compute', 'partition', 'time'] as const)
                .filter((field) => fields.includes(field))
                .map((field) => (
                    <TextField
                        key={field}
                        label={TEXTS[field]?.label ?? field}
                        placeholder={TEXTS[field]?.placeholder}
                        value={asked[field]}
                        onChange={(text) => change({ [field]: text })}
                    />
                ))}
        </div>
    );
}

/** The file, or the command, for the place. */
function Result({
    place,
    asked,
    s,
}: {
    place: (typeof PLACES)[number];
    asked: Asked;
    s: Settings;
}) {
    const given = (field: Field) => (place.fields.includes(field) && asked[field]) || null;
    const missing = (['image', 'compute'] as const)
        .filter((field) => place.fields.includes(field) && !asked[field])
        .map((field) => TEXTS[field]?.label.toLowerCase());
    const address =
        place.launcher &&
        missing.length === 0 &&
        clusterAddress(s, defaults.value, {
            launcher: place.launcher,
            engine: given('engine'),
            nodes: asked.nodes,
            ranks_per_node: given('ranks') ?? 1,
            image: given('image'),
            compute: given('compute'),
            partition: given('partition'),
            time: given('time'),
        });
    const { value: file, error } = useFetched<ClusterFile>(useSettled(address || null));
    if (!place.launcher) {
        const launch = place.id === 'mpi' ? `mpirun -n ${asked.ranks} ` : '';
        const command = `${launch}nnstudio train --engine ${asked.engine} ${settingsWords(s, defaults.value)}`;
        return (
            <Card title="The command" aside={<CopyButton text={() => command} />}>
                <CodeBlock text={command} language="bash" label="The command" />
            </Card>
        );
    }
    if (missing.length > 0)
        return <p class="muted">{`For the file fill in: ${missing.join(', ')}.`}</p>;
    if (error) return <Trouble>{error}</Trouble>;
    if (!file) return null;
    return (
        <Card
            title={file.file}
            aside={
                <>
                    <CopyButton text={() => file.text} />
                    <a
                        class="button main"
                        href={`data:text/plain;charset=utf-8,${encodeURIComponent(file.text)}`}
                        download={file.file}
                    >
                        {`Download ${file.file}`}
                    </a>
                </>
            }
        >
            <p>{file.start.slice(0, 1).toUpperCase() + file.start.slice(1)}</p>
            <CodeBlock
                text={file.text}
                language={file.file.endsWith('.py') ? 'python' : 'bash'}
                label={file.file}
            />
        </Card>
    );
}

export function WherePage() {
    const s = settings.value;
    const place = PLACES.find(({ id }) => id === param('place')) ?? PLACES[0];
    const [given, setGiven] = useState<Asked>({
        engine: param('engine'),
        nodes: 2,
        ranks: 2,
        image: '',
        compute: '',
        partition: '',
        time: '',
    });
    // On the very first visit the engines are not known yet.
    const asked = { ...given, engine: given.engine || (defaultEngine.value?.id ?? '') };
    return (
        <Page
            title="Where to run"
            about="The same training on one machine, on several processes, or on a cluster: what each is for, and the file that starts it."
        >
            {s && <SettingsStrip s={s} />}
            <Card title={place.label}>
                <div class="stack where-places">
                    <Segmented
                        name="Where to run"
                        value={place.id}
                        options={PLACES.map(({ id, label }) => ({ value: id, label }))}
                        onChange={(id) => setParams({ place: id })}
                    />
                    <p>{place.about}</p>
                    <p class="muted">{`It needs: ${place.needs}`}</p>
                    <Fields
                        fields={place.fields}
                        asked={asked}
                        change={(some) => setGiven({ ...given, ...some })}
                    />
                </div>
            </Card>
            {s && <Result key={place.id} place={place} asked={asked} s={s} />}
        </Page>
    );
}
