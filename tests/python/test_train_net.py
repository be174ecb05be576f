"""Networks beyond dense layers, end to end: the same losses on every engine, files that all can read, dropout included."""

import json
import pathlib
import subprocess
import sys

import pytest

from modelfile_help import convert
from train_help import apart, train

NETS = {
    "lenet5": 1e-12,
    "keras-mnist-convnet": 1e-12,
    "conv 5 3x3 stride 2 same nobias, batchnorm relu, depthwise 3x3 pad 1 0 1 0 elu, maxpool 2, layernorm silu, dropout 0.2, flatten, dense 12 gelu, dense 10": 1e-10,
    "normalize 0.13 0.3, conv 6 5 softplus, maxpool 3 stride 2 pad 1 1 1 1, conv 8 3 groups 2 dilation 2 selu, globalavgpool, dense 10": 1e-12,
}


def events(studio, *arguments):
    done = studio("train", "--dataset", "synthetic", "--limit", 320, "--lr", 0.05, "--json", *arguments)
    return [json.loads(line) for line in done.stdout.splitlines()], done


@pytest.mark.parametrize("net", NETS)
def test_the_engines_agree_and_read_one_another(studio, net, tmp_path):
    told, done = events(studio, "--engine", "torch,tensorflow,native", "--net", net, "--epochs", 2, "--dtype", "float64")
    summary = next(event for event in told if event["event"] == "summary")
    assert len(summary["max_loss_difference"]) == 3
    assert max(summary["max_loss_difference"].values()) <= NETS[net], summary
    files = [event["model"] for event in told if event["event"] == "end"]
    answers = [json.loads(studio("evaluate", file, "--dataset", "synthetic", "--limit", 100, "--json").stdout) for file in files]
    assert all(answer["assumed"] == [] for answer in answers)
    for answer in answers[1:]:
        assert abs(answer["loss"] - answers[0]["loss"]) < 1e-8
    start = next(event for event in told if event["event"] == "start")
    assert start["network"]["layers"][0]["type"] in ("conv2d", "normalize")


def test_a_run_that_stops_goes_on_as_if_nothing_had_happened(studio):
    """Dropout's masks and batch normalization's statistics are part of where a run stands."""
    net = "conv 4 3x3 same nobias, batchnorm relu, maxpool 4, flatten, dropout 0.4, dense 10"
    whole, _ = events(studio, "--engine", "native", "--net", net, "--epochs", 3, "--name", "whole")
    first, _ = events(studio, "--engine", "native", "--net", net, "--epochs", 1, "--name", "parts")
    run = next(event["run"] for event in first if event["event"] == "start")
    rest, _ = events(studio, "--engine", "native", "--resume", run, "--epochs", 3, "--name", "parts")
    losses = [[loss for event in told if event["event"] == "step" for loss in event["loss"]] for told in (whole, first, rest)]
    assert losses[1] + losses[2] == losses[0]


# Keras rounds a penalty's number to float32, so these have no more digits.
PENALIZED = "dense 12 l1=0.0009765625 relu, dense 10 l1=0.00048828125 l2=0.001953125"
KERAS_ITSELF = """
import gzip, os, sys
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy
from reference_curve import batches, mnist
from studio_random import initial_weights

keras.config.set_floatx("float64")
model = keras.saving.load_model(sys.argv[1], compile=False)
images, labels = mnist(sys.argv[2])
images, labels = images[:320], labels[:320]
model.compile(keras.optimizers.SGD(0.125), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
def test_set(name, offset):
    with gzip.open(f"{sys.argv[2]}/mnist/t10k-{name}-ubyte.gz") as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=offset)
x, y = test_set("images-idx3", 16).reshape(-1, 784)[:320] / 255, test_set("labels-idx1", 8)[:320]
trained = model.evaluate(x, y, verbose=0)
dense = [layer for layer in model.layers if layer.weights]
for layer, (weight, bias) in zip(dense, initial_weights([784, 12, 10])):
    layer.set_weights([weight.T, bias])
for inputs, y in batches(images, labels, "float64"):
    model.reset_metrics()
    print(repr(float(model.train_on_batch(inputs, y))))
print(repr(float(trained)))
"""


def test_l1_and_l2_are_kerass_own(studio, data_dir, tmp_path):
    """The engines' losses, and a .keras file's: Keras reads the regularizers from it, and the studio what Keras wrote."""
    story = train(studio, "--engine", "torch,tensorflow,native", "--dataset", "mnist", "--data-dir", data_dir, "--limit", 320,
                  "--lr", 0.125, "--epochs", 1, "--dtype", "float64", "--net", PENALIZED)  # fmt: skip
    file = tmp_path / "model.keras"
    convert(studio, story.of("end", "native")[0]["model"], file)
    done = subprocess.run([sys.executable, "-c", KERAS_ITSELF, file, data_dir], capture_output=True, text=True, timeout=600,
                          cwd=pathlib.Path(__file__).parent)  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    *losses, trained = [float(line) for line in done.stdout.split()]
    for engine in ("torch", "tensorflow", "native"):
        assert apart(story.curve(engine), losses) <= 1e-12, engine
    shown = json.loads(studio("net", "show", file, "--json").stdout)
    assert shown["compact"].endswith("dense 12 l1 0.0009765625 relu, dense 10 l1 0.00048828125 l2 0.001953125")
    # what is evaluated has the penalty in it, too
    ours = json.loads(studio("evaluate", file, "--dataset", "mnist", "--data-dir", data_dir, "--limit", 320, "--json").stdout)
    assert abs(ours["loss"] - trained) <= 1e-6
    assert abs(story.of("epoch", "native")[0]["val_loss"] - trained) <= 1e-6


def test_what_keras_has_no_words_for_is_saved_all_the_same(studio):
    told, done = events(studio, "--engine", "tensorflow", "--epochs", 1, "--net", "conv 4 3x3, layernorm relu, flatten, dense 10")
    end = next(event for event in told if event["event"] == "end")
    assert end["model"].endswith(".safetensors")
    assert "layernorm" in done.stderr and "saved as .safetensors" in done.stderr


@pytest.mark.parametrize("arguments, words", [
    (["--net", "dense 10 relu"], "must end in logits"),
    (["--net", "conv 4 3x3, dense 10"], "put flatten before it"),
    (["--net", "dense 7"], "ends in 7 units, but the data set has 10 classes: end it with dense 10"),
    (["--net", "dense 10", "--hidden", "12"], "leave out --hidden and --activation"),
])
def test_a_network_that_cannot_be_is_refused_in_one_line(studio, arguments, words):
    done = studio("train", "--dataset", "synthetic", "--limit", 50, *arguments, status=None)
    assert done.returncode in (1, 2) and words in done.stderr
