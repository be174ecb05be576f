"""Registering in Azure ML against Azurite, Prism with Microsoft's description, and the stand-in."""

import hashlib
import json
import signal
import subprocess
import threading

import pytest
import standin


def register(studio, cloud, model, *more, status=0):
    result = studio("register", model, "--to", "azure", "--config", cloud.config, "--json", *more, status=status)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return (lines[-1] if status == 0 else None), lines, result


@pytest.mark.parametrize("secrets, credentials", [("sas", "AccountKey"), ("key", "AccountKey"), ("refused", "AccountKey"), ("sas", "None")])
def test_registers_with_sas_key_and_bearer(studio, cloud, models, secrets, credentials):
    cloud.azure.secrets, cloud.azure.credentials = secrets, credentials
    content = (models / "simple_nn.pth").read_bytes()
    made, lines, _ = register(studio, cloud, models / "simple_nn.pth", "--tag", "lecture=3", "--description", "MNIST")
    assert (made["name"], made["version"]) == ("pytorch_synthetic", "1")
    assert made["id"].endswith("/models/pytorch_synthetic/versions/1")
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    assert [line["step"] for line in lines if line["event"] == "step"][-1] == 8
    kept = cloud.azure.models["pytorch_synthetic"]["1"]["properties"]
    assert kept["tags"]["lecture"] == "3" and kept["tags"]["framework"] == "pytorch" and kept["description"] == "MNIST"
    folder = hashlib.sha256(b"Initialize for october 2021 AML CLI version" + content).hexdigest()
    assert kept["modelUri"].endswith(f"/datastores/workspaceblobstore/paths/LocalUpload/{folder}/simple_nn.pth")
    blob = cloud.blob_client().get_blob_client(f"LocalUpload/{folder}/simple_nn.pth")
    assert blob.download_blob().readall() == content
    assert blob.get_blob_properties().metadata["upload_status"] == "completed"


def test_second_version_and_the_same_file_again(studio, cloud, models):
    first, _, _ = register(studio, cloud, models / "simple_nn.h5", "--name", "tensorflow_mnist")
    again, _, _ = register(studio, cloud, models / "simple_nn.h5", "--name", "tensorflow_mnist")
    assert (first["version"], again["version"]) == ("1", "2")
    assert first["uri"] == again["uri"]
    uploads = list(cloud.blob_client().list_blobs())
    assert len(uploads) == 1
    listed = studio("registry", "list", "tensorflow_mnist", "--from", "azure", "--config", cloud.config, "--json")
    assert [json.loads(line)["version"] for line in listed.stdout.splitlines()] == ["2", "1"]


def test_pulls_what_it_registered(studio, cloud, models, tmp_path):
    register(studio, cloud, models / "simple_nn.pth", "--name", "pytorch_mnist")
    studio("registry", "pull", "pytorch_mnist", "--from", "azure", "--config", cloud.config, "--out", tmp_path / "back")
    assert (tmp_path / "back" / "simple_nn.pth").read_bytes() == (models / "simple_nn.pth").read_bytes()


def test_a_name_that_arm_refuses_is_refused_before_any_request(studio, cloud, models):
    cloud.azure.log.clear()
    _, _, result = register(studio, cloud, models / "simple_nn.pth", "--name", "has.dots", status=2)
    assert "no dots" in result.stderr
    assert cloud.azure.log == []


@pytest.mark.parametrize("part, change, words", [
    ("workspace", {"v1LegacyMode": True}, "in v1 legacy mode: switch v1LegacyMode off"),
    ("datastore", {"datastoreType": "AzureFile", "fileShareName": "s"}, "is of type AzureFile: files can be put into"),
    ("datastore", {"credentials": {"credentialsType": "ServicePrincipal", "clientId": "c", "tenantId": "t"}}, "signs in by ServicePrincipal, which is not supported"),
    ("datastore", {"accountName": ""}, "does not say where its files are"),
])
def test_a_workspace_that_will_not_do(studio, cloud, models, monkeypatch, part, change, words):
    answer = getattr(cloud.azure, part)()
    answer["properties"].update(change)
    monkeypatch.setattr(cloud.azure, part, lambda: answer)
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert words in result.stderr
    assert cloud.versions("pytorch_synthetic") == []


def test_a_workspace_that_is_not_there(studio, cloud, models):
    _, _, result = register(studio, cloud, models / "simple_nn.pth", "--subscription", "00000000-0000-0000-0000-000000000001",
                            "--resource-group", "another", "--workspace", "ws1", status=1)
    assert "HTTP 404 ResourceGroupNotFound" in result.stderr and "check resource_group in config.json" in result.stderr


def test_a_list_that_points_to_another_host_is_not_followed(studio, cloud, models):
    cloud.arm.fail("/models/m/versions", "status", code=200, body=b'{"value":[],"nextLink":"https://elsewhere.example/next?token=x"}')
    result = studio("registry", "list", "m", "--from", "azure", "--config", cloud.config, status=1)
    assert "points elsewhere" in result.stderr and "token=x" not in result.stderr


def test_a_long_list_is_read_to_its_end(studio, cloud, models):
    base = cloud.azure.metadata["resourceManager"]
    page = {"value": [{"id": "x/models/a", "name": "a", "properties": {"latestVersion": "4"}}], "nextLink": f"{base}{standin.SCOPE}/models?api-version=2024-10-01"}
    register(studio, cloud, models / "simple_nn.pth")
    cloud.arm.fail("/models", "status", code=200, body=json.dumps(page).encode())
    listed = studio("registry", "list", "--from", "azure", "--config", cloud.config, "--json")
    assert [(row["name"], row["version"]) for row in map(json.loads, listed.stdout.splitlines())] == [("a", "4"), ("pytorch_synthetic", "1")]


def test_stopped_by_the_person_it_goes_on_later(binary, studio, cloud, models, tmp_path):
    """Ctrl-C in the middle of the upload."""
    arrived, ended = threading.Event(), threading.Event()

    def hold(line):
        if line.startswith("PUT") and not arrived.is_set():
            arrived.set()
            ended.wait(20)

    cloud.blob.hook = hold
    words = [binary, "register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config]
    process = subprocess.Popen([str(w) for w in words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert arrived.wait(30)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    ended.set()
    assert process.returncode == 130 and told.splitlines()[-1] == "nnstudio: stopped while uploading the file: start again to go on"
    assert cloud.versions("pytorch_synthetic") == []
    assert register(studio, cloud, models / "simple_nn.pth")[0]["version"] == "1"


def test_the_same_at_the_same_time_is_refused(binary, studio, cloud, models, tmp_path):
    arrived, ended = threading.Event(), threading.Event()

    def hold(line):
        if line.startswith("PUT"):
            arrived.set()
            ended.wait(20)

    cloud.blob.hook = hold
    words = [binary, "register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config]
    process = subprocess.Popen([str(w) for w in words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arrived.wait(30)
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert "is being registered under this name just now" in result.stderr
    ended.set()
    assert process.wait(30) == 0 and cloud.versions("pytorch_synthetic") == ["1"]
