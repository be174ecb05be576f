"""Color pictures: CIFAR-10's binary form, folders, NumPy archives; read exactly, shown in color, trained alike."""

import base64
import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image
from server_help import Server
from train_help import train

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
NET = "conv 6 5x5 stride 2 relu, maxpool 2, flatten, dense 10"


def batch(count, seed):
    """(records, pixels [count, 3, 32, 32], labels): pictures whose color tells the class a little."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, count, dtype=np.uint8)
    pixels = random.integers(0, 200, (count, 3, 32, 32), dtype=np.uint8)
    pixels[np.arange(count), labels % 3, :8] += (labels * 5)[:, None, None]
    return np.concatenate([labels[:, None], pixels.reshape(count, -1)], axis=1).tobytes(), pixels, labels


@pytest.fixture(scope="module")
def batches():
    return {f"data_batch_{n}.bin": batch(64, n) for n in (1, 2)} | {"test_batch.bin": batch(32, 9)}


def write_folder(folder, batches):
    folder.mkdir(parents=True)
    for name, (records, *_) in batches.items():
        (folder / name).write_bytes(records)
    return folder


def write_archive(folder, batches, spoil=None):
    folder.mkdir(parents=True)
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in {"batches.meta.txt": b"airplane\n", **{n: b[0] for n, b in batches.items()}}.items():
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    content = bytearray(raw.getvalue())
    if spoil:
        spoil(content)
    (folder / "cifar-10-binary.tar.gz").write_bytes(gzip.compress(bytes(content), 1))
    return folder


def show(studio, path):
    text = studio("data", "show", path, "--count", 2).stdout
    return text, json.loads(studio("data", "show", path, "--json").stdout)


def test_the_folder_and_the_archive_are_the_same_set(studio, home, tmp_path, batches):
    text, plain = show(studio, write_folder(tmp_path / "plain", batches))
    write_archive(home / "data" / "cifar-10", batches)
    _, archived = show(studio, "cifar-10")
    assert "color picture of 32 x 32" in text
    for said in (plain, archived):
        assert said["shape"] == [32, 32, 3] and said["classes"] == NAMES and said["scale"] == 255
        assert said["samples"] == {"train": 128, "test": 32} and said["polarity"] == plain["polarity"]
    assert archived["title"] == "CIFAR-10"


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda c: c.__setitem__(130, 65), "not a whole tar archive"),  # the checksum's
        (lambda c: c.__delitem__(slice(70000, None)), "not a whole tar archive"),
    ],
)
def test_a_broken_archive_is_refused(studio, tmp_path, batches, spoil, words):
    said = studio("data", "show", write_archive(tmp_path / "broken", batches, spoil), status=1).stderr
    assert words in said and said.count("\n") == 1


def test_a_cut_batch_is_refused(studio, tmp_path, batches):
    folder = write_folder(tmp_path / "cut", batches)
    (folder / "data_batch_2.bin").write_bytes(batches["data_batch_2.bin"][0][:-5])
    said = studio("data", "show", folder, status=1).stderr
    assert "data_batch_2.bin has 196667 bytes, which is not a whole number of records of 3073" in said
    assert "give the folder" in studio("data", "show", folder / "test_batch.bin", status=1).stderr


@pytest.mark.parametrize("net", [NET, None], ids=["conv", "dense"])
def test_all_engines_train_on_colors_alike(studio, tmp_path, batches, net):
    folder = write_folder(tmp_path / "cifar", batches)
    words = ["--net", net] if net else ["--hidden", "16"]
    story = train(studio, "--dataset", folder, "--engine", "torch,tensorflow,native", "--dtype", "float64", "--epochs", 2, *words)
    assert len(story.curve("native")) == 8
    assert max(story.summary["max_loss_difference"].values()) <= 1e-12



def test_samples_are_shown_in_color(binary, tmp_path, batches):
    write_folder(tmp_path / "home" / "data" / "mine", batches)
    server = Server(binary, tmp_path / "home", cwd=tmp_path)
    try:
        samples = server.get("/api/datasets/mine/samples?count=3&split=test")
        shown = np.frombuffer(base64.b64decode(samples["pixels"]), np.uint8).reshape(3, 3, 32, 32)
        assert samples["channels"] == 3 and (shown == batches["test_batch.bin"][1][samples["indices"]]).all()
        assert server.get("/api/datasets/mine/stats")["channels"] == 3
        draft = server.get("/api/network?net=conv%204%203x3,%20flatten,%20dense%2010&rows=32&columns=32&channels=3")
        assert draft["cost"]["layers"][0]["parameters"] == 4 * 3 * 9 + 4
        flow = server.post("/api/activations", {"settings": {"dataset": "mine", "net": NET}, "index": 1, "saliency": True})
        assert flow["input"]["channels"] == 3 and len(base64.b64decode(flow["saliency"]["values"])) == 4 * 3 * 32 * 32
        ink = base64.b64encode(bytes(100)).decode()
        answer = server.post("/api/activations", {"settings": {"dataset": "mine", "net": NET}, "pixels": ink, "width": 10,
                                                  "height": 10}, status=400)  # fmt: skip
        assert "only networks for gray pictures take a drawing" in answer["error"]["message"]
        assert "choose a gray data set" in server.call("GET", "/api/code?dataset=mine", status=400)["error"]["message"]
    finally:
        server.stop()


def test_a_folder_of_color_pictures_is_learned_and_predicted(studio, tmp_path):
    random = np.random.default_rng(3)
    for c, name in enumerate(["red", "green", "blue"]):
        (tmp_path / "colors" / name).mkdir(parents=True)
        for i in range(24):
            picture = random.integers(0, 90, (9, 11, 3), dtype=np.uint8)
            picture[:, :, c] += 120
            Image.fromarray(picture).save(tmp_path / "colors" / name / f"{i}.png")
    said = json.loads(studio("data", "show", tmp_path / "colors", "--json").stdout)
    assert said["shape"] == [9, 11, 3] and not any("gray" in note["what"] for note in said["assumed"])
    studio("train", "--dataset", tmp_path / "colors", "--net", "conv 4 3x3 relu, flatten, dense 3", "--epochs", 20, "--lr", 0.1,
           "--engine", "native", "--out", tmp_path / "out", "--name", "colors")  # fmt: skip
    (model,) = (tmp_path / "out").glob("*.safetensors")
    said = json.loads(studio("evaluate", model, "--dataset", tmp_path / "colors", "--json").stdout)
    assert said["accuracy"] == 1
    said = json.loads(studio("predict", model, tmp_path / "colors" / "green" / "5.png", "--json").stdout)
    assert said["class_name"] == "green"


def test_numpy_archives_hold_colors_last(studio, tmp_path):
    random = np.random.default_rng(4)
    x = random.integers(0, 256, (40, 8, 9, 3), dtype=np.uint8)
    np.savez(tmp_path / "c.npz", x_train=x, y_train=np.arange(40) % 4)
    said = json.loads(studio("data", "show", tmp_path / "c.npz", "--json").stdout)
    assert said["shape"] == [8, 9, 3]
    refused = studio("data", "export", tmp_path / "c.npz", "--out", tmp_path / "out", status=1).stderr
    assert "is in color" in refused
