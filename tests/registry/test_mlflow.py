"""Registering with a real MLflow server: MLflow's own loader on what was registered, and every fault at every request."""

import base64
import json
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import urllib.parse
import urllib.request

import faults
import numpy as np
import pytest
import rig


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


@pytest.mark.parametrize("ending", ["pth", "safetensors"])
def test_pyfunc_of_a_convolutional_network_gives_our_logits(studio, client, mlflow_server, tmp_path, ending):
    """Of files that hold tensors alone; the network is written beside them. onnxruntime reads the same model."""
    import mlflow
    import onnxruntime

    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", "320", "--epochs", "1", "--net", "lenet5", "--out", tmp_path)
    for other in ("pth", "onnx"):
        studio("convert", tmp_path / "simple_nn.safetensors", tmp_path / f"simple_nn.{other}")
    studio("register", tmp_path / f"simple_nn.{ending}", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", f"lenet5_{ending}")
    model = mlflow.pyfunc.load_model(f"models:/lenet5_{ending}/1")
    pixels = np.random.default_rng(1).random((20, 784), dtype=np.float32)
    (expected,) = onnxruntime.InferenceSession(tmp_path / "simple_nn.onnx").run(None, {"input": pixels.reshape(20, 1, 28, 28)})
    for form in (pixels, pixels.reshape(20, 28, 28), pixels.astype(np.float64)):
        assert np.abs(model.predict(form) - expected).max() < 1e-5


@pytest.fixture(scope="module")
def loaded(binary, models, mlflow_server, tmp_path_factory):
    """By ending: the model as MLflow loads it."""
    import mlflow

    mlflow.set_tracking_uri(mlflow_server)
    made = {}
    for ending in ("pth", "h5", "safetensors", "onnx"):
        words = ["register", models / f"simple_nn.{ending}", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", f"input_{ending}", "--home", models / "home"]
        subprocess.run([binary, *map(str, words)], check=True, capture_output=True)
        made[ending] = mlflow.pyfunc.load_model(f"models:/input_{ending}/1")
    return made


@pytest.mark.parametrize("ending", ["pth", "h5", "safetensors", "onnx"])
def test_pyfunc_takes_what_users_have(models, loaded, ending):
    """Floats of each precision, bytes of a picture, pictures as they are, tables."""
    import pandas

    model = loaded[ending]
    picture = np.random.default_rng(2).integers(0, 256, (7, 28, 28), dtype=np.uint8)
    pixels = (picture / 255).astype(np.float32).reshape(7, 784)
    expected = logits_of(models, pixels)
    for form in (pixels, pixels.astype(np.float64), pixels.astype(np.float16), picture, picture.reshape(7, 784), picture.reshape(7, 1, 28, 28),
                 pixels.reshape(7, 28, 28), pandas.DataFrame(pixels), {"pixels": pixels}, pixels.tolist()):
        got = model.predict(form)
        assert got.shape == (7, 10)
        assert np.abs(got - expected).max() < (5e-3 if getattr(form, "dtype", None) == np.float16 else 1e-5)
    assert model.predict(pixels[0]).shape == (1, 10)
    for form, words in ((picture.astype(np.int64), "int64 are ambiguous"), (pixels[:, :783], "do not fit"), (np.zeros((784, 7), np.float32), "do not fit")):
        with pytest.raises(Exception, match=words):
            model.predict(form)


@pytest.mark.parametrize("ending", ["pth", "onnx"])
def test_pyfunc_brings_bytes_to_the_models_own_form(studio, mlflow_server, data_dir, tmp_path, ending):
    """Trained with a mean and a deviation: bytes go through both, floats are the network's own."""
    import mlflow

    mlflow.set_tracking_uri(mlflow_server)
    studio("train", "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--limit", "320", "--epochs", "1", "--mean", "0.1307", "--std", "0.3081")
    name = f"standard_{ending}"
    studio("convert", "models/simple_nn.safetensors", f"models/simple_nn.{ending}")
    studio("register", f"models/simple_nn.{ending}", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", name)
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    picture = np.random.default_rng(2).integers(0, 256, (5, 784), dtype=np.uint8)
    values = ((picture / 255 - 0.1307) / 0.3081).astype(np.float32)
    assert np.abs(model.predict(picture) - model.predict(values)).max() < 1e-5
    assert np.abs(model.predict(picture) - model.predict((picture / 255).astype(np.float32))).max() > 1e-3


def installed(name):
    from importlib.metadata import version

    return version(name).split("+")[0]


def test_requirements_are_pinned_to_what_trained_the_model(studio, models, client, loaded, mlflow_server, tmp_path):
    import mlflow

    def requirements(name):
        path = mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=str(tmp_path / name))
        return dict(line.split("==") for line in (tmp_path / name / "requirements.txt").read_text().split()), path

    tested, _ = requirements("input_onnx")
    assert tested == {"numpy": installed("numpy"), "onnxruntime": installed("onnxruntime")}, "the pins are those that are tested"
    assert requirements("input_pth")[0]["torch"] == installed("torch")
    assert requirements("input_h5")[0]["tensorflow-cpu"] == installed("tensorflow_cpu")
    from huggingface_hub import ModelCard

    card = ModelCard((tmp_path / "input_pth" / "README.md").read_text())
    assert card.data.library_name == "pytorch" and card.data.datasets == ["synthetic"]
    # a run of another version is pinned to that one
    studio("train", "--engine", "torch", "--dataset", "synthetic", "--limit", "640", "--epochs", "1", "--out", tmp_path)
    (run,) = [json.loads(line) for line in studio("runs", "list", "--json").stdout.splitlines()]
    with sqlite3.connect(next((tmp_path / "home").glob("*.db"))) as store:
        store.execute("UPDATE runs SET engine_version='2.7.1'")
    store.close()
    studio("register", tmp_path / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", "older")
    assert run["engine"] == "torch" and requirements("older")[0]["torch"] == "2.7.1"


def test_a_state_dict_of_others_in_another_order(studio, models, client, mlflow_server, tmp_path):
    """Names and order are the file's own: tensors are found by the layer they belong to."""
    import mlflow
    import torch

    state = torch.load(models / "simple_nn.pth", weights_only=True)
    order = {"net.2.bias": "fc2.bias", "net.0.bias": "fc1.bias", "net.2.weight": "fc2.weight", "net.0.weight": "fc1.weight"}
    torch.save({name: state[ours] for name, ours in order.items()}, tmp_path / "theirs.pth")
    studio("register", tmp_path / "theirs.pth", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", "theirs")
    pixels = np.random.default_rng(3).random((5, 784), dtype=np.float32)
    assert np.abs(mlflow.pyfunc.load_model("models:/theirs/1").predict(pixels) - logits_of(models, pixels)).max() < 1e-5


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
    ("sqlite:///m.db", '"sqlite" is a database: start `mlflow server'),
    ("postgresql+psycopg2://u:secret@h/db", "is a database"),
    ("mysql://u:secret@h/db", "is a database"),
    ("databricks", "is a Databricks workspace"),
    ("databricks://profile", "is a Databricks workspace"),
    ("azureml://westeurope.api.azureml.ms/mlflow/v1.0/subscriptions/x", "is an Azure ML workspace: register in Azure ML instead"),
    ("file:///tmp/mlruns", "is a folder"),
    ("./mlruns", "is a folder"),
    ("ftp://host", "is not an http address"),
])
def test_an_address_that_will_not_do(studio, models, uri, words):
    result = studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", uri, status=2)
    assert words in result.stderr and "secret" not in result.stderr


@pytest.mark.parametrize("name", ["a/b", "a:b", "it's", " ", "..", "x" * 256])
def test_a_name_that_mlflow_refuses(studio, models, mlflow_server, name):
    assert "is not a valid model name in MLflow" in studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", name, status=2).stderr


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


# ---- a refusal late in the steps leaves nothing half-done

DENIED = {"code": 403, "body": b'{"error_code":"PERMISSION_DENIED","message":"no"}'}


def test_a_refusal_after_the_run_marks_it_and_takes_the_empty_model_back(studio, models, client, door):
    name = "late"
    door.fail(r"^POST .*model-versions/create", "status", times=99, **DENIED)
    first = studio(*words_for(name, models), "--tag", "stage=wrong", "--tag", "only=first", status=1)
    experiment = client.get_experiment_by_name(name)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FAILED" and f"(the run {run.info.run_id} is marked FAILED; the next try continues it)" in first.stderr
    assert [model.name for model in client.search_registered_models() if model.name == name] == []
    door.reset()
    assert_whole(client, studio(*words_for(name, models), "--tag", "stage=right"), name)
    tags = client.get_run(run.info.run_id).data.tags
    assert tags["stage"] == "right" and "only" not in tags and "mlflow.source.name" in tags
    (version,) = client.search_model_versions(f"name='{name}'")
    assert version.tags["stage"] == "right"


def test_a_corrected_tag_reaches_a_version_that_was_made(studio, models, client, door):
    name = "corrected"
    door.fail(r"^GET .*model-versions/get", "status", times=99, **DENIED)
    studio(*words_for(name, models), "--tag", "stage=wrong", "--tag", "only=first", status=1)
    door.reset()
    assert_whole(client, studio(*words_for(name, models), "--tag", "stage=right"), name)
    (version,) = client.search_model_versions(f"name='{name}'")
    assert version.tags["stage"] == "right" and "only" not in version.tags


def test_a_model_that_was_there_stays(studio, models, client, door):
    client.create_registered_model("was_there")
    door.fail(r"^POST .*model-versions/create", "status", times=99, **DENIED)
    studio(*words_for("was_there", models), status=1)
    assert client.get_registered_model("was_there").name == "was_there"


def test_a_run_that_cannot_be_closed_is_named(studio, models, client, door):
    door.fail(r"^PUT .*/model/MLmodel", "status", times=99, **DENIED)
    door.fail(r"^POST .*runs/update", "status", times=99, code=503, body=b"")
    result = studio(*words_for("open", models), status=1)
    (run,) = client.search_runs([client.get_experiment_by_name("open").experiment_id])
    assert f"(the run {run.info.run_id} stays open there)" in result.stderr


def test_ctrl_c_closes_the_run(binary, models, client, door, tmp_path):
    arrived, ended = threading.Event(), threading.Event()

    def hold(line):
        if "/model/data/" in line:
            arrived.set()
            ended.wait(20)

    door.hook = hold
    process = subprocess.Popen([binary, *words_for("stopped", models)], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert arrived.wait(60)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    ended.set()
    assert process.returncode == 130 and "is marked KILLED" in told
    (run,) = client.search_runs([client.get_experiment_by_name("stopped").experiment_id])
    assert run.info.status == "KILLED"


def test_an_experiment_that_takes_no_upload_is_refused_first(studio, models, client, door, tmp_path):
    client.create_experiment("elsewhere", artifact_location=f"file://{tmp_path}/there")
    result = studio(*words_for("elsewhere", models), status=1)
    assert "leaves their upload to clients" in result.stderr
    assert not any("create" in line for line in door.log), "nothing was made"


@pytest.mark.parametrize("tag, words", [
    ("a$b=1", "does not allow the tag name"), ("/a=1", "does not allow the tag name"), ("a/../b=1", "does not allow the tag name"),
    ("k" * 251 + "=1", "does not allow the tag name"), ("k=" + "v" * 5001, "has 5001 bytes: MLflow allows 5000"),
])
def test_a_tag_that_mlflow_refuses_is_refused_before_any_request(studio, models, door, tag, words):
    result = studio(*words_for("tags", models), "--tag", tag, status=2)
    assert words in result.stderr and door.log == []


def test_our_rules_for_tags_are_mlflows(studio, models, client, door):
    """What the studio lets through the real server takes, and what it refuses the server refuses."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import _validate_tag_name

    for key in ("a", "a b", "a.b-c/d:e", "größe", "_x", "a$b", "a/../b", "/a", "a//b", "./a", "a/", "..", "a\tb"):
        try:
            _validate_tag_name(key)
            theirs = True
        except MlflowException:
            theirs = False
        result = studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", "http://127.0.0.1:9", "--tag", f"{key}=1", status=None)
        assert ("does not allow the tag name" not in result.stderr) == theirs, key


# ---- who may: what the server says decides the advice


def list_models(studio, address, status=0, *more):
    return studio("registry", "list", "--from", "mlflow", "--tracking-uri", address, *more, status=status).stderr


@pytest.fixture
def nobody(monkeypatch, tmp_path):
    for name in ("TOKEN", "USERNAME", "PASSWORD", "URI"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


def test_basic_authentication(studio, mlflow_auth, nobody, tmp_path):
    assert "HTTP 401: set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD" in list_models(studio, mlflow_auth, 1)
    nobody.setenv("MLFLOW_TRACKING_TOKEN", "token-that-nobody-may-see")
    assert "wants a user and a password, not a token" in list_models(studio, mlflow_auth, 1)
    nobody.setenv("MLFLOW_TRACKING_USERNAME", rig.MLFLOW_ADMIN[0])
    nobody.setenv("MLFLOW_TRACKING_PASSWORD", "wrong-one-1234")
    words = list_models(studio, mlflow_auth, 1)
    assert "(user admin): the server does not accept this user and password" in words and "wrong-one" not in words
    nobody.setenv("MLFLOW_TRACKING_PASSWORD", rig.MLFLOW_ADMIN[1])
    assert list_models(studio, mlflow_auth) == "no model is registered in MLflow\n"


def test_the_credentials_file(studio, mlflow_auth, nobody, tmp_path):
    from mlflow.utils.credentials import read_mlflow_creds

    file = tmp_path / ".mlflow" / "credentials"
    file.parent.mkdir()
    for text in (
        f"[mlflow]\nmlflow_tracking_username = {rig.MLFLOW_ADMIN[0]}\nmlflow_tracking_password = {rig.MLFLOW_ADMIN[1]}\n",
        f"# ours\n[other]\nmlflow_tracking_username = x\n[mlflow]\nMLFLOW_TRACKING_USERNAME: {rig.MLFLOW_ADMIN[0]}\r\nmlflow_tracking_password={rig.MLFLOW_ADMIN[1]}",
    ):
        file.write_text(text)
        creds = read_mlflow_creds()
        assert (creds.username, creds.password) == rig.MLFLOW_ADMIN, "the reference reads it so"
        list_models(studio, mlflow_auth)
    nobody.setenv("MLFLOW_TRACKING_USERNAME", "somebody")  # the environment wins, member by member
    assert "(user somebody): the server does not accept" in list_models(studio, mlflow_auth, 1)


def test_a_user_without_the_right(studio, models, mlflow_auth, nobody):
    def ask(path, body):
        secret = base64.b64encode(":".join(rig.MLFLOW_ADMIN).encode()).decode()
        request = urllib.request.Request(f"{mlflow_auth}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json", "Authorization": f"Basic {secret}"})
        urllib.request.urlopen(request).close()

    ask("users/create", {"username": "reader", "password": "reader-password-1234"})
    ask("experiments/create", {"name": "closed"})
    nobody.setenv("MLFLOW_TRACKING_USERNAME", "reader")
    nobody.setenv("MLFLOW_TRACKING_PASSWORD", "reader-password-1234")
    result = studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", mlflow_auth, "--name", "m", "--experiment", "closed", status=1)
    assert "HTTP 403 (user reader): this user has no permission for it: ask the server's administrator" in result.stderr


def test_a_name_that_the_server_does_not_answer_to(studio, mlflow_server, nobody):
    version = urllib.request.urlopen(mlflow_server + "/version", timeout=60).read().decode()
    if version.startswith("2."):
        pytest.skip(f"MLflow {version} checks no host names")
    port = urllib.parse.urlsplit(mlflow_server).port
    assert "the server does not answer to this name: start it with --allowed-hosts" in list_models(studio, f"http://mlflow.localhost:{port}", 1)


def test_plain_http_to_another_machine_is_chosen_outright(studio, nobody):
    assert "unless --insecure-http" in list_models(studio, "http://192.0.2.1:5000", 2)
    nobody.setenv("http_proxy", "http://127.0.0.1:9")  # nothing leaves this machine
    nobody.setenv("NNSTUDIO_RETRY_BASE", "0.01")
    assert "no answer from http://192.0.2.1:5000" in list_models(studio, "http://192.0.2.1:5000", 1, "--insecure-http")


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_is_used(studio, nobody, variable):
    """The proxy is asked for the server; what it answers does not matter here."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        def serve():
            while True:
                try:
                    connection, _ = proxy.accept()
                except OSError:
                    return
                asked.append(connection.recv(4096).decode().splitlines()[0])
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        nobody.setenv(variable, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        nobody.setenv("NNSTUDIO_RETRY_BASE", "0.01")
        list_models(studio, "https://mlflow.example", 1)
    assert asked[0] == "CONNECT mlflow.example:443 HTTP/1.1"


@pytest.mark.parametrize("variable", ["NNSTUDIO_CA_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_bundle_of_certificates(studio, mlflow_server, certificate, nobody, variable):
    port = urllib.parse.urlsplit(mlflow_server).port
    proxy = faults.Proxy(lambda path: (port, False), certificate)
    for name in ("NNSTUDIO_CA_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        nobody.delenv(name, raising=False)
    try:
        assert "certificate" in list_models(studio, f"https://localhost:{proxy.port}", 1)
        nobody.setenv(variable, str(certificate[0]))
        list_models(studio, f"https://localhost:{proxy.port}")
    finally:
        proxy.shutdown()
        proxy.server_close()


def test_a_server_under_a_prefix_behind_tls_and_a_password(studio, models, mlflow_auth, certificate, nobody, tmp_path):
    """A reverse proxy gives the server a part of its addresses: all of a registration goes there, and comes back."""
    import mlflow

    port = urllib.parse.urlsplit(mlflow_auth).port
    proxy = faults.Proxy(lambda path: (port, False), certificate, prefix="/team/mlflow")
    uri = f"https://localhost:{proxy.port}/team/mlflow"
    for name, value in zip(("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"), rig.MLFLOW_ADMIN):
        nobody.setenv(name, value)
    nobody.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    try:
        made = json.loads(studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", uri + "/", "--name", "prefixed", "--json").stdout.splitlines()[-1])
        assert made["place"] == uri and made["link"].startswith(uri + "/#/models/prefixed/")
        assert mlflow.MlflowClient(uri).get_model_version("prefixed", made["version"]).tags["sha256"] == made["sha256"]
        studio("registry", "pull", "prefixed", "--from", "mlflow", "--tracking-uri", uri, "--out", tmp_path / "back")
        assert (tmp_path / "back" / "simple_nn.pth").read_bytes() == (models / "simple_nn.pth").read_bytes()
        assert all(line.split()[1].startswith("/team/mlflow/") for line in proxy.log), proxy.log
    finally:
        proxy.shutdown()
        proxy.server_close()
