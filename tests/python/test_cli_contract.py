"""The command line as outsiders rely on it: every command and option, every event and its fields, where words go."""

import fcntl
import functools
import http.server
import json
import os
import pathlib
import pty
import re
import struct
import subprocess
import termios
import threading

import pytest
from train_help import train

SMALL = ["--dataset", "synthetic", "--limit", 500]

OPTIONS = {
    "serve": "host port home open",
    "serve-model": "host port name engine threads token home",
    "doctor": "json",
    "engines": "",
    "data": "count seed label",
    "net": "input json",
    "train": "engine net dataset data-dir epochs lr batch-size seed init threads dtype parallel hidden activation optimizer momentum "
    "weight-decay from limit label-column scale mean std invert out name resume home json track tracking-uri",
    "evaluate": "engine dataset label-column scale mean std invert key json",
    "predict": "engine json",
    "convert": "activation",
    "inspect": "json",
    "code": "lang out net dataset epochs lr batch-size seed init threads dtype hidden activation optimizer momentum weight-decay",
    "runs": "home json out",
    "register": "to name description tag config tracking-uri",
    "registry": "from version out remove confirm to json",
    "track": "follow tracking-uri experiment home json",
    "export": "out name endpoint data compute no-job",
    "bench": "against",
    "atlas": "run engine json document",
    "diff": "dataset data-dir limit activation net input order key label-column scale mean std invert home json",
}

# Kind of event → field → type. A number with a fraction is a float even where it happens to be whole.
EVENTS = {
    "start": {"event": str, "run": str, "engine": str, "engine_version": str, "dataset": str, "samples": int, "parameters": int,
              "epochs": int, "batch_size": int, "lr": float, "seed": int, "threads": int},
    "step": {"event": str, "engine": str, "first_step": int, "loss": list},
    "epoch": {"event": str, "engine": str, "epoch": int, "loss": float, "accuracy": float, "val_loss": float, "val_accuracy": float,
              "seconds": float, "samples_per_second": float},
    "end": {"event": str, "engine": str, "state": str, "model": str, "seconds": float, "cpu_seconds": float, "peak_rss_bytes": int},
    "summary": {"event": str, "max_loss_difference": dict, "fastest": str},
}  # fmt: skip


@pytest.mark.parametrize("command", OPTIONS)
def test_every_command_has_its_options(studio, command):
    help_text = studio(command, "--help").stdout
    offered = set(re.findall(r"^  --([a-z-]+)", help_text, re.M))
    assert set(OPTIONS[command].split()) <= offered
    usage, _, wrapped = help_text.partition("\n\n")
    assert all(len(line) <= 120 for line in usage.splitlines())
    assert all(len(line) <= 100 and line == line.rstrip() for line in wrapped.splitlines())


def test_a_command_for_one_target_offers_no_other_ones_options(studio):
    offered = {command: studio(command, "--help").stdout for command in ("register", "endpoint", "track")}
    for option, commands in {"--workspace": {"register", "endpoint"}, "--tracking-uri": {"register", "track"}, "--ca-file": set(offered)}.items():
        assert {command for command, text in offered.items() if f"\n  {option} " in text} == commands, option


def test_events_have_their_fields_and_types(studio):
    story = train(studio, "--engine", "torch,tensorflow,native", *SMALL, "--epochs", 1, "--seed", 7, "--lr", 0.02)
    seen = set()
    for event in story.events:
        fields = EVENTS[event["event"]]
        assert {name: type(event[name]) for name in fields} == fields, event
        seen.add((event["event"], event.get("engine")))
    assert seen == {(kind, engine) for kind in EVENTS if kind != "summary" for engine in ("torch", "tensorflow", "native")} | {("summary", None)}
    (start,) = story.of("start", "torch")
    assert (start["lr"], start["seed"], start["epochs"], start["samples"], start["batch_size"]) == (0.02, 7, 1, 500, 32)
    assert start["parameters"] == 101770 and start["dataset"] == "synthetic"
    assert [e["model"] for e in story.of("end")] == ["models/simple_nn.pth", "models/simple_nn.h5", "models/simple_nn.safetensors"]
    assert set(story.summary["max_loss_difference"]) == {"torch/tensorflow", "torch/native", "tensorflow/native"}


def test_numbers_have_all_their_digits(studio):
    text = studio("train", "--engine", "native", *SMALL, "--epochs", 1, "--dtype", "float64", "--json").stdout
    losses = [token for found in re.findall(r'"loss":\[(.*?)\]', text) for token in found.split(",")]
    others = re.findall(r'"(?:loss|accuracy|val_loss|val_accuracy|seconds|samples_per_second)":(\d+\.[0-9e-]+)', re.sub(r'.*"step".*', "", text))
    assert len(losses) == 16 and len(others) >= 6
    for token in losses + others:
        assert token in (f"{float(token):.17g}", f"{float(token):.17g}.0")


@pytest.fixture
def model(studio, tmp_path):
    train(studio, "--engine", "native", *SMALL, "--epochs", 1, "--hidden", 16)
    return tmp_path / "models" / "simple_nn.safetensors"


def one_object(text):
    assert text.count("\n") == 1
    return json.loads(text)


def test_evaluate_predict_and_inspect_answer_with_one_object(studio, model, tmp_path):
    from PIL import Image

    result = one_object(studio("evaluate", model, "--limit", 500, "--json").stdout)
    assert list(result) == ["loss", "accuracy", "samples", "confusion", "assumed", "hint", "preprocessing"]
    assert result["samples"] == 500 and result["assumed"] == [] and result["hint"] is None
    assert len(result["confusion"]) == 10 and {len(row) for row in result["confusion"]} == {10}
    image = Image.new("L", (28, 28))
    image.paste(255, (12, 4, 16, 24))
    image.save(tmp_path / "one.png")
    result = one_object(studio("predict", model, "one.png", "--json").stdout)
    assert list(result) == ["class", "probabilities", "class_name", "assumed", "preprocessing"] and len(result["probabilities"]) == 10
    assert result["preprocessing"] == {"done": "divided by 255", "known": True}
    assert result["class"] == result["probabilities"].index(max(result["probabilities"]))
    assert result["class_name"] == str(result["class"]) and result["assumed"] == []
    result = one_object(studio("inspect", model, "--json").stdout)
    assert result["format"] == "safetensors" and result["parameters"] == 784 * 16 + 16 + 170 and result["dtype"] == "float32"
    assert result["layers"][0] == {"type": "dense", "inputs": 784, "outputs": 16, "activation": "relu"}
    assert (result["layers"][1]["inputs"], result["layers"][1]["outputs"]) == (16, 10)


def test_doctor_answers_with_one_object(studio):
    report = one_object(studio("doctor", "--json").stdout)
    assert report["ready"] is True
    for engine in report["engines"]:
        assert {name: type(engine[name]) for name in ("id", "found", "version", "path")} == {
            "id": str, "found": bool, "version": str, "path": str}  # fmt: skip


def test_lists_are_an_object_a_line(studio, model):
    for words in (["data", "list"], ["engines"], ["engines", "list"], ["runs", "list"]):
        lines = studio(*words, "--json").stdout.splitlines()
        assert lines and all(isinstance(json.loads(line), dict) for line in lines), words


MISTAKES = [
    ["frobnicate"], ["evaluate"], ["evaluate", "x.pth", "y.pth"], ["predict", "x.pth"], ["convert", "x.pth"], ["inspect"], ["code"],
    ["code", "jax"], ["data"], ["data", "frob"], ["data", "fetch"], ["engines", "install", "jax"], ["serve", "--port", 70000],
    ["register"], ["bench", "--against", "c"], ["runs", "export", "x"], ["evaluate", "x.pth", "--activation", "swishy"],
    ["predict", "x.pth", "y.png", "--activation", "swishy"], ["evaluate", "x.pth", "--engine", "jax"], ["doctor", "--jsn"],
]  # fmt: skip
FAILURES = [
    ["evaluate", "x.pth"], ["predict", "x.pth", "y.png"], ["convert", "x.pth", "y.h5"], ["inspect", "x.pth"], ["data", "show", "nope"],
    ["data", "fetch", "nope"], ["runs", "show", "x"], ["runs", "rm", "x"], ["register", "x.pth"], ["code", "torch", "--out", "no/x.py"],
    ["train", "--engine", "native", "--from", "x.pth"], ["train", "--resume", "x"], ["train", "--engine", "native", "--dataset", "no/such"],
]  # fmt: skip


@pytest.mark.parametrize("status, words", [(2, w) for w in MISTAKES] + [(1, w) for w in FAILURES], ids=lambda v: "-".join(map(str, v)) if isinstance(v, list) else None)
def test_an_error_is_one_line_that_says_what_to_do(studio, status, words):
    result = studio(*words, status=status)
    assert result.stdout == ""
    assert re.fullmatch(r"nnstudio: [^\n]+: [^\n]+\n", result.stderr), result.stderr


def test_a_full_output_is_told(binary, studio, model):
    for words in (["doctor"], ["doctor", "--json"], ["inspect", model], ["train", "--engine", "native", *SMALL, "--epochs", 1, "--json"]):
        with open("/dev/full", "w") as full:
            result = subprocess.run([binary, *map(str, words)], stdout=full, stderr=subprocess.PIPE, text=True, cwd=model.parent)
        assert result.returncode == 1
        assert [line for line in result.stderr.splitlines() if line.startswith("nnstudio: ")] == [
            "nnstudio: cannot write to standard output: is the disk full?"]  # fmt: skip


def on_terminal(words, columns, cwd, **environment):
    """What a command writes to a terminal on standard error; standard output goes to a pipe."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(list(map(str, words)), cwd=cwd, stdout=subprocess.PIPE, stderr=theirs, stdin=theirs, text=True,
                               env={**os.environ, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment})  # fmt: skip
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 65536):
            shown += chunk
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(ours)
    out = process.stdout.read()
    assert process.wait() == 0
    return shown.decode(), out


def drawn_lines(text):
    text = re.sub(r"\x1b\[[0-9;]*[a-zA-Z]", "", text)
    return [line for line in re.split(r"[\r\n]+", text) if line]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_progress_fits_the_terminal(binary, home, tmp_path, columns):
    words = [binary, "train", "--engine", "native", "--dataset", "synthetic", "--limit", 4000, "--epochs", 100]
    shown, out = on_terminal(words, columns, tmp_path, NO_COLOR="")
    assert "\x1b[38;2;" in shown
    lines = drawn_lines(shown)
    assert lines and all(len(line) < columns for line in lines)
    assert "█" in lines[-1]
    if columns >= 80:
        assert lines[-1].endswith("  done") and "test " in lines[-1]
        assert any(line.endswith(" left") for line in lines)
        assert all(len(line) <= 80 for line in out.splitlines())


def test_fetching_draws_one_bar(binary, home, tmp_path, data_dir):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=data_dir)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        mirror = f"http://127.0.0.1:{server.server_port}"
        shown, out = on_terminal([binary, "data", "fetch", "mnist"], 80, tmp_path, NO_COLOR="1", NNSTUDIO_MIRROR=mirror)
        assert shown.count("\n") == 1 and all(len(line) < 80 for line in drawn_lines(shown))
        assert re.fullmatch(r"█{30}  11\.6 of 11\.6 MB  \S+", drawn_lines(shown)[-1])
        assert out == f"MNIST is in {home}/data/mnist\n"
        _, listed = on_terminal([binary, "data", "list"], 80, tmp_path)
        assert all(len(line) <= 80 for line in listed.replace(str(home), "").splitlines())
    finally:
        server.shutdown()


def test_no_color_is_respected(binary, home, tmp_path):
    words = [binary, "train", "--engine", "native", *SMALL, "--epochs", 1]
    shown, _ = on_terminal(words, 80, tmp_path, NO_COLOR="1")
    assert re.search(r"\x1b\[[0-9;]*m", shown) is None and "█" in shown
    shown, _ = on_terminal(words, 80, tmp_path, NO_COLOR="", LANG="C", LC_ALL="C")
    assert "█" not in shown and "#" in shown


def test_results_go_out_and_progress_goes_beside(studio):
    result = studio("train", "--engine", "torch,native", *SMALL, "--epochs", 2)
    assert "\x1b" not in result.stdout + result.stderr and "\r" not in result.stdout + result.stderr
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["torch", "torch", "native", "native"]
    assert "files: models/simple_nn.pth, models/simple_nn.safetensors" in result.stdout.splitlines()
    assert studio("train", "--engine", "native", *SMALL, "--epochs", 1, "--json").stderr == ""


def test_the_guide_tells_what_there_is(studio):
    guide = (pathlib.Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    told = set()
    for line in re.findall(r"^build/nnstudio (.*)", guide, re.M):
        command, *words = line.split("#")[0].split("&&")[0].split()
        told.add(command)
        help_text = studio(command, "--help").stdout
        for word in words:
            if word.startswith("--"):
                assert f"  {word} " in help_text, line
    assert told == set(OPTIONS) - {"serve"}
