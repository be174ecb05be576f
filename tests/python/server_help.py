"""What the tests of the server share: one that runs on a free port, and a listener to its stream."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

TIMEOUT = 60 * int(os.environ.get("NNSTUDIO_TEST_PATIENCE", "1"))  # more for a server that a sanitizer slows


class Server:
    """`nnstudio serve`, until stop() or kill()."""

    def __init__(self, binary, home, *arguments, cwd, env=None):
        self.log = open(pathlib.Path(cwd) / "server.log", "ab")
        self.process = subprocess.Popen(
            [binary, "serve", "--port", "0", "--home", str(home), *map(str, arguments)],
            stdout=subprocess.PIPE, stderr=self.log, cwd=cwd, text=True, env=env,
        )
        line = self.process.stdout.readline()
        assert "http://" in line, f"the server did not start: {line!r} {(pathlib.Path(cwd) / 'server.log').read_text()}"
        self.address = line.split()[-1]
        self.host, port = self.address.split("/")[2].rsplit(":", 1)
        self.port = int(port)

    def request(self, method, path, body=None, headers=None):
        """(status, headers, bytes)"""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT)
        headers = dict(headers or {})
        if method in ("POST", "PUT", "PATCH"):
            headers.setdefault("Content-Type", "application/json")
            if body is None:
                body = {}
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def call(self, method, path, body=None, status=200):
        got, _, content = self.request(method, path, body)
        assert got == status, f"{method} {path}: {got} {content[:500]!r}"
        return json.loads(content)

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.call("POST", path, body, **options)

    def wait(self, run, *states):
        """The run, once it is in one of the states."""
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            value = self.get(f"/api/runs/{run}")
            if value["state"] in states:
                return value
            time.sleep(0.03)
        raise AssertionError(f"{run} is {value['state']}, not {states}: {value['error']}")

    def curve(self, run):
        """All losses, in order."""
        points = self.get(f"/api/runs/{run}/points?max=100000")
        assert points["stride"] == 1 and points["step"] == list(range(points["total"])), "a gap in the curve"
        return points["loss"]

    def raw(self, data, timeout=10, half_close=False):
        """All bytes that come back for raw bytes."""
        with socket.create_connection((self.host, self.port), timeout=timeout) as link:
            link.sendall(data)
            if half_close:
                link.shutdown(socket.SHUT_WR)
            got = b""
            try:
                while part := link.recv(65536):
                    got += part
            except (TimeoutError, ConnectionResetError):
                pass
            return got

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        finally:
            self.kill()

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Listener:
    """The stream of a server, as a browser reads it."""

    def __init__(self, server, last_id=None, timeout=TIMEOUT):
        headers = {"Last-Event-ID": str(last_id)} if last_id is not None else {}
        self.connection = http.client.HTTPConnection(server.host, server.port, timeout=timeout)
        self.connection.request("GET", "/api/events", headers=headers)
        self.answer = self.connection.getresponse()
        assert self.answer.status == 200
        assert self.answer.getheader("Content-Type") == "text/event-stream"
        self.last_id = last_id

    def next(self, end=float("inf")):
        """(kind, data)"""
        kind, data = None, []
        while True:
            assert time.monotonic() < end, "the stream says nothing more"
            line = self.answer.readline().decode()
            if not line:
                raise ConnectionError("the stream has ended")
            line = line.rstrip("\n")
            if line.startswith("event:"):
                kind = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].strip())
            elif line.startswith("id:"):
                self.last_id = line[3:].strip()
            elif not line and kind:
                return kind, json.loads("\n".join(data))

    def until(self, wanted):
        """All messages up to the first that `wanted` likes."""
        seen, end = [], time.monotonic() + TIMEOUT
        while time.monotonic() < end:  # the stream's heartbeat lets a silent one end here, too
            seen.append(self.next(end))
            if wanted(*seen[-1]):
                return seen
        raise AssertionError(f"the stream never said it; the last words: {seen[-3:]}")

    def close(self):
        self.connection.close()
        self.answer.close()


def losses_of(messages, run):
    """step → loss of the `steps` messages of a run."""
    losses = {}
    for kind, data in messages:
        if kind == "steps" and data["run"] == run:
            losses.update({data["first_step"] + i: loss for i, loss in enumerate(data["losses"])})
    return losses


def gone(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")")[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def workers_of(server):
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rsplit(")")[1].split()
            if entry.name.isdigit() and int(fields[1]) == getattr(server, "process", server).pid:
                found.append(int(entry.name))
        except (OSError, IndexError):
            pass
    return found


def wait_until(condition, seconds=TIMEOUT / 3):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
