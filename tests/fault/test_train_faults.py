"""Training meets trouble: each time one clear line, the others go on, nothing half-written stays."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "python"))
from train_help import Running, children, train  # noqa: E402

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
    running.process.communicate()
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


def test_a_full_disk_under_the_checkpoint(studio, small_disk):
    result = studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 500, "--epochs", 3, "--home", small_disk,
                    status=1)  # fmt: skip
    assert "No space left on device" in result.stderr
    assert leftovers(small_disk) == []


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
