"""A run that was interrupted, or changed hands, goes on as if nothing had happened."""

import pytest
from train_help import Running, apart, train

SMALL = ["--dataset", "synthetic", "--limit", 4000]
STEPS = 125  # an epoch


def run_of(story, engine):
    (start,) = story.of("start", engine)
    return start["run"]


def values(path):
    """The numbers of a .safetensors file, without its header, which tells the two runs apart."""
    content = path.read_bytes()
    return content[8 + int.from_bytes(content[:8], "little") :]


@pytest.mark.parametrize("optimizer", [["--momentum", 0.9], ["--optimizer", "adam"]], ids=["momentum", "adam"])
def test_native_goes_on_with_the_same_bits(binary, studio, home, tmp_path, optimizer):
    epochs = 60  # far more than are done before the interruption, few enough to be quick
    straight = train(studio, "--engine", "native", *SMALL, *optimizer, "--epochs", epochs, "--out", "straight")
    running = Running(binary, tmp_path, "--engine", "native", *SMALL, *optimizer, "--epochs", epochs, "--out", "split")
    running.until(lambda e: e["event"] == "step" and e["first_step"] > 2 * STEPS)
    running.interrupt()
    first, err = running.finish(130)
    assert first.of("end")[0]["state"] == "stopped"
    run = run_of(first, "native")
    assert f"--resume {run}" in err
    second = train(studio, "--engine", "native", "--resume", run, "--out", "split")
    assert run_of(second, "native") == run
    done = len(first.losses("native"))
    assert min(second.losses("native")) == done
    both = {**first.losses("native"), **second.losses("native")}
    assert [both[step] for step in range(len(both))] == straight.curve("native")
    assert second.of("epoch")[-1]["val_loss"] == straight.of("epoch")[-1]["val_loss"]
    models = [values(tmp_path / folder / "simple_nn.safetensors") for folder in ("straight", "split")]
    assert models[0] == models[1]


@pytest.mark.parametrize("optimizer", [[], ["--optimizer", "adam"]], ids=["sgd", "adam"])
def test_a_run_changes_hands(studio, optimizer):
    common = ["--dtype", "float64", "--out", "models"]
    straight = train(studio, "--engine", "native", *SMALL, *optimizer, *common, "--epochs", 3).curve("native")
    curve, run = [], None
    for epochs, engine in enumerate(["torch", "tensorflow", "native"], 1):
        settings = ["--resume", run] if run else [*SMALL, *optimizer]
        story = train(studio, "--engine", engine, *settings, *common, "--epochs", epochs)
        losses = story.losses(engine)
        assert sorted(losses) == list(range((epochs - 1) * STEPS, epochs * STEPS))
        assert [e["epoch"] for e in story.of("epoch")] == [epochs]
        curve += [losses[step] for step in sorted(losses)]
        run = run_of(story, engine)
    assert apart(curve, straight) <= 1e-10


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_frameworks_go_on_in_mid_epoch(binary, studio, home, tmp_path, engine):
    settings = ["--dataset", "synthetic", "--limit", 20000, "--dtype", "float64", "--optimizer", "adam"]
    running = Running(binary, tmp_path, "--engine", engine, *settings, "--epochs", 100)
    running.until(lambda e: e["event"] == "step" and 30 < e["first_step"] < 600)
    running.interrupt()
    first, _ = running.finish(130)
    done = len(first.losses(engine))
    epochs = done // 625 + 1
    second = train(studio, "--engine", engine, "--resume", run_of(first, engine), "--epochs", epochs)
    straight = train(studio, "--engine", engine, *settings, "--epochs", epochs).curve(engine)
    curve = first.curve(engine) + [second.losses(engine)[step] for step in sorted(second.losses(engine))]
    assert apart(curve, straight) <= 1e-10


def test_what_a_run_is_cannot_change_on_the_way(studio):
    run = run_of(train(studio, "--engine", "native", *SMALL, "--epochs", 1), "native")
    for words, option in {
        "seed": ["--seed", 1], "batch size": ["--batch-size", 16], "optimizer": ["--optimizer", "adam"],
        "hidden layers": ["--hidden", 64], "precision": ["--dtype", "float64"], "data set": ["--dataset", "mnist"],
    }.items():  # fmt: skip
        result = studio("train", "--resume", run, "--epochs", 2, *option, status=2)
        assert f"cannot change its {words} on the way" in result.stderr
    result = studio("train", "--resume", run, status=2)
    assert "has done its 1 epochs" in result.stderr
    # The same settings again are no change, and a new learning rate is allowed.
    story = train(studio, "--engine", "native", *SMALL, "--epochs", 2, "--lr", 0.001, "--resume", run)
    assert story.of("start")[0]["lr"] == 0.001


def test_a_run_starts_from_a_model(studio):
    first = train(studio, "--engine", "native", *SMALL, "--epochs", 2, "--name", "base")
    second = train(studio, "--engine", "native", *SMALL, "--epochs", 1, "--from", first.of("end")[0]["model"])
    assert second.curve("native")[0] < first.curve("native")[0] - 0.4

def test_changed_data_is_refused_unless_told(studio, home, tmp_path):
    """A label, a pixel, a row less: the run goes on only when someone says that it may."""
    rows = [f"{i % 3}," + ",".join(str((i * j) % 256) for j in range(16)) for i in range(60)]
    data = tmp_path / "mine.csv"
    data.write_text("\n".join(rows))
    common = ["--engine", "native", "--dataset", data, "--batch-size", 4]
    story = train(studio, *common, "--epochs", 1)
    run, sha = story.of("start")[0]["run"], story.of("start")[0]["data_sha256"]
    assert train(studio, "--resume", run, "--epochs", 2).of("start")[0]["data_sha256"] == sha
    for changed in (["2" + rows[0][1:], *rows[1:]], [rows[0][:-1] + "7", *rows[1:]], rows[:-1]):
        data.write_text("\n".join(changed))
        refused = studio("train", "--resume", run, "--epochs", 3, status=1)
        assert "has changed since the run was begun" in refused.stderr and "--accept-changed-data" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    data.write_text("\n".join(["2" + rows[0][1:], *rows[1:]]))
    told = studio("train", "--resume", run, "--epochs", 3, "--accept-changed-data", "--json")
    assert "continues with changed data, as requested" in told.stderr
    train(studio, "--resume", run, "--epochs", 4)  # the changed data is the run's now
    data.write_text("\n".join(rows))
    studio("train", "--resume", run, "--epochs", 5, status=1)
    assert "give --resume" in studio("train", *common, "--accept-changed-data", status=2).stderr
