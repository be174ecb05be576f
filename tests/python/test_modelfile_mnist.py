"""One trained network in all formats: PyTorch, Keras, onnxruntime and the studio's engines see the same logits on MNIST."""

import gzip
import json
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file

from modelfile_help import convert, inspect


@pytest.fixture(scope="module")
def test_split(data_dir):
    folder = pathlib.Path(data_dir) / "mnist"

    def read(name, offset):
        plain = folder / name
        data = plain.read_bytes() if plain.exists() else gzip.decompress((folder / f"{name}.gz").read_bytes())
        return np.frombuffer(data, np.uint8, offset=offset)

    images = read("t10k-images-idx3-ubyte", 16).reshape(-1, 784).astype(np.float32) / 255
    return images, read("t10k-labels-idx1-ubyte", 8)


def loss_and_confusion(logits, labels):
    logits = logits.astype(np.float64)
    top = logits.max(1, keepdims=True)
    losses = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(labels)), labels]
    confusion = np.zeros((10, 10), int)
    np.add.at(confusion, (labels, logits.argmax(1)), 1)
    return losses.mean(), confusion.tolist()


@pytest.mark.parametrize("hidden, activation", [("128", "relu"), ("64,32", "tanh")])
def test_all_formats_give_the_same_logits(studio, data_dir, test_split, tmp_path, hidden, activation):
    images, labels = test_split
    studio("train", "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--limit", "12000", "--epochs", "2",
           "--hidden", hidden, "--activation", activation, "--lr", "0.1", "--out", tmp_path)
    source = tmp_path / "simple_nn.safetensors"
    for kind in ("pth", "h5", "onnx"):
        convert(studio, source, tmp_path / f"m.{kind}")
    # Around all formats and back to the very bytes of the weights.
    convert(studio, tmp_path / "m.pth", tmp_path / "a.h5")
    convert(studio, tmp_path / "a.h5", tmp_path / "b.onnx")
    convert(studio, tmp_path / "b.onnx", tmp_path / "c.safetensors")
    assert {n: v.tobytes() for n, v in load_file(tmp_path / "c.safetensors").items()} == {n: v.tobytes() for n, v in load_file(source).items()}
    assert inspect(studio, tmp_path / "c.safetensors")["layers"] == inspect(studio, source)["layers"]
    assert inspect(studio, tmp_path / "c.safetensors")["metadata"] == inspect(studio, source)["metadata"]

    state = torch.load(tmp_path / "m.pth", weights_only=True)
    layers = []
    for i in range(1, len(state) // 2 + 1):
        layers += [torch.nn.Linear(*reversed(state[f"fc{i}.weight"].shape)), {"relu": torch.nn.ReLU(), "tanh": torch.nn.Tanh()}[activation]]
    net = torch.nn.Sequential(*layers[:-1])
    net.load_state_dict(dict(zip(net.state_dict(), state.values(), strict=True)))
    with torch.no_grad():
        logits = {"torch": net(torch.from_numpy(images)).numpy()}
    logits["keras"] = keras.models.load_model(tmp_path / "m.h5").predict(images, verbose=0, batch_size=1000)
    logits["onnx"] = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"]).run(None, {"input": images})[0]

    exact = images.astype(np.float64)
    weights = load_file(source)
    for i in range(1, len(weights) // 2 + 1):
        exact = exact @ weights[f"fc{i}.weight"].T.astype(np.float64) + weights[f"fc{i}.bias"]
        if 2 * i < len(weights):
            exact = np.maximum(exact, 0) if activation == "relu" else np.tanh(exact)
    for name, values in logits.items():
        assert np.abs(values - exact).max() < 1e-5, name

    loss, confusion = loss_and_confusion(exact, labels)
    assert np.trace(confusion) > 8500
    for path in (source, tmp_path / "m.pth", tmp_path / "m.h5", tmp_path / "m.onnx"):
        said = json.loads(studio("evaluate", path, "--dataset", "mnist", "--data-dir", data_dir, "--json").stdout)
        assert abs(said["loss"] - loss) < 1e-5 and said["confusion"] == confusion, path
