"""One run on several ranks: `mpirun nnstudio train` computes what one process computes."""

import csv
import io
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time
import zipfile

import pytest
from server_help import gone, wait_until
from train_help import Running, Story, apart, children

ROUNDS = int(os.environ.get("NNSTUDIO_TEST_RANK_KILLS", 1))
SMALL = ["--dataset", "synthetic", "--limit", 500, "--epochs", 2, "--dtype", "float64"]
# Ranks that wait let others have the processor: there are more of them than cores, and other tests beside.
LAUNCH = ["mpirun", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "-n"]

# What depends on the whole batch: its statistics, the place of a sample in it, its classes, penalties of layers; and gradients that are clipped together.
WHOLE_BATCH = ["--net", "conv 4 3x3 l2=0.01, batchnorm, relu, maxpool 2, flatten, batchnorm, dropout 0.3, dense 9 l1=0.002, batchnorm, tanh, dense 10", "--limit", 60, "--momentum", 0.9]
WHOLE_BATCH += ["--class-weight", "balanced", "--label-smoothing", 0.1, "--clip-global-norm", 0.5, "--keep", "best"]

pytestmark = pytest.mark.skipif(not shutil.which("mpirun"), reason="no mpirun: apt install openmpi-bin")


@pytest.fixture(scope="module")
def launch(binary):
    """launch(ranks, arguments…, cwd=…) → the finished process."""
    module = pathlib.Path(binary).parent / "nnstudio-mpi.so"
    if not module.exists():
        pytest.skip(f"{module} is not built: apt install libopenmpi-dev, then meson setup --reconfigure build")

    def run(ranks, *arguments, cwd, status=0):
        command = [*LAUNCH, ranks, binary, "train", *arguments, "--json"]
        done = subprocess.run([str(word) for word in command], cwd=cwd, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stderr
        return done

    return run


def weights(path):
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


@pytest.mark.parametrize("engine", ["native", "torch", "tensorflow"])
def test_ranks_compute_what_one_computes(launch, binary, home, tmp_path, engine):
    # 29 does not divide by 2, 3 or 4, and the last batch has fewer samples than the others.
    momentum, adam = ["--momentum", 0.9, "--weight-decay", 0.01], ["--optimizer", "adam"]
    # The last batch there has two samples: of four ranks two have none.
    several = [(momentum, [3]), (adam, [2, 4])] if engine == "native" else [(adam, [3])]
    for optimizer, counts in [*several, (WHOLE_BATCH, [4])]:
        settings = ["--engine", engine, *SMALL, "--batch-size", 29, *optimizer]
        command = [binary, "train", *map(str, settings), "--json"]
        one = Story(subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
        for ranks in counts:
            story = Story(launch(ranks, *settings, cwd=tmp_path).stdout)
            assert story.of("start")[0]["ranks"] == ranks
            assert apart(story.curve(engine), one.curve(engine)) < 1e-12
            for several, alone in zip(story.of("epoch"), one.of("epoch")):
                assert several["accuracy"] == alone["accuracy"]
                assert abs(several["val_loss"] - alone["val_loss"]) < 1e-12
                assert several["ranks"] == ranks and 0 < several["communication_seconds"] <= several["seconds"]
        shown = json.loads(subprocess.run([binary, "runs", "show", story.of("start")[0]["run"], "--json"], cwd=tmp_path, capture_output=True, check=True).stdout)
        told, (seconds, communication) = story.of("epoch"), (sum(e[key] for e in story.of("epoch")) for key in ("seconds", "communication_seconds"))
        assert [(e["ranks"], e["communication_seconds"]) for e in shown["epochs"]] == [(ranks, e["communication_seconds"]) for e in told]
        assert shown["progress"]["ranks"] == ranks and shown["progress"]["communication_share"] == pytest.approx(communication / seconds)
    if engine == "native":  # the same bits each time, also in batches with fewer samples than ranks
        settings = ["--engine", engine, *SMALL, "--limit", 40, "--batch-size", 3, "--dtype", "float32"]
        models = []
        for out in ("first", "second"):
            launch(4, *settings, "--out", out, cwd=tmp_path)
            models.append(weights(tmp_path / out / "simple_nn.safetensors"))
        assert models[0] == models[1]


OPTIMIZERS = ["sgd", "adam", "adamw", "rmsprop", "adagrad", "adadelta", "adamax", "nadam"]
# A bias in front of a batch normalization has a gradient that is zero but for rounding, which an optimizer that divides by the
# gradient's size makes a whole step of: such a layer has none.
NORMALIZED = ["--net", "conv 4 3x3 nobias, batchnorm, relu, maxpool 2, flatten, dropout 0.2, dense 9 nobias, batchnorm, tanh, dense 10", "--limit", 60, "--batch-size", 29, "--lr", 0.01]


@pytest.mark.parametrize("engine", ["native", "torch", "tensorflow"] if os.environ.get("NNSTUDIO_TEST_RANK_OPTIMIZERS") else ["native"])
def test_every_optimizer_takes_the_same_steps_after_batch_normalization(launch, binary, home, tmp_path, engine):
    """On three ranks of the native engine; with NNSTUDIO_TEST_RANK_OPTIMIZERS=1 on one to four of every engine."""
    counts, apart_by = [1, 2, 3, 4] if os.environ.get("NNSTUDIO_TEST_RANK_OPTIMIZERS") else [3], {}
    for optimizer in OPTIMIZERS:
        settings = ["--engine", engine, *SMALL, *NORMALIZED, "--optimizer", optimizer]
        one = Story(subprocess.run([binary, "train", *map(str, settings), "--json"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout)
        for ranks in counts:
            apart_by[optimizer, ranks] = apart(Story(launch(ranks, *settings, cwd=tmp_path).stdout).curve(engine), one.curve(engine))
    print(apart_by)
    assert max(apart_by.values()) < 1e-12, apart_by


def test_what_cannot_be_done_is_said_once(launch, home, tmp_path):
    wrong = [
        (["--engine", "native,torch"], 2, "2 ranks train one engine at a time"),
        (["--dataset", "nowhere.csv"], 1, "nowhere.csv"),
        (["--lr", "fast"], 2, 'learning rate "fast" is not valid'),
    ]
    for arguments, status, words in wrong:
        said = launch(2, *SMALL, *arguments, cwd=tmp_path, status=status).stderr
        assert said.count(words) == 1 and "Traceback" not in said, said


def test_the_other_mpis_launcher_is_named(launch, binary, home, tmp_path):
    """MPICH's mpirun, as its environment tells it, with the module of Open MPI."""
    if (pathlib.Path(binary).parent / "nnstudio-mpich.so").exists():
        pytest.skip("the module of MPICH is there, too")
    environment = {**os.environ, "PMI_RANK": "0", "PMI_SIZE": "2", "MPI_LOCALNRANKS": "2"}
    done = subprocess.run([binary, "train", "--engine", "native", *map(str, SMALL)], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "built for Open MPI, and MPICH's mpirun started the ranks" in done.stderr, done.stderr


def test_ranks_with_other_data_are_refused(launch, binary, home, tmp_path):
    rows = ["label,a,b,c,d", *(f"{i % 2},{i % 251},{i % 7},{i % 13},{i % 101}" for i in range(300))]
    places = [tmp_path / "zero", tmp_path / "one"]
    for change, place in enumerate(places):
        place.mkdir()
        (place / "data.csv").write_text("\n".join([*rows[:-1], rows[-1] if not change else "1,0,0,0,0"]) + "\n")
    words = [binary, "train", "--dataset", "data.csv", "--epochs", "1", "--json"]
    context = [[*LAUNCH, "1", "--wdir", places[0], *words], [":", "-n", "1", "--wdir", places[1], *words]]
    done = subprocess.run([str(word) for part in context for word in part], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert "rank 1 has another SHA-256 of its data" in done.stderr


LONG = ["--engine", "native", "--dataset", "synthetic", "--limit", 500, "--dtype", "float64"]
STEPS = 16  # an epoch


def as_if_nothing_had_happened(launch, binary, cwd, first, ranks):
    """The run goes on with so many ranks: what was shown is kept, and the rest is as in a run that was never disturbed."""
    (run,) = {start["run"] for start in first.of("start")}
    # What was done is more than what mpirun let through before it ended.
    shown = json.loads(subprocess.run([binary, "runs", "show", run, "--json"], cwd=cwd, capture_output=True, check=True).stdout)
    epochs = shown["progress"]["epoch"] + 4
    story = Story(launch(ranks, "--resume", run, "--epochs", epochs, cwd=cwd).stdout)
    (end,) = story.of("end")
    assert end["state"] == "finished" and end["epoch"] == epochs
    straight = Story(launch(1, *LONG, "--epochs", epochs, "--out", "straight", cwd=cwd).stdout).curve("native")
    subprocess.run([binary, "runs", "export", run, "--out", f"{run}.zip"], cwd=cwd, check=True)
    with zipfile.ZipFile(cwd / f"{run}.zip") as archive:
        rows = list(csv.DictReader(line for line in io.TextIOWrapper(archive.open("curve.csv")) if line[0] != "#"))
    assert [int(row["step"]) for row in rows] == list(range(epochs * STEPS))
    assert apart([float(row["loss"]) for row in rows], straight) < 1e-10
    for step, loss in first.losses("native").items():
        assert abs(loss - float(rows[step]["loss"])) < 1e-10


def test_a_stop_keeps_everything_and_more_ranks_go_on(launch, binary, home, tmp_path):
    running = Running(binary, tmp_path, *LONG, "--epochs", 100000, launcher=[*LAUNCH, 2])
    running.until(lambda e: e["event"] == "step" and e["first_step"] > 2 * STEPS)
    workers = [worker for rank in children(running.process.pid) for worker in children(rank)]
    running.interrupt()
    first, _ = running.finish(None)  # mpirun may drop the last words of what it ends
    wait_until(lambda: all(gone(worker) for worker in workers), 60)
    as_if_nothing_had_happened(launch, binary, tmp_path, first, 3)


def test_a_rank_that_dies_ends_the_run_and_its_checkpoint_goes_on(launch, binary, home, tmp_path):
    for _ in range(ROUNDS):
        running = Running(binary, tmp_path, *LONG, "--epochs", 100000, launcher=[*LAUNCH, 3])
        running.until(lambda e: e["event"] == "epoch")
        time.sleep(random.random() / 5)
        ranks = children(running.process.pid)
        workers = [worker for rank in ranks for worker in children(rank)]
        assert len(ranks) == 3 and len(workers) == 1
        os.kill(random.choice([*ranks, *workers]), signal.SIGKILL)
        first, _ = running.finish(None)
        assert running.process.returncode != 0
        wait_until(lambda: all(gone(pid) for pid in [*ranks, *workers]), 60)
        as_if_nothing_had_happened(launch, binary, tmp_path, first, 2)
