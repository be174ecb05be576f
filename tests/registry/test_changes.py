"""Working with what is registered: aliases, tags, descriptions, archiving, deleting, comparing, promoting, at every target as far
as it can; read back by Microsoft's and MLflow's own clients."""

import json
import threading

import pytest
from test_home import TARGETS, place  # noqa: F401
from test_sdk import client, loopback_names  # noqa: F401

ALIASES = {"local", "mlflow"}


@pytest.fixture
def work(studio, models, place, request):  # noqa: F811
    """work(target): registers two versions of a model there, and gives a function that runs `registry` on it."""

    def begin(target, name):
        where = ["--from", target, *place(target)]
        for ending in ("pth", "h5"):
            studio("register", models / f"simple_nn.{ending}", "--to", target, "--name", name, "--tag", f"ending={ending}", *place(target))

        def registry(verb, *words, status=0):
            result = studio("registry", verb, name, *words, *where, "--json", status=status)
            return [json.loads(line) for line in result.stdout.splitlines()] if status == 0 else result.stderr

        return registry

    return begin


@pytest.mark.parametrize("target", TARGETS)
def test_each_change_is_there_afterwards(work, target):
    registry = work(target, f"changed_here_{target}")
    (told,) = registry("tag", "stage=exam", "--version", "1")
    assert told["tags"]["stage"] == "exam" and told["tags"]["ending"] == "pth" and told["version"] == "1"
    (told,) = registry("tag", "stage=exam 2", "--version", "1")
    assert told["tags"]["stage"] == "exam 2"
    (told,) = registry("tag", "ending", "--remove", "--version", "1")
    assert "ending" not in told["tags"] and "sha256" in told["tags"]
    assert "no tag" in registry("tag", "ending", "--remove", "--version", "1", status=1)
    assert "checked against it" in registry("tag", "sha256=0", status=2) and registry("tag", "sha256", "--remove", status=2)
    (told,) = registry("describe", 'Über "digits"\nand more', "--version", "1")
    assert told["description"] == 'Über "digits"\nand more'
    if target in ALIASES:
        registry("alias", "champion", "--version", "2")
        (told,) = registry("alias", "champion", "--version", "1")  # it moves
        assert told["aliases"] == ["champion"] and registry("show", "--version", "@champion")[0]["version"] == "1"
        assert {row["version"]: row["aliases"] for row in registry("list")} == {"1": ["champion"], "2": []}
        (told,) = registry("alias", "champion", "--remove")
        assert (told["version"], told["aliases"]) == ("1", [])
        registry("show", "--version", "@champion", status=1)
        for bad in ("latest", "v7", "12", "a b", ""):
            assert registry("alias", bad, status=2)
        registry("alias", "champion", "--version", "2")
    else:
        assert "cannot set an alias: there you can set a tag" in registry("alias", "champion", status=2)
        assert "has no aliases" in registry("show", "--version", "@champion", status=2)
    # the latest is the newest that is not archived
    assert registry("show")[0]["version"] == "2"
    (told,) = registry("archive", "--version", "2")
    assert told["archived"] is True and registry("show")[0]["version"] == "1"
    assert {row["version"]: row["archived"] for row in registry("list")} == {"1": False, "2": True}
    (told,) = registry("restore", "--version", "2")
    assert told["archived"] is False and registry("show")[0]["version"] == "2"
    # deleting is asked twice
    assert 'confirm it with "changed_here_' in registry("delete", "--version", "2", status=2)
    registry("delete", "--version", "2", "--confirm", f"changed_here_{target}:1", status=2)
    assert "needs its number" in registry("delete", status=2)
    assert registry("delete", "--version", "2", "--confirm", f"changed_here_{target}:2") == [{"deleted": f"changed_here_{target}:2"}]
    registry("show", "--version", "2", status=1)
    registry("delete", "--version", "2", "--confirm", f"changed_here_{target}:2", status=1)
    (left,) = registry("list")
    assert left["version"] == "1" and left["tags"]["stage"] == "exam 2" and left["description"] == 'Über "digits"\nand more'


def test_a_deleted_local_number_is_not_given_again(work, studio, models, home):
    registry = work("local", "numbers")
    registry("alias", "old", "--version", "2")
    registry("delete", "--version", "2", "--confirm", "numbers:2")
    registry("show", "--version", "@old", status=1)
    studio("register", models / "simple_nn.pth", "--name", "numbers")
    assert [row["version"] for row in registry("list")] == ["3", "1"]
    # a version itself never changes: what was changed stands beside it
    before = (home / "registry" / "numbers" / "1" / "model.json").read_bytes()
    threads = [threading.Thread(target=registry, args=("tag", f"key{i}=v", "--version", "1")) for i in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    (told,) = registry("show", "--version", "1")
    assert {f"key{i}" for i in range(8)} <= set(told["tags"])
    assert (home / "registry" / "numbers" / "1" / "model.json").read_bytes() == before
    assert "not UTF-8" in studio("registry", "tag", "numbers", b"k=\xff".decode("latin-1").encode("latin-1").decode("utf-8", "surrogateescape"), status=2).stderr


def test_mlflows_own_client_sees_the_changes(work, mlflow_server):
    import mlflow

    registry = work("mlflow", "seen_by_mlflow")
    registry("alias", "champion", "--version", "1")
    registry("tag", "stage=exam", "--version", "1")
    registry("describe", "digits", "--version", "1")
    registry("archive", "--version", "2")
    theirs = mlflow.MlflowClient(mlflow_server)
    version = theirs.get_model_version_by_alias("seen_by_mlflow", "champion")
    assert (version.version, version.tags["stage"], version.description) in {("1", "exam", "digits"), (1, "exam", "digits")}
    assert theirs.get_model_version("seen_by_mlflow", "2").current_stage == "Archived"
    theirs.set_registered_model_alias("seen_by_mlflow", "theirs", "2")
    assert registry("show", "--version", "@theirs")[0]["version"] == "2"


def test_microsofts_own_client_sees_the_changes(work, cloud, client):  # noqa: F811
    registry = work("azure", "seen_by_azure")
    registry("tag", "stage=exam", "--version", "1")
    registry("describe", "digits", "--version", "1")
    version = client.models.get("seen_by_azure", "1")
    assert (version.tags["stage"], version.tags["ending"], version.description) == ("exam", "pth", "digits")
    registry("archive", "--version", "1")
    assert [version.version for version in client.models.list("seen_by_azure")] == ["2"]
    client.models.restore("seen_by_azure", "1")
    assert {row["version"]: row["archived"] for row in registry("list")} == {"1": False, "2": False}


def test_a_right_that_is_missing_is_named(work, cloud):
    registry = work("azure", "no_rights")
    cloud.azure.permissions = [{"actions": ["*/read"], "notActions": []}]
    assert "models/versions/write" in registry("tag", "a=b", status=1)
    assert "models/versions/delete" in registry("delete", "--version", "1", "--confirm", "no_rights:1", status=1)
    assert "a" not in cloud.azure.models["no_rights"]["1"]["properties"]["tags"]


def test_two_versions_compared(studio, home, tmp_path):
    for lr in ("0.1", "0.01"):
        studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", "320", "--epochs", "1", "--lr", lr, "--out", tmp_path / lr)
        studio("register", tmp_path / lr / "simple_nn.safetensors", "--name", "m")
    words = ["registry", "compare", "m", "1", "2"]
    found = json.loads(studio(*words, "--json").stdout)
    rows = {(row["group"], row["key"]): (row["a"], row["b"]) for row in found["differences"]}
    assert found["runs_known"] and not found["same_file"]
    assert rows["setting", "lr"] == ("0.1", "0.01") and ("setting", "epochs") not in rows
    assert rows["file", "sha256"] == (found["a"]["sha256"], found["b"]["sha256"]) and ("metric", "loss") in rows
    assert "0.01" in studio(*words).stdout
    assert json.loads(studio("registry", "compare", "m", "1", "1", "--json").stdout)["differences"] == []
    elsewhere = json.loads(studio("registry", "compare", "m", "1", "2", "--json").stdout)
    assert elsewhere == found
    studio("registry", "compare", "m", "1", "9", status=1)


def test_promoted_from_this_machine_to_azure_and_mlflow(studio, models, cloud, mlflow_server):
    studio("register", models / "simple_nn.pth", "--name", "up", "--description", "digits")
    made = studio("registry", "tag", "up", "stage=exam")
    azure = json.loads(studio("registry", "promote", "up", "--to", "azure", "--config", cloud.config, "--json").stdout)
    assert (azure["target"], azure["version"], azure["tags"]["stage"], azure["tags"]["promoted_from"]) == ("azure", "1", "exam", "local up:1")
    words = ["--from", "azure", "--config", cloud.config, "--to", "mlflow", "--tracking-uri", mlflow_server, "--json"]
    mlflow = json.loads(studio("registry", "promote", "up", *words).stdout)
    assert (mlflow["target"], mlflow["description"], mlflow["tags"]["promoted_from"]) == ("mlflow", "digits", "azure up:1")
    assert mlflow["sha256"] == azure["sha256"] and made.returncode == 0
    assert "where it is already" in studio("registry", "promote", "up", "--to", "local", status=2).stderr
    assert "--experiment" in studio("registry", "promote", "up", "--to", "azure", "--experiment", "x", status=2).stderr
