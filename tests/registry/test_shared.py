"""An Azure ML registry, which workspaces share, as the target `azureml://registries/NAME`: Prism with Microsoft's description, a real
Azurite, and Microsoft's own client reading what is there."""

import hashlib
import json
import re
import subprocess
import threading

import faults
import pytest
import standin
from server_help import wait_until
from test_sdk import loopback_names  # noqa: F401

REGISTRY = "azureml://registries/reg1"


def register(studio, model, *more, status=0, to=REGISTRY):
    result = studio("register", model, "--to", to, "--name", "digits", "--json", *more, status=status)
    return json.loads(result.stdout.splitlines()[-1]) if status == 0 else result


def shown(studio, *words, place=REGISTRY):
    return [json.loads(line) for line in studio("registry", *words, "--from", place, "--json").stdout.splitlines()]


@pytest.fixture
def client(cloud, monkeypatch, loopback_names):  # noqa: F811
    """Microsoft's client, of the registry."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", cloud.environment["NNSTUDIO_CA_FILE"])
    from azure.ai.ml import MLClient
    from azure.identity import ClientSecretCredential

    credential = ClientSecretCredential(
        standin.TENANT, standin.CLIENT, standin.SECRET, authority=cloud.azure.login, disable_instance_discovery=True, connection_verify=cloud.environment["NNSTUDIO_CA_FILE"]
    )
    return MLClient(credential, registry_name="reg1", cloud="LocalCloud")


@pytest.mark.parametrize("form", ["file", "mlflow"])
def test_microsofts_client_reads_and_downloads_what_was_registered(studio, cloud, client, models, tmp_path, form):
    model = models / "simple_nn.pth"
    content = model.read_bytes()
    made = register(studio, model, "--tag", "lecture=3", "--description", "MNIST", "--form", form)
    assert (made["name"], made["version"], made["place"]) == ("digits", "1", "reg1") and made["link"].endswith("/registries/reg1/models/digits/version/1")
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    found = client.models.get("digits", "1")
    assert (found.type, found.description, found.tags["lecture"]) == ({"file": "custom_model", "mlflow": "mlflow_model"}[form], "MNIST", "3")
    assert found.tags["sha256"] == made["sha256"]
    client.models.download("digits", "1", download_path=str(tmp_path / "theirs"))
    assert [path.read_bytes() for path in (tmp_path / "theirs").rglob("simple_nn.pth")] == [content]
    assert form == "file" or list((tmp_path / "theirs").rglob("MLmodel"))
    # and the studio itself: the file, its newest version, all versions
    studio("registry", "pull", "digits", "--from", REGISTRY, "--out", tmp_path / "back")
    assert (tmp_path / "back" / "simple_nn.pth").read_bytes() == content
    assert register(studio, models / "simple_nn.h5")["version"] == "2"
    assert [row["version"] for row in shown(studio, "list", "digits")] == ["2", "1"]
    assert sorted(row.version for row in client.models.list("digits")) == ["1", "2"]
    assert shown(studio, "list")[0]["version"] == shown(studio, "show", "digits")[0]["version"] == "2"


def test_a_version_of_the_workspace_is_promoted_and_changed(studio, cloud, client, models):
    register(studio, models / "simple_nn.pth", "--config", cloud.config, "--description", "exam", to="azure")
    studio("registry", "promote", "digits", "--from", "azure", "--to", REGISTRY, "--config", cloud.config)
    assert client.models.get("digits", "1").tags["promoted_from"] == "azure digits:1"
    studio("registry", "tag", "digits", "stage=exam", "--version", "1", "--from", REGISTRY)
    studio("registry", "archive", "digits", "--version", "1", "--from", REGISTRY)
    found = client.models.get("digits", "1")
    assert found.tags["stage"] == "exam" and found.description == "exam" and cloud.azure.registry.made == ["digits:1"]
    assert list(client.models.list("digits")) == [] and shown(studio, "list", "digits")[0]["archived"]
    studio("registry", "delete", "digits", "--version", "1", "--confirm", "digits:1", "--from", REGISTRY)
    assert cloud.azure.registry.models["digits"] == {} and list(cloud.versions("digits")) == ["1"]
    result = studio("registry", "promote", "digits", "--from", "azure", "--to", "azure", "--config", cloud.config, status=2)
    assert "is where it is already" in result.stderr


# Every request of a registration there: (door, what it looks like).
REQUESTS = [
    ("entra", r"^GET .*/discovery\?"), ("arm", r"^GET .*/registries/reg1\?"), ("arm", r"^GET .*/permissions\?"), ("arm", r"^GET .*/models/digits\?"),
    ("arm", r"^POST .*/startPendingUpload"), ("blob", r"^HEAD "), ("blob", r"^PUT (?!.*comp=)"), ("blob", r"^PUT .*comp=metadata"),
    ("arm", r"^PUT .*/versions/1\?"), ("arm", r"^GET .*/mfeOperationsStatus/"), ("arm", r"^GET .*/versions/1\?"),
]  # fmt: skip


def test_killed_at_each_request_the_next_run_goes_on(binary, studio, cloud, models, tmp_path, home):
    """SIGKILL when each request was done and its answer is on the way."""
    words = [str(w) for w in (binary, "register", models / "simple_nn.pth", "--to", REGISTRY, "--name", "digits")]
    for door, match in REQUESTS:
        arrived, ended = threading.Event(), threading.Event()

        def meet(line):
            if re.search(match, line):
                arrived.set()
                ended.wait(20)

        getattr(cloud, door).after = meet
        process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        met = arrived.wait(60)
        process.kill()
        process.wait()
        ended.set()
        faults.wait_for_quiet(*cloud.doors)
        assert met, f"there was no request {match}"
        for each in cloud.doors:
            each.reset()
        if set(cloud.azure.registry.models.get("digits", {})) == {"1"}:
            break  # it is there: what is left only reads
    made = register(studio, models / "simple_nn.pth")
    assert made["version"] == "1" and cloud.azure.registry.made == ["digits:1"]
    assert register(studio, models / "simple_nn.pth")["version"] == "2"  # no continuation of the first


def test_what_the_registry_refuses_is_told(studio, cloud, models):
    model, azure = models / "simple_nn.pth", cloud.azure
    for address, says in (("azureml://registries/", "write azureml://registries/NAME"), ("azureml://registries/a/b", "write azureml://registries/NAME"),
                          ("azureml://subscriptions/x", "is not a target"), ("azureml://registries/has.dots", "is not a name Azure takes")):
        assert says in register(studio, model, to=address, status=2).stderr
    assert "there is no registry reg2" in register(studio, model, to="azureml://registries/reg2", status=1).stderr
    azure.registry.permissions = [{"actions": ["Microsoft.MachineLearningServices/registries/read"], "notActions": []}]
    assert 'registries/assets/write: ask for the role "AzureML Registry User"' in register(studio, model, status=1).stderr
    assert azure.registry.made == []
    azure.registry.permissions = [{"actions": ["*"], "notActions": []}]
    azure.registry.fails = [("InternalServerError", "the copy failed")]
    assert "Azure says Failed InternalServerError: the copy failed" in register(studio, model, status=1).stderr
    register(studio, models / "simple_nn.h5", "--version", "7")
    assert "a registry's versions never change: give another --version" in register(studio, model, "--version", "7", status=1).stderr
    cloud.entra.fail("/discovery", "status", times=1, code=403, body=b"{}")
    assert 'ask for the role "AzureML Registry User"' in register(studio, model, status=1).stderr


def test_the_page_registers_there(serve, cloud, models):
    server = serve()
    target = next(one for one in server.get("/api/registry/targets")["targets"] if one["id"] == "azure")
    assert next(one for one in target["options"] if one["key"] == "registry_name")["on_page"]
    run = server.post("/api/runs", {"engine": "native", "settings": {"dataset": "synthetic", "limit": 640, "epochs": 1}}, status=201)["id"]
    server.wait(run, "finished")
    body = {"target": "azure", "run": run, "format": "pth", "name": "digits", "registry_name": "reg1"}
    task = server.post("/api/registry/registrations", body, status=202)["task"]
    wait_until(lambda: server.get(f"/api/tasks/{task}")["state"] != "running")
    assert server.get(f"/api/tasks/{task}")["result"]["registration"]["place"] == "reg1"
    assert [row["version"] for row in server.get("/api/registry/models/azure/digits?registry_name=reg1")["versions"]] == ["1"]
    changed = server.post("/api/registry/models/azure/digits/1/changes", {"change": "tag", "key": "stage", "value": "exam", "registry_name": "reg1"})
    assert changed["version"]["tags"]["stage"] == "exam" and cloud.versions("digits") == []
