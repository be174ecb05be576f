"""`nnstudio job`: what clusters are given, read by their own tools; SLURM really runs it."""

import csv
import io
import json
import os
import pathlib
import shlex
import shutil
import socket
import subprocess
import sys
import time
import zipfile

import pytest
import yaml
from conftest import SOURCE

SETTINGS = ["--dataset", "synthetic", "--limit", "500", "--epochs", "2", "--dtype", "float64", "--name", "my_run"]


def test_words_reach_train_as_they_were_given(studio, tmp_path):
    strange = "it's a \"path\" with $HOME `id` ; and spaces"
    out = studio("job", "slurm", "--nodes", 2, "--data-dir", strange, "--momentum", 0.9, "--nesterov", *SETTINGS, "--out", "job.sh")
    assert "sbatch job.sh" in out.stderr
    script = (tmp_path / "job.sh").read_text()
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
    words = shlex.split(script.splitlines()[-1])
    assert words[:2] == ["mpirun", "-n"] and words[3:5] == ["nnstudio", "train"]
    assert words[words.index("--data-dir") + 1] == strange
    assert words[words.index("--epochs") + 1] == "2"
    assert words[words.index("--nesterov") + 1].startswith("--"), "an option without a value"


@pytest.mark.parametrize(
    "words, complaint",
    [
        (["slurm"], "Give --nodes"),
        (["pbs", "--nodes", "2"], 'no launcher "pbs": choose slurm, kubeflow, azureml, torchrun or tensorflow'),
        (["slurm", "--nodes", "1025"], "--nodes must be a whole number from 1 to 1024"),
        (["slurm", "--nodes", "2", "--ranks-per-node", "0"], "--ranks-per-node must be"),
        (["slurm", "--nodes", "2", "--lr", "fast"], 'learning rate "fast" is not valid'),
        (["slurm", "--nodes", "2", "--time", "soon"], 'the time "soon" is not understood'),
        (["slurm", "--nodes", "2", "--partition", "a\nrm"], "--partition"),
        (["slurm", "--nodes", "2", "--engine", "native,torch"], "several ranks train one engine"),
        (["kubeflow", "--nodes", "2"], "give --image"),
        (["azureml", "--nodes", "2", "--image", "i"], "needs --compute"),
        (["torchrun", "--nodes", "2", "--image", "i"], "torchrun gets a Python program, which takes no"),
        (["torchrun", "--nodes", "2", "--engine", "native"], "torchrun trains with torch: leave out --engine native"),
        (["tensorflow", "--nodes", "2", "--ranks-per-node", "2"], "one worker on each machine"),
        (["torchrun", "--nodes", "2", "--resume", "r"], "which starts anew"),
    ],
)
def test_what_no_cluster_could_run_is_refused(studio, tmp_path, words, complaint):
    said = studio("job", *words, "--out", "job", status=2).stderr
    assert complaint in said and said.count("\n") == 1
    assert not (tmp_path / "job").exists()


def test_kubeflow_takes_the_job(studio):
    schema = SOURCE.parent / "shared" / "schemas" / "kubeflow.org_mpijobs.yaml"
    if not schema.exists():
        pytest.skip(f"Kubeflow's schema is not at {schema}")
    jsonschema = pytest.importorskip("jsonschema")
    text = studio("job", "kubeflow", "--nodes", 3, "--ranks-per-node", 2, "--image", "example.com/nnstudio:1", "--time", "01:00:30", "--threads", 4, *SETTINGS).stdout
    job = yaml.safe_load(text)
    (version,) = yaml.safe_load(schema.read_text())["spec"]["versions"]
    assert job["apiVersion"].endswith(version["name"])
    jsonschema.validate(job, version["schema"]["openAPIV3Schema"])
    spec = job["spec"]
    (launcher,) = spec["mpiReplicaSpecs"]["Launcher"]["template"]["spec"]["containers"]
    assert launcher["args"][:4] == ["-n", "6", "nnstudio", "train"]
    assert job["metadata"]["name"] == "my-run"
    assert spec["slotsPerWorker"] == 2 and spec["mpiReplicaSpecs"]["Worker"]["replicas"] == 3
    assert spec["runPolicy"]["activeDeadlineSeconds"] == 3630


def test_azure_ml_takes_the_job(studio, tmp_path):
    ml = pytest.importorskip("azure.ai.ml")
    studio("job", "azureml", "--nodes", 2, "--ranks-per-node", 4, "--image", "example.com/nnstudio:1", "--compute", "cpu-cluster", *SETTINGS, "--out", "job.yml")
    job = ml.load_job(tmp_path / "job.yml")
    words = shlex.split(job.command)
    assert words[:4] == ["nnstudio", "train", "--out", "outputs"] and sorted(words[4:]) == sorted(SETTINGS)
    assert job.resources.instance_count == 2 and job.distribution.process_count_per_instance == 4
    assert job.compute.endswith("cpu-cluster") and job.environment.image == "example.com/nnstudio:1"


# 29 is odd and the last batch has 10 samples: the processes' parts differ in size.
SMALL_PARTS = ["--dataset", "mnist", "--limit", 300, "--epochs", 2, "--dtype", "float64", "--batch-size", 29]
SMALL_PARTS += ["--net", "conv 4 3x3 l2=0.01, relu, maxpool 2, flatten, dense 10 l1=0.001", "--momentum", 0.9, "--name", "my_run"]


def train_in_one_process(engine, suffix, studio, home, folder, settings):
    """The run's folder; its model, initial weights and order are in `folder` afterwards."""
    studio("train", "--engine", engine, *settings)
    (run,) = home.joinpath("runs").iterdir()
    studio("code", "--bundle", run.name, "--out", "bundle.zip")
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        for name in ("initial.keras" if suffix == "h5" else "initial.pth", "order.npy", f"my_run.{suffix}"):
            (folder / name).write_bytes(archive.read(name))
    return run


def test_a_torchrun_program_computes_what_one_process_computes(studio, home, data_dir, tmp_path):
    torch = pytest.importorskip("torch")
    settings = [*SMALL_PARTS, "--data-dir", data_dir]
    run = train_in_one_process("torch", "pth", studio, home, tmp_path, settings)
    alone = torch.load(tmp_path / "my_run.pth", weights_only=True)
    (tmp_path / "my_run.pth").unlink()
    out = studio("job", "torchrun", "--nodes", 1, "--ranks-per-node", 2, *settings, "--out", "program.py")
    assert "torchrun --nnodes=1 --nproc-per-node=2" in out.stderr
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "program.py"]
    command += ["--data-dir", data_dir, "--initial", "initial.pth", "--order", "order.npy"]
    done = subprocess.run([str(word) for word in command], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    together = torch.load(tmp_path / "my_run.pth", weights_only=True)
    assert together.keys() == alone.keys()
    for name, tensor in together.items():
        assert (tensor - alone[name]).abs().max() < 1e-9, name
    epochs = json.loads(studio("runs", "show", run.name, "--json").stdout)["epochs"]
    told = [line.split() for line in done.stdout.splitlines() if line.startswith("epoch")]
    assert [float(words[3]) for words in told] == pytest.approx([epoch["loss"] for epoch in epochs], abs=1e-6)


@pytest.mark.skipif(not os.environ.get("NNSTUDIO_TEST_WORKERS"), reason="two TensorFlow workers take a minute: set NNSTUDIO_TEST_WORKERS=1")
def test_a_tensorflow_program_computes_what_one_process_computes(studio, home, data_dir, tmp_path):
    h5py = pytest.importorskip("h5py")
    settings = [*SMALL_PARTS, "--weight-decay", 0.01, "--data-dir", data_dir]
    train_in_one_process("tensorflow", "h5", studio, home, tmp_path, settings)

    def weights():
        found = {}
        with h5py.File(tmp_path / "my_run.h5") as file:
            file["model_weights"].visititems(lambda name, item: found.update({name.split("/")[0] + name.split("/")[-1].split(":")[0]: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return found

    alone = weights()
    (tmp_path / "my_run.h5").unlink()
    studio("job", "tensorflow", "--nodes", 2, *settings, "--out", "program.py")
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    workers = []
    for index in range(2):
        cluster = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "program.py", "--data-dir", data_dir, "--initial", "initial.keras", "--order", "order.npy"]
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster), "CUDA_VISIBLE_DEVICES": ""}
        workers.append(subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    said = [worker.communicate(timeout=600) for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], said[0][1][-3000:] + said[1][1][-3000:]
    together = weights()
    assert together.keys() == alone.keys() and len(alone) == 4
    for name, values in together.items():
        assert abs(values - alone[name]).max() < 1e-9, name


def test_a_python_program_for_parts_of_a_batch_refuses_what_needs_all_of_it(studio, tmp_path):
    for layer in ("batchnorm", "dropout 0.5"):
        said = studio("job", "torchrun", "--nodes", 2, "--net", f"dense 9, {layer}, dense 10", "--out", "job.py", status=1).stderr
        assert f"layer 2: {layer.split()[0]} depends on the whole batch" in said and said.count("\n") == 1
    assert not (tmp_path / "job.py").exists()


PARTS = ["munged", "slurmctld", "slurmd", "sbatch", "mpirun"]


@pytest.fixture
def slurm(tmp_path):
    """A cluster of this one machine; the environment in which `sbatch` finds it."""
    missing = [part for part in PARTS if not shutil.which(part, path=os.environ["PATH"] + ":/usr/sbin")]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: apt install slurm-wlm munge openmpi-bin")
    if os.geteuid() != 0:
        pytest.skip("a cluster can be started by root only")
    place = pathlib.Path("/tmp") / f"nnstudio-slurm-{os.getpid()}"
    munge, started = place / "munge", []
    munge.mkdir(parents=True)
    place.chmod(0o755)
    (munge / "key").write_bytes(os.urandom(1024))
    (munge / "key").chmod(0o400)
    munge.chmod(0o755)
    for path in [munge, munge / "key"]:
        shutil.chown(path, "munge", "munge")
    for folder in ("state", "spool"):
        (place / folder).mkdir()
    host, ports = socket.gethostname().split(".")[0], []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    settings = {
        "ClusterName": "one", "SlurmctldHost": f"{host}(127.0.0.1)", "SlurmUser": "root", "AuthType": "auth/munge", "AuthInfo": f"socket={munge}/socket",
        "SlurmctldPort": ports[0], "SlurmdPort": ports[1],
        "StateSaveLocation": place / "state", "SlurmdSpoolDir": place / "spool",
        "SlurmctldPidFile": place / "ctld.pid", "SlurmdPidFile": place / "d.pid", "SlurmctldLogFile": place / "ctld.log", "SlurmdLogFile": place / "d.log",
        "ProctrackType": "proctrack/linuxproc", "TaskPlugin": "task/none", "SelectType": "select/cons_tres", "MpiDefault": "none", "ReturnToService": 2,
    }
    lines = [f"{key}={value}" for key, value in settings.items()]
    lines += [f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN", "PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP"]
    (place / "slurm.conf").write_text("\n".join(lines) + "\n")
    environment = {**os.environ, "SLURM_CONF": str(place / "slurm.conf"), "PATH": os.environ["PATH"] + ":/usr/sbin"}
    environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1"}
    commands = [
        ["munged", "--foreground", f"--key-file={munge}/key", f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"],
        ["slurmctld", "-D"], ["slurmd", "-D", "-N", host],
    ]
    try:
        for command in commands:
            user = {"user": "munge", "group": "munge"} if command[0] == "munged" else {}
            started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user))
            time.sleep(0.5)
        for _ in range(120):
            told = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
            if told.stdout.strip() == "idle":
                break
            time.sleep(0.5)
        else:
            logs = "".join((place / name).read_text() for name in ("ctld.log", "d.log") if (place / name).exists())
            pytest.fail(f"the cluster did not start: {told.stdout} {told.stderr}\n{logs[-2000:]}")
        yield environment
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
        shutil.rmtree(place, ignore_errors=True)


def test_slurm_runs_it(studio, binary, home, slurm, tmp_path):
    studio("job", "slurm", "--nodes", 1, "--ranks-per-node", 2, "--time", "00:05:00", "--program", binary, *SETTINGS, "--out", "job.sh")
    done = subprocess.run(["sbatch", "--wait", "job.sh"], cwd=tmp_path, env=slurm, capture_output=True, text=True, timeout=120)
    (said,) = tmp_path.glob("my_run-*.out")
    assert done.returncode == 0, done.stderr + said.read_text()
    studio("train", *SETTINGS, "--out", "alone")
    curves = []
    for run in home.joinpath("runs").iterdir():
        (tmp_path / "run.zip").unlink(missing_ok=True)
        studio("runs", "export", run.name, "--out", "run.zip")
        with zipfile.ZipFile(tmp_path / "run.zip") as archive:
            rows = csv.DictReader(line for line in io.TextIOWrapper(archive.open("curve.csv")) if line[0] != "#")
            curves.append([float(row["loss"]) for row in rows])
    assert len(curves) == 2 and len(curves[0]) == len(curves[1]) == 32
    assert max(abs(a - b) for a, b in zip(*curves)) < 1e-12
    assert "trains on 2 ranks" in said.read_text()
