"""Live tracking at a real MLflow server: what it holds is what was trained, once, whatever the server did meanwhile."""

import json
import os
import re
import socket
import subprocess

import faults
import pytest
import standin
from server_help import Server, gone, wait_until
from train_help import children

SMALL = ["train", "--engine", "native", "--dataset", "synthetic", "--limit", "640", "--epochs", "2", "--json"]


def events(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture
def theirs(mlflow_server, monkeypatch):
    """MLflow's own client."""
    import mlflow

    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NNSTUDIO_RETRY_BASE", "0.05")
    monkeypatch.setenv("NNSTUDIO_TRACK_SECONDS", "600")  # a busy machine's server is slow
    mlflow.set_tracking_uri(mlflow_server)
    return mlflow.MlflowClient(mlflow_server)


@pytest.fixture
def door(mlflow_server):
    """The server behind a proxy, where it can be lost."""
    port = int(mlflow_server.rpartition(":")[2])
    proxy = faults.Proxy(lambda path: (port, False))
    proxy.uri = f"http://127.0.0.1:{proxy.port}"
    yield proxy
    proxy.shutdown()


def the_run(client, experiment):
    """The one MLflow run of an experiment."""
    (run,) = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return run


def compare(client, run, told):
    """Every step and epoch that training told is there, once, with all its digits."""
    losses = [loss for event in told if event["event"] == "step" for loss in event["loss"]]
    history = client.get_metric_history(run.info.run_id, "step_loss")
    assert [(point.step, point.value) for point in sorted(history, key=lambda point: point.step)] == list(enumerate(losses))
    epochs = [event for event in told if event["event"] == "epoch"]
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        history = sorted(client.get_metric_history(run.info.run_id, key), key=lambda point: point.step)
        assert [(point.step, point.value) for point in history] == [(event["epoch"], event[key]) for event in epochs]
    at = [point.timestamp for point in client.get_metric_history(run.info.run_id, "step_loss")]
    assert at == sorted(at) and at[-1] >= at[0] >= run.info.start_time - 60_000


def test_a_run_is_followed_to_its_end(studio, theirs, mlflow_server):
    import mlflow
    import numpy as np

    result = studio(*SMALL, "--lr", "0.05", "--track", "mlflow", "--tracking-uri", mlflow_server, "--experiment", "followed")
    told = events(result)
    run = the_run(theirs, "followed")
    assert run.info.status == "FINISHED" and f"runs/{run.info.run_id}" in result.stderr
    assert run.data.params["lr"] == "0.05" and run.data.params["dataset"] == "synthetic"
    assert run.data.tags["engine"] == "native" and run.data.tags["run"] == told[0]["run"]
    compare(theirs, run, told)
    model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    assert model.predict(np.zeros((3, 784), np.float32)).shape == (3, 10)
    # nothing is left to send, and sending it again adds nothing
    assert "nothing waits" in studio("track").stderr
    again = json.loads(studio("track", told[0]["run"], "--json").stdout)
    assert again["complete"] and again["steps"] == again["all_steps"] == 40
    compare(theirs, the_run(theirs, "followed"), told)


def test_several_engines_at_once_have_a_run_each(studio, theirs, mlflow_server):
    words = [word if word != "native" else "native,torch" for word in SMALL]
    told = events(studio(*words, "--parallel", "--track", "mlflow", "--tracking-uri", mlflow_server, "--experiment", "both"))
    runs = theirs.search_runs([theirs.get_experiment_by_name("both").experiment_id])
    assert {run.data.tags["engine"] for run in runs} == {"native", "torch"}
    for run in runs:
        compare(theirs, run, [event for event in told if event.get("engine") == run.data.tags["engine"]])


def test_a_server_that_dies_in_between(studio, theirs, door):
    """Gone after the first batches: training goes on, and what is missing is sent by the next start."""
    words = ["--track", "mlflow", "--tracking-uri", door.uri, "--experiment", "died"]
    door.fail("POST .*log-batch", "lost", times=1)  # taken, but the answer never came
    door.fail(".*", "status", times=10**6, skip=6, code=503)
    result = studio(*SMALL, *words)
    told = events(result)
    assert told[-1]["event"] == "summary" and [event["state"] for event in told if event["event"] == "end"] == ["finished"]
    assert re.search(r"\d+ of 40 steps are at the tracking server.*nnstudio track 2", result.stderr)
    door.reset()
    second = events(studio(*SMALL, "--seed", "3", *words))
    assert json.loads(studio("track", told[0]["run"], "--json").stdout)["complete"]
    runs = {run.data.tags["run"]: run for run in theirs.search_runs([theirs.get_experiment_by_name("died").experiment_id])}
    assert set(runs) == {told[0]["run"], second[0]["run"]} and {run.info.status for run in runs.values()} == {"FINISHED"}
    for lines in (told, second):
        compare(theirs, runs[lines[0]["run"]], lines)
    assert "nothing waits" in studio("track").stderr


@pytest.mark.parametrize("server", ["nobody", "refuses", "silent"])
def test_a_server_that_is_not_there_costs_the_training_nothing(studio, theirs, door, monkeypatch, server):
    monkeypatch.setenv("NNSTUDIO_TRACK_SECONDS", "2")
    with socket.socket() as listener:  # takes connections and never answers
        listener.bind(("127.0.0.1", 0))
        if server == "silent":
            listener.listen()
        uri = door.uri if server == "refuses" else f"http://127.0.0.1:{listener.getsockname()[1]}"
        door.fail(".*", "status", times=10**6, code=403, body=b'{"error_code": "PERMISSION_DENIED", "message": "no"}')
        result = studio(*SMALL, "--track", "mlflow", "--tracking-uri", uri, timeout=120)
    assert [event["state"] for event in events(result) if event["event"] == "end"] == ["finished"]
    assert "steps are at the tracking server" in result.stderr and "nnstudio track" in result.stderr


def test_an_older_run_is_sent_and_a_run_that_goes_on_stays_one(studio, theirs, mlflow_server):
    told = events(studio(*SMALL))
    run = told[0]["run"]
    sent = json.loads(studio("track", run, "--tracking-uri", mlflow_server, "--experiment", "older", "--json").stdout)
    assert sent["complete"] is True and sent["link"].endswith(the_run(theirs, "older").info.run_id)
    compare(theirs, the_run(theirs, "older"), told)
    more = events(studio("train", "--resume", run, "--epochs", "3", "--json", "--track", "mlflow", "--tracking-uri", mlflow_server, "--experiment", "older"))
    compare(theirs, the_run(theirs, "older"), told + more)
    assert the_run(theirs, "older").info.status == "FINISHED"


def test_an_azure_workspace_is_a_tracking_server(studio, theirs, cloud, mlflow_server, home, tmp_path):
    """Its tokens, its address, its storage; each token ends after some requests, and a new one is asked for meanwhile."""
    import mlflow
    import numpy as np

    cloud.azure.tracking.server, cloud.azure.tracking.uses = mlflow_server, 3
    told = events(studio(*SMALL, "--track", "azureml", "--experiment", "in the workspace"))  # config.json is in this folder
    run = the_run(theirs, "in the workspace")
    compare(theirs, run, told)
    assert run.info.status == "FINISHED" and run.data.params["dataset"] == "synthetic" and run.data.tags["engine"] == "native"
    assert cloud.azure.tracking.refused >= 1, "no token has ended"
    kept = json.loads((home / "runs" / told[0]["run"] / "tracking.json").read_text())
    assert kept["uri"] == f"azureml:{standin.SCOPE}" and kept["link"] == f"https://portal.localhost/runs/{run.info.run_id}?wsid={standin.SCOPE}"
    assert "eyJ" not in json.dumps(kept) and kept["complete"] and "model" not in kept
    # the model's folder is in the workspace's storage
    prefix = f"ExperimentRun/dcid.{run.info.run_id}/"
    for blob in cloud.blob_client().list_blobs(name_starts_with=prefix):
        file = tmp_path / "theirs" / blob.name.removeprefix(prefix)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(cloud.blob_client().download_blob(blob.name).readall())
    assert mlflow.pyfunc.load_model(str(tmp_path / "theirs" / "model")).predict(np.zeros((3, 784), np.float32)).shape == (3, 10)
    # a workspace that is lost costs the training nothing, and gets the rest later; its own address names it as well
    cloud.entra.fail("/mlflow/", "status", times=10**6, code=503, body=b"{}")
    os.environ["NNSTUDIO_TRACK_SECONDS"] = "1"  # monkeypatched by `theirs`
    lost = events(studio(*SMALL, "--seed", "3", "--track", "mlflow", "--tracking-uri", cloud.azure.tracking.uri(), "--experiment", "lost there"))
    assert [event["state"] for event in lost if event["event"] == "end"] == ["finished"]
    cloud.entra.reset()
    assert json.loads(studio("track", lost[0]["run"], "--json", cwd=home).stdout)["complete"]
    compare(theirs, the_run(theirs, "lost there"), lost)
    # registering there is the target azure's
    refused = studio("register", home / "x.pth", "--to", "mlflow", "--tracking-uri", "azureml", status=None)
    assert refused.returncode != 0


def test_a_killed_training_is_sent_as_far_as_it_came(studio, theirs, binary, home, mlflow_server):
    words = [*SMALL[:-3], "--epochs", "100000", "--json", "--track", "mlflow", "--tracking-uri", mlflow_server, "--experiment", "killed"]
    training = subprocess.Popen([binary, *words], stdout=subprocess.PIPE, cwd=home.parent, text=True)
    started = json.loads(training.stdout.readline())
    for line in training.stdout:
        if json.loads(line)["event"] == "epoch":
            break
    workers = children(training.pid)
    training.kill()
    training.wait()
    training.stdout.close()
    wait_until(lambda: all(gone(worker) for worker in workers), 60)  # they end by themselves, and keep what they have done
    sent = json.loads(studio("track", started["run"], "--tracking-uri", mlflow_server, "--experiment", "killed", "--json").stdout)
    run = the_run(theirs, "killed")
    assert sent["complete"] and sent["steps"] >= 20 and run.info.status == "KILLED"
    assert len(theirs.get_metric_history(run.info.run_id, "step_loss")) == sent["steps"]


@pytest.fixture
def page(binary, home, theirs):
    """A studio for a browser."""
    server = Server(binary, home, cwd=home.parent)
    yield server
    server.stop()


SETTINGS = {"dataset": "synthetic", "limit": 640, "epochs": 2}


def curve_there(client, run):
    return [(point.step, point.value) for point in sorted(client.get_metric_history(run.info.run_id, "step_loss"), key=lambda point: point.step)]


def curve_here(page, run):
    points = page.get(f"/api/runs/{run}/points?max=100000")
    return list(zip(points["step"], points["loss"]))


def tracked(page, run, *states):
    """What the studio tells of a run's tracking, once it is in one of the states."""
    told = {}

    def there():
        told.update(page.get(f"/api/runs/{run}/tracking"))
        return told["state"] in states

    wait_until(there, 300)
    return told


def test_runs_of_the_page_are_followed(page, theirs, door):
    """Started, continued, in a showdown; the server is lost in between, and gets the rest when the user says so."""
    track = {"tracking_uri": door.uri, "experiment": "page"}
    assert page.post("/api/tracking-check", track) == {"valid": True, "problem": None}
    run = page.post("/api/runs", {"engine": "native", "settings": SETTINGS, "track": track}, status=201)["id"]
    told = tracked(page, run, "sent")
    there = the_run(theirs, "page")
    assert told["link"].endswith(there.info.run_id) and told["problem"] is None and there.info.status == "FINISHED"
    assert told["steps"] == told["all_steps"] == 40 and curve_there(theirs, there) == curve_here(page, run)
    # one that goes on stays one run; the server is lost meanwhile
    door.fail(".*", "status", times=10**6, code=503)
    page.post(f"/api/runs/{run}/continue", {"epochs": 3})
    assert page.wait(run, "finished")["progress"]["epoch"] == 3
    told = tracked(page, run, "waiting")
    assert "503" in told["problem"] and not told["complete"]
    check = page.post("/api/tracking-check", track)
    assert check["valid"] and "503" in check["problem"]
    door.reset()
    page.post(f"/api/runs/{run}/tracking", status=202)
    assert tracked(page, run, "sent")["steps"] == 60 and curve_there(theirs, the_run(theirs, "page")) == curve_here(page, run)
    # a showdown's runs, each for itself; a run that nobody tracks has nothing to tell
    both = page.post("/api/showdowns", {"engines": ["native", "torch"], "settings": SETTINGS, "track": {**track, "experiment": "duel"}}, status=201)
    for one in both["runs"]:
        assert tracked(page, one["id"], "sent")["steps"] == 40
    assert {one.data.tags["engine"] for one in theirs.search_runs([theirs.get_experiment_by_name("duel").experiment_id])} == {"native", "torch"}
    untracked = page.post("/api/runs", {"engine": "native", "settings": SETTINGS}, status=201)["id"]
    page.wait(untracked, "finished")
    assert page.get(f"/api/runs/{untracked}/tracking")["state"] == "off"


def test_a_studio_that_ends_leaves_the_rest_for_the_next(page, theirs, binary, home, door):
    """Killed while it sends: the next tracked run of the same server takes the rest along."""
    door.fail("POST .*log-batch", "status", times=10**6, code=503)
    track = {"tracking_uri": door.uri, "experiment": "ended"}
    run = page.post("/api/runs", {"engine": "native", "settings": {**SETTINGS, "epochs": 3}, "track": track}, status=201)["id"]
    page.wait(run, "finished")
    page.kill()
    door.reset()
    second = Server(binary, home, cwd=home.parent)
    try:
        assert second.get(f"/api/runs/{run}/tracking")["state"] == "waiting"
        other = second.post("/api/runs", {"engine": "native", "settings": SETTINGS, "track": track}, status=201)["id"]
        assert tracked(second, run, "sent")["steps"] == 60 and tracked(second, other, "sent")["steps"] == 40
        runs = {one.data.tags["run"]: one for one in theirs.search_runs([theirs.get_experiment_by_name("ended").experiment_id])}
        assert set(runs) == {run, other}
        assert curve_there(theirs, runs[run]) == curve_here(second, run)
    finally:
        second.stop()


@pytest.mark.parametrize("uri, says", [
    ("http://user:word@127.0.0.1:1", "password"),
    ("sqlite:///x.db", "a database"),
    ("azureml://westeurope.api.azureml.ms/mlflow/v1.0", "is not that of an Azure ML workspace"),
    (None, "MLFLOW_TRACKING_URI"),
])  # fmt: skip
def test_an_address_that_will_not_do_starts_nothing(page, home, uri, says):
    track = {"tracking_uri": uri} if uri else {}
    check = page.post("/api/tracking-check", track)
    assert not check["valid"] and says in check["problem"]
    for path, more in (("/api/runs", {"engine": "native"}), ("/api/showdowns", {"engines": ["native", "torch"]})):
        assert says in page.post(path, {**more, "settings": SETTINGS, "track": track}, status=400)["error"]["message"]
    assert page.get("/api/runs")["total"] == 0 and not list(home.glob("runs/*"))
    assert page.post("/api/tracking-check", {"tracking_uri": "http://127.0.0.1:1"})["valid"]


def test_no_secret_is_kept(page, theirs, home, mlflow_server, monkeypatch, binary):
    page.stop()
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-that-nobody-may-see")
    second = Server(binary, home, cwd=home.parent)
    try:
        track = {"tracking_uri": mlflow_server, "experiment": "secret"}
        run = second.post("/api/runs", {"engine": "native", "settings": SETTINGS, "track": track}, status=201)["id"]
        tracked(second, run, "sent")
        assert "nobody-may-see" not in json.dumps(second.get("/api/tasks"))
    finally:
        second.stop()
    for path in (path for path in home.rglob("*") if path.is_file()):
        assert b"nobody-may-see" not in path.read_bytes(), path


@pytest.mark.parametrize("words, says", [
    (["--track", "wandb"], "use mlflow or azureml"),
    (["--track", "azureml"], "no config.json"),
    (["--track", "azureml", "--tracking-uri", "http://127.0.0.1:1"], "give --tracking-uri with --track mlflow"),
    (["--track", "mlflow"], "--tracking-uri"),
    (["--tracking-uri", "http://127.0.0.1:1"], "give --track mlflow, too"),
    (["--track", "mlflow", "--tracking-uri", "http://elsewhere.example"], "--insecure-http"),
    (["--track", "mlflow", "--tracking-uri", "http://user:word@127.0.0.1:1"], "password"),
])  # fmt: skip
def test_words_that_will_not_do(studio, home, monkeypatch, words, says):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = studio(*SMALL, *words, status=2)
    assert says in result.stderr and not list(home.glob("runs/*"))
