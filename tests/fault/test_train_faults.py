"""Training meets trouble: each time one clear line, the others go on, nothing half-written stays."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "python"))
from train_help import Running, Story, children, train  # noqa: E402

LONG = ["--dataset", "synthetic", "--limit", 4000, "--epochs", 100000]


def leftovers(folder):
    return [path.name for path in pathlib.Path(folder).rglob("*") if ".part-" in path.name or ".probe-" in path.name]


def command_of(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


def test_a_killed_worker_fails_its_engine_alone(binary, home, tmp_path):
    running = Running(binary, tmp_path, "--engine", "torch,native", "--parallel", *LONG)
    seen = set()
    running.until(lambda e: seen.add((e["event"], e.get("engine"))) or {("epoch", "torch"), ("epoch", "native")} <= seen)
    workers = children(running.process.pid)
    assert len(workers) == 2 and all(command_of(pid)[1] == b"worker" for pid in workers)
    os.kill(workers[0], signal.SIGKILL)
    error = running.until(lambda e: e["event"] == "error")
    assert "killed by signal 9" in error["message"]
    other = {"torch": "native", "native": "torch"}[error["engine"]]
    running.until(lambda e: e["event"] == "epoch" and e["engine"] == other)
    running.interrupt()
    story, err = running.finish(130)
    assert [e["engine"] for e in story.of("end")] == [other]
    assert f"nnstudio: {error['engine']}: the worker of {error['engine']} was killed by signal 9" in err


def test_a_killed_run_resumes_from_its_last_epoch(binary, studio, home, tmp_path):
    running = Running(binary, tmp_path, "--engine", "native", *LONG)
    running.until(lambda e: e["event"] == "epoch" and e["epoch"] == 3)
    (worker,) = children(running.process.pid)
    os.kill(worker, signal.SIGKILL)
    story, _ = running.finish(1)
    done = story.of("epoch")[-1]["epoch"]
    run = story.of("start")[0]["run"]
    second = train(studio, "--resume", run, "--epochs", done + 2)
    assert second.of("epoch")[-1]["epoch"] == done + 2
    assert second.of("start")[0]["epoch"] in (done - 1, done)  # killed between an epoch's event and its checkpoint, or after
    assert leftovers(home) == []


def test_ctrl_c_keeps_the_checkpoint(binary, studio, home, tmp_path):
    running = Running(binary, tmp_path, "--engine", "torch,native", *LONG)
    running.until(lambda e: e["event"] == "step" and e["first_step"] > 100)
    running.interrupt()
    story, err = running.finish(130)
    run = story.of("start")[0]["run"]
    assert err.splitlines() == [f"nnstudio: torch stopped in epoch {len(story.of('epoch')) + 1}: go on with nnstudio train --resume {run}"]
    assert story.of("start", "native") == []  # the next in line was never begun
    assert [path.name for path in (home / "runs").iterdir()] == [run]
    assert (home / "runs" / run / "checkpoint.safetensors").exists()
    assert leftovers(tmp_path) == []


def test_ctrl_c_while_a_framework_loads(binary, home, tmp_path):
    running = Running(binary, tmp_path, "--engine", "tensorflow", *LONG)
    while not children(running.process.pid):
        time.sleep(0.01)
    running.interrupt()
    story, err = running.finish(130)
    assert err.splitlines()[-1].startswith("nnstudio: ")
    assert story.summary["fastest"] is None


def test_workers_end_when_the_parent_is_killed(binary, home, tmp_path):
    running = Running(binary, tmp_path, "--engine", "native", *LONG)
    start = running.until(lambda e: e["event"] == "start")
    running.until(lambda e: e["event"] == "epoch")
    (worker,) = children(running.process.pid)
    running.process.kill()
    running.process.wait()
    for _ in range(600):
        if not pathlib.Path(f"/proc/{worker}").exists():
            break
        time.sleep(0.05)
    else:
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker went on without a parent")
    assert (home / "runs" / start["run"] / "checkpoint.safetensors").exists()


def test_a_reader_that_goes_away_ends_the_run_quietly(binary, home, tmp_path):
    process = subprocess.Popen(
        [binary, "train", "--engine", "native", *map(str, LONG), "--json"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.wait(timeout=60)


def test_a_missing_framework_fails_alone(studio):
    result = studio("train", "--engine", "torch,native", "--dataset", "synthetic", "--limit", 500, "--epochs", 1, "--json", status=1,
                    env={**os.environ, "NNSTUDIO_TORCH_LIB": "/nonexistent"})  # fmt: skip
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nnstudio: torch: ") and "nnstudio engines install torch" in lines[0]
    assert '"event":"error"' in result.stdout and '"state":"finished"' in result.stdout


def test_a_library_that_is_none(studio, tmp_path):
    fake = tmp_path / "libtorch_cpu.so"
    fake.write_text("not a library")
    result = studio("train", "--engine", "torch", "--dataset", "synthetic", "--limit", 500, "--epochs", 1, status=1,
                    env={**os.environ, "NNSTUDIO_TORCH_LIB": str(fake)})  # fmt: skip
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("nnstudio: ")


@pytest.mark.parametrize("engine", ["torch", "tensorflow", "native"])
def test_a_diverging_run_says_so(studio, engine):
    result = studio("train", "--engine", engine, "--dataset", "synthetic", "--limit", 2000, "--epochs", 3, "--lr", 1000,
                    "--weight-decay", 1, status=1)  # fmt: skip
    assert "try a smaller learning rate" in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("nnstudio: ")]) == 1


def test_an_output_folder_that_cannot_be_written(studio, tmp_path, home):
    (tmp_path / "file").write_text("kept")
    for out in ("file", "file/below", "/proc/nnstudio"):
        result = studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 500, "--out", out, status=1)
        assert len(result.stderr.splitlines()) == 1 and result.stderr.startswith("nnstudio: "), result.stderr
        assert result.stdout == ""
    assert (tmp_path / "file").read_text() == "kept"
    assert not (home / "runs").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 600 KB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder], capture_output=True, text=True)
    if mount.returncode:
        pytest.skip("no small file system can be mounted here: this needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_keeps_the_old_model(studio, small_disk):
    common = ["--engine", "native", "--dataset", "synthetic", "--limit", 500, "--epochs", 1, "--out", small_disk]
    train(studio, *common)
    old = (small_disk / "simple_nn.safetensors").read_bytes()
    result = studio("train", *common, "--seed", 1, status=1)
    assert "No space left on device" in result.stderr
    assert (small_disk / "simple_nn.safetensors").read_bytes() == old
    assert leftovers(small_disk) == []


def test_a_full_disk_under_the_checkpoint(studio, small_disk, tmp_path):
    """The home has no room for a checkpoint (800 KB with momentum): the model goes elsewhere, and the run stays in the list."""
    story = studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 500, "--epochs", 3, "--momentum", 0.9,
                   "--home", small_disk)  # fmt: skip
    assert story.stderr.count("No space left on device") == 1 and "checkpoint was not written" in story.stderr
    assert (tmp_path / "models" / "simple_nn.safetensors").exists()
    assert leftovers(small_disk) == []
    (run,) = listed(studio, small_disk)
    assert run["state"] == "finished" and run["progress"]["epoch"] == 3


def listed(studio, home):
    return [json.loads(line) for line in studio("runs", "list", "--json", "--home", home).stdout.splitlines()]


SHORT = ["--engine", "native", "--dataset", "synthetic", "--limit", 500, "--epochs", 3]


def test_one_checkpoint_that_fails_ends_nothing(studio, home, fault):
    """The second of three cannot be synced: said once, and the next is written."""
    straight = train(studio, *SHORT, "--out", "straight")
    story = studio("train", *SHORT, "--json", env=fault("rename:2:28:checkpoint.safetensors", "worker"))
    assert story.stderr.count("No space left on device") == 1 and story.stderr.count("is written again") == 1
    assert Story(story.stdout).curve("native") == straight.curve("native")
    run = Story(story.stdout).of("start")[0]["run"]
    assert (home / "runs" / run / "checkpoint.safetensors").exists() and leftovers(home) == []
    train(studio, "--resume", run, "--epochs", 4)


def test_a_checkpoint_that_fails_while_stopping_is_told(binary, home, tmp_path, fault):
    running = Running(binary, tmp_path, "--engine", "native", *LONG, env=fault("rename:1+:28:checkpoint.safetensors", "worker"))
    running.until(lambda e: e["event"] == "epoch")
    running.interrupt()
    _, err = running.finish(130)
    assert "No space left on device" in err
    assert (tmp_path / "models" / "simple_nn.safetensors").exists()  # the weights are somewhere


# Moments at which a worker may die when all is trained: (what is hit, whether the model is there afterwards).
ENDS = {"killed before the model": "rename:1:kill:simple_nn", "no room for the model": "rename:1:28:simple_nn", "model not writable": "open:1:13:simple_nn"}


@pytest.mark.parametrize("fault_text", ENDS.values(), ids=ENDS.keys())
def test_a_trained_run_is_delivered_later(studio, home, tmp_path, fault, fault_text):
    straight = train(studio, *SHORT, "--out", "straight")
    first = studio("train", *SHORT, "--json", status=1, env=fault(fault_text, "worker"))
    run = Story(first.stdout).of("start")[0]["run"]
    assert not (tmp_path / "models" / "simple_nn.safetensors").exists()
    assert [r["state"] for r in listed(studio, home) if r["id"] == run] == ["failed"]
    second = train(studio, "--resume", run)
    assert second.of("step") == [] and second.of("epoch") == []
    end, last = second.of("end")[0], straight.of("epoch")[-1]
    assert end["state"] == "finished" and end["val_accuracy"] == last["val_accuracy"] and end["val_loss"] == last["val_loss"]
    models = [(tmp_path / folder / "simple_nn.safetensors").read_bytes() for folder in ("straight", "models")]
    heads = [json.loads(model[8 : 8 + int.from_bytes(model[:8], "little")])["__metadata__"] for model in models]
    assert models[0][8 + int.from_bytes(models[0][:8], "little") :] == models[1][8 + int.from_bytes(models[1][:8], "little") :]
    assert {k: v for k, v in heads[0].items() if k != "run"} == {k: v for k, v in heads[1].items() if k != "run"}
    assert leftovers(tmp_path) == []
    (kept,) = [r for r in listed(studio, home) if r["id"] == run]
    assert kept["state"] == "finished" and kept["files"] and len(kept["segments"]) == 1
    again = studio("train", "--resume", run, status=2)
    assert "has done its 3 epochs" in again.stderr
    (tmp_path / "models" / "simple_nn.safetensors").unlink()
    train(studio, "--resume", run)
    assert (tmp_path / "models" / "simple_nn.safetensors").exists()


def test_a_stopped_run_claims_no_accuracy(binary, home, tmp_path):
    """Stopped in its first epoch: nothing was measured, so the file tells nothing."""
    running = Running(binary, tmp_path, "--engine", "native", "--dataset", "synthetic", "--limit", 50000, "--epochs", 2, "--batch-size", 1)
    running.until(lambda e: e["event"] == "step")
    running.interrupt()
    story, _ = running.finish(130)
    if story.of("epoch"):
        pytest.skip("the machine was quicker than the interruption")
    model = (tmp_path / "models" / "simple_nn.safetensors").read_bytes()
    told = json.loads(model[8 : 8 + int.from_bytes(model[:8], "little")])["__metadata__"]
    assert "accuracy" not in told and "loss" not in told and told["epochs"] == "0"


def test_a_damaged_checkpoint_is_refused(studio, home):
    story = train(studio, "--engine", "native", "--dataset", "synthetic", "--limit", 500, "--epochs", 1)
    run = story.of("start")[0]["run"]
    path = home / "runs" / run / "checkpoint.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[:-1], whole[: len(whole) // 2], b"\xff" * 100, whole.replace(b"nnstudio-checkpoint-1", b"nnstudio-checkpoint-9")):
        path.write_bytes(damaged)
        result = studio("train", "--resume", run, "--epochs", 2, status=None)
        assert result.returncode in (1, 2)
        assert len(result.stderr.splitlines()) == 1 and "checkpoint.safetensors" in result.stderr


def test_two_trainings_of_one_run(binary, studio, home, tmp_path):
    running = Running(binary, tmp_path, "--engine", "native", *LONG)
    run = running.until(lambda e: e["event"] == "start")["run"]
    running.until(lambda e: e["event"] == "epoch" and e["epoch"] == 2)
    result = studio("train", "--resume", run, status=1)
    assert f"the run {run} is being trained already" in result.stderr
    running.interrupt()
    running.finish(130)
    assert (home / "runs" / run / "checkpoint.safetensors").exists()
