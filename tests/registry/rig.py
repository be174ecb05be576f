"""The real parts that registration is tested against: Azurite as storage, Prism checking every request to ARM against
Microsoft's description; and the stand-in for ARM and Entra behind them. All on loopback.

As a program it starts them all, prints what an environment must hold as one line of JSON, and ends with its standard input:
for tests that are not written in Python."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import faults  # noqa: E402
import standin  # noqa: E402

MLFLOW_ADMIN = ("admin", "password-that-nobody-may-see")  # of the server with basic authentication
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



class Missing(Exception):
    """A part that is not installed here."""


def npm_program(name):
    program = HERE / "node_modules" / ".bin" / name
    if not program.exists():
        raise Missing(f"{name} is not installed: npm ci in {HERE}")
    return program


def make_certificate(folder):
    """(certificate, key) for localhost and the names under it."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = "DNS:localhost,DNS:management.localhost,DNS:login.localhost,DNS:eastus.api.localhost,DNS:*.westeurope.inference.localhost,DNS:devstoreaccount1.blob.core.localhost,IP:127.0.0.1"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost", "-addext", f"subjectAltName={names}"],
        check=True, capture_output=True,
    )
    return cert, key


def storage_client(port, certificate):
    from azure.storage.blob import BlobServiceClient

    return BlobServiceClient(f"https://127.0.0.1:{port}/devstoreaccount1", standin.KEY, connection_verify=str(certificate[0]))


@contextlib.contextmanager
def azurite(folder, certificate):
    """The port of a real Azurite with TLS and bearer tokens, holding an empty container `cont`."""
    port = free_port()
    program = Program(
        [npm_program("azurite-blob"), "--blobHost", "127.0.0.1", "--blobPort", port, "-s", "--disableTelemetry",
         "--inMemoryPersistence", "--oauth", "basic", "--cert", certificate[0], "--key", certificate[1], "--skipApiVersionCheck"],
        folder / "azurite.log",
    )
    try:
        program.wait_for(lambda: answers(port), "azurite")
        storage_client(port, certificate).create_container("cont")
        yield port
    finally:
        program.stop()


@contextlib.contextmanager
def prism(folder, upstream_port):
    """The port of a real Prism that checks requests and answers against Microsoft's description."""
    if not DESCRIPTION.exists():
        raise Missing(f"Microsoft's description is not at {DESCRIPTION}")
    port = free_port()
    program = Program(
        [npm_program("prism"), "proxy", "-h", "127.0.0.1", "-p", port, "--errors", DESCRIPTION, f"http://127.0.0.1:{upstream_port}"],
        folder / "prism.log",
    )
    try:
        program.wait_for(lambda: answers(port), "prism")
        yield port
    finally:
        program.stop()


def doors(ports, certificate):
    """The proxies with TLS in front of ARM, the storage and the sign-in, where faults are made. Subscriptions,
    permissions, the states of operations and the access to a registry's files are not in the description."""
    arm = faults.Proxy(lambda path: (ports["plain"] if path.startswith("/subscriptions?") or "/Microsoft.Authorization/" in path or "/mfeOperation" in path or "/datareferences/" in path else ports["prism"], False), certificate)
    blob = faults.Proxy(lambda path: (ports["azurite"], True), certificate)
    entra = faults.Proxy(lambda path: (ports["plain"], False), certificate)
    return arm, blob, entra


def connect(azure, arm, blob, entra, certificate):
    """Joins the parts to one cloud; returns what the studio's environment must say."""
    azure.login = f"https://login.localhost:{entra.port}"
    azure.data_plane = f"https://eastus.api.localhost:{entra.port}"
    azure.blob_endpoint = ("https", f"core.localhost:{blob.port}")
    azure.storage = storage_client(blob.route("")[0], certificate)
    azure.metadata = {
        "name": "LocalCloud", "portal": "https://portal.localhost", "resourceManager": f"https://management.localhost:{arm.port}",
        "authentication": {"loginEndpoint": azure.login, "audiences": ["https://management.localhost"]},
        "suffixes": {"storage": f"core.localhost:{blob.port}"},
    }
    return {
        "AZUREML_CURRENT_CLOUD": "LocalCloud",
        "ARM_CLOUD_METADATA_URL": f"https://localhost:{entra.port}/metadata/endpoints?api-version=2019-05-01",
        "REGISTRY_DISCOVERY_ENDPOINT_URL": azure.data_plane + "/",
        "NNSTUDIO_CA_FILE": str(certificate[0]),
    }


CONFIG = '{"subscription_id": "%s", "resource_group": "rg1", "workspace_name": "ws1"}' % standin.SUBSCRIPTION


def main():
    azure = standin.Azure()
    azure.device = ["pending", "pending", "ok"]  # slow_down, which costs 5 s each, is tested without a page
    plain, plain_port = standin.serve(azure)
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = pathlib.Path(name)
        certificate = make_certificate(folder)
        ports = {"plain": plain_port}
        ports["prism"] = stack.enter_context(prism(folder, plain_port))
        ports["azurite"] = stack.enter_context(azurite(folder, certificate))
        print(json.dumps({"environment": connect(azure, *doors(ports, certificate), certificate), "config": CONFIG}), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        print(json.dumps({"missing": str(missing)}), flush=True)
