"""Networks beyond dense layers, end to end: the same losses on every engine, files that all can read, dropout included."""

import json

import pytest

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
