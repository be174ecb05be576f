"""What a run is told of its data (label column, scale, mean, standard deviation, polarity) goes everywhere the run goes."""

import json
import os
import random
import struct

import pytest
from train_help import train

SMALL = ["--engine", "native", "--epochs", 1, "--hidden", 8, "--batch-size", 16]


def bars(path, rows=140, full=16, label_last=False, dark=False):
    """6 x 6 pixels, two classes: a bright bar on top or at the bottom, without a header."""
    chance = random.Random(3)
    lines = []
    for i in range(rows):
        pixels = [0] * 36
        place = 8 if i % 2 else 20
        pixels[place : place + 4] = [full - chance.randrange(3) for _ in range(4)]
        cells = [full - p for p in pixels] if dark else pixels
        lines.append(",".join(map(str, [*cells, i % 2] if label_last else [i % 2, *cells])))
    path.write_text("\n".join(lines) + "\n")
    return path


def metadata(path):
    content = path.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + size])["__metadata__"]


def run_of(studio):
    (line,) = studio("runs", "list", "--json").stdout.splitlines()
    return json.loads(line)


@pytest.mark.parametrize("option", ["dataset", "data-dir", "from", "name", "out", "home", "label-column"])
def test_a_name_that_is_not_utf8_is_refused(option, studio, home, tmp_path):
    """It used to drop out of the job, and the built-in digits were trained, with exit status 0."""
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    os.mkdir(odd)
    bars(tmp_path / "x.csv").rename(os.path.join(odd, "x.csv"))
    value = {"dataset": odd + "/x.csv", "name": "caf\udce9", "label-column": "caf\udce9"}.get(option, odd)
    result = studio("train", *SMALL, "--limit", 20, f"--{option}", value, status=2)
    assert result.stderr.count("\n") == 1 and "UTF-8" in result.stderr and "rename" in result.stderr, result.stderr
    assert not list(tmp_path.glob("models/*")) and not list(home.glob("runs/*"))


def test_they_reach_the_engines_the_file_and_the_next_command(studio, tmp_path):
    data = bars(tmp_path / "bars.csv", label_last=True)
    told = ["--label-column", "-1", "--scale", 8, "--mean", 0.5, "--std", 0.25]
    story = train(studio, *SMALL, "--epochs", 3, "--lr", 0.1, "--dataset", data, *told)
    assert "divided by 8, minus 0.5, divided by 0.25" in story.of("start")[0]["data"]
    model = tmp_path / "models" / "simple_nn.safetensors"
    kept = metadata(model)
    assert (kept["input_scale"], kept["input_mean"], kept["input_std"]) == ("8", "0.5", "0.25")
    assert kept["label_column"] == "36"
    # Without a word about the data the model's own is taken, in the same way.
    answer = json.loads(studio("evaluate", model, "--json").stdout)
    assert answer["loss"] == pytest.approx(story.of("epoch")[-1]["val_loss"], abs=1e-12)
    assert answer["hint"] is None
    # Continued, it cannot become another run.
    run = run_of(studio)
    assert (run["settings"]["label_column"], run["settings"]["scale"]) == ("-1", 8)
    assert "cannot change its mean" in studio("train", "--resume", run["id"], "--epochs", 4, "--mean", 0, status=2).stderr
    studio("train", "--resume", run["id"], "--epochs", 4)
    assert run_of(studio)["settings"]["mean"] == 0.5


@pytest.mark.parametrize("engine", ["torch", "tensorflow"])
def test_all_engines_are_given_the_same(engine, studio, tmp_path):
    data = bars(tmp_path / "bars.csv")
    story = train(studio, "--engine", f"native,{engine}", "--epochs", 2, "--hidden", 8, "--dtype", "float64", "--dataset", data,
                  "--label-column", 0, "--scale", 5, "--mean", 1.5, "--std", 0.7)  # fmt: skip
    assert 0 <= max(story.summary["max_loss_difference"].values()) < 1e-12


def test_polarity_is_kept_as_it_was_told(studio, tmp_path):
    data = bars(tmp_path / "dark.csv", dark=True)
    story = train(studio, *SMALL, "--dataset", data, "--label-column", 0, "--invert", "no")
    model = tmp_path / "models" / "simple_nn.safetensors"
    assert metadata(model)["input_polarity"] == "dark on light"
    assert json.loads(studio("evaluate", model, "--json").stdout)["loss"] == pytest.approx(story.of("epoch")[-1]["val_loss"])
    # Light on dark, the same samples are brought to the model's polarity.
    light = bars(tmp_path / "light.csv")
    again = json.loads(studio("evaluate", model, "--dataset", light, "--label-column", 0, "--json").stdout)
    assert again["loss"] == pytest.approx(story.of("epoch")[-1]["val_loss"])


def test_the_page_evaluates_as_the_run_was_told(serve, home, tmp_path):
    server = serve()
    (home / "data").mkdir(exist_ok=True)
    bars(home / "data" / "bars.csv", label_last=True)
    settings = {"dataset": "bars.csv", "epochs": 2, "hidden": [8], "label_column": "36", "scale": 4, "mean": 0.5, "std": 2, "invert": "no"}
    run = server.post("/api/runs", {"engine": "native", "settings": settings}, status=201)
    ended = server.wait(run["id"], "finished", "failed")
    assert ended["state"] == "finished", ended["error"]
    evaluation = server.get(f"/api/runs/{run['id']}/evaluation")
    assert evaluation["loss"] == pytest.approx(ended["epochs"][-1]["val_loss"], abs=1e-9)
    # Another label column is another data set, though the file is the same.
    for voice in ("torch.python", "tensorflow.python"):
        query = f"/api/code/program?voice={voice}&dataset=bars.csv&label_column=36&scale=4&mean=0.5&std=2"
        program = server.request("GET", query)[2].decode()
        assert "((x_train / 4.0 - 0.5) / 2.0)" in program and "/ 255" not in program


def test_a_limit_is_said_beside_the_number(studio, tmp_path):
    data = bars(tmp_path / "bars.csv")
    train(studio, *SMALL, "--dataset", data, "--label-column", 0, "--limit", 30)
    model = tmp_path / "models" / "simple_nn.safetensors"
    assert "note      the model was trained with --limit 30" in studio("evaluate", model).stdout
    assert "note" not in studio("evaluate", model, "--limit", 30).stdout


def test_a_hint_when_another_scaling_does_better(studio, data_dir, tmp_path):
    """A file from elsewhere that was trained on 0 ... 255, and says nothing of it."""
    safetensors = pytest.importorskip("safetensors.numpy")
    train(studio, "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--limit", 2000, "--epochs", 2, "--lr", 0.1, "--scale", 1,
          "--std", 255)  # fmt: skip
    tensors = safetensors.load_file(tmp_path / "models" / "simple_nn.safetensors")
    tensors["fc1.weight"] = tensors["fc1.weight"] / 255
    foreign = tmp_path / "foreign.safetensors"
    safetensors.save_file(tensors, foreign)
    words = ["--dataset", "mnist", "--data-dir", data_dir, "--limit", 500]
    hint = json.loads(studio("evaluate", foreign, *words, "--json").stdout)["hint"]
    assert hint["options"] == "--scale 1" and hint["accuracy"] > hint["accuracy_now"] + 0.02 and hint["samples"] == 500
    told = json.loads(studio("evaluate", foreign, *words, *hint["options"].split(), "--json").stdout)
    assert told["accuracy"] == hint["accuracy"] and told["hint"] is None
    assert "hint      with --scale 1 " in studio("evaluate", foreign, *words).stdout


def test_what_does_not_apply_is_refused_by_name(studio, tmp_path):
    assert "no columns" in studio("train", *SMALL, "--label-column", "label", status=1).stderr
    data = tmp_path / "iris.csv"
    data.write_text("a,b,species\n" + "\n".join(f"{i % 7}.5,{i % 5}.25,{'xyz'[i % 3]}" for i in range(60)) + "\n")
    assert "cannot be inverted" in studio("train", *SMALL, "--dataset", data, "--invert", "yes", status=1).stderr
    for framework in ("torch", "tensorflow"):
        assert "numbers that are not whole" in studio("code", framework, "--dataset", data, status=1).stderr


@pytest.mark.parametrize(("scale", "offset", "bytes_wanted"), [("0.00392156862745098", "0", True), ("0.00784313725490196", "-1", True), ("2", "-1", False)])
def test_a_network_that_divides_bytes_itself_is_given_bytes(scale, offset, bytes_wanted, studio, tmp_path):
    """Rescaling(1/255) inside the file, and nothing said beside it: divided twice, nothing was right."""
    onnx = pytest.importorskip("onnx")
    data = bars(tmp_path / "bars.csv", full=255)
    words = ["--dataset", data, "--label-column", 0]
    told = ["--scale", 1] if bytes_wanted else []
    studio("train", "--engine", "native", "--epochs", 3, "--batch-size", 16, *words, *told, "--net", f"rescale {scale} {offset}, dense 8, relu, dense 2")
    studio("convert", "models/simple_nn.safetensors", "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    del model.metadata_props[:]  # as another program would have written it
    onnx.save(model, tmp_path / "foreign.onnx")
    own = json.loads(studio("evaluate", "models/simple_nn.safetensors", "--json").stdout)
    assert json.loads(studio("evaluate", "foreign.onnx", *words, "--json").stdout)["loss"] == pytest.approx(own["loss"], rel=1e-6)
    said = studio("evaluate", "foreign.onnx", *words).stdout
    assert ("assumed   pixels taken as they are" if bytes_wanted else "assumed   pixels divided by 255") in said
