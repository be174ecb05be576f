"""The torch engine against PyTorch in Python: the same steps from the same weights, by torch.nn and torch.optim.

One batch is the whole (limited) set, so that the order within it does not matter and need not be known here.
"""

import gzip
import pathlib

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from conftest import events  # noqa: E402

SAMPLES, EPOCHS = 300, 6

CASES = {
    "sgd": (["--lr", "0.1"], lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum and decay": (
        ["--lr", "0.05", "--momentum", "0.9", "--weight-decay", "0.01"],
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
    ),
    "adam": (["--optimizer", "adam", "--lr", "0.002"], lambda p: torch.optim.Adam(p, lr=0.002)),
    "adam with decay": (
        ["--optimizer", "adam", "--lr", "0.002", "--weight-decay", "0.05"],
        lambda p: torch.optim.Adam(p, lr=0.002, weight_decay=0.05),
    ),
}


def read_idx(path, header, count):
    with gzip.open(path) as file:
        return np.frombuffer(file.read(header + count)[header:], np.uint8)


@pytest.fixture(scope="module")
def samples(data_dir):
    folder = pathlib.Path(data_dir) / "mnist"
    pixels = read_idx(folder / "train-images-idx3-ubyte.gz", 16, SAMPLES * 784).reshape(SAMPLES, 784)
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz", 8, SAMPLES)
    return torch.tensor(pixels).double() / 255, torch.tensor(labels).long()


class Network(torch.nn.Module):
    """784 → 24 → 17 → 10, named as the studio names its layers."""

    def __init__(self, activation):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = torch.nn.Linear(784, 24), torch.nn.Linear(24, 17), torch.nn.Linear(17, 10)
        self.activation = activation

    def forward(self, x):
        return self.fc3(self.activation(self.fc2(self.activation(self.fc1(x)))))


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
@pytest.mark.parametrize("case", CASES)
def test_steps_equal_those_of_torch_optim(studio, samples, data_dir, tmp_path, case, activation):
    options, make_optimizer = CASES[case]
    x, y = samples
    torch.manual_seed(11)
    network = Network(getattr(torch, activation)).double()
    torch.save(network.state_dict(), tmp_path / "begin.pth")

    result = studio(
        "train", "--engine", "torch", "--dataset", "mnist", "--data-dir", data_dir, "--limit", SAMPLES, "--batch-size", SAMPLES,
        "--epochs", EPOCHS, "--dtype", "float64", "--hidden", "24,17", "--activation", activation, "--from", tmp_path / "begin.pth",
        "--out", tmp_path, "--name", "end", "--json", *options,
    )  # fmt: skip
    ours = [loss for event in events(result) if event["event"] == "step" for loss in event["loss"]]

    optimizer = make_optimizer(network.parameters())
    theirs = []
    for _ in range(EPOCHS):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), y)
        loss.backward()
        optimizer.step()
        theirs.append(loss.item())

    assert ours == pytest.approx(theirs, rel=0, abs=1e-12)
    end = torch.load(tmp_path / "end.pth", weights_only=True)
    for name, value in network.state_dict().items():
        assert torch.allclose(end[name], value, rtol=0, atol=1e-12), name
