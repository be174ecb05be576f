"""Registering in Azure ML against Azurite, Prism with Microsoft's description, and the stand-in."""

import hashlib
import json

import pytest


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
