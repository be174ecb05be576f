"""`nnstudio diff`: two runs, or two model files, and what sets them apart. (More pairs of files: tests/unit/test_diff.c.)"""

import contextlib
import json
import subprocess

import pytest

TINY = ["--dataset", "synthetic", "--limit", 96, "--epochs", 2, "--hidden", 6, "--batch-size", 16, "--lr", 0.1]
# What is changed, how its cause is called, at which step and in which tensor the trainings part first (None: not looked at).
PLANTED = {
    "seed": (["--seed", 1], "initialization", 0, "old/fc1.weight"),
    "init": (["--init", "keras"], "initialization", 0, "old/fc1.weight"),
    "momentum": (["--momentum", 0.9], "settings", 1, "update/fc1.weight"),
    "lr": (["--lr", 0.05], "settings", 0, "update/fc1.weight"),
    "schedule": (["--schedule", "step:every=1,gamma=0.5"], "settings", 6, "update/fc1.weight"),
    "weight_decay": (["--weight-decay", 0.01], "settings", 0, "update/fc1.weight"),
    "warmup": (["--warmup", 3], "settings", 0, "update/fc1.weight"),
    "batch_size": (["--batch-size", 32], "settings", 0, "order"),
    "limit": (["--limit", 80], "data", 0, "order"),
    "scale": (["--scale", 100], "data", 0, "input"),
    "mean": (["--mean", 0.1, "--std", 0.3], "data", 0, "input"),
    "hidden": (["--hidden", 7], "settings", 0, None),
    "activation": (["--activation", "tanh"], "settings", 0, "a1"),
    "optimizer": (["--optimizer", "adam", "--lr", 0.1], "settings", 0, None),
}
ADAM = ["--optimizer", "adam", "--lr", 0.01]
MEANINGS = {  # by the row of the atlas
    "2": (["--momentum", 0.9, "--schedule", "step:every=1,gamma=0.1,unit=epoch"], 6),
    "3": (ADAM, 0),
    "5": ([*ADAM, "--weight-decay", 0.01], 0),
    "7": (["--momentum", 0.9, "--weight-decay", 0.05], 1),
    "9": (["--optimizer", "rmsprop", "--lr", 0.001, "--rho", 0.9, "--epsilon", 1e-5], 0),
}


class Studio:
    def __init__(self, binary, folder):
        self.binary, self.folder, self.count = binary, folder, 0

    def __call__(self, *words, status=0):
        result = subprocess.run([self.binary, *map(str, words)], capture_output=True, text=True, timeout=300, cwd=self.folder)
        assert result.returncode == status, f"exit {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
        return result.stdout

    def train(self, *words, engine="native"):
        """The run of each engine."""
        self.count += 1
        out = self("train", "--engine", engine, *TINY, *words, "--out", f"out{self.count}", "--home", self.folder / "home", "--json")
        told = [json.loads(line) for line in out.splitlines()]
        return [event["run"] for event in told if event["event"] == "start"]

    def diff(self, a, b, status):
        return json.loads(self("diff", a, b, "--home", self.folder / "home", "--json", status=status))


@pytest.fixture(scope="module")
def studio(binary, tmp_path_factory):
    return Studio(binary, tmp_path_factory.mktemp("diff"))


@pytest.fixture(scope="module")
def base(studio):
    return studio.train()[0]


@pytest.mark.parametrize("name", PLANTED)
def test_the_setting_that_parts_two_runs_is_named(studio, base, name):
    words, cause, step, tensor = PLANTED[name]
    told = studio.diff(base, studio.train(*words)[0], status=1)
    assert not told["same"] and told["kind"] == "runs" and name in told["settings"]
    assert told["cause"] == cause, told
    assert tensor is None or (told["first_difference"]["tensor"], told["first_difference"]["step"]) == (tensor, step), told
    assert "gives the values of B" in told["evidence"]


@pytest.mark.parametrize("row", MEANINGS)
def test_the_meaning_is_named_with_its_row(studio, row):
    words, step = MEANINGS[row]
    told = studio.diff(studio.train(*words)[0], studio.train(*words, "--meaning", "keras")[0], status=1)
    assert (told["cause"], told["row"]) == ("meaning", row), told
    assert told["row_title"] and told["first_difference"]["step"] == step
    assert told["first_difference"]["tensor"].startswith("update/")


def test_engines_threads_and_dtypes_part_by_rounding_alone(studio, base):
    again, threads, wide = studio.train()[0], studio.train("--threads", 2)[0], studio.train("--dtype", "float64")[0]
    assert studio.diff(base, again, status=0)["cause"] == "none"
    assert studio.diff(base, threads, status=0)["settings"] == ["threads"]
    for engines in ["torch", "tensorflow"]:
        (other,) = studio.train(engine=engines)
        for a, b in [(base, other), (other, wide)]:
            told = studio.diff(a, b, status=0)
            assert told["same"] and told["cause"] in ("none", "rounding"), told


def test_two_settings_at_once_are_both_named(studio, base):
    told = studio.diff(base, studio.train("--momentum", 0.9, "--weight-decay", 0.01, "--init", "keras", "--scale", 100)[0], status=1)
    assert told["cause"] == "initialization" and set(told["settings"]) == {"momentum", "weight_decay", "init", "scale"}
    told = studio.diff(base, studio.train("--lr", 0.2, "--weight-decay", 0.01)[0], status=1)
    assert told["cause"] == "settings" and "Learning rate" in told["evidence"] and "Weight decay" in told["evidence"]


def test_a_recorded_loss_that_the_settings_do_not_give_is_unexplained(studio, base):
    """A fault that no setting explains: the loss kept of one step is another than the step's."""
    import sqlite3
    import struct

    other = studio.train("--name", "tampered")[0]
    with contextlib.closing(sqlite3.connect(studio.folder / "home" / "studio.db")) as database, database:
        (key,) = database.execute("SELECT key FROM runs WHERE id = ?", (other,)).fetchone()
        rows = database.execute("SELECT rowid, losses FROM points WHERE run = ? ORDER BY first_step", (key,)).fetchall()
        losses = bytearray(rows[0][1])
        losses[:8] = struct.pack("<d", 3.25)
        database.execute("UPDATE points SET losses = ? WHERE rowid = ?", (bytes(losses), rows[0][0]))
    told = studio.diff(base, other, status=1)
    assert told["cause"] == "unexplained" and other in told["evidence"] and "3.25" in told["evidence"], told


def test_wrong_use_is_told(studio, base):
    (studio.folder / "x.pth").write_bytes(b"no model")
    for words, status in [(["x.pth", "x.pth"], 1), ([base, "x.pth"], 2), ([base, "20200101-000000-native-0000"], 1), ([base], 2)]:
        result = subprocess.run([studio.binary, "diff", *words, "--home", str(studio.folder / "home")], capture_output=True, text=True, cwd=studio.folder)
        assert result.returncode == status and result.stderr.count("\n") == 1, result.stderr


def test_models_of_every_format_are_the_same(studio, base):
    model = "out1/simple_nn.safetensors"
    for ending in ["pth", "h5", "keras", "onnx"]:
        studio("convert", model, f"same.{ending}")
        text = studio("diff", model, f"same.{ending}", "--limit", 50, "--home", studio.folder / "home")
        assert text.startswith("Same model: all") and "100.00%" in text
