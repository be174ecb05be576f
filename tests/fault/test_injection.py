"""One call after the other fails, in every command and in the server: no crash, one line that says what is wrong, no half
file, and a server goes on.

NNSTUDIO_FAULTS: how many moments of each call are tried, spread over all of them (3; `make faults` takes 40; the server, which
takes longer, a third of them)."""

import http.client
import json
import os
import pathlib
import subprocess

import pytest
from server_help import Listener, Server, gone, wait_until, workers_of

MOMENTS = int(os.environ.get("NNSTUDIO_FAULTS", "3"))
ERRNO = {"malloc": 12, "open": 13, "write": 28, "fwrite": 28, "fsync": 5, "rename": 5, "fork": 11}
SMALL = ["--engine", "native", "--dataset", "synthetic", "--limit", "100", "--epochs", "2", "--hidden", "8", "--threads", "1"]
COMMANDS = {
    "train": ["train", *SMALL, "--out", "out", "--name", "made"],
    "convert": ["convert", "model.safetensors", "out/made.pth"],
    "convert to h5": ["convert", "model.safetensors", "out/made.h5"],
    "register": ["register", "model.safetensors", "--to", "local", "--name", "made"],
    "change": ["registry", "tag", "kept", "a=b"],
    "export": ["runs", "export", "RUN", "--out", "out/made.zip"],
}


@pytest.fixture(scope="module")
def start(binary, tmp_path_factory):
    """A folder with a model, and a home with the run that made it."""
    folder = tmp_path_factory.mktemp("start")
    env = {**os.environ, "NNSTUDIO_HOME": str(folder / "home")}
    subprocess.run([binary, "train", *SMALL, "--out", ".", "--name", "model"], cwd=folder, env=env, check=True, capture_output=True)
    subprocess.run([binary, "register", "model.safetensors", "--name", "kept"], cwd=folder, env=env, check=True, capture_output=True)
    run = json.loads(subprocess.run([binary, "runs", "list", "--json"], cwd=folder, env=env, check=True, capture_output=True).stdout)["id"]
    return folder, run


def copy(start, place):
    subprocess.run(["cp", "-a", f"{start[0]}/.", str(place)], check=True)
    (place / "out").mkdir()


def half_files(folder):
    return [str(path) for path in folder.rglob("*") if ".part-" in path.name]


def usable(binary, folder, env):
    """What has its final name is whole: the studio reads it."""
    for path in folder.glob("out/made.*"):
        if path.suffix == ".zip":
            subprocess.run(["python3", "-m", "zipfile", "-t", path], check=True, capture_output=True)
        else:
            subprocess.run([binary, "inspect", path], env=env, check=True, capture_output=True)
    subprocess.run([binary, "runs", "list"], env=env, check=True, capture_output=True)
    subprocess.run([binary, "registry", "list"], env=env, check=True, capture_output=True)


@pytest.mark.parametrize("call", ERRNO)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_call_that_fails(binary, fault, start, tmp_path, command, call):
    words = [start[1] if word == "RUN" else word for word in COMMANDS[command]]
    count = tmp_path / "count"

    def attempt(name, text):
        place = tmp_path / name
        place.mkdir()
        copy(start, place)
        plain = {**os.environ, "NNSTUDIO_HOME": str(place / "home")}
        env = {**fault(text), "NNSTUDIO_HOME": str(place / "home"), "NNSTUDIO_FAULT_COUNT": str(count)}
        result = subprocess.run([binary, *words], cwd=place, env=env, capture_output=True, text=True, timeout=60)
        return place, plain, result

    attempt("counted", f"{call}:0:{ERRNO[call]}")
    total = max(map(int, count.read_text().split()), default=0)
    moments = sorted({1 + i * (total - 1) // max(1, MOMENTS - 1) for i in range(MOMENTS)}) if total else []
    for moment in moments:
        place, plain, result = attempt(f"n{moment}", f"{call}:{moment}:{ERRNO[call]}")
        told = f"{call} {moment} of {total}: exit {result.returncode}\n{result.stderr[-800:]}"
        assert result.returncode in (0, 1, 2), told  # a signal is negative
        assert result.returncode == 0 or "nnstudio: " in result.stderr, told
        assert "killed by signal" not in result.stderr, told
        usable(binary, place, plain)
        subprocess.run([binary, *words], cwd=place, env=plain, check=True, capture_output=True, timeout=60)
        assert half_files(place) == [], told


# --- the server: a page is loaded, and a run trains ---

PAGE = ["/", "/assets/app.js", "/api/system", "/api/settings", "/api/preferences", "/api/datasets", "/api/datasets/synthetic/samples?count=3", "/api/runs"]
RUN = {"engine": "native", "settings": {"dataset": "synthetic", "limit": 200, "epochs": 2, "hidden": [8]}}


def ask(server, method, path, body=None):
    """(status, answer); (0, None) when the connection broke. An answer is whole, and a failure says what is wrong."""
    try:
        status, headers, content = server.request(method, path, body)
    except (OSError, http.client.HTTPException):
        return 0, None
    if "json" not in headers.get("content-type", ""):
        return status, content
    answer = json.loads(content)
    assert status < 400 or answer["error"]["message"]
    return status, answer


def walk(server):
    """What a page does, whether or not everything answers."""
    try:
        listener = Listener(server, timeout=5)
    except (OSError, AssertionError, http.client.HTTPException):
        listener = None
    for path in PAGE:
        ask(server, "GET", path)
    ask(server, "PUT", "/api/preferences", {"theme": "dark"})
    status, run = ask(server, "POST", "/api/runs", RUN)
    if status == 201:
        place = f"/api/runs/{run['id']}"
        ended = ("finished", "failed", "stopped", "interrupted")
        wait_until(lambda: server.process.poll() is not None or (ask(server, "GET", place)[1] or {}).get("state") in ended)
        for more in ("/points", "/evaluation", "/weights", "/export?format=csv", "/bundle"):
            ask(server, "GET", place + more)
    if listener:
        listener.close()


@pytest.mark.parametrize("call", ["malloc", "accept"] if MOMENTS <= 3 else [*ERRNO, "accept"])
def test_a_call_that_fails_in_the_server(request, binary, fault, tmp_path, call):
    number = {**ERRNO, "accept": 24}[call]
    count = tmp_path / "count"

    def attempt(name, text):
        place = tmp_path / name
        place.mkdir()
        env = {**fault(text, "serve"), "NNSTUDIO_FAULT_COUNT": str(count)}
        try:
            server = Server(binary, place / "home", cwd=place, env=env)
        except AssertionError:
            return place, None
        request.addfinalizer(server.kill)
        walk(server)
        return place, server

    _, server = attempt("counted", f"{call}:0:{number}")
    assert server.stop() == 0
    total = max(map(int, count.read_text().split()))
    moments = max(1, MOMENTS // 3)
    for moment in sorted({1 + (2 * i + 1) * (total - 1) // (2 * moments) for i in range(moments)}) if total else []:
        place, server = attempt(f"n{moment}", f"{call}:{moment}:{number}")
        log = (place / "server.log").read_text()
        told = f"{call} {moment} of {total}: {log[-800:]}"
        if server is None:  # it did not start: that must be said
            assert "nnstudio: " in log, told
            continue
        assert server.process.poll() is None, told
        workers = workers_of(server)
        # The call may be one of those that follow: a walk does not make the same number each time.
        assert 200 in (ask(server, "GET", "/api/runs")[0], ask(server, "GET", "/api/runs")[0]), told
        state = None
        for _ in range(2):
            status, run = ask(server, "POST", "/api/runs", RUN)
            if status == 201 and (state := server.wait(run["id"], "finished", "failed")["state"]) == "finished":
                break
        assert state == "finished", told
        assert server.stop() == 0, told
        assert all(gone(pid) for pid in workers) and half_files(place) == [], told

