"""A command that fails leaves nothing; one that is killed leaves what the next one takes away."""

import subprocess

import pytest

SMALL = ["--engine", "native", "--dataset", "synthetic", "--limit", 100, "--epochs", 1]


@pytest.fixture
def model(studio, tmp_path):
    studio("train", *SMALL)
    return tmp_path / "models" / "simple_nn.safetensors"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


ENDINGS = ["pth", "h5", "safetensors", "onnx"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_copy_that_cannot_be_read_back(studio, model, tmp_path, fault, ending):
    """The new file is verified before it gets its name, and the one that was there stays."""
    out = tmp_path / "out"
    out.mkdir()
    (out / f"copy.{ending}").write_bytes(b"what was there")
    result = studio("convert", model, out / f"copy.{ending}", status=1, env=fault("open:2+:5:copy."))
    assert len(result.stderr.splitlines()) == 1 and f"out/copy.{ending}" in result.stderr and ".part-" not in result.stderr
    assert names(out) == [f"copy.{ending}"] and (out / f"copy.{ending}").read_bytes() == b"what was there"


@pytest.mark.parametrize("command", ["convert", "export"])
def test_a_full_output_leaves_no_file(binary, studio, model, tmp_path, command):
    run = studio("runs", "list", "--json").stdout.split('"id":"')[1].split('"')[0]
    words = {"convert": [model, "copy.pth"], "export": ["export", run, "--out", "copy.zip"]}[command]
    out = tmp_path / "out"
    out.mkdir()
    with open("/dev/full", "w") as full:
        result = subprocess.run([binary, {"export": "runs"}.get(command, command), *map(str, words)], cwd=out, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1 and result.stderr.startswith(b"nnstudio: ")
    assert names(out) == []


@pytest.mark.parametrize("command", ["convert", "export"])
def test_a_killed_one_is_cleaned_up_after(studio, model, tmp_path, fault, command):
    run = studio("runs", "list", "--json").stdout.split('"id":"')[1].split('"')[0]
    out = tmp_path / "out"
    out.mkdir()
    words = {"convert": ["convert", model, out / "copy.pth"], "export": ["runs", "export", run, "--out", out / "copy.zip"]}[command]
    studio(*words, status=-9, env=fault("rename:1:kill:copy."))
    assert any(".part-" in name for name in names(out)) and not any(name in ("copy.pth", "copy.zip") for name in names(out))
    studio(*words)
    assert names(out) in (["copy.pth"], ["copy.zip"])


def test_a_server_cleans_its_home(serve, studio, model, home):
    (run,) = [path for path in (home / "runs").iterdir()]
    left = [home / "x.part-abc123", run / "checkpoint.safetensors.part-Zz09aa", home / "scratch" / "bundle-999999999-0.zip"]
    (home / "scratch" / "microscope.part-abcdef").mkdir(parents=True)
    (home / "scratch" / "microscope.part-abcdef" / "native.json").write_text("{}")
    for path in left:
        path.write_text("left")
    kept = [home / "notes.part-of-mine.txt", run / "checkpoint.safetensors"]
    kept[0].write_text("kept")
    serve()
    assert not any(path.exists() for path in left) and names(home / "scratch") == []
    assert all(path.exists() for path in kept)
