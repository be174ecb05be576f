"""Schedules, clipping, shaped losses, validation, early stopping and the best epoch in the Python programs: run unchanged, from the
studio's initial weights, they give its losses, in either meaning.

NNSTUDIO_ALL_PROGRAMS=1 runs every case, which takes minutes; by default a few that touch everything once.
"""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import zipfile

import pytest

HERE = pathlib.Path(__file__).parent
BATCH, LIMIT, EPOCHS = 32, 320, 5
PROGRAMS = {"torch": "model.py", "tensorflow": "model_tf.py"}
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}
COMMON = ["--dataset", "mnist", "--limit", LIMIT, "--batch-size", BATCH, "--lr", 0.1]

SCHEDULES = [
    "constant", "step:every=2,gamma=0.5", "step:every=1.5,gamma=0.5", "exponential:gamma=0.8", "polynomial:power=2,min=0.001,epochs=3",
    "polynomial", "cosine", "cosine:min=0.01,epochs=3", "cosine:restart=1,multiply=2,min=0.002", "cosine:restart=2", "onecycle:max=0.3",
    "plateau:patience=0,factor=0.5,threshold=0.2,cooldown=1", "plateau:patience=1,factor=0.3,threshold=0.3,min=0.01",
]  # fmt: skip
WEIGHTS = "1,2,0.5,1,3,1,1,0.25,1,2"
SGD = ["--momentum", 0.9, "--weight-decay", 0.01]
# Penalties of layers: a dense one's; a depthwise convolution's, whose kernel has another name in Keras.
DENSE, MAPS = "dense 8 relu l1=0.001 l2=0.002, dense 10 l2=0.01", "depthwise 5x5 stride 4 relu l1=0.003 l2=0.03, flatten, dense 10 l1=0.002"
FULL = [
    *[["--schedule", schedule] for schedule in SCHEDULES[1:]],
    *[["--schedule", schedule, "--warmup", 13] for schedule in SCHEDULES],
    *[["--schedule", schedule + ("," if ":" in schedule else ":") + f"unit={unit}"] for schedule in SCHEDULES[1:10] for unit in ("step", "epoch")],
    *[[option, bound, *more] for option, bound in (("--clip-value", 0.01), ("--clip-norm", 0.2), ("--clip-global-norm", 0.3)) for more in
      ([], SGD, ["--optimizer", "adam", "--lr", 0.01])],
    *[[*words, *more] for words in (["--label-smoothing", 0.1], ["--class-weight", WEIGHTS], ["--class-weight", "balanced", "--label-smoothing", 0.2])
      for more in ([], SGD, ["--optimizer", "rmsprop", "--lr", 0.001])],
    ["--validation", 0.2], ["--validation", 0.2, "--validation-part", "last"], ["--keep", "best", "--lr", 1.5],
    ["--early-stop", 1, "--lr", 1.5], ["--early-stop", 1, "--lr", 1.5, "--keep", "best", "--validation", 0.3, "--label-smoothing", 0.1],
    [*SGD, "--schedule", "exponential:gamma=0.7"], ["--momentum", 0.9, "--schedule", "cosine"],
    ["--optimizer", "nadam", "--lr", 0.01, "--schedule", "step:every=1,gamma=0.5", "--warmup", 7],
    *[["--net", net, *more] for net in (DENSE, MAPS) for more in ([], SGD, ["--weight-decay", 0.01], ["--optimizer", "adam", "--lr", 0.01, "--validation", 0.2])],
]  # fmt: skip
FEW = [
    ("pytorch", ["--schedule", "step:every=2,gamma=0.5", "--warmup", 13, *SGD, "--clip-norm", 0.2, "--class-weight", "balanced", "--label-smoothing", 0.1,
                 "--net", DENSE]),
    ("keras", ["--schedule", "cosine:restart=1,multiply=2", *SGD, "--clip-norm", 0.2, "--class-weight", WEIGHTS, "--label-smoothing", 0.1, "--validation", 0.2]),
    ("keras", ["--early-stop", 1, "--keep", "best", "--lr", 1.5, "--validation", 0.3, "--validation-part", "last",
               "--schedule", "plateau:patience=1,factor=0.9,threshold=0.3", "--clip-global-norm", 3]),
    ("keras", ["--net", MAPS]),
]  # fmt: skip
CASES = [(meaning, words, "float64") for meaning, words in FEW]
if os.environ.get("NNSTUDIO_ALL_PROGRAMS"):
    CASES += [(meaning, words, "float64") for words in FULL for meaning in ("pytorch", "keras")]
    CASES += [(meaning, words, "float32") for words in FULL[::5] for meaning in ("pytorch", "keras")]


def label(case):
    meaning, words, dtype = case
    return f"{meaning} {dtype} {' '.join(map(str, words))}"


@pytest.fixture(scope="module")
def runs(binary, data_dir, tmp_path_factory):
    """For each case the native engine's events, and a folder with its programs beside the weights, order and command of a bundle."""
    home, bundles, made = tmp_path_factory.mktemp("home"), {}, []

    def told(*words):
        ran = subprocess.run([binary, *map(str, words)], capture_output=True, text=True)
        assert ran.returncode == 0, (words, ran.stderr)
        return ran.stdout

    for i, (meaning, words, dtype) in enumerate(CASES):
        folder = tmp_path_factory.mktemp(f"case{i}")
        net = words[words.index("--net") :][:2] if "--net" in words else []
        options = [*COMMON, *([] if net else ["--hidden", 8]), *words, "--meaning", meaning, "--dtype", dtype, "--epochs", EPOCHS]
        text = told("train", "--engine", "native", *options, "--data-dir", data_dir, "--home", home, "--out", folder, "--json")
        events = [json.loads(line) for line in text.splitlines()]
        part = words[words.index("--validation") :] if "--validation" in words else []
        numbers = (dtype, *net, *part[:4])  # what weights and order depend on
        if numbers not in bundles:
            run = next(event["run"] for event in events if event["event"] == "start")
            told("code", "--bundle", run, "--home", home, "--out", folder / "bundle.zip")
            bundles[numbers] = folder / "bundle.zip"
        with zipfile.ZipFile(bundles[numbers]) as archive:
            archive.extractall(folder)
        for framework, program in PROGRAMS.items():
            told("code", framework, *options, "--out", folder / program)
        made.append((events, folder))
    return made


def expected(words, events, keras):
    """What a program should tell: losses of the last epoch's steps, or every epoch's mean as Keras weighs it, by samples."""
    epochs = [event for event in events if event["event"] == "epoch"]
    losses = [loss for event in events if event["event"] == "step" for loss in event["loss"]]
    each = len(losses) // len(epochs)
    (end,) = [event for event in events if event["event"] == "end"]
    (start,) = [event for event in events if event["event"] == "start"]
    rest = start["samples"] - BATCH * (each - 1)
    sizes = [BATCH] * (each - 1) + [rest]
    means = [sum(a * n for a, n in zip(losses[i * each :], sizes)) / sum(sizes) for i in range(len(epochs))]
    validated = "validation_loss" in epochs[0]
    last = epochs[end["best_epoch"] - 1] if "--keep" in words else epochs[-1]
    return {
        "epochs": len(epochs),
        "loss": means if keras else losses[-each:],
        "val_loss": epochs[-1]["validation_loss" if validated else "val_loss"],
        "test_loss": last["val_loss"] if validated else None,
    }


@pytest.mark.parametrize("framework, program", PROGRAMS.items())
def test_the_programs_train_as_the_studio(framework, program, runs, data_dir):
    if not importlib.util.find_spec(framework):  # an import would load it here, too
        pytest.skip(f"{framework} is not there")
    folders = [str(folder) for _, folder in runs]
    ran = subprocess.run([sys.executable, HERE / "training_programs.py", program, data_dir, *folders], capture_output=True, text=True, timeout=3600)
    assert ran.returncode == 0, ran.stderr[-3000:]
    wrong, worst, stopped = [], {}, 0
    for case, (events, _), theirs in zip(CASES, runs, json.loads(ran.stdout.splitlines()[-1])):
        ours = expected(case[1], events, framework == "tensorflow")
        if "error" in theirs or theirs["epochs"] != ours["epochs"] or (theirs["test_loss"] is None) != (ours["test_loss"] is None):
            wrong.append((label(case), theirs, ours))
            continue
        pairs = [*zip(theirs["loss"], ours["loss"], strict=True), (theirs["val_loss"], ours["val_loss"])]
        if ours["test_loss"] is not None:
            pairs.append((theirs["test_loss"], ours["test_loss"]))
        apart = max(abs(a - b) for a, b in pairs)
        stopped += ours["epochs"] < EPOCHS
        worst[case[2]] = max(worst.get(case[2], (0, "")), (apart, label(case)))
        if not apart <= TOLERANCE[case[2]]:
            wrong.append((label(case), apart))
    print(framework, worst)
    assert not wrong
    assert stopped  # else early stopping was not tried
