"""The command line: mistakes get one line and status 2, results come out as cli.md says."""

import functools
import http.server
import json
import re
import threading

import pytest
from train_help import train

SMALL = ["--dataset", "synthetic", "--limit", 600, "--epochs", 1]

MISTAKES = {
    "--lr nan": 'learning rate "nan" is not valid',
    "--lr -0.1": "learning rate -0.1",
    "--lr inf": 'learning rate "inf" is not valid',
    "--lr 0": "learning rate 0",
    "--lr fast": "give a number above 0",
    "--epochs 0": "epochs 0 is out of range: give a whole number from 1 to 1,000,000",
    "--epochs -1": "give a whole number",
    "--epochs 1.5": "give a whole number",
    "--batch-size 0": "batch size 0 is out of range: give a whole number from 1 to 65,536",
    "--threads 100000": "threads 100000 is out of range: give a whole number from 0 to 256",
    "--limit 4294967296": "give a whole number from 0 to 4,294,967,295",
    "--seed 9007199254740992": "seed 9007199254740992 is out of range",
    "--seed 9223372036854775808": "seed 9223372036854775808 is out of range",
    "--engine jax": 'unknown engine "jax"',
    "--engine torch,torch": "named twice",
    "--engine torch,,native": "is not valid",
    "--optimizer lion": "give sgd, adam, adamw, rmsprop, adagrad, adadelta, adamax or nadam",
    "--optimizer adam --momentum 0.9": "momentum belongs to sgd",
    "--momentum 1": "momentum 1 is out of range",
    "--activation swishy": "give relu, tanh, sigmoid, leaky_relu",
    "--init he": "give torch or keras",
    "--dtype float16": "give float32 or float64",
    "--hidden 128,": "hidden layers",
    "--hidden 0": "hidden layers",
    "--name ../x": '"../x" is not a valid model name',
    "--resume ../../etc": "is not the id of a run",
    "--epoch 5": "did you mean --epochs?",
    "--epochs": "--epochs needs a value",
    "--parallel=yes": "--parallel takes no value",
    "-e 5": "two dashes",
    "word": "too many words",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_a_mistake_gets_one_line(studio, words, tmp_path):
    result = studio("train", *words.split(), status=2)
    assert result.stdout == ""
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("nnstudio: ") and MISTAKES[words] in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_data_set_is_one_line_for_all_engines(studio, home):
    result = studio("train", "--engine", "torch,native", "--dataset", "nope", status=1)
    assert len(result.stderr.splitlines()) == 1 and '"nope"' in result.stderr
    assert list((home / "runs").iterdir()) == []


def test_commands_are_found_by_their_beginning(studio):
    assert studio("doc", "--json").stdout == studio("doctor", "--json").stdout
    assert "may mean doctor or" in studio("d", status=2).stderr or "may mean data or doctor" in studio("d", status=2).stderr
    assert 'did you mean "train"?' in studio("trian", status=2).stderr
    assert 'unknown command "work"' in studio("work", status=2).stderr  # hidden


def test_every_command_has_help(studio):
    help_text = studio("--help").stdout
    listed = [line.split()[0] for line in help_text.splitlines() if re.match(r"  [a-z]", line)]
    assert {"data", "doctor", "engines", "evaluate", "predict", "train"} <= set(listed) and "worker" not in listed
    for command in listed:
        assert studio(command, "--help").stdout.startswith(f"usage: nnstudio {command}")


def test_events_end_with_the_figures(studio, home, tmp_path):
    story = train(studio, "--engine", "native", *SMALL, "--out", "here", "--name", "net", "--seed", 3)
    kinds = [event["event"] for event in story.events]
    assert kinds[0] == "start" and kinds[-2:] == ["end", "summary"] and "epoch" in kinds
    start, end = story.of("start")[0], story.of("end")[0]
    assert (start["samples"], start["epochs"], start["batch_size"], start["seed"]) == (600, 1, 32, 3)
    assert end["model"] == "here/net.safetensors" and (tmp_path / "here" / "net.safetensors").exists()
    assert story.summary["max_loss_difference"] == {} and story.summary["fastest"] == "native"
    job = json.loads((home / "runs" / start["run"] / "job.json").read_text())
    assert job["seed"] == 3 and job["limit"] == 600


def test_a_loss_that_ran_away_is_said_to_have(studio):
    result = studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 128, "--epochs", 1, "--lr", 1000, "--weight-decay", 100)
    assert "test loss nan" in result.stderr and re.search(r"loss \d\.\d+e\+28", result.stderr)


def test_plain_output_is_a_table(studio):
    result = studio("train", "--engine", "native", *SMALL)
    assert result.stderr.startswith("native: epoch 1/1  loss ")
    header, row, files = result.stdout.splitlines()
    assert header.split()[:2] == ["engine", "version"] and row.split()[0] == "native"
    assert files == "files: models/simple_nn.safetensors"


@pytest.mark.parametrize("engine", ["torch", "tensorflow", "native"])
def test_evaluate_gives_the_figures_of_training(studio, engine):
    story = train(studio, "--engine", "native", *SMALL, "--dtype", "float64")
    result = json.loads(studio("evaluate", story.of("end")[0]["model"], "--engine", engine, "--limit", 600, "--json").stdout)
    epoch = story.of("epoch")[-1]
    assert result["accuracy"] == epoch["val_accuracy"] and result["loss"] == pytest.approx(epoch["val_loss"], rel=1e-9)
    assert result["samples"] == 600 == sum(map(sum, result["confusion"]))
    assert sum(result["confusion"][c][c] for c in range(10)) == round(600 * result["accuracy"])


def test_predict_tells_a_digit(studio, data_dir, tmp_path):
    import gzip
    import pathlib

    import numpy
    from PIL import Image

    train(studio, "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--epochs", 1)
    with gzip.open(pathlib.Path(data_dir) / "mnist" / "t10k-images-idx3-ubyte.gz") as file:
        seven = numpy.frombuffer(file.read(16 + 784), numpy.uint8, offset=16).reshape(28, 28)
    Image.fromarray(seven).save(tmp_path / "white.png")
    Image.fromarray(255 - numpy.kron(seven, numpy.ones((5, 5), numpy.uint8))).save(tmp_path / "black.png")
    for name in ("white.png", "black.png"):
        result = json.loads(studio("predict", "models/simple_nn.safetensors", name, "--json").stdout)
        assert result["class"] == 7 and sum(result["probabilities"]) == pytest.approx(1)
    result = studio("predict", "models/simple_nn.safetensors", "models/simple_nn.safetensors", status=1)
    assert "PNG" in result.stderr


def test_doctor_says_what_is_missing(studio, monkeypatch):
    assert studio("doctor").stdout.endswith("Dual-Engine Ready!\n")
    monkeypatch.setenv("NNSTUDIO_TORCH_LIB", "/nonexistent")
    text = studio("doctor").stdout
    assert "Dual-Engine Ready!" not in text and text.endswith("nnstudio engines install torch\n")
    report = json.loads(studio("doctor", "--json").stdout)
    assert report["ready"] is False
    assert {e["id"]: e["found"] for e in report["engines"]} == {"torch": False, "tensorflow": True, "native": True}


def found_sets(studio, *words):
    entries = map(json.loads, studio("data", "list", "--json", *words).stdout.splitlines())
    return {entry["name"]: entry["found"] for entry in entries}


def test_data_is_listed_and_shown(studio, data_dir):
    assert found_sets(studio, "--data-dir", data_dir) == {"synthetic": True, "mnist": True, "fashion-mnist": True, "cifar-10": False}
    shown = studio("data", "show", "mnist", "--data-dir", data_dir, "--count", 3, "--label", 4).stdout
    about, drawn = shown.split("\n\n", 1)
    assert "samples: 60000 to train, 10000 to test" in about and "28 x 28 pixels" in about
    assert len(drawn.splitlines()) == 2 * 15 and drawn.splitlines()[0].split() == ["4", "4"]
    assert "synthetic" in studio("data", "show", "synthetic", "--count", 1).stdout
    assert "there is no label 10" in studio("data", "show", "synthetic", "--label", 10, status=2).stderr
    assert "data show needs a name" in studio("data", "show", status=2).stderr


def test_data_is_fetched_or_the_way_out_is_told(studio, home, data_dir, monkeypatch):
    assert "take mnist, fashion-mnist or cifar-10" in studio("data", "fetch", "synthetic", status=1).stderr
    monkeypatch.setenv("NNSTUDIO_MIRROR", "http://127.0.0.1:1")  # nobody listens there
    result = studio("data", "fetch", "mnist", status=1)
    assert len(result.stderr.splitlines()) == 1 and "--dataset synthetic" in result.stderr
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=data_dir)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("NNSTUDIO_MIRROR", f"http://127.0.0.1:{server.server_port}")
    try:
        assert studio("data", "fetch", "mnist").stdout == f"MNIST is in {home}/data/mnist\n"
    finally:
        server.shutdown()
    assert found_sets(studio)["mnist"] is True
