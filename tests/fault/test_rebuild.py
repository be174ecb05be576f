"""The database is damaged, empty or gone: the list of runs comes back from the runs' folders."""

import json
import shutil

import pytest
from train_help import Running, Story, train

SMALL = ["--dataset", "synthetic", "--limit", 400]
# What only the database knew, and what depends on the moment.
NOT_KEPT = {"started_by", "tags", "notes", "title", "group", "log", "rss_bytes", "peak_rss_bytes", "created_at", "started_at", "ended_at"}


def whole(studio, run):
    return json.loads(studio("runs", "show", run, "--json").stdout)


def about(run):
    """A run without times that the two hear at other moments."""
    kept = {key: value for key, value in run.items() if key not in NOT_KEPT}
    for segment in kept["segments"]:
        del segment["started_at"]
    for epoch in kept["epochs"]:
        del epoch["cpu_seconds"], epoch["peak_rss_bytes"]
    seconds = kept["progress"].pop("seconds")
    for key in ("eta_seconds", "samples_per_second"):
        kept["progress"].pop(key)
    kept.pop("cpu_seconds")
    return kept, seconds


@pytest.fixture
def runs(binary, studio, home, tmp_path, fault):
    """id → the run as it was: a finished one, one that changed hands, a stopped one, a failed one."""
    first = train(studio, "--engine", "native", *SMALL, "--epochs", 3, "--out", "a").of("start")[0]["run"]
    other = train(studio, "--resume", first, "--engine", "torch", "--epochs", 5, "--out", "b").of("start")[0]["run"]
    running = Running(binary, tmp_path, "--engine", "native", *SMALL, "--epochs", 100000, "--out", "c")
    running.until(lambda e: e["event"] == "epoch" and e["epoch"] == 2)
    running.interrupt()
    stopped = running.finish(130)[0].of("start")[0]["run"]
    failed = studio("train", "--engine", "native", *SMALL, "--epochs", 2, "--out", "d", "--json", status=1, env=fault("open:1:13:simple_nn", "worker"))
    failed = Story(failed.stdout).of("start")[0]["run"]
    return {run: whole(studio, run) for run in {first, other, stopped, failed}}


DAMAGE = {
    "garbage": lambda path: path.write_bytes(b"this is no database\n" * 500),
    "half a page lost": lambda path: path.write_bytes(path.read_bytes()[:100] + bytes(6000) + path.read_bytes()[6100:]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
}


def test_the_list_comes_back_from_the_folders(studio, home, runs):
    studio("runs", "rebuild", status=1)  # nothing is wrong yet
    base = home / "studio.db"
    sound = base.with_name("sound")
    shutil.copy(base, sound)
    for name, damage in DAMAGE.items():
        shutil.copy(sound, base)
        for beside in home.glob("studio.db-*"):
            beside.unlink()
        damage(base)
        told = studio("runs", "list", status=1).stderr
        assert "nnstudio runs rebuild" in told and told.count("\n") == 1, (name, told)
        said = json.loads(studio("runs", "rebuild", "--json").stdout)
        assert said["runs"] == len(runs) and (said["kept"] is None) == (name == "gone"), (name, said)
        if said["kept"]:
            assert (home / said["kept"].split("/")[-1]).exists()
            (home / said["kept"].split("/")[-1]).unlink()
        for run, before in runs.items():
            (now, seconds), (then, took) = about(whole(studio, run)), about(json.loads(json.dumps(before)))
            assert now == then, (name, run)
            assert (seconds > 0) == (took > 0)  # of the epochs; the rest took as long
    finished = next(run for run in runs.values() if run["state"] == "finished" and run["engine"] == "native")
    train(studio, "--resume", finished["id"], "--epochs", 6, "--out", "a")
