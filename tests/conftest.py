"""What all tests in Python share: the binary, the real data, a home of their own."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "python"))
SOURCE = pathlib.Path(os.environ.get("NNSTUDIO_SOURCE", pathlib.Path(__file__).resolve().parents[1]))
BINARY = pathlib.Path(os.environ.get("NNSTUDIO_BINARY", SOURCE / "build" / "nnstudio"))
DATA = pathlib.Path(os.environ.get("NNSTUDIO_TEST_DATA", SOURCE.parent / "shared" / "data"))


def pytest_configure(config):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


@pytest.fixture(scope="session")
def binary():
    if not BINARY.exists():
        pytest.skip(f"{BINARY} is not built")
    return str(BINARY)


@pytest.fixture(scope="session")
def data_dir():
    """A folder with the real MNIST and Fashion-MNIST."""
    if not (DATA / "mnist").is_dir():
        pytest.skip(f"the real data sets are not at {DATA}: set NNSTUDIO_TEST_DATA")
    return str(DATA)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A studio home that nobody else uses."""
    path = tmp_path / "home"
    monkeypatch.setenv("NNSTUDIO_HOME", str(path))
    return path


@pytest.fixture
def studio(binary, home, tmp_path):
    """Runs the studio's command line in a folder of its own: studio("train", "--engine", "native", ...)."""

    def run(*arguments, status=0, timeout=300, **options):
        result = subprocess.run(
            [binary, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, cwd=options.pop("cwd", tmp_path), **options
        )
        if status is not None:
            assert result.returncode == status, f"exit {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-2000:]}"
        return result

    return run


def events(result):
    """The JSON lines of `train --json`."""
    return [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]


@pytest.fixture
def serve(binary, home, tmp_path):
    """Starts servers that end with the test: serve("--data-dir", DIR)."""
    from server_help import Server

    servers = []

    def start(*arguments, home=home, **options):
        servers.append(Server(binary, home, *arguments, cwd=tmp_path, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def fault(binary):
    """The environment in which a call fails (tests/fault/shim.c): fault("rename:1:kill:simple_nn")."""
    shim = pathlib.Path(binary).parent / "tests" / "fault" / "fault_shim.so"
    if not shim.exists():
        pytest.skip(f"{shim} is not there: builds with a sanitizer have none")

    def environment(text, program=None):
        more = {"LD_PRELOAD": str(shim), "NNSTUDIO_FAULT": text}
        return {**os.environ, **more, **({"NNSTUDIO_FAULT_PROGRAM": program} if program else {})}

    return environment
