"""Bad input at the command line: one line, exit status 1 or 2, nothing half-written left; what was there stays."""

import gzip
import os
import pathlib
import resource
import struct
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "python"))
from train_help import train  # noqa: E402

SMALL = ["--engine", "native", "--epochs", 1]


def images(count=8, rows=4, columns=4, magic=2051):
    return struct.pack(">IIII", magic, count, rows, columns) + bytes(range(256)) * (count * rows * columns // 256 + 1)


def labels(values, magic=2049):
    return struct.pack(">II", magic, len(values)) + bytes(values)


GOOD = {
    "train-images-idx3-ubyte": images()[: 16 + 128],
    "train-labels-idx1-ubyte": labels([0, 1, 2, 3, 4, 5, 6, 7]),
    "t10k-images-idx3-ubyte": images(2)[: 16 + 32],
    "t10k-labels-idx1-ubyte": labels([0, 1]),
}
damaged = bytearray(gzip.compress(GOOD["train-images-idx3-ubyte"], mtime=0))
damaged[len(damaged) // 2] ^= 0x55
IDX = {
    "cut short": ({"train-images-idx3-ubyte": GOOD["train-images-idx3-ubyte"][:-1]}, "images"),
    "cut in the header": ({"train-images-idx3-ubyte": GOOD["train-images-idx3-ubyte"][:9]}, "images"),
    "empty": ({"train-labels-idx1-ubyte": b""}, "labels"),
    "labels where images belong": ({"train-images-idx3-ubyte": GOOD["train-labels-idx1-ubyte"]}, "label"),
    "images where labels belong": ({"train-labels-idx1-ubyte": GOOD["train-images-idx3-ubyte"]}, "image"),
    "more labels than images": ({"train-labels-idx1-ubyte": labels(range(9))}, "9"),
    "a lying count": ({"train-images-idx3-ubyte": struct.pack(">IIII", 2051, 0xFFFFFFFF, 4, 4)}, "4294967295"),
    "test images of another size": ({"t10k-images-idx3-ubyte": images(2, 4, 5)[: 16 + 40]}, "4 x 5"),
    "damaged gzip": ({"train-images-idx3-ubyte": bytes(damaged)}, "gzip"),
    "gzip cut short": ({"train-images-idx3-ubyte": bytes(gzip.compress(GOOD["train-images-idx3-ubyte"], mtime=0)[:-9])}, "cut short"),
    "bytes after the end": ({"train-labels-idx1-ubyte": GOOD["train-labels-idx1-ubyte"] + b"x"}, "labels"),
}


def refused(studio, home, tmp_path, *words, status=1):
    """Runs `train`, which must fail in one line; returns it."""
    result = studio("train", *SMALL, *words, status=status)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("nnstudio: "), result.stderr
    assert not list((tmp_path / "models").glob("*")) and not list(home.glob("runs/*"))
    return result.stderr


@pytest.mark.parametrize("case", IDX)
def test_idx_files(studio, home, tmp_path, case):
    change, words = IDX[case]
    folder = tmp_path / "set"
    folder.mkdir()
    for name, content in {**GOOD, **change}.items():
        (folder / name).write_bytes(content)
    line = refused(studio, home, tmp_path, "--dataset", "./set")
    assert next(iter(change)) in line and words in line


def test_the_undamaged_set_trains(studio, home, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for name, content in GOOD.items():
        (folder / name).write_bytes(gzip.compress(content) if name.startswith("t10k") else content)
    studio("train", *SMALL, "--dataset", "./set")
    assert (tmp_path / "models" / "simple_nn.safetensors").exists()


def test_mnist_with_a_label_out_of_range(studio, home, tmp_path):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, content in GOOD.items():
        if "images" in name:
            content = images(len(content) // 16 - 1, 28, 28)[: 16 + 784 * (len(content) // 16 - 1)]
        (folder / name).write_bytes(content)
    (folder / "train-labels-idx1-ubyte").write_bytes(labels([0, 1, 2, 3, 4, 5, 6, 10]))
    line = refused(studio, home, tmp_path, "--dataset", "mnist", "--data-dir", "data")
    assert "data/mnist: label 10 of training sample 7" in line


def test_mnist_of_the_wrong_image_size(studio, home, tmp_path):
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    for name, content in GOOD.items():
        (folder / name).write_bytes(content)
    line = refused(studio, home, tmp_path, "--dataset", "mnist", "--data-dir", "data")
    assert "4 x 4" in line and "28" in line


CSV = {
    "a text cell": ("label,a,b,c,d\n0,1,2,3,4\n1,2,three,4,5\n", ["line 3", "column 3", "three"]),
    "a missing cell": ("0,1,2,3,4\n1,2,3,4\n", ["line 2"]),
    "no word on which column is the label": ("0,1,2,3,4\n1,2,3,4,256\n", ["5 columns", "--label-column"]),
    "nothing but a header": ("label,a,b,c,d\n", ["no samples"]),
    "nothing": ("", ["set.csv"]),
}


@pytest.mark.parametrize("case", CSV)
def test_csv_files(studio, home, tmp_path, case):
    text, words = CSV[case]
    (tmp_path / "set.csv").write_text(text)
    line = refused(studio, home, tmp_path, "--dataset", "./set.csv")
    assert all(word in line for word in ["set.csv", *words]), line


@pytest.mark.parametrize("words", ["--lr -inf", "--lr 1e999", "--epochs 1000001", "--epochs 99999999999", "--batch-size 4294967296", "--batch-size 65537",
                                   "--weight-decay -1", "--weight-decay nan", "--momentum -0.1", "--momentum nan", "--hidden 10000000",
                                   "--hidden " + ",".join(["2"] * 64)])  # fmt: skip
def test_settings_out_of_range(studio, home, tmp_path, words):
    refused(studio, home, tmp_path, "--dataset", "synthetic", "--limit", 100, *words.split(), status=2)
    assert not home.exists()


@pytest.mark.parametrize("engine", ["torch", "tensorflow", "native"])
def test_a_batch_larger_than_the_set_is_the_whole_set(studio, engine):
    story = train(studio, "--engine", engine, "--dataset", "synthetic", "--limit", 50, "--epochs", 3, "--batch-size", 65536)
    curve = story.curve(engine)
    assert len(curve) == 3 and curve[2] < curve[0]


@pytest.mark.parametrize("ending", ["pth", "h5", "safetensors", "onnx"])
def test_a_limit_on_file_sizes_leaves_nothing_behind(studio, tmp_path, ending):
    studio("train", *SMALL, "--dataset", "synthetic", "--limit", 100)
    (tmp_path / f"copy.{ending}").write_bytes(b"the old one")

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    result = studio("convert", "models/simple_nn.safetensors", f"copy.{ending}", status=1, preexec_fn=limit)
    assert result.stderr.count("\n") == 1 and "ulimit" in result.stderr
    assert (tmp_path / f"copy.{ending}").read_bytes() == b"the old one"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"copy.{ending}", "home", "models"]
    result = studio("train", *SMALL, "--dataset", "synthetic", "--limit", 100, "--out", "other", status=1, preexec_fn=limit)
    assert "checkpoint.safetensors: File too large: " in result.stderr  # a line of its own: the database cannot be written either
    assert list((tmp_path / "home" / "runs").rglob("*.part-*")) == [] == list((tmp_path / "other").iterdir())


@pytest.mark.parametrize("engine, package, library, words", [
    ("torch", "torch-2.9.1", "torch/lib/libtorch_cpu.so", "PyTorch 2.9.1 is too old"),
    ("tensorflow", "tensorflow_cpu-2.8.4", "tensorflow/libtensorflow_cc.so.2", "TensorFlow 2.8.4 is too old"),
])  # fmt: skip
def test_a_framework_too_old(studio, tmp_path, engine, package, library, words):
    site = tmp_path / "site"
    (site / library).parent.mkdir(parents=True)
    (site / library).write_bytes(b"")
    (site / f"{package}.dist-info").mkdir()
    (site / f"{package}.dist-info" / "METADATA").write_text("")
    env = {**os.environ, f"NNSTUDIO_{engine.upper()}_LIB": str(site)}
    result = studio("train", "--engine", engine, "--dataset", "synthetic", "--limit", 100, status=1, env=env)
    assert result.stderr.count("\n") == 1 and words in result.stderr
    assert words in studio("doctor", env=env).stdout and "Ready" not in studio("doctor", env=env).stdout


@pytest.mark.parametrize("content", [b"", b"a text\n", b"\x7fELF", pathlib.Path("/bin/sh").read_bytes()])
@pytest.mark.parametrize("engine, title", [("TORCH", "PyTorch"), ("TENSORFLOW", "TensorFlow")])
def test_a_file_that_is_no_framework(studio, tmp_path, engine, title, content):
    (tmp_path / "lib.so").write_bytes(content)
    told = studio("doctor", env={**os.environ, f"NNSTUDIO_{engine}_LIB": str(tmp_path / "lib.so")}).stdout
    assert "Ready" not in told and f"Missing: {title}" in told and f"set NNSTUDIO_{engine}_LIB" in told


def test_model_files_that_are_none(studio, tmp_path):
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.h5").write_text("not a model")
    (tmp_path / "lying.safetensors").write_bytes(struct.pack("<Q", 1 << 40) + b"{}")
    for name in ("empty.pth", "text.h5", "lying.safetensors", "."):
        for words in (["inspect", name], ["evaluate", name], ["convert", name, "out.pth"]):
            result = studio(*words, status=1)
            assert result.stdout == "" and result.stderr.count("\n") == 1 and name in result.stderr
    assert not (tmp_path / "out.pth").exists()


def test_a_read_only_output_folder(binary, tmp_path):
    (tmp_path / "models").mkdir(mode=0o555)
    (tmp_path / "home").mkdir()
    other_user = {}
    if os.geteuid() == 0:  # who may write everywhere, so the studio runs as nobody
        other_user = {"user": 65534, "group": 65534, "extra_groups": []}
        os.chown(tmp_path / "home", 65534, 65534)
        for folder in (tmp_path, *tmp_path.parents):
            if "pytest" in str(folder):
                folder.chmod(0o755)
    words = [binary, "train", *map(str, SMALL), "--dataset", "synthetic", "--limit", "100", "--home", str(tmp_path / "home")]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, **other_user)
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    assert "models: Permission denied: " in result.stderr
    assert list((tmp_path / "models").iterdir()) == []
