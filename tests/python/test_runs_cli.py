"""`nnstudio runs`: what was trained is listed, shown, exported whole and removed."""

import csv
import hashlib
import io
import json
import zipfile

import pytest


@pytest.fixture
def run(studio):
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 1000, "--epochs", 2, "--name", "little")
    (line,) = studio("runs", "list", "--json").stdout.splitlines()
    return json.loads(line)


def test_list_and_show(studio, run):
    assert run["state"] == "finished" and run["started_by"] == "terminal" and run["name"] == "little"
    assert run["id"] in studio("runs").stdout
    whole = json.loads(studio("runs", "show", run["id"], "--json").stdout)
    assert len(whole["epochs"]) == 2
    assert "val" not in studio("runs", "show", run["id"]).stderr


def test_export_is_whole(studio, run, tmp_path):
    path = tmp_path / "run.zip"
    studio("runs", "export", run["id"], "--out", path)
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {"settings.json", "run.json", "curve.csv", "little.safetensors"}
        assert json.loads(archive.read("settings.json")) == run["settings"]
        assert hashlib.sha256(archive.read("little.safetensors")).hexdigest() == run["files"][0]["sha256"]
        rows = [line for line in archive.read("curve.csv").decode().splitlines() if not line.startswith("#")]
        assert len(list(csv.DictReader(io.StringIO("\n".join(rows))))) == 64
    assert list(tmp_path.glob("run.zip?*")) == []


def test_rm_removes(studio, run, home):
    studio("runs", "rm", run["id"])
    assert studio("runs", "list", "--json").stdout == ""
    assert not (home / "runs" / run["id"]).exists()
    assert "there is no run" in studio("runs", "show", run["id"], status=1).stderr


@pytest.mark.parametrize("words", [["show"], ["export", "x"], ["frobnicate"], ["list", "x"], ["rm"]])
def test_wrong_use(studio, words):
    assert studio("runs", *words, status=2).stderr.count("\n") == 1


def test_runs_that_fail_at_once_are_not_listed(studio):
    studio("train", "--engine", "native", "--dataset", "no-such-set", status=1)
    assert studio("runs", "list", "--json").stdout == ""
