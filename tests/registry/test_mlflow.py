"""Registering with a real MLflow server: MLflow's own loader on what was registered, and every fault at every request."""

import json
import re
import subprocess
import threading
import urllib.parse

import faults
import numpy as np
import pytest


def logits_of(folder, pixels):
    """The network's logits by hand, from the .safetensors file that all formats came from."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / "simple_nn.safetensors")
    hidden = np.maximum(pixels @ tensors["fc1.weight"].T + tensors["fc1.bias"], 0)
    return hidden @ tensors["fc2.weight"].T + tensors["fc2.bias"]


@pytest.fixture
def client(mlflow_server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    import mlflow

    mlflow.set_tracking_uri(mlflow_server)
    return mlflow.MlflowClient()


@pytest.mark.parametrize("ending", ["pth", "h5", "safetensors", "onnx"])
def test_pyfunc_gives_our_logits(studio, models, client, mlflow_server, tmp_path, ending):
    name = f"mnist_{ending}"
    result = studio("register", models / f"simple_nn.{ending}", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", name, "--json")
    made = json.loads(result.stdout.splitlines()[-1])
    assert made["version"] == "1" and made["id"] == f"models:/{name}/1"

    import mlflow

    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    pixels = np.random.default_rng(1).random((50, 784), dtype=np.float32)
    assert np.abs(model.predict(pixels) - logits_of(models, pixels)).max() < 1e-5

    version = client.get_model_version(name, "1")
    assert version.tags["sha256"] == made["sha256"] and version.status == "READY"

    studio("registry", "pull", name, "--from", "mlflow", "--tracking-uri", mlflow_server, "--out", tmp_path / "back")
    assert (tmp_path / "back" / f"simple_nn.{ending}").read_bytes() == (models / f"simple_nn.{ending}").read_bytes()


def test_the_run_has_parameters_and_the_history_of_metrics(binary, studio, client, mlflow_server, tmp_path):
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", "640", "--epochs", "3", "--lr", "0.05", "--out", tmp_path)
    model = tmp_path / "simple_nn.safetensors"
    result = studio("register", model, "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", "history", "--experiment", "lectures", "--json")
    made = json.loads(result.stdout.splitlines()[-1])
    run = client.get_run(made["run_id"])
    assert client.get_experiment(run.info.experiment_id).name == "lectures" and run.info.status == "FINISHED"
    assert run.data.params["lr"] == "0.05" and run.data.params["epochs"] == "3" and run.data.params["dataset"] == "synthetic"
    (kept,) = [json.loads(line) for line in studio("runs", "list", "--json").stdout.splitlines()]
    epochs = json.loads(studio("runs", "show", kept["id"], "--json").stdout)["epochs"]
    for figure in ("loss", "accuracy", "val_loss", "val_accuracy"):
        history = client.get_metric_history(made["run_id"], figure)
        assert [(point.step, point.value) for point in history] == [(epoch["epoch"], epoch[figure]) for epoch in epochs]
    assert made["tags"]["run"] == kept["id"]


def test_versions_are_listed_newest_first(studio, models, mlflow_server):
    for ending in ("pth", "h5"):
        studio("register", models / f"simple_nn.{ending}", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", "two")
    words = ["--from", "mlflow", "--tracking-uri", mlflow_server, "--json"]
    listed = [json.loads(line) for line in studio("registry", "list", "two", *words).stdout.splitlines()]
    assert [row["version"] for row in listed] == ["2", "1"]
    assert json.loads(studio("registry", "show", "two", *words).stdout)["version"] == "2"
    assert json.loads(studio("registry", "show", "two", "--version", "1", *words).stdout)["tags"]["format"] == "pth"
    every = [json.loads(line) for line in studio("registry", "list", *words).stdout.splitlines()]
    assert [row["version"] for row in every if row["name"] == "two"] == ["2"]


@pytest.mark.parametrize("uri, words", [
    ("http://mlflow.example:5000", "is not https"),
    ("http://user:secret@127.0.0.1:5000", "MLFLOW_TRACKING_USERNAME"),
    ("sqlite:///m.db", "no http address"),
])
def test_an_address_that_will_not_do(studio, models, uri, words):
    result = studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", uri, status=2)
    assert words in result.stderr and "secret" not in result.stderr


@pytest.mark.parametrize("name", ["a/b", "a:b", "it's"])
def test_a_name_that_mlflow_refuses(studio, models, mlflow_server, name):
    assert "MLflow takes no model named" in studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", name, status=2).stderr


# ---- faults

REQUESTS = {
    "experiment": r"^GET .*experiments/get-by-name",
    "run": r"^POST .*runs/create",
    "log": r"^POST .*runs/log-batch",
    "upload": r"^PUT .*/model/data/",
    "upload-last": r"^PUT .*/model/MLmodel",
    "finish": r"^POST .*runs/update",
    "model": r"^POST .*registered-models/create",
    "look": r"^GET .*model-versions/search",
    "version": r"^POST .*model-versions/create",
    "read-back": r"^GET .*model-versions/get",
    "files": r"^GET .*artifacts/list",
}
LINE = re.compile(r"nnstudio: step \d of 8: [^:\n]+: .+: [^\n]+")


@pytest.fixture
def door(mlflow_server, monkeypatch):
    port = urllib.parse.urlsplit(mlflow_server).port
    proxy = faults.Proxy(lambda path: (port, False))
    monkeypatch.setenv("NNSTUDIO_RETRY_BASE", "0.01")
    monkeypatch.setenv("NNSTUDIO_STALL_SECONDS", "5")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-that-nobody-may-see")
    yield proxy
    proxy.shutdown()
    proxy.server_close()


def words_for(name, models):
    return ["register", str(models / "simple_nn.pth"), "--to", "mlflow", "--name", name, "--experiment", name, "--home", str(models / "home"), "--json"]


def assert_whole(client, result, name):
    """One run with each point once, and one version that points at it."""
    made = json.loads(result.stdout.splitlines()[-1])
    assert made["event"] == "end" and made["version"] == "1"
    experiment = client.get_experiment_by_name(name)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == made["run_id"] and run.info.status == "FINISHED"
    assert len(client.get_metric_history(made["run_id"], "loss")) == 1
    (version,) = client.search_model_versions(f"name='{name}'")
    assert version.run_id == made["run_id"] and version.status == "READY"


@pytest.mark.parametrize("fault, more", [
    ("status", {"code": 503, "headers": {"Retry-After": "0"}, "body": b"{}"}), ("cut", {"bytes": 1}), ("lost", {}),
])
def test_what_passes_is_tried_again_at_every_request(studio, models, client, door, fault, more):
    name = f"passing_{fault}"
    for match in REQUESTS.values():
        door.fail(match, fault, **more)
    assert_whole(client, studio(*words_for(name, models)), name)
    met = [rule["match"] for rule in door.rules if rule["times"] == 0]
    assert len(met) >= len(REQUESTS) - 2, "an upload's answer has no body to cut; nearly all faults are met"


LASTING = {
    "403": ("status", {"code": 403, "body": b'{"error_code":"PERMISSION_DENIED","message":"no"}'}),
    "503": ("status", {"code": 503, "body": b"<html>"}),
    "page": ("html", {}),
    "redirect": ("redirect", {}),
    "lost": ("lost", {}),
}
# What was made though its answer was lost is found by asking.
FINE = {("run", "lost"), ("version", "lost")}


@pytest.mark.parametrize("fault", LASTING)
def test_what_lasts_is_told_in_one_line_and_the_next_try_goes_on(studio, models, client, door, fault):
    kind, more = LASTING[fault]
    name = f"lasting_{fault}"
    for request, match in REQUESTS.items():
        if (request, fault) in FINE:
            continue
        door.fail(match, kind, times=99, **more)
        result = studio(*words_for(name, models), status=1)
        (line,) = result.stderr.splitlines()
        assert LINE.fullmatch(line), line
        assert "nobody-may-see" not in line and "elsewhere.example" not in line
        door.reset()
    assert_whole(client, studio(*words_for(name, models)), name)


@pytest.mark.parametrize("moment", ["hook", "after"])
def test_killed_at_each_request_the_next_run_goes_on(binary, studio, models, client, door, tmp_path, moment):
    name = f"killed_{moment}"
    for request, match in REQUESTS.items():
        arrived, ended = threading.Event(), threading.Event()

        def meet(line):
            if re.search(match, line):
                arrived.set()
                ended.wait(20)

        setattr(door, moment, meet)
        process = subprocess.Popen([binary, *words_for(name, models)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert arrived.wait(30), f"there was no request for {request}"
        process.kill()
        process.wait()
        ended.set()
        faults.wait_for_quiet(door)
        door.reset()
    assert_whole(client, studio(*words_for(name, models)), name)
