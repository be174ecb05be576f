"""Fixtures of the registry's tests: the parts of rig.py, an MLflow server, trained models."""

import functools
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
        "AZURE_POD_IDENTITY_AUTHORITY_HOST": f"http://127.0.0.1:{upstream[1]}",  # never the real metadata service
    }
    for name in list(os.environ):
        if name.startswith(("AZURE_", "AZUREML_", "ARM_", "IDENTITY_", "IMDS_", "MSI_", "MLFLOW_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Cloud(azure, environment, ports, certificate, config, fronts)
    made.empty_container()
    return made


MLFLOW2 = "mlflow==2.22.*"


@functools.cache
def mlflow_python():
    """The Python whose MLflow serves. With NNSTUDIO_MLFLOW2=FOLDER it is one of the series 2 in a virtual environment of its own,
    made there once: some minutes, from the package registry."""
    folder = os.environ.get("NNSTUDIO_MLFLOW2")
    if not folder:
        return sys.executable
    python = pathlib.Path(folder).resolve() / "bin" / "python"
    if not (python.parent / "mlflow").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        # what its basic authentication needs, and the last series of the database library that it runs with
        subprocess.run([python, "-m", "pip", "install", "-q", MLFLOW2, "flask-wtf", "sqlalchemy<2.1"], check=True)
    return python


class MlflowServer:
    """A real MLflow server from the beginning of the tests: it takes a while to start, during which others run."""

    def __init__(self, folder, *more, **environment):
        folder.mkdir()
        self.folder, self.more, self.environment = folder, more, environment
        self.start()

    def start(self):
        self.port = free_port()
        self.program = Program(
            [mlflow_python(), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", self.port, "--workers", "1",
             "--backend-store-uri", f"sqlite:///{self.folder}/m.db", "--artifacts-destination", self.folder / "artifacts", *self.more],
            self.folder / "mlflow.log", cwd=self.folder, env={**os.environ, **self.environment},
        )

    def ready(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=2).status == 200
        except OSError:
            return False

    def wait(self):
        """The address, once it answers. Another program may have taken the port meanwhile: then it starts once more."""
        try:
            self.program.wait_for(self.ready, "mlflow", 240)
        except RuntimeError as error:
            if "address already in use" not in str(error):
                raise
            self.program.stop()
            self.start()
            self.program.wait_for(self.ready, "mlflow", 240)
        return f"http://127.0.0.1:{self.port}"


def started(request, names, make):
    """The server, if a test of this session wants one of the fixtures named."""
    if not any(name in item.fixturenames for item in request.session.items for name in names):
        yield None
        return
    server = make()
    yield server
    server.program.stop()


@pytest.fixture(scope="session", autouse=True)
def mlflow_program(request, rig_folder):
    yield from started(request, ("mlflow_server", "place"), lambda: MlflowServer(rig_folder / "mlflow"))


@pytest.fixture(scope="session")
def mlflow_server(mlflow_program):
    """The address of the MLflow server, once it answers."""
    return mlflow_program.wait()


@pytest.fixture(scope="session", autouse=True)
def mlflow_auth_program(request, rig_folder):
    def make():
        config = rig_folder / "auth.ini"
        config.write_text(
            f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{rig_folder}/auth.db\nadmin_username = {rig.MLFLOW_ADMIN[0]}\n"
            f"admin_password = {rig.MLFLOW_ADMIN[1]}\nauthorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
        )
        return MlflowServer(rig_folder / "mlflow-auth", "--app-name", "basic-auth", MLFLOW_AUTH_CONFIG_PATH=str(config), MLFLOW_FLASK_SERVER_SECRET_KEY="k")

    yield from started(request, ("mlflow_auth",), make)


@pytest.fixture(scope="session")
def mlflow_auth(mlflow_auth_program):
    """The address of an MLflow server with basic authentication."""
    return mlflow_auth_program.wait()


@pytest.fixture(scope="session")
def models(binary, tmp_path_factory):
    """A small trained network in all formats: a folder with simple_nn.pth, .h5, .safetensors, .onnx."""
    folder = tmp_path_factory.mktemp("models")
    words = [binary, "train", "--engine", "native", "--dataset", "synthetic", "--limit", "640", "--epochs", "1", "--out", folder, "--home", folder / "home"]
    subprocess.run([str(w) for w in words], check=True, capture_output=True)
    for ending in ("pth", "h5", "onnx"):
        subprocess.run([binary, "convert", str(folder / "simple_nn.safetensors"), str(folder / f"simple_nn.{ending}")], check=True, capture_output=True)
    return folder
