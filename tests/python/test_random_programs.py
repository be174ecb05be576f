"""The Python programs of networks nobody chose give the studio's losses, from its initial weights, order and dropout masks.

NNSTUDIO_RANDOM_NETWORKS=COUNT draws so many and takes minutes; NNSTUDIO_RANDOM_SEED=N begins elsewhere. Few run in test_code.py.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import zipfile

import pytest
from random_networks import fitting

HERE = pathlib.Path(__file__).parent
COUNT = int(os.environ.get("NNSTUDIO_RANDOM_NETWORKS", 0))
SEED = int(os.environ.get("NNSTUDIO_RANDOM_SEED", 0))
BATCH, LIMIT, EPOCHS = 16, 96, 2
TOLERANCE = {"float64": 1e-12, "float32": 1e-4}


def networks(studio):
    """Descriptions that fit, and that both languages can say."""
    said = lambda net: studio("code", "tensorflow", "--net", net, "--limit", LIMIT, status=None).returncode == 0  # noqa: E731
    return fitting(random.Random(SEED), COUNT, said, keras=True)


def bundle(studio, net, dtype, data_dir, folder):
    """The native engine's run: the losses of its steps; its bundle unpacked."""
    told = studio("train", "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--net", net, "--dtype", dtype, "--limit", LIMIT,
                  "--batch-size", BATCH, "--epochs", EPOCHS, "--lr", 0.05, "--seed", SEED + 5, "--home", folder / "home", "--out", folder, "--json")  # fmt: skip
    events = [json.loads(line) for line in told.stdout.splitlines()]
    run = next(event["run"] for event in events if event["event"] == "start")
    studio("code", "--bundle", run, "--home", folder / "home", "--out", folder / "bundle.zip")
    with zipfile.ZipFile(folder / "bundle.zip") as archive:
        archive.extractall(folder / "bundle")
    return [loss for event in events if event["event"] == "step" for loss in event["loss"]]


@pytest.mark.skipif(not COUNT, reason="takes minutes: set NNSTUDIO_RANDOM_NETWORKS=30")
def test_programs_of_random_networks(studio, data_dir, tmp_path):
    cases = [(net, dtype) for net in networks(studio) for dtype in TOLERANCE]
    folders = [tmp_path / str(i) for i in range(len(cases))]
    ours = []
    for (net, dtype), folder in zip(cases, folders):
        folder.mkdir()
        ours.append(bundle(studio, net, dtype, data_dir, folder))
    ran = subprocess.run([sys.executable, HERE / "exact_programs.py", data_dir, *(str(folder / "bundle") for folder in folders)], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-3000:]
    steps, worst = LIMIT // BATCH, {}
    for (net, dtype), folder, losses, theirs in zip(cases, folders, ours, json.loads(ran.stdout.splitlines()[-1])):
        means = [sum(losses[epoch * steps : (epoch + 1) * steps]) / steps for epoch in range(EPOCHS)]
        for language, wanted in (("torch", losses[-steps:]), ("keras", means)):
            assert theirs[language] is not None and len(theirs[language]) == len(wanted), (language, net)
            apart = max(abs(a - b) for a, b in zip(theirs[language], wanted))
            worst[dtype, language] = max(worst.get((dtype, language), 0), apart)
            assert apart <= TOLERANCE[dtype], (language, dtype, apart, net)
    print({" ".join(key): value for key, value in worst.items()})
