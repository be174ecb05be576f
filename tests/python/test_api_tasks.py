"""Data sets and engines fetched from the page: progress, cancelling, going on, and a studio that is usable meanwhile. The
mirror and the package index are this file's own, on loopback; pip is the real one where it matters."""

import base64
import hashlib
import http.server
import importlib.metadata
import io
import json
import os
import pathlib
import threading
import time
import zipfile

import pytest
from server_help import Listener

QUICK = {"dataset": "synthetic", "limit": 500, "epochs": 1}


class Mirror:
    """Serves files by path. What is longer than `hold_after` bytes waits there until release()."""

    def __init__(self, files, hold_after=None):
        self.files, self.asked, self.gate = files, [], threading.Event()
        self.sizes = {}  # told by HEAD in place of the true ones
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                mirror.asked.append((self.path, self.headers.get("Range")))
                content = mirror.files.get(self.path)
                if content is None:
                    self.send_error(404)
                    return
                first = int(self.headers["Range"].split("=")[1].split("-")[0]) if self.headers.get("Range") else 0
                self.send_response(206 if first else 200)
                if first:
                    self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - first))
                self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
                self.end_headers()
                try:
                    if hold_after is not None and len(content) - first > hold_after:
                        self.wfile.write(content[first : first + hold_after])
                        self.wfile.flush()
                        first += hold_after
                        mirror.gate.wait(60)
                    self.wfile.write(content[first:])
                except OSError:
                    pass

            def do_HEAD(self):
                content = mirror.files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(mirror.sizes.get(self.path, len(content or b""))))
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def release(self):
        self.gate.set()

    def close(self):
        self.release()
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(request):
    made = []

    def make(*arguments, **options):
        made.append(Mirror(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def task_when(listener, task, wanted):
    return listener.until(lambda kind, data: kind == "task" and data["id"] == task and wanted(data))[-1][1]


def task_by_look(server, task, wanted):
    """A task that began before anybody listened: what it has told is looked up, not waited for."""
    end, value = time.monotonic() + 120, None
    while time.monotonic() < end:
        value = next((one for one in server.get("/api/tasks") if one["id"] == task), None)
        if value and wanted(value):
            return value
        time.sleep(0.05)
    raise AssertionError(f"task {task} goes on for ever: {value}")


def ended(server, task):
    return task_by_look(server, task, lambda value: value["state"] != "running")


def test_a_data_set_is_fetched_with_progress_cancelled_and_gone_on_with(serve, mirror, data_dir, monkeypatch):
    folder = pathlib.Path(data_dir) / "mnist"
    source = mirror({f"/mnist/{file.name}": file.read_bytes() for file in folder.glob("*.gz")}, hold_after=2 << 20)
    if len(source.files) != 4:
        pytest.skip("the packed MNIST is not there")
    monkeypatch.setenv("NNSTUDIO_MIRROR", source.address)
    server = serve()
    assert not next(one for one in server.get("/api/datasets") if one["name"] == "mnist")["available"]
    server.post("/api/runs", {"engine": "native", "settings": {"dataset": "mnist"}}, status=404)
    listener = Listener(server)
    task = server.post("/api/datasets/mnist/fetch", status=202)["task"]
    told = task_when(listener, task, lambda data: data["done_bytes"] > 0)
    assert (told["kind"], told["subject"], told["state"]) == ("fetch", "mnist", "running")
    assert 0 < told["done_bytes"] < told["total_bytes"] == sum(map(len, source.files.values()))
    assert "train-images" in told["text"]

    # Meanwhile the studio is what it was from the first second.
    server.post("/api/datasets/mnist/fetch", status=409)
    run = server.post("/api/runs", {"engine": "native", "settings": QUICK}, status=201)["id"]
    assert server.wait(run, "finished", "failed")["state"] == "finished"

    assert server.call("DELETE", f"/api/tasks/{task}")["id"] == task
    assert task_when(listener, task, lambda data: data["state"] != "running")["state"] == "cancelled"
    parts = list(pathlib.Path(server.get("/api/system")["home"]).glob("data/mnist/*"))
    assert [part.suffix for part in parts] == [".part"], "what has come is kept, and nothing looks whole"

    source.release()
    again = server.post("/api/datasets/mnist/fetch", status=202)["task"]
    assert ended(server, again)["state"] == "done"
    assert any(asked for _, asked in source.asked), "what was there is not fetched again"
    assert next(one for one in server.get("/api/datasets") if one["name"] == "mnist")["available"]
    samples = server.get("/api/datasets/mnist/samples?count=3&seed=0")
    assert len(base64.b64decode(samples["pixels"])) == 3 * 784
    assert [one["state"] for one in server.get("/api/tasks")] == ["done", "cancelled"]


# --- engines ---

# Stands in for python3: `-m venv FOLDER` makes a folder whose python is this script again; `-m pip install` tells its
# progress, as pip 24.1 does when asked to, and waits for a file.
PIP = """#!/bin/sh
here=$(dirname "$0")
if [ "$1" = -c ]; then exit; fi
if [ "$2" = venv ]; then mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && exit; fi
echo "Collecting $(eval echo \\${$#})"
case "$*" in
*raw*)
    if [ -e OLD ]; then
        echo "Usage: pip install [options]"
        echo "no such option: --progress-bar: invalid choice: 'raw' (choose from 'on', 'off')"
        exit 2
    fi
    echo "Downloading torch.whl (200.0 MB)"
    echo "Progress 1000 of 200000"
    echo "Progress 50000 of 200000" ;;
*) echo "an old pip is fetching" ;;
esac
while [ ! -e GO ]; do sleep 0.05; done
if [ -e BAD ]; then echo "ERROR: No matching distribution found for torch"; exit 1; fi
echo "Successfully installed torch"
"""


@pytest.fixture
def fake_python(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python3").write_text(PIP)
    (tools / "python3").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tmp_path


def test_an_engine_is_installed_with_progress(serve, fake_python):
    server = serve()
    listener = Listener(server)
    task = server.post("/api/engines/torch/install", status=202)["task"]
    told = task_when(listener, task, lambda data: data["done_bytes"] == 50000)
    assert (told["kind"], told["subject"], told["total_bytes"], told["state"]) == ("install", "torch", 200000, "running")
    assert told["text"] == "Downloading torch.whl (200.0 MB)"
    run = server.post("/api/runs", {"engine": "native", "settings": QUICK}, status=201)["id"]
    assert server.wait(run, "finished", "failed")["state"] == "finished"
    (fake_python / "GO").touch()
    assert task_when(listener, task, lambda data: data["state"] != "running")["state"] == "done"
    assert (fake_python / ".venv/bin/python").exists()


def test_a_pip_that_cannot_tell_its_progress_will_do(serve, fake_python):
    (fake_python / "OLD").touch()
    server = serve()
    listener = Listener(server)
    task = server.post("/api/engines/torch/install", status=202)["task"]
    task_when(listener, task, lambda data: data["text"] == "an old pip is fetching")
    (fake_python / "GO").touch()
    assert ended(server, task)["state"] == "done"


def test_an_installation_is_cancelled_and_leaves_nothing(serve, fake_python):
    server = serve()
    listener = Listener(server)
    task = server.post("/api/engines/tensorflow/install", status=202)["task"]
    task_when(listener, task, lambda data: data["done_bytes"] > 0)
    server.call("DELETE", f"/api/tasks/{task}")
    assert task_when(listener, task, lambda data: data["state"] != "running")["state"] == "cancelled"
    assert not (fake_python / ".venv").exists()


def test_a_failed_installation_says_why(serve, fake_python):
    (fake_python / "BAD").touch()
    (fake_python / "GO").touch()
    server = serve()
    failed = ended(server, server.post("/api/engines/torch/install", status=202)["task"])
    assert failed["state"] == "failed" and "the package index has no torch for this Python" in failed["error"]
    assert not (fake_python / ".venv").exists()


def wheel(name, version, more=""):
    """A wheel that pip takes, with a file in it; `more` are lines of its metadata."""
    files = {
        f"{name}/__init__.py": b"",
        f"{name}/lib/large.bin": os.urandom(1 << 20),
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}".encode(),
        f"{name}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    lines = [f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip('=')},{len(data)}" for path, data in files.items()]
    files[f"{name}-{version}.dist-info/RECORD"] = ("\n".join(lines) + f"\n{name}-{version}.dist-info/RECORD,,\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in files.items():
            archive.writestr(path, data)
    return out.getvalue()


class Index(dict):
    """The files of package indexes under /NAME/, with the metadata beside each wheel, as the public one has."""

    def add(self, index, name, version, more=""):
        file = f"{name}-{version}-py3-none-any.whl"
        page = f"/{index}/{name.replace('_', '-')}/"
        link = f'<a href="/files/{index}/{file.replace("+", "%2B")}" data-dist-info-metadata="true" data-core-metadata="true">{file}</a>'
        path = f"/files/{index}/{file.replace('+', '%2B')}"
        self[page] = self.get(page, b"") + link.encode()
        self[path] = wheel(name, version, more)
        self[f"{path}.metadata"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}".encode()
        return path


@pytest.fixture
def only_index(mirror, monkeypatch):
    """Pip and the studio know only the indexes of a mirror: /simple is the public one."""

    def make(files):
        source = mirror(files)
        for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT", "PYTHONPATH", "NNSTUDIO_ALLOW_CUDA"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("PIP_INDEX_URL", f"{source.address}/simple")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("NNSTUDIO_TORCH_INDEX", f"{source.address}/cpu")
        return source

    return make


def newest_pip(files):
    """Puts this environment's own pip into the index: it plans without downloading, which an old one cannot."""
    pip = importlib.metadata.distribution("pip")
    if tuple(map(int, pip.version.split(".")[:2])) < (24, 1):
        pytest.skip(f"the tests' own pip is too old: {pip.version}; set them up anew")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for file in pip.files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                archive.write(file.locate(), str(file))
    file = f"pip-{pip.version}-py3-none-any.whl"
    files["/simple/pip/"] = f'<a href="/files/simple/{file}">{file}</a>'.encode()
    files[f"/files/simple/{file}"] = out.getvalue()


def torch_version():
    source = pathlib.Path(__file__).resolve().parents[2] / "scripts/frameworks.txt"
    return next(line.split("==")[1].strip() for line in source.read_text().splitlines() if line.startswith("torch=="))


def test_the_real_pip_installs_the_build_for_cpus(serve, only_index, tmp_path):
    files = Index()
    files.add("simple", "torch", torch_version())
    files.add("cpu", "torch", f"{torch_version()}+cpu")
    newest_pip(files)
    only_index(files)
    server = serve()
    done = ended(server, server.post("/api/engines/torch/install", status=202)["task"])
    assert done["state"] == "done", done["error"]
    assert f"Successfully installed torch-{torch_version()}+cpu" in done["text"]
    assert list(tmp_path.glob(".venv/lib/python3*/site-packages/torch/lib/large.bin"))


def test_gigabytes_are_not_downloaded_unasked(serve, only_index, tmp_path, monkeypatch):
    files = Index()
    small = files.add("simple", "torch", torch_version(), "Requires-Dist: nvidia_large\n")
    large = files.add("simple", "nvidia_large", "1.0")
    newest_pip(files)
    source = only_index(files)
    source.sizes = {small: 800_000_000, large: 2_300_000_000}
    server = serve()
    refused = ended(server, server.post("/api/engines/torch/install", status=202)["task"])
    assert refused["state"] == "failed"
    for words in ("2 packages, 3.1 GB", "NNSTUDIO_TORCH_INDEX", "NNSTUDIO_ALLOW_CUDA=1"):
        assert words in refused["error"]
    assert not (tmp_path / ".venv").exists()
    wheels = {path for path, _ in source.asked if path.endswith(".whl") and "/pip-" not in path}
    assert wheels == set(), "no wheel is downloaded before consent"
    server.stop()

    monkeypatch.setenv("NNSTUDIO_ALLOW_CUDA", "1")
    server = serve()
    done = ended(server, server.post("/api/engines/torch/install", status=202)["task"])
    assert done["state"] == "done", done["error"]
    assert "nvidia_large-1.0" in done["text"].replace("nvidia-large", "nvidia_large")


def test_a_python_without_a_build_is_one_clear_line(serve, only_index, tmp_path):
    files = Index()
    files.add("simple", "torch", "1.0")
    newest_pip(files)
    only_index(files)
    server = serve()
    failed = ended(server, server.post("/api/engines/torch/install", status=202)["task"])
    assert f"no torch=={torch_version()} for this Python" in failed["error"] and "NNSTUDIO_PYTHON" in failed["error"]
    assert not (tmp_path / ".venv").exists()


def test_one_installation_at_a_time(serve, fake_python):
    server = serve()
    listener = Listener(server)
    first = server.post("/api/engines/torch/install", status=202)["task"]
    task_when(listener, first, lambda data: data["done_bytes"] > 0)
    second = server.post("/api/engines/tensorflow/install", status=202)["task"]
    task_when(listener, second, lambda data: data["text"] == "waits for another installation to end")
    other = serve(home=fake_python / "other")
    third = ended(other, other.post("/api/engines/tensorflow/install", status=202)["task"])
    assert third["state"] == "failed" and "another installation into .venv is running" in third["error"]
    (fake_python / "GO").touch()
    assert [ended(server, task)["state"] for task in (first, second)] == ["done", "done"]


def test_the_studio_opens_before_the_frameworks_are_there(serve, studio, fake_python, monkeypatch):
    """`serve --install`, which `make run` starts."""
    for engine in ("TORCH", "TENSORFLOW"):
        monkeypatch.setenv(f"NNSTUDIO_{engine}_LIB", "/nonexistent")
    server = serve("--install")
    told = task_by_look(server, "t1", lambda data: data["done_bytes"] > 0)
    assert (told["kind"], told["subject"], told["title"], told["total_bytes"]) == ("install", "torch", "Install PyTorch", 200000)
    assert [(task["subject"], task["state"]) for task in server.get("/api/tasks")] == [("tensorflow", "running"), ("torch", "running")]
    run = server.post("/api/runs", {"engine": "native", "settings": QUICK}, status=201)["id"]
    assert server.wait(run, "finished", "failed")["state"] == "finished"
    assert json.loads(studio("doctor", "--json").stdout)["installing"]
    assert "Missing: PyTorch. An installation is running" in studio("doctor").stdout
    (fake_python / "GO").touch()
    assert [ended(server, task)["state"] for task in ("t1", "t2")] == ["done", "done"]
    assert not json.loads(studio("doctor", "--json").stdout)["installing"]
    assert "installing PyTorch behind the open studio" in (fake_python / "server.log").read_text()
