"""What a file is: one row per kind, made here by the library that writes it, and what `data show` and `inspect` say of it, as
JSON and on one screen. And docs/formats.md: its tables name what the program reads, writes and refuses, and nothing else."""

import bz2
import gzip
import json
import lzma
import os
import pathlib
import re
import struct
import zipfile

import numpy as np
import pytest
from modelfile_help import refused

SOURCE = pathlib.Path(os.environ.get("NNSTUDIO_SOURCE", pathlib.Path(__file__).parents[2]))
DOC = (SOURCE / "docs/formats.md").read_text()
RANDOM = np.random.default_rng(3)
SCREEN = (28, 120)


def one_screen(text):
    lines = text.splitlines()
    assert len(lines) <= SCREEN[0] and all(len(line) <= SCREEN[1] or "/" in line for line in lines), text


# --- data: what is made of it (A of the list in the docs) ---


def digits(count=120, top=255):
    """Eight rows of eight; each class lights another row. Corners are dark."""
    pixels = RANDOM.integers(0, 2, (count, 8, 8)) * (top > 9)
    labels = np.arange(count) % 6
    for i, label in enumerate(labels):
        pixels[i, 1 + label, 1:7] = top
    pixels[:, 0] = pixels[:, 7] = 0
    return pixels.reshape(count, 64), labels


def table(path, columns, header=True, separator=","):
    lines = [separator.join(columns)] if header else []
    lines += [separator.join(map(str, row)) for row in zip(*columns.values())]
    path.write_text("\n".join(lines) + "\n")
    return path


def numbered(pixels, names="pixel{}"):
    return {names.format(i): pixels[:, i] for i in range(pixels.shape[1])}


def indexed(folder):
    x, y = digits()
    return table(folder / "d.csv", {"": np.arange(len(y)), "label": y, **numbered(x)})


def label_last(folder):
    x, y = digits()
    return table(folder / "d.csv", {**numbered(x), "label": y})


def zero_one(folder):
    x, y = digits(top=1)
    return table(folder / "d.csv", {"label": y, **numbered(x)})


def sixteen(folder):
    x, y = digits(top=16)
    return table(folder / "d.csv", {"label": y, **numbered(x)})


def header_of_numbers(folder):
    x, y = digits()
    return table(folder / "d.csv", {"label": y, **numbered(x, "{}")})


def flowers(folder):
    kinds = [("rose", "tulip", "fern")[i % 3] for i in range(60)]
    return table(folder / "d.csv", {"a": np.arange(60) % 7 / 4, "b": np.arange(60) % 5 / 2, "kind": kinds})


def undecided(folder):
    return table(folder / "d.csv", {"a": np.arange(60) % 4, "b": np.arange(60) % 5 / 2, "c": np.arange(60) % 3})


def measurements(folder):
    """A target that was measured: nearly every line has a number of its own."""
    return table(folder / "d.csv", {"rooms": np.arange(40) % 5, "area": np.arange(40) % 7 / 2, "target": np.arange(40) / 8})


def half_stars(folder):
    return table(folder / "d.csv", {"rooms": np.arange(40) % 5 / 2, "class": np.arange(40) % 4 / 2})


def contest(folder):
    x, y = digits()
    table(folder / "train.csv", {"label": y, **numbered(x)})
    table(folder / "test.csv", numbered(x))
    return folder


def pictures(folder):
    image = pytest.importorskip("PIL.Image")
    for i in range(20):
        for part, kind, ending in (("cat", "L", "png"), ("dog", "L", "jpg")):
            (folder / "set" / part / "deeper").mkdir(parents=True, exist_ok=True)
            light = np.zeros((8, 8), np.uint8)
            light[2:6, 2:6] = 100 + i
            image.fromarray(light).convert(kind).save(folder / "set" / part / "deeper" / f"{i}.{ending}")
    (folder / "set/__MACOSX").mkdir()
    (folder / "set/bird").mkdir()
    (folder / "set/notes.txt").write_text("hello")
    return folder / "set"


def arrays(folder):
    x, y = digits()
    np.savez(folder / "d.npz", x_train=x.reshape(-1, 8, 8).astype(np.uint8), y_train=y, x_test=x[:30].reshape(-1, 8, 8).astype(np.uint8), y_test=y[:30])
    return folder / "d.npz"


def idx(folder, first=0):
    x, y = digits()
    for name, part in (("train", slice(0, 90)), ("t10k", slice(90, 120))):
        images = x[part].astype(np.uint8)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, len(images), 8, 8) + images.tobytes())
        labels = struct.pack(">II", 0x801, len(images)) + (y[part] + first).astype(np.uint8).tobytes()
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return folder


def six(first=0):
    return [str(i) for i in range(first, first + 6)]


DATA = [
    (indexed, {"label_column": "label", "classes": six(), "shape": [8, 8, 1], "range": [0, 255], "scale": 255, "total": 120}, "row numbers"),
    (label_last, {"label_column": "label", "classes": six(), "total": 120}, "divided by 255"),
    (zero_one, {"range": [0, 1], "scale": 1, "classes": six()}, "assumed: full brightness is 1"),
    (sixteen, {"range": [0, 16], "scale": 16, "classes": six()}, "assumed: full brightness is 16"),
    (header_of_numbers, {"label_column": "label", "classes": six(), "total": 120}, "8 x 8 pixels"),
    (flowers, {"label_column": "kind", "shape": [1, 2, 1], "scale": 1, "classes": ["fern", "rose", "tulip"]}, "each sample: 2 numbers"),
    (undecided, "--label-column", None),
    (measurements, 'the column "target" has 40 different values in 40 samples, which are no classes', None),
    (half_stars, {"classes": ["0.0", "0.5", "1.0", "1.5"], "shape": [1, 1, 1]}, "each sample: 1 number\n"),
    (half_stars, {"label_column": "class"}, 'assumed: each number in the column "class" is a class'),
    (lambda folder: table(folder / "d.csv", {"label": np.arange(60) % 3, **{f"p{i}": np.arange(60) - 9 for i in range(9)}}), "columns with names of their own", None),
    (contest, {"label_column": "label", "total": 120}, "test.csv (no labels"),
    (pictures, {"classes": ["cat", "dog"], "shape": [8, 8, 1], "total": 40}, "skipped: "),
    (arrays, {"classes": six(), "samples": {"train": 120, "test": 30}}, "120 to train, 30 to test"),
    (idx, {"classes": six(), "samples": {"train": 90, "test": 30}}, "90 to train, 30 to test"),
    (lambda folder: idx(folder, 1), {"classes": six(1)}, "1 15"),
]


@pytest.mark.parametrize(("make", "expected", "words"), DATA)
def test_data_is_said_to_be_what_it_is(make, expected, words, studio, tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    path = make(folder)
    if isinstance(expected, str):
        refused(studio, "data", "show", path, words=expected)
        return
    screen = studio("data", "show", path).stdout
    said = json.loads(studio("data", "show", path, "--json").stdout)
    said["total"] = said["samples"]["train"] + said["samples"]["test"]
    assert {key: said[key] for key in expected} == expected
    assert words in screen, screen
    one_screen(screen)


# --- model files ---


def torch_state(folder, **names):
    torch = pytest.importorskip("torch")
    sizes = (8, 6, 6, 3)
    state = {}
    for name, inputs, outputs in zip(names.get("names", ("fc1", "fc2", "fc3")), sizes, sizes[1:]):
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.rand(outputs, inputs), torch.rand(outputs)
    torch.save(names.get("wrap", lambda s: s)(state), folder / "m.pth")
    return folder / "m.pth"


def several_orders(folder):
    torch = pytest.importorskip("torch")
    state = {}
    for name, inputs, outputs in (("first", 8, 6), ("late", 6, 6), ("mid", 6, 6), ("out", 6, 3)):
        state[f"{name}.weight"], state[f"{name}.bias"] = torch.rand(outputs, inputs), torch.rand(outputs)
    torch.save({key: state[key] for key in sorted(state, reverse=True)}, folder / "m.pth")
    return folder / "m.pth"


def keras_model(layers, name="m.keras"):
    def make(folder):
        keras = pytest.importorskip("keras")
        model = keras.Sequential([keras.Input((4, 2)), *layers(keras.layers)])
        model.save(folder / name)
        return folder / name

    return make


def onnx_model(nodes, outputs=("out",)):
    def make(folder):
        onnx = pytest.importorskip("onnx")
        helper, kind = onnx.helper, onnx.TensorProto.FLOAT
        weights = [onnx.numpy_helper.from_array(RANDOM.random(shape).astype(np.float32), name) for name, shape in (("w1", (8, 6)), ("w2", (6, 3)))]
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w1"], ["a"]), helper.make_node("Relu", ["a"], ["b"]), helper.make_node("MatMul", ["b", "w2"], ["c"]), *nodes(helper)],
            "g", [helper.make_tensor_value_info("x", kind, [None, 8])], [helper.make_tensor_value_info(name, kind, [None, None]) for name in outputs], weights,
        )  # fmt: skip
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "m.onnx")
        return folder / "m.onnx"

    return make


# What makes it; what inspect says: the layers' types, activations, parameters; or words of the refusal; words on its screen.
THREE = 8 * 6 + 6 + 6 * 6 + 6 + 6 * 3 + 3
TWO = 8 * 6 + 6 + 6 * 3 + 3
MODELS = [
    (torch_state, (["dense"] * 3, ["relu", "relu", "none"], THREE), "assumed   activation of layer 2: relu"),
    (lambda folder: torch_state(folder, wrap=lambda s: {"epoch": np.float64(3), "state_dict": s}), (["dense"] * 3, ["relu", "relu", "none"], THREE), "--activation"),
    (lambda folder: torch_state(folder, wrap=lambda s: {"teacher": s, "student": s}), "--key", None),
    (several_orders, "--order", None),
    (keras_model(lambda k: [k.Flatten(), k.Dense(6, activation="tanh"), k.Dense(3, activation="softmax")]), (["dense"] * 2, ["tanh", "none"], TWO), "4 x 2"),
    (keras_model(lambda k: [k.Flatten(), k.Dense(6), k.LeakyReLU(), k.Dense(3)], "m.h5"), (["dense"] * 2, ["leaky_relu", "none"], TWO), "leaky_relu"),
    (keras_model(lambda k: [k.Rescaling(1 / 255), k.Flatten(), k.Dense(6, activation="relu"), k.Dense(3)], "m.h5"), (["rescale", "flatten", "dense", "dense"], None, TWO), "rescale"),
    (keras_model(lambda k: [k.Flatten(), k.Dense(3, activation="sigmoid")], "m.h5"), (["dense"], ["none"], 27), "sigmoid"),
    (keras_model(lambda k: [k.Flatten(), k.Dense(6), k.Softmax(axis=0), k.Dense(3)], "m.h5"), "softmax", None),
    (keras_model(lambda k: [k.Flatten(), k.Dense(6), k.UnitNormalization(), k.Dense(3)]), "UnitNormalization", None),
    (onnx_model(lambda h: [h.make_node("Softmax", ["c"], ["out"], axis=1)]), (["dense"] * 2, ["relu", "none"], None), "ONNX model, float32"),
    (onnx_model(lambda h: [h.make_node("Softmax", ["c"], ["out"], axis=0)]), "axis", None),
    (onnx_model(lambda h: [h.make_node("Identity", ["c"], ["out"])], ("out", "b")), (["dense"] * 2, ["relu", "none"], None), "(the first of 2)"),
    (onnx_model(lambda h: [h.make_node("Erf", ["c"], ["out"])]), "Erf", None),
]  # fmt: skip


@pytest.mark.parametrize(("make", "expected", "words"), MODELS)
def test_a_model_file_is_said_to_be_what_it_is(make, expected, words, studio, tmp_path):
    path = make(tmp_path)
    if isinstance(expected, str):
        assert expected.lower() in refused(studio, "inspect", path, words="").lower()
        return
    types, activations, parameters = expected
    said = json.loads(studio("inspect", path, "--json").stdout)
    screen = studio("inspect", path).stdout
    layers = said["layers"]
    assert [layer["type"] for layer in layers] == types
    assert activations is None or [layer["activation"] for layer in layers] == activations
    assert parameters is None or said["parameters"] == parameters
    assert words in screen, screen
    one_screen(screen)


# --- docs/formats.md against the program ---


def section(title):
    return re.search(rf"^#+ {title}\n(.*?)(?=^#+ |\Z)", DOC, re.S | re.M)[1]


def rows(text):
    """The tables' rows, each a list of cells, without the heads."""
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in found if not set(row[0]) <= set("-")]


def endings(text):
    return set(re.findall(r"`\.([a-z0-9.]+)`", text))


def from_source(path, pattern):
    return re.findall(pattern, (SOURCE / path).read_text(), re.S)


def test_the_docs_name_the_model_formats_that_are_read_and_written(studio, tmp_path):
    program = {word for file in ("h5", "keras", "onnx", "pth", "safetensors") for words in from_source(f"src/modelfile/{file}.c", r'\.extensions = "([^"]+)"') for word in words.split()}
    table_of_all = {ending for row in rows(section("Model files")) for ending in endings(row[0])}
    assert table_of_all == program | {"weights.h5"}
    assert len(from_source("src/modelfile/modelfile.c", r"&modelfile_(\w+)")) == 5, "a format is missing here"
    main = table_of_all - {"pt", "hdf5"}
    assert {ending for row in rows(section("What is read")) for ending in endings(row[0])} == main
    assert {ending for ending in re.findall(r"^- \*\*\.([a-z0-9.]+)\*\*", section("What is written"), re.M)} == main
    model = torch_state(tmp_path)
    for ending in table_of_all:
        studio("convert", model, tmp_path / f"written.{ending}")
        again = json.loads(studio("inspect", tmp_path / f"written.{ending}", "--json").stdout)
        assert again["parameters"] == THREE, ending


def tar(_):
    return b"x" * 257 + b"ustar\0" + bytes(249)


# Of each kind that is named and refused: its words in the docs, a file of it, words of the refusal.
NO_MODELS = {
    "TorchScript": ("m.pt", None, "TorchScript"),
    "`.pt2` programs": ("m.pt2", None, "program"),
    "TensorFlow SavedModels": ("m", "folder", "is a folder"),
    "checkpoints": ("m.data-00000-of-00001", bytes(40), "TensorFlow checkpoint"),
    "`.tflite`": ("m.tflite", b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite"),
    "`.npz`": ("m.npz", None, "NumPy archive"),
    "`.npy`": ("m.npy", b"\x93NUMPY" + bytes(40), "NumPy array"),
    "GGUF": ("m.gguf", b"GGUF" + bytes(40), "GGUF"),
    "tar archives": ("m.pth", tar(0), "tar archive"),
    "gzip": ("m.pth", gzip.compress(b"x"), "gzip"),
    "bare pickles": ("m.pth", b"\x80\x04N.", "bare pickle"),
    "programs": ("m.pth", b"\x7fELF" + bytes(40), "is a program"),
    "empty files": ("m.pth", b"", "is empty"),
    "pointers of Git LFS": ("m.pth", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "web pages saved under a model's name": ("m.pth", b"<!DOCTYPE html>", "web page"),
}


def made_by_library(name, path):
    if name == "m.npz":
        np.savez(path, x=np.zeros(3))
    elif name == "m.pt":
        torch = pytest.importorskip("torch")
        torch.jit.trace(torch.nn.Linear(4, 2), torch.rand(1, 4)).save(path)
    else:
        with zipfile.ZipFile(path, "w") as archive:  # as torch.export.save() lays it out, which takes seconds to load
            archive.writestr("m/archive_format", "pt2")
            archive.writestr("m/models/model.json", "{}")


def listed(text):
    """What a sentence lists, up to its colon."""
    text = " ".join(text.split(":")[0].split())
    return {item.strip() for item in re.split(r", and |, | and ", text)}


def said_of(studio, table, command, tmp_path):
    answers = []
    for words, (name, content, expected) in table.items():
        folder = tmp_path / re.sub(r"\W", "", words)
        folder.mkdir()
        path = folder / name
        if content == "folder":
            path.mkdir()
        elif content is None:
            made_by_library(name, path)
        else:
            path.write_bytes(content)
        answers.append(refused(studio, *command, path, words=expected).replace(str(path), "%s"))
    return "\n".join(answers)


def test_the_docs_name_the_files_that_are_no_models(studio, tmp_path):
    assert listed(section("Not read")) == set(NO_MODELS)
    said = said_of(studio, NO_MODELS, ["inspect"], tmp_path)
    for refusal in from_source("src/modelfile/modelfile.c", r'NULL,\s*"(is [^":]+)'):
        assert f"%s {refusal}" in said, f"docs/formats.md and this table lack what {refusal!r}"


OLE, PNG = b"\xd0\xcf\x11\xe0", b"\x89PNG\r\n\x1a\n"
NO_DATA = {
    "zip": ("d.zip", b"", "zip archive"),
    "tar": ("d.tar", b"", "tar archive"),
    "rar": ("d.rar", b"Rar!" + bytes(40), "rar archive"),
    "7z archives": ("d.7z", b"7z\xbc\xaf" + bytes(40), "7z archive"),
    "bzip2": ("d.csv.bz2", bz2.compress(b"a,b\n" * 9), "bzip2"),
    "xz": ("d.csv.xz", lzma.compress(b"a,b\n" * 9), "compressed with xz"),
    "zstd": ("d.csv.zst", b"\x28\xb5\x2f\xfd" + bytes(40), "zstd"),
    "MATLAB": ("d.mat", b"", "MATLAB"),
    "HDF5": ("d.h5", b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
    "Feather": ("d.feather", b"ARROW1" + bytes(40), "Feather"),
    "ARFF": ("d.arff", b"@relation x\n@attribute a numeric\n", "ARFF"),
    "pickles": ("d.pkl", b"", "pickle"),
    "PyTorch files": ("d.pt", b"", "PyTorch file"),
    "spreadsheets": ("d.xlsx", b"", "spreadsheet"),
    "JSON": ("d.json", b"", "JSON"),
    "text": ("d.txt", b"1,2,3\n4,5,6\n7,8,9\n", "is text"),
    "PDF documents": ("d.pdf", b"%PDF-1.7" + bytes(40), "PDF"),
    "web pages": ("d.gz", b"<!DOCTYPE html>" + bytes(9), "web page"),
    "programs": ("d.dat", b"\x7fELF" + bytes(40), "program"),
    "pictures alone": ("d.png", PNG + bytes(40), "one picture"),
    "pointers of Git LFS": ("train-images-idx3-ubyte", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "one file of CIFAR-10": ("data_batch_1.bin", b"", "CIFAR-10"),
    "a packed file within another": ("d.idx", gzip.compress(gzip.compress(bytes(999))), "compressed twice"),
}
# Refused by the same words as one above.
ALSO = {
    "a": ("d.tgz", b"", "tar archive"), "b": ("d.xls", OLE + bytes(40), "Office"), "c": ("d.jpg", b"\xff\xd8\xff\xe0" + bytes(40), "one picture"),
    "d": ("d.gif", b"GIF89a" + bytes(40), "one picture"), "e": ("d.array", b"\x93NUMPY" + bytes(40), "call it .npy"),
    "f": ("d.table", b"PAR1" + bytes(40), "call it .parquet"), "g": ("d.archive", b"PK\3\4" + bytes(40), "zip archive"),
    "h": ("d.thing", bytes(range(1, 90)), "give .csv, .tsv, .npz, .npy, .parquet"),
}  # fmt: skip


def test_the_docs_name_the_data_that_is_read_and_refused(studio, tmp_path):
    table_of_all = rows(section("Data"))
    assert {ending for row in table_of_all for ending in endings(row[1])} == set(from_source("src/data/dataset.c", r'\{"(\w+)", (?:dataset_)?read_\w+, NULL\}'))
    (other,) = [row[2] for row in table_of_all if row[0] == "other"]
    assert listed(other) == set(NO_DATA)
    said = said_of(studio, NO_DATA, ["data", "show"], tmp_path) + said_of(studio, ALSO, ["data", "show"], tmp_path)
    refusals = from_source("src/data/dataset.c", r'refuse,\s*"(is [^":]+)') + from_source("src/data/foreign.c", r'"(is [^":]+)')
    assert len(refusals) > 20
    for refusal in refusals:
        assert f"%s {refusal}" in said, f"docs/formats.md and this table lack what {refusal!r}"
