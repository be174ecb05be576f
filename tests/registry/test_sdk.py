"""Microsoft's own client, azure-ai-ml, pointed at the same stand-in: it reads what the studio registered, and the studio reads
what it registered."""

import hashlib
import json
import socket

import pytest
import standin

FRAMEWORKS = {"pth": "pytorch", "h5": "tensorflow"}


@pytest.fixture(scope="module")
def loopback_names():
    """Python asks the resolver for names under .localhost, which knows none of them."""
    patch = pytest.MonkeyPatch()
    resolve = socket.getaddrinfo
    patch.setattr(socket, "getaddrinfo", lambda host, *more, **named: resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named))
    yield
    patch.undo()


@pytest.fixture
def client(cloud, monkeypatch, loopback_names):
    """A client as people make it, for the same cloud."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", cloud.environment["NNSTUDIO_CA_FILE"])
    monkeypatch.setenv("SSL_CERT_FILE", cloud.environment["NNSTUDIO_CA_FILE"])
    from azure.ai.ml import MLClient
    from azure.identity import ClientSecretCredential

    credential = ClientSecretCredential(
        standin.TENANT, standin.CLIENT, standin.SECRET, authority=cloud.azure.login, disable_instance_discovery=True, connection_verify=cloud.environment["NNSTUDIO_CA_FILE"]
    )
    return MLClient(credential, standin.SUBSCRIPTION, "rg1", "ws1", cloud="LocalCloud")


@pytest.mark.parametrize("ending", FRAMEWORKS)
def test_it_reads_and_downloads_what_the_studio_registered(studio, cloud, client, models, tmp_path, ending):
    model = models / f"simple_nn.{ending}"
    name = f"{FRAMEWORKS[ending]}_mnist"
    for _ in range(2):
        studio("register", model, "--to", "azure", "--config", cloud.config, "--name", name, "--tag", "lecture=3", "--description", "MNIST")
    found = client.models.get(name, label="latest")
    assert (found.version, found.type, found.description) == ("2", "custom_model", "MNIST")
    assert found.tags["lecture"] == "3" and found.tags["framework"] == FRAMEWORKS[ending]
    assert found.tags["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert sorted(version.version for version in client.models.list(name)) == ["1", "2"]
    client.models.download(name, "1", download_path=str(tmp_path / "theirs"))
    (file,) = [path for path in (tmp_path / "theirs").rglob("*") if path.is_file()]
    assert file.name == model.name and file.read_bytes() == model.read_bytes()


def test_the_studio_reads_what_it_registered(studio, cloud, client, models, tmp_path):
    from azure.ai.ml.entities import Model

    model = models / "simple_nn.pth"
    theirs = client.models.create_or_update(Model(path=str(model), name="pytorch_mnist", type="custom_model", description="theirs", tags={"by": "the SDK"}))
    shown = json.loads(studio("registry", "show", "pytorch_mnist", "--from", "azure", "--config", cloud.config, "--json").stdout)
    assert (shown["version"], shown["id"], shown["tags"]) == (theirs.version, theirs.id, {"by": "the SDK"})
    studio("registry", "pull", "pytorch_mnist", "--from", "azure", "--config", cloud.config, "--out", tmp_path / "ours")
    assert (tmp_path / "ours" / "simple_nn.pth").read_bytes() == model.read_bytes()


def test_both_put_the_same_file_in_the_same_place(studio, cloud, client, models):
    """The upload's folder is named by the content, as the client does it: what one has sent the other finds."""
    from azure.ai.ml.entities import Model

    model = models / "simple_nn.pth"
    theirs = client.models.create_or_update(Model(path=str(model), name="pytorch_mnist", type="custom_model"))
    cloud.blob.log.clear()
    made = json.loads(studio("register", model, "--to", "azure", "--config", cloud.config, "--name", "pytorch_mnist", "--json").stdout.splitlines()[-1])
    assert made["version"] == "2"
    assert made["uri"].split("/workspaces/")[1] == theirs.path.split("/workspaces/")[1]
    assert not any(line.startswith("PUT") for line in cloud.blob.log), "what was there was sent again"


def test_mlflows_folder_is_registered_as_one(studio, cloud, client, models, tmp_path, monkeypatch):
    """--form mlflow: the folder that MLflow loads, at the place that the client itself would choose for it."""
    import mlflow
    import numpy as np
    from azure.ai.ml._utils._asset_utils import get_object_hash
    from test_mlflow import logits_of

    words = ["register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config, "--name", "folder", "--form", "mlflow", "--json"]
    made = json.loads(studio(*words).stdout.splitlines()[-1])
    found = client.models.get("folder", "1")
    assert found.type == "mlflow_model" and found.tags["sha256"] == made["sha256"] == hashlib.sha256((models / "simple_nn.pth").read_bytes()).hexdigest()
    client.models.download("folder", "1", download_path=str(tmp_path / "theirs"))
    (folder,) = [path.parent for path in (tmp_path / "theirs").rglob("MLmodel")]
    assert made["uri"].endswith(f"/paths/LocalUpload/{get_object_hash(folder)}/model")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    pixels = np.random.default_rng(1).random((20, 784), dtype=np.float32)
    assert np.abs(mlflow.pyfunc.load_model(str(folder)).predict(pixels) - logits_of(models, pixels)).max() < 1e-5
    # the same file again is another version of what is there; each comes back as the file that it was
    cloud.blob.log.clear()
    assert json.loads(studio(*words).stdout.splitlines()[-1])["version"] == "2"
    assert not any(line.startswith("PUT") for line in cloud.blob.log), "what was there was sent again"
    studio("registry", "pull", "folder", "--from", "azure", "--config", cloud.config, "--out", tmp_path / "ours")
    assert (tmp_path / "ours" / "simple_nn.pth").read_bytes() == (models / "simple_nn.pth").read_bytes()
    for bad, says in ((["--form", "zip"], "use file (a custom model) or mlflow"), (["--to", "local"], "is an option of")):
        assert says in studio("register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config, "--form", "mlflow", *bad, status=2).stderr


def test_a_folder_that_was_cut_off_is_gone_on_with(studio, cloud, models):
    words = ["register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config, "--name", "cut", "--form", "mlflow", "--json"]
    for match, skip in (("PUT .*data", 0), ("PUT .*MLmodel", 0), ("PUT .*comp=metadata", 0)):
        cloud.blob.fail(match, "refuse", times=20, skip=skip, bytes=100)
        studio(*words, status=1)
        cloud.blob.reset()
    made = json.loads(studio(*words).stdout.splitlines()[-1])
    assert made["version"] == "1" and list(cloud.versions("cut")) == ["1"]
    blobs = {blob.name.split("/model/")[1]: blob.size for blob in cloud.blob_client().list_blobs()}
    assert blobs["data/simple_nn.pth"] == (models / "simple_nn.pth").stat().st_size and len(blobs) == 7
    assert "MLmodel" in blobs and all(blobs.values())


def test_it_reads_the_endpoint_that_the_studio_made(studio, cloud, client, models):
    words = ["--config", cloud.config, "--json"]
    studio("register", models / "simple_nn.safetensors", "--to", "azure", "--name", "served", *words)
    studio("endpoint", "create", "served", "--name", "studio-made", "--yes", *words)
    found = client.online_endpoints.get("studio-made")
    assert (found.auth_mode, found.traffic, found.provisioning_state) == ("key", {"blue": 100}, "Succeeded")
    deployment = client.online_deployments.get("blue", "studio-made")
    assert (deployment.instance_type, deployment.instance_count) == ("Standard_DS3_v2", 1)
    assert deployment.model.endswith("/models/served/versions/1") and deployment.code_configuration.scoring_script == "score.py"
    _, environment, _, version = deployment.environment.split("/")[-4:]
    assert client.environments.get(environment, version).conda_file["dependencies"][-1]["pip"][0].startswith("azureml-inference-server-http==")
    client.online_endpoints.begin_delete("studio-made").result()
    assert studio("endpoint", "list", *words).stdout == ""
