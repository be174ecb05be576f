"""The same training in Python: prints the loss of every step of the first epoch, one per line.

usage: reference_curve.py torch|keras float32|float64 DATA_DIR [sgd|adam]
A program of its own, because the two frameworks do not live well in one process.
"""

import gzip
import os
import pathlib
import sys

import numpy
from studio_random import epoch_order, initial_weights

BATCH = 32


def mnist(folder):
    def read(name, offset):
        with gzip.open(pathlib.Path(folder) / "mnist" / name) as file:
            return numpy.frombuffer(file.read(), numpy.uint8, offset=offset)

    return read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784), read("train-labels-idx1-ubyte.gz", 8)


def batches(images, labels, dtype):
    inputs = images.astype(dtype) / numpy.asarray(255, dtype)
    order = epoch_order(len(labels), 0)
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        yield inputs[chosen], labels[chosen].astype(numpy.int64)


def torch_curve(dtype, data, optimizer):
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(784, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10)).to(getattr(torch, dtype))
    with torch.no_grad():
        for layer, (weight, bias) in zip((model[0], model[2]), initial_weights([784, 128, 10])):
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
    make = {"sgd": lambda p: torch.optim.SGD(p, lr=0.01), "adam": lambda p: torch.optim.Adam(p, lr=0.001)}[optimizer]
    step = make(model.parameters())
    for inputs, labels in batches(*data, dtype):
        step.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(inputs)), torch.from_numpy(labels))
        loss.backward()
        step.step()
        yield loss.item()


def keras_curve(dtype, data, optimizer):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras

    assert optimizer == "sgd", "Keras's Adam has another epsilon"
    keras.config.set_floatx(dtype)
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(128, activation="relu"), keras.layers.Dense(10)])
    for layer, (weight, bias) in zip(model.layers, initial_weights([784, 128, 10])):
        layer.set_weights([weight.T, bias])
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for inputs, labels in batches(*data, dtype):
        model.reset_metrics()  # else train_on_batch returns the mean of all steps so far
        yield float(model.train_on_batch(inputs, labels))


if __name__ == "__main__":
    framework, dtype, data_dir = sys.argv[1:4]
    curve = {"torch": torch_curve, "keras": keras_curve}[framework]
    for loss in curve(dtype, mnist(data_dir), sys.argv[4] if len(sys.argv) > 4 else "sgd"):
        print(repr(float(loss)))
