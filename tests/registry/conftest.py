"""Fixtures of the registry's tests: the parts of rig.py, an MLflow server, trained models."""

import os
import pathlib
import subprocess
import sys
import urllib.request

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import rig  # noqa: E402
import standin  # noqa: E402
from rig import Program, free_port  # noqa: E402


@pytest.fixture(scope="session")
def rig_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rig")


@pytest.fixture(scope="session")
def certificate(rig_folder):
    return rig.make_certificate(rig_folder)


def part(manager):
    """A part of the rig as a fixture's value."""
    try:
        with manager as value:
            yield value
    except rig.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def azurite(rig_folder, certificate):
    yield from part(rig.azurite(rig_folder, certificate))


@pytest.fixture(scope="session")
def prism(rig_folder, upstream):
    yield from part(rig.prism(rig_folder, upstream[1]))


@pytest.fixture(scope="session")
def upstream():
    """(the stand-in's state, its plain port)"""
    azure = standin.Azure()
    server, port = standin.serve(azure)
    yield azure, port
    server.shutdown()


@pytest.fixture(scope="session")
def doors(upstream, certificate, prism, azurite):
    """The proxies in front of ARM, of the storage and of the sign-in, where faults are made."""
    ports = {"prism": prism, "azurite": azurite, "plain": upstream[1]}
    made = rig.doors(ports, certificate)
    yield ports, *made
    for door in made:
        door.shutdown()


container = None


class Cloud:
    """A local Azure: what the studio's environment must say, and what is behind."""

    def __init__(self, azure, environment, ports, certificate, config, doors):
        self.azure, self.environment, self.ports, self.certificate, self.config = azure, environment, ports, certificate, config
        self.arm, self.blob, self.entra = self.doors = doors  # the proxies in front

    def requests(self):
        """How many requests there were, of all kinds."""
        return sum(len(door.log) for door in self.doors)

    def versions(self, name):
        """The versions of a model, as the stand-in has them."""
        return list(self.azure.models.get(name, {}))

    def blob_client(self):
        global container
        if container is None:
            from azure.storage.blob import BlobServiceClient

            url = f"https://127.0.0.1:{self.ports['azurite']}/devstoreaccount1"
            container = BlobServiceClient(url, standin.KEY, connection_verify=str(self.certificate[0])).get_container_client("cont")
        return container

    def empty_container(self):
        container = self.blob_client()
        for blob in container.list_blobs():
            container.delete_blob(blob.name)


@pytest.fixture
def cloud(upstream, doors, certificate, tmp_path, monkeypatch):
    azure = upstream[0]
    ports, *fronts = doors
    azure.reset()
    for front in fronts:
        front.reset()
    config = tmp_path / "config.json"
    config.write_text(rig.CONFIG)
    environment = {
        **rig.connect(azure, *fronts, certificate),
        "AZURE_TENANT_ID": standin.TENANT, "AZURE_CLIENT_ID": standin.CLIENT, "AZURE_CLIENT_SECRET": standin.SECRET,
        "NNSTUDIO_RETRY_BASE": "0.01", "NNSTUDIO_STALL_SECONDS": "20",
    }
    for name in list(os.environ):
        if name.startswith(("AZURE_", "AZUREML_", "ARM_", "IDENTITY_", "MSI_", "MLFLOW_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Cloud(azure, environment, ports, certificate, config, fronts)
    made.empty_container()
    return made


def needs_mlflow(item):
    return "mlflow_server" in item.fixturenames or "place" in item.fixturenames


@pytest.fixture(scope="session", autouse=True)
def mlflow_program(request, rig_folder):
    """(a real MLflow server, its port) from the beginning of the tests: it takes 17 s to start, during which others run."""
    if not any(needs_mlflow(item) for item in request.session.items):
        yield None
        return
    port, folder = free_port(), rig_folder / "mlflow"
    folder.mkdir()
    program = Program(
        [pathlib.Path(sys.executable), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1",
         "--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", folder / "artifacts"],
        rig_folder / "mlflow.log", cwd=folder,
    )
    yield program, port
    program.stop()


@pytest.fixture(scope="session")
def mlflow_server(mlflow_program):
    """The address of the MLflow server, once it answers."""
    program, port = mlflow_program

    def ready():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200
        except OSError:
            return False

    program.wait_for(ready, "mlflow", 180)
    return f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def models(binary, tmp_path_factory):
    """A small trained network in all formats: a folder with simple_nn.pth, .h5, .safetensors, .onnx."""
    folder = tmp_path_factory.mktemp("models")
    words = [binary, "train", "--engine", "native", "--dataset", "synthetic", "--limit", "640", "--epochs", "1", "--out", folder, "--home", folder / "home"]
    subprocess.run([str(w) for w in words], check=True, capture_output=True)
    for ending in ("pth", "h5", "onnx"):
        subprocess.run([binary, "convert", str(folder / "simple_nn.safetensors"), str(folder / f"simple_nn.{ending}")], check=True, capture_output=True)
    return folder
