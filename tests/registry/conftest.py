"""The real parts that registration is tested against: Azurite as storage, Prism checking every request to ARM against
Microsoft's description, an MLflow server; and the stand-in for ARM and Entra behind them. All on loopback."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import standin  # noqa: E402

DESCRIPTION = HERE.parents[1].parent / "shared" / "azure-openapi" / "aml-arm-2024-10-01.json"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A program of ours in a process group of its own, ended with all its children."""

    def __init__(self, words, log, **options):
        self.log = open(log, "wb")
        self.process = subprocess.Popen([str(w) for w in words], stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True, **options)

    def wait_for(self, ready, what, seconds=90):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"{what} ended: {pathlib.Path(self.log.name).read_text()[-1500:]}")
            if ready():
                return self
            time.sleep(0.1)
        raise RuntimeError(f"{what} did not start: {pathlib.Path(self.log.name).read_text()[-1500:]}")

    def stop(self):
        try:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(10)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        self.log.close()


def answers(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="session")
def rig_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rig")


@pytest.fixture(scope="session")
def certificate(rig_folder):
    """(certificate, key) for localhost and the names under it."""
    cert, key = rig_folder / "cert.pem", rig_folder / "key.pem"
    names = "DNS:localhost,DNS:management.localhost,DNS:login.localhost,DNS:devstoreaccount1.blob.core.localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"],
        check=True, capture_output=True,
    )
    return cert, key


def npm_program(name):
    program = HERE / "node_modules" / ".bin" / name
    if not program.exists():
        pytest.skip(f"{name} is not installed: npm ci in {HERE}")
    return program


@pytest.fixture(scope="session")
def azurite(rig_folder, certificate):
    """The port of a real Azurite with TLS and bearer tokens, holding an empty container `cont`."""
    port = free_port()
    program = Program(
        [npm_program("azurite-blob"), "--blobHost", "127.0.0.1", "--blobPort", port, "-s", "--disableTelemetry",
         "--inMemoryPersistence", "--oauth", "basic", "--cert", certificate[0], "--key", certificate[1], "--skipApiVersionCheck"],
        rig_folder / "azurite.log",
    )
    try:
        program.wait_for(lambda: answers(port), "azurite")
        from azure.storage.blob import BlobServiceClient

        service = BlobServiceClient(f"https://127.0.0.1:{port}/devstoreaccount1", standin.KEY, connection_verify=str(certificate[0]))
        service.create_container("cont")
        yield port
    finally:
        program.stop()


@pytest.fixture(scope="session")
def prism(rig_folder, upstream):
    """The port of a real Prism that checks requests and answers against Microsoft's description."""
    if not DESCRIPTION.exists():
        pytest.skip(f"Microsoft's description is not at {DESCRIPTION}")
    port = free_port()
    program = Program(
        [npm_program("prism"), "proxy", "-h", "127.0.0.1", "-p", port, "--errors", DESCRIPTION, f"http://127.0.0.1:{upstream[1]}"],
        rig_folder / "prism.log",
    )
    try:
        program.wait_for(lambda: answers(port), "prism")
        yield port
    finally:
        program.stop()


@pytest.fixture(scope="session")
def upstream():
    """(the stand-in's state, its plain port)"""
    azure = standin.Azure()
    server, port = standin.serve(azure)
    yield azure, port
    server.shutdown()


@pytest.fixture(scope="session")
def login(upstream, certificate):
    """The stand-in's port with TLS: sign-in, and the metadata of the local cloud."""
    server, port = standin.serve(upstream[0], certificate)
    yield port
    server.shutdown()


class Cloud:
    """A local Azure: what the studio's environment must say, and what is behind."""

    def __init__(self, azure, environment, ports, certificate, config):
        self.azure, self.environment, self.ports, self.certificate, self.config = azure, environment, ports, certificate, config

    def blob_client(self):
        from azure.storage.blob import BlobServiceClient

        url = f"https://127.0.0.1:{self.ports['azurite']}/devstoreaccount1"
        return BlobServiceClient(url, standin.KEY, connection_verify=str(self.certificate[0])).get_container_client("cont")

    def empty_container(self):
        container = self.blob_client()
        for blob in container.list_blobs():
            container.delete_blob(blob.name)


@pytest.fixture
def cloud(upstream, login, prism, azurite, certificate, tmp_path, monkeypatch):
    azure, plain = upstream
    azure.reset()
    azure.login = f"https://login.localhost:{login}"
    azure.blob_endpoint = ("https", f"core.localhost:{azurite}")
    azure.metadata = {
        "name": "LocalCloud", "portal": "https://portal.localhost", "resourceManager": f"http://127.0.0.1:{prism}",
        "authentication": {"loginEndpoint": azure.login, "audiences": ["https://management.localhost"]},
        "suffixes": {"storage": f"core.localhost:{azurite}"},
    }
    config = tmp_path / "config.json"
    config.write_text('{"subscription_id": "%s", "resource_group": "rg1", "workspace_name": "ws1"}' % standin.SUBSCRIPTION)
    environment = {
        "AZUREML_CURRENT_CLOUD": "LocalCloud",
        "ARM_CLOUD_METADATA_URL": f"https://localhost:{login}/metadata/endpoints?api-version=2019-05-01",
        "NNSTUDIO_CA_FILE": str(certificate[0]),
        "AZURE_TENANT_ID": standin.TENANT, "AZURE_CLIENT_ID": standin.CLIENT, "AZURE_CLIENT_SECRET": standin.SECRET,
    }
    for name in list(os.environ):
        if name.startswith(("AZURE_", "AZUREML_", "ARM_", "IDENTITY_", "MSI_", "MLFLOW_")):
            monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    ports = {"login": login, "prism": prism, "azurite": azurite, "plain": plain}
    made = Cloud(azure, environment, ports, certificate, config)
    made.empty_container()
    return made


@pytest.fixture(scope="session")
def mlflow_server(rig_folder):
    """The address of a real MLflow server."""
    port, folder = free_port(), rig_folder / "mlflow"
    folder.mkdir()
    python = pathlib.Path(sys.executable)
    program = Program(
        [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/m.db",
         "--artifacts-destination", folder / "artifacts"],
        rig_folder / "mlflow.log", cwd=folder,
    )

    def ready():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).status == 200
        except OSError:
            return False

    try:
        program.wait_for(ready, "mlflow", 120)
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()


@pytest.fixture(scope="session")
def models(binary, tmp_path_factory):
    """A small trained network in all formats: a folder with simple_nn.pth, .h5, .safetensors, .onnx."""
    folder = tmp_path_factory.mktemp("models")
    words = [binary, "train", "--engine", "native", "--dataset", "synthetic", "--limit", "640", "--epochs", "1", "--out", folder, "--home", folder / "home"]
    subprocess.run([str(w) for w in words], check=True, capture_output=True)
    for ending in ("pth", "h5", "onnx"):
        subprocess.run([binary, "convert", str(folder / "simple_nn.safetensors"), str(folder / f"simple_nn.{ending}")], check=True, capture_output=True)
    return folder
