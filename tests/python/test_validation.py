"""A share of the training samples set aside, early stopping, and the best epoch kept."""

import numpy as np
import pytest
from train_help import Story, train

SMALL = ["--dataset", "synthetic", "--limit", 1000, "--hidden", 16, "--lr", 0.5, "--out", "models"]
WATCHED = [*SMALL, "--validation", 0.2, "--early-stop", "val_loss:patience=2", "--keep", "best", "--epochs", 40]


def values(path):
    """The numbers of a .safetensors file, without its header."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


def stopped_early(studio, *words, engine="native"):
    result = studio("train", "--engine", engine, *words, "--json")
    return Story(result.stdout), result.stderr


def expected_end(losses, patience):
    """(the epoch after which it ends, the best one); test_schedules.py asks Keras's own EarlyStopping."""
    best = since = 0
    for epoch, loss in enumerate(losses, 1):
        best, since = (epoch, 0) if not best or loss < losses[best - 1] else (best, since + 1)
        if since == patience:
            return epoch, best
    return None


def test_it_stops_and_keeps_the_best(studio, tmp_path):
    story, said = stopped_early(studio, *WATCHED)
    (start,), (end,) = story.of("start"), story.of("end")
    assert (start["samples"], start["validation_samples"]) == (800, 200)
    epochs = story.of("epoch")
    stopped, best = expected_end([epoch["validation_loss"] for epoch in epochs], 2)
    assert end["state"] == "finished" and end["epoch"] == len(epochs) == stopped < 40
    assert end["best_epoch"] == best and end["val_loss"] == epochs[best - 1]["val_loss"]
    assert f"stopped after epoch {stopped} of 40: no smaller validation loss for 2 epochs" in said
    # The model is that of a run that ended with the best epoch.
    short = train(studio, "--engine", "native", *SMALL, "--validation", 0.2, "--epochs", best, "--name", "short")
    assert values(tmp_path / end["model"]) == values(tmp_path / short.of("end")[0]["model"])


def test_it_goes_on_as_if_nothing_had_happened(studio, tmp_path):
    """Cut after each of three epochs, handed from engine to engine: the same end, the same best epoch."""
    whole, _ = stopped_early(studio, *WATCHED, "--name", "whole")
    stopped, best = whole.of("end")[0]["epoch"], whole.of("end")[0]["best_epoch"]
    (start,) = train(studio, "--engine", "native", *WATCHED, "--epochs", best).of("start")
    rest, said = stopped_early(studio, "--resume", start["run"], "--epochs", 40, "--out", "models")
    assert rest.of("end")[0]["epoch"] == stopped and rest.of("end")[0]["best_epoch"] == best
    assert rest.of("end")[0]["val_loss"] == whole.of("end")[0]["val_loss"]
    assert values(tmp_path / rest.of("end")[0]["model"]) == values(tmp_path / whole.of("end")[0]["model"])
    # A run that has stopped so stays so, unless it is told to be more patient.
    again, said = stopped_early(studio, "--resume", start["run"], "--epochs", 50)
    assert not again.of("epoch") and f"stopped after epoch {stopped} of 50" in said
    more, said = stopped_early(studio, "--resume", start["run"], "--epochs", stopped + 1, "--early-stop", 0)
    assert [epoch["epoch"] for epoch in more.of("epoch")] == [stopped + 1] and "stopped after" not in said
    assert "cannot change its keep" in studio("train", "--resume", start["run"], "--keep", "last", "--epochs", 60, status=2).stderr


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_frameworks_measure_the_same(studio, engine):
    words = [*SMALL, "--dtype", "float64", "--validation", 0.3, "--epochs", 2]
    native, other = (train(studio, "--engine", one, *words).of("epoch") for one in ("native", engine))
    for key in ("loss", "validation_loss", "validation_accuracy", "val_loss"):
        assert [epoch[key] for epoch in other] == pytest.approx([epoch[key] for epoch in native], abs=1e-10)


def write_csv(path, labels):
    rows = [f"{label}," + ",".join(str(v) for v in np.random.default_rng(i).integers(0, 255, 4)) for i, label in enumerate(labels)]
    path.write_text("\n".join(["label,a,b,c,d", *rows]))


def test_which_samples(studio, tmp_path):
    """Of every class the same share; or, as Keras's validation_split, the last of them all, rounded as there."""
    write_csv(tmp_path / "mine.csv", [0] * 140 + [1] * 70)  # 120 and 60 to train with
    common = ["--engine", "native", "--dataset", "mine.csv", "--epochs", 1, "--validation"]
    for share, part, expected in [(0.25, "stratified", 45), (0.25, "last", 45), (0.33, "last", 180 - int(180 * (1 - 0.33)))]:
        (start,) = train(studio, *common, share, "--validation-part", part).of("start")
        assert (start["samples"], start["validation_samples"]) == (180 - expected, expected), (share, part)
    for share, part, side in [(0.001, "stratified", "to validate with"), (0.9999, "last", "to train with")]:
        told = studio("train", *common, share, "--validation-part", part, status=1).stderr
        assert f"a validation share of {share:g} of 180 training samples leaves none {side}" in told


def test_a_run_keeps_and_shows_what_was_measured(studio):
    (start,) = train(studio, "--engine", "native", *WATCHED, "--schedule", "exponential:gamma=0.5", "--epochs", 2).of("start")
    shown = studio("runs", "show", start["run"]).stdout
    assert "val. loss  val. acc" in shown and "0.25" in shown
    told = studio("train", "--resume", start["run"], "--epochs", 3, "--validation", 0.1, status=2).stderr
    assert "cannot change its validation share" in told


@pytest.mark.parametrize("meaning", ["pytorch", "keras"])
def test_engines_agree_on_weights_and_smoothing(studio, meaning):
    words = [*SMALL, "--dtype", "float64", "--class-weight", "balanced", "--label-smoothing", 0.1, "--meaning", meaning, "--epochs", 2]
    native, *others = (train(studio, "--engine", engine, *words).of("epoch") for engine in ("native", "torch", "tensorflow"))
    for other in others:
        for key in ("loss", "val_loss"):
            assert [epoch[key] for epoch in other] == pytest.approx([epoch[key] for epoch in native], abs=1e-10)


def test_weights_that_do_not_fit_are_refused(studio, tmp_path):
    write_csv(tmp_path / "mine.csv", [0] * 140 + [1] * 70)
    train(studio, "--engine", "native", "--dataset", "mine.csv", "--epochs", 1, "--class-weight", "1,2.5")
    told = studio("train", "--engine", "native", "--dataset", "mine.csv", "--class-weight", "1,2,3", status=1).stderr
    assert "there are 3 class weights, and mine.csv has 2 classes: give one for each" in told
    for words in ("1,,2", "1,0", "equal", "1,2,"):
        assert f'class weight "{words}" is not valid' in studio("train", *SMALL, "--class-weight", words, status=2).stderr
