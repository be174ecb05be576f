"""Data as people have it, written by the libraries that they use: each kind is read as what it is, exactly, or asked about by
name. `data export` gives back what was read, so that every pixel and label can be compared."""

import datetime
import gzip
import io
import json
import struct
import subprocess
import zlib

import numpy as np
import pytest
from modelfile_help import refused
from PIL import Image

pandas = pytest.importorskip("pandas")
datasets = pytest.importorskip("sklearn.datasets")
DIGITS = datasets.load_digits()  # 8 x 8 pixels, 0 ... 16, mixed
X, Y = DIGITS.data[:400].astype(np.uint8), DIGITS.target[:400]


def show(studio, path, *options):
    """What `data show` says, as JSON; the same as one screen of text."""
    text = studio("data", "show", path, "--count", 4, *options).stdout
    assert text.count("\n") <= 45 and "samples: " in text and "classes (training samples):" in text
    return json.loads(studio("data", "show", path, *options, "--json").stdout)


def read(path, header):
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def exported(studio, tmp_path, path, *options):
    """(x, y) of training, then of the test split."""
    out = tmp_path / "exported"
    studio("data", "export", path, "--out", out, *options)
    (folder,) = out.iterdir()
    splits = []
    for prefix in ("train", "t10k"):
        y = read(folder / f"{prefix}-labels-idx1-ubyte.gz", 8)
        splits.append((read(folder / f"{prefix}-images-idx3-ubyte.gz", 16).reshape(len(y), -1), y))
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    return splits


def same_samples(splits, x, y):
    """Both splits together hold exactly these samples."""
    rows = [tuple(p) + (int(label),) for part in splits for p, label in zip(*part)]
    assert sorted(rows) == sorted(tuple(p) + (int(label),) for p, label in zip(x, y))


def frame(x=X, y=Y, name="pixel{}"):
    return pandas.DataFrame({"label": y, **{name.format(i): x[:, i] for i in range(x.shape[1])}})


# --- CSV: which column is the label ---


def write_index(path):
    frame().to_csv(path)  # pandas writes the row numbers first, without a name


def write_id(path):
    frame().rename_axis("id").to_csv(path)


def write_numeric_header(path):
    frame(name="{}").to_csv(path, index=False)


def write_label_last(path):
    frame()[[f"pixel{i}" for i in range(64)] + ["label"]].to_csv(path, index=False)


def write_semicolons(path):
    frame().to_csv(path, index=False, sep=";")


def write_no_header(path):
    frame().to_csv(path, index=False, header=False)


def write_shuffled_columns(path):
    order = np.random.default_rng(1).permutation(65)
    table = frame()[[["label", *[f"pixel{i}" for i in range(64)]][i] for i in order]]
    table.to_csv(path, index=False)


@pytest.mark.parametrize("write", [write_index, write_id, write_numeric_header, write_label_last, write_semicolons])
def test_the_header_says_which_column_is_the_label(write, studio, tmp_path):
    path = tmp_path / "digits.csv"
    write(path)
    said = show(studio, path)
    assert said["label_column"] == "label" and said["classes"] == [str(i) for i in range(10)] and said["shape"] == [8, 8, 1]
    assert said["range"] == [0, 16] and said["scale"] == 16
    same_samples(exported(studio, tmp_path, path), X, Y)


def test_columns_keep_the_order_of_the_file(studio, tmp_path):
    path = tmp_path / "digits.csv"
    write_shuffled_columns(path)
    table = pandas.read_csv(path)
    same_samples(exported(studio, tmp_path, path), table.drop(columns="label").to_numpy(), table["label"])


def test_without_a_header_the_label_is_certain_or_asked_for(studio, tmp_path):
    path = tmp_path / "digits.csv"
    write_no_header(path)
    same_samples(exported(studio, tmp_path, path), X, Y)
    assert any("judged by its values" in note["what"] for note in show(studio, path)["assumed"])
    # Two classes, black and white up to the border: a pixel looks like a label as much as the label does, so never a guess.
    middle = (X.reshape(-1, 8, 8)[:, 1:7, 2:6].reshape(len(X), -1) > 7).astype(int)
    frame(middle, Y % 2).to_csv(path, index=False, header=False)
    assert "--label-column" in refused(studio, "data", "show", path, words="label")
    same_samples(exported(studio, tmp_path, path, "--label-column", 0), middle, Y % 2)


def test_a_header_of_numbers_is_no_sample(studio, tmp_path):
    path = tmp_path / "digits.csv"
    pandas.DataFrame(np.column_stack([Y, X])).to_csv(path, index=False)  # "0,1,2,…,64"
    assert sum(show(studio, path, "--label-column", 0)["samples"].values()) == len(Y)
    same_samples(exported(studio, tmp_path, path, "--label-column", 0), X, Y)


def test_training_and_test_files_may_differ_in_their_columns(studio, tmp_path):
    folder = tmp_path / "swapped"
    folder.mkdir()
    frame(X[:300], Y[:300]).to_csv(folder / "train.csv", index=False)
    frame(X[300:], Y[300:])[[f"pixel{i}" for i in range(64)] + ["label"]].to_csv(folder / "test.csv", index=False)
    train, test = exported(studio, tmp_path, folder)
    same_samples([train], X[:300], Y[:300])
    same_samples([test], X[300:], Y[300:])


def test_a_contest_without_test_labels(studio, tmp_path):
    """train.csv trains, test.csv is named, and predict writes the table to hand in."""
    folder = tmp_path / "contest"
    folder.mkdir()
    frame(X[:300], Y[:300]).to_csv(folder / "train.csv", index=False)
    frame(X[300:], Y[300:]).drop(columns="label").to_csv(folder / "test.csv", index=False)
    said = show(studio, folder)
    assert sum(said["samples"].values()) == 300 and any("test.csv (no labels" in note["what"] for note in said["skipped"])
    studio("train", "--engine", "native", "--dataset", folder, "--epochs", 60, "--lr", 0.1, "--hidden", 32)
    said = studio("predict", "models/simple_nn.safetensors", folder / "test.csv", "--submission", "--out", "mine.csv").stderr
    assert "test.csv: 100 samples of 8 x 8 pixels, values 0 to 16" in said
    mine = pandas.read_csv(tmp_path / "mine.csv")
    assert list(mine.columns) == ["ImageId", "Label"] and list(mine["ImageId"]) == list(range(1, 101))
    assert (mine["Label"].to_numpy() == Y[300:]).mean() > 0.8


def test_labels_that_do_not_occur_are_no_classes(studio, tmp_path):
    path = tmp_path / "octave.csv"
    frame(y=np.where(Y == 0, 10, Y)).to_csv(path, index=False)  # Octave counts from 1
    assert show(studio, path)["classes"] == [str(i) for i in range(1, 11)]
    frame(y=np.arange(400) % 26 + 1).to_csv(path, index=False)  # letters
    assert show(studio, path)["classes"] == [str(i) for i in range(1, 27)]


def test_a_part_of_a_sorted_file_has_all_classes(studio, tmp_path):
    path = tmp_path / "sorted.csv"
    order = np.argsort(Y, kind="stable")
    frame(X[order], Y[order]).to_csv(path, index=False)
    (story,) = [
        json.loads(line)
        for line in studio("train", "--engine", "native", "--dataset", path, "--limit", 100, "--epochs", 1, "--json").stdout.splitlines()
        if '"event":"start"' in line
    ]
    assert story["samples"] == 100 and "the same share of every class" in story["data"]
    confusion = json.loads(studio("evaluate", "models/simple_nn.safetensors", "--limit", 100, "--json").stdout)["confusion"]
    assert all(sum(row) > 0 for row in confusion)


@pytest.mark.parametrize(("top", "dtype"), [(1, int), (16, int), (255, int), (1, float)])
def test_full_brightness_is_seen(top, dtype, studio, tmp_path):
    """0/1, 0 ... 16 and 0 ... 1 were divided by 255, and nothing was learned."""
    path = tmp_path / "digits.csv"
    x = {(1, int): X > 7, (1, float): X / 16}.get((top, dtype), X.astype(int) * top // 16)
    frame(x.astype(dtype)).to_csv(path, index=False)
    said = show(studio, path)
    assert said["scale"] == top and said["range"] == [0, top]
    studio("train", "--engine", "native", "--dataset", path, "--epochs", 20, "--lr", 0.1, "--hidden", 32)
    assert json.loads(studio("evaluate", "models/simple_nn.safetensors", "--json").stdout)["accuracy"] > 0.7


def test_a_table_of_measurements(studio, tmp_path):
    iris = datasets.load_iris(as_frame=True)
    path = tmp_path / "iris.csv"
    iris.data.assign(species=iris.target_names[iris.target]).to_csv(path, index=False)
    said = show(studio, path)
    assert said["classes"] == ["setosa", "versicolor", "virginica"] and said["label_column"] == "species"
    assert said["shape"] == [1, 4, 1] and said["scale"] == 1 and said["range"] == [0.1, 7.9]
    studio("train", "--engine", "native", "--dataset", path, "--epochs", 60, "--lr", 0.05, "--hidden", 16)
    answer = studio("predict", "models/simple_nn.safetensors", path).stdout.splitlines()
    assert answer[0].startswith("id,class,setosa") and len(answer) == 151
    right = [line.split(",")[1] for line in answer[1:]] == iris.target_names[iris.target]
    assert np.mean(right) > 0.85



def test_names_that_look_like_formulas_stay_and_are_said(studio, tmp_path):
    """Whoever reads the table finds the same names; who opens it in a spreadsheet is warned. Numbers are no formulas."""
    path = tmp_path / "set.csv"
    for names, odd in ((('=HYPERLINK("http://a","b")', "@SUM(A1), x"), '=HYPERLINK("http://a","b")'), (("-1", "+2.5"), None)):
        pandas.DataFrame({"a": [i % 5 / 2 for i in range(40)], "b": [i % 7 / 2 for i in range(40)], "label": [names[i % 2] for i in range(40)]}).to_csv(path, index=False)
        studio("train", "--engine", "native", "--dataset", path, "--label-column", "label", "--epochs", 1)
        studio_says = studio("predict", "models/simple_nn.safetensors", path, "--out", "answer.csv")
        answer = pandas.read_csv(tmp_path / "answer.csv", dtype=str)
        assert set(answer.columns[2:]) == set(names) and set(answer["class"]) <= set(names)
        assert ("looks like a formula" in studio_says.stderr) == bool(odd), studio_says.stderr
        assert odd is None or odd in studio_says.stderr and "import the columns as text" in studio_says.stderr


@pytest.mark.parametrize("separator", [",", ";"])
def test_quotes_and_separators_within_cells(separator, studio, tmp_path):
    names = np.array(['say "hi"', 'a, "b"; c', '"whole"', "plain"])
    path = tmp_path / "quoted.csv"
    table = pandas.DataFrame({'size; "cm", wide': np.arange(80) % 4 + 0.5, "other": np.arange(80) % 7, 'the "kind"': names[np.arange(80) % 4]})
    table.to_csv(path, index=False, sep=separator)
    said = show(studio, path, "--label-column", 'the "kind"')
    assert said["classes"] == sorted(names) and said["label_column"] == 'the "kind"'
    assert said["shape"] == [1, 2, 1] and said["range"] == [0, 6]
    studio("train", "--engine", "native", "--dataset", path, "--epochs", 20, "--lr", 0.1)
    answer = pandas.read_csv(io.StringIO(studio("predict", "models/simple_nn.safetensors", path).stdout))
    assert list(answer.columns) == ["id", "class", *sorted(names)]
    assert (answer[sorted(names)].idxmax(axis=1) == answer["class"]).all()
    assert (answer["class"] == names[np.arange(80) % 4]).mean() > 0.5, "one in four by chance"


# --- folders of pictures ---


def pictures(folder, ending="png", dark=False, mode="L", deeper=""):
    for i in range(60):
        place = folder / str(Y[i]) / deeper
        place.mkdir(parents=True, exist_ok=True)
        light = np.minimum(X[i].reshape(8, 8).astype(np.uint8), 15) * 17
        Image.fromarray(255 - light if dark else light).convert(mode).save(place / f"{i:03}.{ending}", **({"quality": 95} if ending == "jpg" else {}))
    return np.minimum(X[:60], 15) * 17, Y[:60]


def test_a_folder_of_pictures_and_what_lies_about(studio, tmp_path):
    folder = tmp_path / "set"
    x, y = pictures(folder, deeper="scans")
    (folder / "empty").mkdir()
    (folder / "__MACOSX" / "0").mkdir(parents=True)
    (folder / "__MACOSX" / "0" / "._000.png").write_bytes(b"\0\5\26\7")
    (folder / "notes.txt").write_text("written by hand")
    said = show(studio, folder)
    assert said["classes"] == sorted({str(label) for label in y}) and said["shape"] == [8, 8, 1]
    skipped = " ".join(note["what"] for note in said["skipped"])
    assert "empty" in skipped and "__MACOSX" in skipped, skipped
    same_samples(exported(studio, tmp_path, folder), x, y)


@pytest.mark.parametrize(("ending", "mode"), [("png", "L"), ("png", "RGB"), ("png", "P"), ("bmp", "L"), ("bmp", "RGB"), ("gif", "P"), ("jpg", "L")])
def test_every_kind_of_picture(ending, mode, studio, tmp_path):
    x, y = pictures(tmp_path / "set", ending, mode=mode)
    splits = exported(studio, tmp_path, tmp_path / "set")
    if ending != "jpg":
        same_samples(splits, x, y)
    else:
        assert sum(len(part) for _, part in splits) == 60  # lossy: as many, and near
        assert abs(np.mean(np.concatenate([p for p, _ in splits])) - x.mean()) < 2


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, interlaced, rows):
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def jpeg(**how):
    file = io.BytesIO()
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(file, "jpeg", **how)
    return file.getvalue()


def jpeg_of(width, height):
    """The size that the header claims is another one."""
    data = jpeg()
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


def jpeg_in_scans(count):
    """A progressive picture whose coefficients come one at a time, first without their last bit."""
    data = jpeg(progressive=True)
    first = next(i for i in range(len(data)) if data[i : i + 2] == b"\xff\xda" and data[i + 7] > 0)
    end = next(i for i in range(first + 2, len(data)) if data[i] == 0xFF and data[i + 1] != 0)
    scans = [data[first : first + 7] + bytes([k, k, bits]) for bits in (0x01, 0x10) for k in range(1, 64)][:count]
    return data[:first] + b"".join(scan + data[first + 10 : end] for scan in scans) + b"\xff\xd9"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.png", lambda: png_of(2**31 - 1, 2**31 - 1, 0, bytes(100)), "not a readable PNG"),
        ("x.png", lambda: png_of(30000, 30000, 0, bytes(10 << 20)), "30000 x 30000 pixels, the most is 16777216"),
        ("x.png", lambda: png_of(30000, 30000, 1, bytes(10 << 20)), "30000 x 30000 pixels, the most is 16777216"),
        ("x.png", lambda: png_of(4000, 4000, 1, bytes(1000)), "not a readable PNG"),
        ("x.jpg", lambda: jpeg_of(65500, 65500), "65500 x 65500 pixels, the most is 16777216"),
        ("x.jpg", lambda: jpeg_in_scans(126), "more than 100 scans"),
        ("x.gif", lambda: b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"\x2c" + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x00;", "GIF"),
        ("x.bmp", lambda: b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, 0, 0, 0, 0, 0, 0), "BMP"),
    ],
)
def test_pictures_that_claim_more_than_they_hold(name, content, words, studio, tmp_path):
    for label in ("a", "b"):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / name).write_bytes(content())
    refused(studio, "data", "show", tmp_path / "set", words=words)


def test_a_picture_in_many_scans_is_read(studio, tmp_path):
    for label, count in (("a", 20), ("b", 90)):
        (tmp_path / "set" / label).mkdir(parents=True)
        (tmp_path / "set" / label / "x.jpg").write_bytes(jpeg_in_scans(count))
    assert show(studio, tmp_path / "set")["classes"] == ["a", "b"]


def test_a_folder_of_two_kinds_keeps_all(studio, tmp_path):
    """JPEGs in a folder of PNGs were dropped without a word."""
    pictures(tmp_path / "set")
    for i in range(0, 60, 4):
        file = tmp_path / "set" / str(Y[i]) / f"{i:03}.png"
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()
    assert sum(show(studio, tmp_path / "set")["samples"].values()) == 60


def test_sixteen_bits_are_the_same_picture(studio, tmp_path):
    x, y = pictures(tmp_path / "set")
    for file in (tmp_path / "set").rglob("*.png"):
        Image.fromarray(np.asarray(Image.open(file)).astype(np.uint16) * 257).save(file)
    same_samples(exported(studio, tmp_path, tmp_path / "set"), x, y)


def test_training_and_prediction_see_the_same_ink(studio, tmp_path):
    """Dark on light: predict inverted, training did not, and 0 of 29 of its own training pictures were right."""
    pictures(tmp_path / "set", dark=True)
    studio("train", "--engine", "native", "--dataset", "set", "--epochs", 60, "--lr", 0.1, "--hidden", 32)
    rows = studio("predict", "models/simple_nn.safetensors", "set").stdout.splitlines()[1:]
    right = [row.split(",")[0].split("/")[-2] == row.split(",")[1] for row in rows]
    assert len(rows) == 60 and np.mean(right) > 0.8
    file = next((tmp_path / "set" / "0").iterdir())
    assert json.loads(studio("predict", "models/simple_nn.safetensors", file, "--json").stdout)["class_name"] == "0"


def test_a_folder_called_synthetic_is_ones_own(studio, tmp_path):
    pictures(tmp_path / "synthetic")
    studio("train", "--engine", "native", "--dataset", "./synthetic", "--epochs", 1, "--hidden", 8)
    answer = json.loads(studio("evaluate", "models/simple_nn.safetensors", "--json").stdout)
    assert answer["samples"] < 60
    (tmp_path / "synthetic").rename(tmp_path / "gone")
    assert "is not there" in refused(studio, "evaluate", "models/simple_nn.safetensors", words="synthetic")


# --- NumPy ---


def test_a_keras_archive(studio, tmp_path):
    path = tmp_path / "mnist.npz"
    x = X.reshape(-1, 8, 8)
    np.savez(path, x_train=x[:300], y_train=Y[:300], x_test=x[300:], y_test=Y[300:])
    assert show(studio, path)["shape"] == [8, 8, 1]
    train, test = exported(studio, tmp_path, path)
    assert (train[0] == X[:300]).all() and (train[1] == Y[:300]).all() and (test[0] == X[300:]).all() and (test[1] == Y[300:]).all()
    np.savez_compressed(path, images=x.astype(np.float64), labels=Y.astype(np.int16))
    same_samples(exported(studio, tmp_path, path), X, Y)


@pytest.mark.parametrize("name", ["x_train.npy", "y_train.npy", "x_test.npy"])
def test_arrays_in_files_of_their_own(name, studio, tmp_path):
    """Any of them stands for the set that lies beside it."""
    for prefix in ("", "other-"):
        for array, value in [("x_train", X[:300]), ("y_train", Y[:300]), ("x_test", X[300:]), ("y_test", Y[300:].astype(np.uint8))]:
            np.save(tmp_path / f"{prefix}{array}.npy", value if not prefix else value[::-1])
    train, test = exported(studio, tmp_path, tmp_path / name)
    assert (train[0] == X[:300]).all() and (train[1] == Y[:300]).all() and (test[1] == Y[300:]).all()
    train, _ = exported(studio, tmp_path, tmp_path / f"other-{name}")
    assert (train[0] == X[:300][::-1]).all()


def test_an_array_alone(studio, tmp_path):
    np.save(tmp_path / "x.npy", X)
    assert "x_train.npy" in refused(studio, "data", "show", tmp_path / "x.npy", words="beside")
    np.save(tmp_path / "weights.npy", X)
    assert "x_train.npy" in refused(studio, "data", "show", tmp_path / "weights.npy", words="does not say of what")
    # It is enough to be predicted.
    np.save(tmp_path / "y.npy", Y)
    studio("train", "--engine", "native", "--dataset", "x.npy", "--data-dir", tmp_path, "--epochs", 30, "--lr", 0.1, "--hidden", 32)
    rows = studio("predict", "models/simple_nn.safetensors", "x.npy").stdout.splitlines()[1:]
    assert np.mean([int(row.split(",")[1]) == label for row, label in zip(rows, Y)]) > 0.8
    np.savez(tmp_path / "d.npz", x_train=X, y_train=Y)
    refused(studio, "predict", "models/simple_nn.safetensors", "d.npz", words="one array (.npy)")


class Marker:
    """An object that would run something when it is unpickled."""

    def __reduce__(self):
        return (open, ("pickle-was-run", "w"))


def npy_with(header, values=b""):
    """A .npy file of this header and these bytes."""
    text = header.encode()
    return b"\x93NUMPY\x01\0" + len(text).to_bytes(2, "little") + text + values


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda: np.array([Marker()] * 4, dtype=object), "Python objects"),
        (lambda: X[:4].astype(">u2"), "big-endian"),
        (lambda: np.asfortranarray(X[:4]), "Fortran"),
        (lambda: X[:4].astype(np.complex64), "another type"),
        (lambda: X[:0], "is empty"),
        (lambda: np.zeros((4, 8, 8, 2), np.uint8), "(samples, rows, columns, 3)"),
        (lambda: np.full((4, 64), np.nan, np.float32), "not a number"),
        (lambda: np.where(X[:4] == 16, np.inf, X[:4] / 16), "infinite"),
        (lambda: npy_with("{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776, 64), }"), "too large"),
        (lambda: npy_with("{'descr': '|u1', 'fortran_order': False, 'shape': (4294967296, 4294967296), }"), "too large"),
        (lambda: npy_with("{'descr': '|u1', 'fortran_order': False, 'shape': (60000, 784), }"), "another size than its header says"),
        (lambda: npy_with("{'descr': '|u1', 'fortran_order': False, 'shape': (4, 64), }", bytes(4 * 64 + 1)), "another size"),
        (lambda: npy_with("{'descr': '|u1'}"), "no readable header"),
        (lambda: b"PK\3\4 not an array", "not a NumPy array"),
    ],
)
@pytest.mark.parametrize("archive", [False, True])
def test_arrays_that_are_refused(spoil, words, archive, studio, tmp_path):
    value = spoil()
    file = io.BytesIO()
    if isinstance(value, bytes):
        file.write(value)
    else:
        np.save(file, value, allow_pickle=True)
    np.save(tmp_path / "y.npy", Y[:4])
    (tmp_path / "x.npy").write_bytes(file.getvalue())
    path = tmp_path / "x.npy"
    if archive:
        import zipfile

        path = tmp_path / "set.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name in ("x.npy", "y.npy"):
                made.write(tmp_path / name, name)
    refused(studio, "data", "show", path, words=words)
    assert not (tmp_path / "pickle-was-run").exists()


# --- what is not read is named ---


def test_files_of_other_kinds_are_named_with_the_way_out(studio, tmp_path):
    frame().to_pickle(tmp_path / "digits.pkl")
    frame().to_json(tmp_path / "digits.json")
    for name, words in [("digits.pkl", "pickle"), ("digits.json", "JSON")]:
        assert "CSV" in refused(studio, "data", "show", tmp_path / name, words=words)
    page = tmp_path / "train-images-idx3-ubyte.gz"
    page.write_text("<!DOCTYPE html><html>Sign in</html>")
    refused(studio, "data", "show", page, words="web page")


# --- Parquet, as Hugging Face's library writes pictures ---


def picture_table(x=X, y=Y, features=True, label="label", kind=None, pictures="png"):
    arrow = pytest.importorskip("pyarrow")

    def encoded(row):
        file = io.BytesIO()
        Image.fromarray(row.reshape(8, 8)).save(file, pictures)
        return {"bytes": file.getvalue(), "path": None}

    column = arrow.array([encoded(row) for row in x], arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())]))
    table = arrow.table({"image": column, label: arrow.array(list(y), kind or arrow.int64())})
    note = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": [f"digit {i}" for i in range(10)], "_type": "ClassLabel"}}}}
    return table.replace_schema_metadata({"huggingface": json.dumps(note)}) if features else table


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip"}, {"compression": "zstd"}, {"compression": "none"}, {"use_dictionary": False}, {"data_page_version": "2.0"}, {"row_group_size": 37},
     {"data_page_version": "2.0", "compression": "gzip", "use_dictionary": False}, {"data_page_size": 300, "dictionary_pagesize_limit": 2000}],
    ids=str,
)  # fmt: skip
def test_parquet_in_every_form(options, studio, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "digits.parquet"
    parquet.write_table(picture_table(), path, **options)
    said = show(studio, path)
    assert said["classes"] == [f"digit {i}" for i in range(10)] and said["label_column"] == "label" and said["shape"] == [8, 8, 1]
    same_samples(exported(studio, tmp_path, path), X, Y)


def test_parquet_labels(studio, tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "digits.parquet"
    for kind in (arrow.int8(), arrow.uint8(), arrow.int32()):
        parquet.write_table(picture_table(features=False, kind=kind), path)
        assert show(studio, path)["classes"] == [str(i) for i in range(10)]
        same_samples(exported(studio, tmp_path, path), X, Y)
    parquet.write_table(picture_table(y=[f"number {i}" for i in Y], kind=arrow.string(), features=False), path)
    assert sorted(show(studio, path)["classes"]) == [f"number {i}" for i in range(10)]
    parquet.write_table(picture_table(features=False, label="what"), path)
    assert "--label-column" in refused(studio, "data", "show", path, words="image.bytes, image.path, what")
    same_samples(exported(studio, tmp_path, path, "--label-column", "what"), X, Y)


@pytest.mark.parametrize("options", [{}, {"compression": "zstd", "data_page_version": "2.0", "use_dictionary": False}], ids=str)
def test_a_table_in_parquet_is_what_it_is_as_csv(options, studio, tmp_path):
    """Pixels in columns; and measurements of several types with named classes: the same as from CSV."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.Table.from_pandas(frame()), tmp_path / "digits.parquet", **options)
    assert show(studio, tmp_path / "digits.parquet")["shape"] == [8, 8, 1]
    same_samples(exported(studio, tmp_path, tmp_path / "digits.parquet"), X, Y)
    count = 60
    table = arrow.table({
        "length": arrow.array([i % 7 / 4 for i in range(count)], arrow.float64()), "width": arrow.array([i % 5 * 0.1 for i in range(count)], arrow.float32()),
        "alive": [i % 3 == 0 for i in range(count)], "count": arrow.array([i % 11 - 5 for i in range(count)], arrow.int16()),
        "species": [("cat", "dog, old", 'the rest')[i % 3] for i in range(count)],
    })  # fmt: skip
    folder = tmp_path / "animals"
    folder.mkdir()
    for name, part in (("train", table.slice(0, 45)), ("test", table.slice(45))):
        parquet.write_table(part, folder / f"{name}.parquet", **({} if "data_page_version" in options else options))
    said = show(studio, folder)
    assert sorted(said["classes"]) == ["cat", "dog, old", 'the rest'] and said["label_column"] == "species"
    assert said["shape"] == [1, 4, 1] and said["samples"] == {"train": 45, "test": 15}
    from_csv = tmp_path / "csv"
    from_csv.mkdir()
    for name, part in (("train", table.slice(0, 45)), ("test", table.slice(45))):
        part.to_pandas().assign(alive=lambda frame: frame.alive.astype(int)).to_csv(from_csv / f"{name}.csv", index=False)
    other = show(studio, from_csv)
    assert {key: value for key, value in other.items() if key not in ("name", "title", "path")} == {key: value for key, value in said.items() if key not in ("name", "title", "path")}


def test_a_folder_of_parquet_shards(studio, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = tmp_path / "digits"
    folder.mkdir()
    for name, part in [("train-00000-of-00002", slice(0, 150)), ("train-00001-of-00002", slice(150, 300)), ("test-00000-of-00001", slice(300, 400))]:
        parquet.write_table(picture_table(X[part], Y[part]), folder / f"{name}.parquet")
    train, test = exported(studio, tmp_path, folder)
    assert (train[0] == X[:300]).all() and (train[1] == Y[:300]).all() and (test[0] == X[300:]).all() and (test[1] == Y[300:]).all()


def test_parquet_that_is_refused(studio, tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "digits.parquet"
    parquet.write_table(picture_table(), path, compression="brotli")
    refused(studio, "data", "show", path, words='compression="snappy", "gzip" or "zstd"')
    for values, words in [([[1, 2]] * 3, "no column of pictures (its columns: list.element, label)"), ([datetime.date(2020, 1, 1)] * 3, 'column "odd" holds times')]:
        parquet.write_table(arrow.table({"odd": values, "label": [0, 1, 2]}), path)
        refused(studio, "data", "show", path, words=words)
    parquet.write_table(arrow.table({"x": [1.5, None, 2.0], "z": [1, 2, 3], "label": [0, 1, 2]}), path)
    refused(studio, "data", "show", path, words="line 3")
    parquet.write_table(picture_table(y=[-1] * 400), path)
    refused(studio, "data", "show", path, words="a label out of range")
    parquet.write_table(picture_table(y=[None] * 400), path)
    refused(studio, "data", "show", path, words="no label")
    parquet.write_table(arrow.table({"image": [b"GIF89a not really"], "label": [1]}), path)
    refused(studio, "data", "show", path, words="not a readable GIF")
    parquet.write_table(picture_table(), path)
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:5000], b"PAR1" + bytes(100) + b"PAR1", whole[:-8] + b"\xff\xff\xff\x7fPAR1", whole[:4] + bytes(500) + whole[504:]):
        path.write_bytes(damaged)
        refused(studio, "data", "show", path, words="Parquet")


def repeated(values, count):
    """A column of few different values, in a dictionary, however many rows there are."""
    arrow = pytest.importorskip("pyarrow")
    return arrow.DictionaryArray.from_arrays(arrow.array(np.arange(count, dtype=np.int32) % len(values)), arrow.array(values))


def picture_bomb(side, count):
    def bomb(path):
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        encoded = []
        for value in (0, 255):
            file = io.BytesIO()
            Image.fromarray(np.full((side, side), value, np.uint8)).save(file, "png")
            encoded.append(file.getvalue())
        parquet.write_table(arrow.table({"image": repeated(encoded, count), "label": np.arange(count) % 2}), path, compression="zstd")

    return bomb


def text_bomb(length, columns, count):
    def bomb(path):
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        texts = {f"text{i}": repeated(["a" * length], count) for i in range(columns)}
        parquet.write_table(arrow.table({**texts, "x": np.arange(count) % 5 / 2, "label": np.arange(count) % 3}), path, compression="zstd")

    return bomb


def page_bomb(compression):
    """A page, which others follow, says that 128 MB come out of it."""

    def bomb(path):
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({"x": X[:, 20] / 16, "label": Y}), path, compression=compression, use_dictionary=False, data_page_size=64, write_batch_size=50)
        column = parquet.read_metadata(path).row_group(0).column(1)
        data, at = path.read_bytes(), column.data_page_offset
        assert data[at : at + 3] == b"\x15\x00\x15", "its kind, then its size unpacked: numbers of Thrift, seven bits a byte"
        end = next(i for i in range(at + 3, at + 8) if data[i] < 0x80) + 1
        path.write_bytes(data[: at + 3] + b"\x80\x80\x80\x80\x01" + data[end:])

    return bomb


@pytest.mark.parametrize(
    ("bomb", "words"),
    [
        (picture_bomb(2000, 2000), "each side must be 1 to 1024"),
        (picture_bomb(1000, 20000), "20000 samples of 1000 x 1000 pixels, the most is 2147483648 bytes"),
        (picture_bomb(512, 8000), "pictures of 512 x 512 pixels, the most is"),
        (text_bomb(1_000_000, 1, 100_000), "a text of 1000000 bytes in the column"),
        (text_bomb(200, 40, 100_000), "too many texts: 100000 rows"),
        *((page_bomb(name), "damaged Parquet file (a page's size)") for name in ("none", "snappy", "gzip", "zstd")),
    ],
)
def test_parquet_that_unpacks_to_gigabytes(bomb, words, binary, home, tmp_path):
    """Small files, valid all but the last, are refused by one line, in a gigabyte of memory at most."""
    path = tmp_path / "bomb.parquet"
    bomb(path)
    assert path.stat().st_size < 1 << 20
    limited = subprocess.run(["prlimit", f"--as={1 << 30}", binary, "data", "show", path], capture_output=True, text=True, timeout=300)
    assert (limited.returncode, limited.stdout) == (1, ""), limited.stderr
    assert words in limited.stderr and limited.stderr.count("\n") == 1, limited.stderr
