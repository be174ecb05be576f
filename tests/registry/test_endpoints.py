"""nnstudio endpoint: a registered version becomes an online endpoint; cut at any request it is taken up again, and what is there is
always listed."""

import json
import os
import re
import subprocess
import threading

import faults
import numpy as np
import pytest
from test_faults import SECRETS
from test_home import STROKE, png
from test_mlflow import logits_of

MODEL = "served"


@pytest.fixture
def registered(studio, cloud, models):
    studio("register", models / "simple_nn.safetensors", "--to", "azure", "--config", cloud.config, "--name", MODEL)
    for door in cloud.doors:
        door.reset()
    return cloud


def endpoint(studio, cloud, *words, status=0):
    result = studio("endpoint", *words, "--config", cloud.config, "--json", status=status)
    assert not SECRETS.search(result.stdout + result.stderr), result.stdout + result.stderr
    return result


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_from_a_version_to_an_answer_and_away_again(studio, registered, home, tmp_path):
    cloud, made = registered, registered.azure.endpoints.made
    result = endpoint(studio, cloud, "create", MODEL, status=2)
    assert "Azure bills each machine by the hour" in result.stderr and "--yes" in result.stderr
    assert made == [] and not list((home / "endpoints").glob("*.json"))
    *steps, end = lines(endpoint(studio, cloud, "create", MODEL, "--instances", 2, "--yes"))
    assert [step["step"] for step in steps if step["event"] == "step"][-1] == 7
    name = end["endpoint"]
    assert re.fullmatch(r"served-[0-9a-f]{6}", name) and end["instances"] == 2
    assert end["test"]["same"] and end["test"]["max_difference"] < 1e-5
    assert end["test"]["sample"].startswith("the first test sample of Built-in synthetic digits")
    assert [line.split("/")[0] for line in made] == ["codes", "environments", "endpoint", "deployment"]
    (row,) = lines(endpoint(studio, cloud, "list"))
    assert (row["endpoint"], row["state"], row["billed"], row["made_here"]) == (name, "Succeeded", 2, True)
    assert (row["model"], row["version"]) == (MODEL, "1")
    assert row["deployments"] == [{"name": "blue", "state": "Succeeded", "instance_type": "Standard_DS3_v2", "instances": 2, "traffic": 100}]
    # a second one of the same version is nothing that happens by chance
    assert f"{name} has version 1 of {MODEL} already" in endpoint(studio, cloud, "create", MODEL, "--yes", status=1).stderr
    (tmp_path / "stroke.png").write_bytes(png(STROKE))
    (tested,) = lines(endpoint(studio, cloud, "test", name, tmp_path / "stroke.png"))
    predicted = json.loads(studio("predict", MODEL, tmp_path / "stroke.png", "--from", "azure", "--config", cloud.config, "--json").stdout)
    assert tested["class"] == predicted["class"] and tested["same"]
    assert "Container logs" in lines(endpoint(studio, cloud, "logs", name))[0]["text"]
    cloud.azure.endpoints.answers = lambda rows: [[0.0] * 9 + [50.0] for _ in rows]
    assert "do not use it" in endpoint(studio, cloud, "test", name, status=1).stderr
    cloud.azure.endpoints.answers = None
    assert "--yes" in endpoint(studio, cloud, "delete", name, status=2).stderr
    endpoint(studio, cloud, "delete", name, "--yes")
    assert cloud.azure.endpoints.endpoints == {} and not list((home / "endpoints").glob("*.json"))
    assert f"has no endpoint {name}" in endpoint(studio, cloud, "delete", name, "--yes", status=1).stderr
    # the script and the environment are found again
    endpoint(studio, cloud, "create", MODEL, "--name", "again", "--yes")
    assert [line for line in made if line.startswith(("codes", "env"))] == made[:2]


# Every request of a creation that changes something in Azure: where it is cut.
CUTS = {
    "place": ("arm", r"startPendingUpload"),
    "script": ("blob", r"^PUT .*/score\.py\?(?!comp)"),
    "mark": ("blob", r"^PUT .*/score\.py\?comp=metadata"),
    "code": ("arm", r"^PUT .*/codes/"),
    "environment": ("arm", r"^PUT .*/environments/"),
    "endpoint": ("arm", r"^PUT .*/onlineEndpoints/[^/]+\?"),
    "endpoint-wait": ("arm", r"^GET .*/mfeOperationsStatus/"),
    "deployment": ("arm", r"^PUT .*/deployments/"),
    "deployment-wait": ("arm", r"^GET .*/mfeOperationsStatus/"),
    "traffic": ("arm", r"^PUT .*/onlineEndpoints/[^/]+\?"),
    "key": ("arm", r"listKeys"),
    "test": ("entra", r"^POST /score"),
}
MADE_FROM = list(CUTS).index("endpoint")


def kill_at(cloud, words, cwd, door, match, moment):
    """SIGKILL when the request arrives, or when it was done and its answer is on the way."""
    arrived, ended = threading.Event(), threading.Event()

    def meet(line):
        if re.search(match, line):
            arrived.set()
            ended.wait(60)

    setattr(getattr(cloud, door), moment, meet)
    process = subprocess.Popen(words, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert arrived.wait(60), f"there was no request {match}"
        process.kill()
    finally:
        process.kill()
        process.wait()
        ended.set()
    faults.wait_for_quiet(*cloud.doors)
    for each in cloud.doors:
        each.reset()


# Killed when a request arrives, or when it was done behind; in turn, unless there is time for all.
MOMENTS = [["hook"], ["after"]] if os.environ.get("NNSTUDIO_KILL_ALL") else [["hook", "after"]]


@pytest.mark.parametrize("moments", MOMENTS)
def test_killed_at_each_step_the_next_one_goes_on(binary, studio, registered, tmp_path, monkeypatch, moments):
    """Nothing is made twice, and what runs is listed all the time."""
    cloud, azure = registered, registered.azure.endpoints
    if len(MOMENTS) == 1:  # hundreds of requests of the forms that the test above had checked: straight to the stand-in
        monkeypatch.setattr(cloud.arm, "route", lambda path: (cloud.ports["plain"], False))
    words = [str(w) for w in (binary, "endpoint", "create", MODEL, "--yes", "--json", "--config", cloud.config)]
    for at, (cut, (door, match)) in enumerate(CUTS.items()):
        kill_at(cloud, words, tmp_path, door, match, moments[at % len(moments)])
        rows = lines(endpoint(studio, cloud, "list"))
        assert len(rows) == 1 and rows[0]["made_here"], f"after {cut}: {rows}"
        assert rows[0]["billed"] == sum(len(one["_deployments"]) for one in azure.endpoints.values()), cut
        assert {row["endpoint"] for row in rows} >= set(azure.endpoints)
        if at < MADE_FROM:
            assert rows[0]["state"] == "not made yet"
    end = lines(endpoint(studio, cloud, "create", MODEL, "--yes"))[-1]
    assert end["test"]["same"]
    kinds = [line.split("/")[0] for line in azure.made]
    assert kinds == ["codes", "environments", "endpoint", "deployment"], azure.made
    # a deletion that was cut goes on, too
    words[2:4] = ["delete", end["endpoint"]]
    kill_at(cloud, words, tmp_path, "arm", r"^DELETE ", moments[0])
    assert [row["endpoint"] for row in lines(endpoint(studio, cloud, "list"))] == [end["endpoint"]]
    endpoint(studio, cloud, "delete", end["endpoint"], "--yes")
    assert azure.endpoints == {} and lines(endpoint(studio, cloud, "list")) == []


def test_a_failed_deployment_shows_its_logs_and_is_made_anew(studio, registered):
    cloud, azure = registered, registered.azure.endpoints
    azure.fails = [("ResourceNotReady", "User container has crashed or terminated.")]
    result = endpoint(studio, cloud, "create", MODEL, "--yes", status=1)
    (name,) = azure.endpoints
    assert "step 5 of 7: deploying the model: Azure says Failed ResourceNotReady: User container has crashed" in result.stderr
    assert f"the endpoint {name} is kept and its machines are billed until it is deleted" in result.stderr
    assert "FileNotFoundError" in lines(result)[-1]["text"] and lines(result)[-1]["event"] == "logs"
    (row,) = lines(endpoint(studio, cloud, "list"))
    assert row["deployments"][0]["state"] == "Failed" and row["billed"] == 1
    assert "was begun with 1 × Standard_DS3_v2" in endpoint(studio, cloud, "create", MODEL, "--instances", 3, "--yes", status=1).stderr
    azure.refuses = ["Not enough quota available for Standard_DS3_v2. Current usage/limit: 0/6. Additional needed: 8"]
    result = endpoint(studio, cloud, "create", MODEL, "--yes", status=1)
    assert "Current usage/limit: 0/6" in result.stderr and "or ask for more quota" in result.stderr
    assert lines(endpoint(studio, cloud, "create", MODEL, "--yes"))[-1]["endpoint"] == name


def test_stopped_while_azure_works_it_says_what_is_kept(binary, studio, registered, tmp_path):
    cloud, azure = registered, registered.azure.endpoints
    azure.pause = 30000
    words = [str(w) for w in (binary, "endpoint", "create", MODEL, "--yes", "--json", "--config", cloud.config)]
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if json.loads(line).get("step") == 4:
            break
    while not azure.endpoints:
        assert process.poll() is None
    process.terminate()
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130 and "try again to go on, or delete it" in told
    azure.pause = 0
    assert lines(endpoint(studio, cloud, "create", MODEL, "--yes"))[-1]["test"]["same"]
    assert len([line for line in azure.made if line.startswith("endpoint/")]) == 1


def test_names_that_are_not_ours_and_words_that_cannot_be(studio, registered):
    cloud, azure = registered, registered.azure.endpoints
    azure.taken = {"taken"}
    result = endpoint(studio, cloud, "create", MODEL, "--name", "taken", "--yes", status=1)
    assert "There is already an endpoint with this name" in result.stderr and "another name" in result.stderr
    endpoint(studio, cloud, "create", MODEL, "--name", "mine", "--yes")
    azure.endpoints["mine"]["tags"] = {"made": "elsewhere"}
    for path in (registered.config.parent / "home" / "endpoints").glob("*.json"):
        path.unlink()
    assert "was not made here" in endpoint(studio, cloud, "create", MODEL, "--name", "mine", "--yes", status=1).stderr
    for wrong, said in ({"--name": "9lives"}, "not a valid endpoint name"), ({"--instances": "21"}, "out of range (1 to 20)"), ({"--instance-type": "big one"}, "not a valid machine size"):
        (option,) = wrong.items()
        assert said in endpoint(studio, cloud, "create", MODEL, *option, "--yes", status=2).stderr
    assert "no model nothing is registered" in endpoint(studio, cloud, "create", "nothing", "--yes", status=1).stderr
    assert "unknown word" in endpoint(studio, cloud, "stop", status=2).stderr


def test_mlflows_folder_needs_no_script(studio, registered, models):
    cloud, azure = registered, registered.azure.endpoints
    studio("register", models / "simple_nn.safetensors", "--to", "azure", "--config", cloud.config, "--name", "folder", "--form", "mlflow")
    azure.answers = lambda rows: logits_of(models, np.array(rows, np.float32)).tolist()
    end = lines(endpoint(studio, cloud, "create", "folder", "--yes"))[-1]
    assert end["test"]["same"]
    properties = azure.endpoints[end["endpoint"]]["_deployments"]["blue"]["properties"]
    assert properties["model"].endswith("/models/folder/versions/1") and not {"codeConfiguration", "environmentId"} & set(properties)
    assert not azure.codes and not azure.environments
