"""No token, signature, key or code is ever in a log, an error, the store, a file, the process list, or a core."""

import base64
import contextlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest
import standin

MLFLOW_TOKEN = "mlflow-token-that-nobody-may-see"


def secrets_of(azure):
    """All that was given to the studio or out by the services, in each form that it may take."""
    known = [standin.SECRET, standin.KEY, MLFLOW_TOKEN, "refresh-token-that-nobody-may-see", "device-code-that-nobody-may-see", "identity-secret", *azure.issued]
    forms = {form for secret in known for form in (secret, urllib.parse.quote(secret, safe=""), base64.b64encode(secret.encode()).decode())}
    return sorted(forms) + ["sig=", "SharedKey ", "Bearer ey", "access_token"]


def assert_none_in(what, content, azure):
    content = content if isinstance(content, bytes) else content.encode()
    for secret in secrets_of(azure):
        assert secret.encode() not in content, f"{secret[:24]}… is in {what}"


def assert_none_below(folder, azure):
    looked = 0
    for place, _, names in os.walk(folder):  # it may be at work: what goes meanwhile is passed over
        for path in (pathlib.Path(place, name) for name in names):
            with contextlib.suppress(FileNotFoundError):
                if path.is_file():
                    assert_none_in(path, path.read_bytes(), azure)
                    looked += 1
    return looked


def family(pid):
    """A process and all below it."""
    found = [pid]
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == pid:
                found += family(int(entry.name))
    return found


def command_lines():
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield (entry / "cmdline").read_bytes()
            except OSError:
                pass


@pytest.fixture
def clean_place(tmp_path, cloud, home):
    """The test's own config.json, log and home lie below tmp_path: all of it is looked through."""
    yield tmp_path
    assert assert_none_below(tmp_path, cloud.azure) >= 3


@pytest.mark.parametrize("secrets", ["sas", "key", "refused"])
@pytest.mark.parametrize("fault", [None, "refused", "unavailable", "lost"])
def test_by_service_principal(studio, cloud, models, clean_place, secrets, fault):
    cloud.azure.secrets = secrets
    if fault == "refused":
        cloud.blob.fail("^PUT", "status", times=9, code=403, body=b"<Error><Code>AuthenticationFailed</Code></Error>")
    elif fault == "unavailable":
        cloud.blob.fail("^PUT", "status", times=9, code=503, body=b"")
    elif fault == "lost":
        cloud.blob.fail("^PUT", "lost", times=9)
    result = studio("register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config, status=None)
    assert result.returncode == (1 if fault else 0)
    assert_none_in("standard output", result.stdout, cloud.azure)
    assert_none_in("standard error", result.stderr, cloud.azure)
    assert cloud.azure.issued


def test_by_a_person_at_the_server(serve, cloud, home, clean_place, monkeypatch):
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name)
    cloud.azure.device, cloud.azure.device_interval = ["pending", "ok"], 0.1
    (home / ".azureml").mkdir(parents=True)
    (home / ".azureml" / "config.json").write_text(cloud.config.read_text())
    server = serve()
    run = server.post("/api/runs", {"engine": "native", "settings": {"dataset": "synthetic", "limit": 64, "epochs": 1}}, status=201)
    server.wait(run["id"], "finished")
    seen = []

    def finish(kind, name):
        task = server.post("/api/registry/registrations", {"target": "azure", "run": run["id"], "format": kind, "name": name, "sign_in": "device-code"}, status=202)["task"]
        until = time.monotonic() + 60
        while True:
            now = server.get(f"/api/tasks/{task}")
            seen.append(json.dumps(now))
            if now["state"] != "running" or time.monotonic() > until:
                return now["state"]
            time.sleep(0.05)

    assert finish("pth", "one") == "done"
    cloud.blob.fail("^PUT", "status", times=9, code=403, body=b"<Error><Code>AuthenticationFailed</Code></Error>")
    assert finish("h5", "two") == "failed"
    assert any("GTHK3QXW9" in one for one in seen), "the user's code is shown, and only that one"
    for path in ("/api/registry/targets", "/api/registry/registrations", "/api/tasks", "/api/system", f"/api/runs/{run['id']}"):
        assert_none_in(path, json.dumps(server.get(path)), cloud.azure)
    for one in seen:
        assert_none_in("a task", one, cloud.azure)


def test_the_token_of_mlflow(studio, models, cloud, mlflow_server, clean_place, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", MLFLOW_TOKEN)
    result = studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", "secret", "--json")
    assert_none_in("standard output", result.stdout + result.stderr, cloud.azure)
    result = studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", "http://127.0.0.1:9", status=1)
    assert_none_in("standard error", result.stderr, cloud.azure)


class Held:
    """A registration that is stopped where it has everything in memory: while its upload is on the way."""

    def __init__(self, binary, cloud, models, folder, **options):
        self.arrived, self.go_on = threading.Event(), threading.Event()

        def hold(line):
            if line.startswith("PUT"):
                self.arrived.set()
                self.go_on.wait(30)

        cloud.blob.after = hold
        words = [binary, "register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config, "--sign-in", options.pop("sign_in", "service-principal")]
        environment = {**os.environ, "NNSTUDIO_STALL_SECONDS": "60"}
        self.process = subprocess.Popen([str(w) for w in words], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
        assert self.arrived.wait(30), self.process.communicate()


def test_the_process_list(binary, cloud, models, clean_place):
    held = Held(binary, cloud, models, clean_place)
    lines = list(command_lines())
    assert any(b"register" in line and b"simple_nn.pth" in line for line in lines)
    for line in lines:
        assert_none_in("the process list", line, cloud.azure)
    for pid in family(held.process.pid)[1:]:
        assert_none_in("a child's environment", pathlib.Path(f"/proc/{pid}/environ").read_bytes(), cloud.azure)
    held.go_on.set()
    out, words = held.process.communicate(timeout=30)
    assert held.process.returncode == 0
    assert_none_in("what was printed", out + words, cloud.azure)


def allow_cores():
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def dumps_core(process):
    """Ends a process as a crash would; True when the kernel says that it left a core."""
    process.send_signal(signal.SIGABRT)
    pid, status = os.waitpid(process.pid, 0)
    process.returncode = -signal.SIGABRT
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGABRT
    return os.WCOREDUMP(status)


def test_a_crash_leaves_no_core(binary, cloud, models, clean_place, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("cores")
    other = subprocess.Popen(["sleep", "60"], cwd=elsewhere, preexec_fn=allow_cores)
    if not dumps_core(other):
        pytest.skip("this machine makes no cores at all")
    held = Held(binary, cloud, models, clean_place, preexec_fn=allow_cores)
    assert not dumps_core(held.process), "a crash in the middle of a registration leaves a core with its tokens"
    held.go_on.set()
    for stream in (held.process.stdout, held.process.stderr):
        assert_none_in("what was printed", stream.read(), cloud.azure)
        stream.close()
    assert not list(clean_place.glob("core*"))
