"""Mutated requests by the thousand: the server answers or closes, never fails, never hangs, never ends.

NNSTUDIO_FUZZ_SECONDS makes it longer, NNSTUDIO_FUZZ_SEED another; NNSTUDIO_BINARY takes a sanitized build."""

import copy
import json
import os
import random
import socket
import time

SECONDS = float(os.environ.get("NNSTUDIO_FUZZ_SECONDS", 3))
SEED = int(os.environ.get("NNSTUDIO_FUZZ_SEED", 7))

# No installing, fetching or registering: those go out into the world.
READS = [
    "/", "/assets/app.js", "/runs/x", "/api/system", "/api/settings/defaults", "/api/preferences", "/api/tasks", "/api/tasks/t1", "/api/runs",
    "/api/runs?q=a&state=finished&engine=native&tag=t&sort=name&order=asc&limit=10&offset=0&deleted=1", "/api/runs/ID",
    "/api/runs/ID/points?from=0&to=100&max=20", "/api/runs/ID/export?format=csv", "/api/runs/ID/files/simple_nn.safetensors",
    "/api/runs/ID/weights", "/api/datasets", "/api/datasets/synthetic/samples?count=5&seed=3&label=2&split=train",
    "/api/datasets/synthetic/engines?seed=0&batch_size=32", "/api/showdowns/g-1", "/api/code", "/api/openapi.json", "/api/events",
]
CHANGES = [
    ("PUT", "/api/preferences", {"theme": "dark", "settings": {"lr": 0.1, "list": [1, None, "x"]}}),
    ("PATCH", "/api/runs/ID", {"name": "a", "tags": ["b", "c"], "notes": "d"}),
    ("POST", "/api/runs", {"engine": "nothing", "name": "n", "tags": [], "settings": {
        "dataset": "synthetic", "epochs": 1, "lr": 0.1, "batch_size": 32, "seed": 1, "init": "torch", "dtype": "float32", "threads": 1,
        "hidden": [16, 8], "activation": "relu", "optimizer": "sgd", "momentum": 0.5, "weight_decay": 0.1, "limit": 64, "device": "cpu", "from": None}}),
    ("POST", "/api/showdowns", {"engines": ["nothing"], "settings": {"limit": 64, "epochs": 1}, "mode": "sequence", "name": "x"}),
    ("POST", "/api/runs/ID/continue", {"engine": "nothing", "epochs": 2}),
    ("POST", "/api/runs/ID/pause", {}),
    ("POST", "/api/runs/ID/restore", {}),
    ("POST", "/api/classify", {"pixels": "AAAA", "width": 1, "height": 3, "runs": ["ID"]}),
    ("DELETE", "/api/runs/none", None),
]
HEADERS = [
    b"Transfer-Encoding: chunked", b"Content-Length: 5", b"Content-Length: 99999999999999999999", b"Expect: 100-continue", b"Upgrade: websocket",
    b"Connection: close", b"Connection: keep-alive, Upgrade", b"Range: bytes=0-", b"Host: evil.example", b"Origin: null", b"Accept-Encoding: gzip;q=nan",
    b"Last-Event-ID: -1", b"Last-Event-ID: 99999999999999999999", b"If-None-Match: *", b"Cookie: nnstudio_token=;;;=", b"Authorization: Bearer ", b"X: " + b"y" * 9000,
]
BITS = [b"%00", b"%", b"%zz", b"..", b"//", b"\x00", b"\r\n", b"\r", b"\n", b"\xff\xfe", b"{", b"&", b"=", b"?", b"-1", b"9" * 30, b"1e999", b"\\ud800", b"[" * 3000, b" " * 50]
VALUES = [None, True, -1, 0, 1e308, 10**18, "", "x" * 5000, "\ud7ff\u0000", "../../etc/passwd", "\u202e", [], {}, [[[]]], {"a": {"b": {}}}, ["x"] * 1000, 0.5, "NaN"]


def request(method, target, body=None):
    head = f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    content = b"" if body is None else json.dumps(body).encode()
    return head.encode() + (f"Content-Length: {len(content)}\r\n\r\n".encode() if body is not None else b"\r\n") + content


def mutate_value(chance, value):
    """A body with one member changed, added or gone, somewhere within."""
    value = copy.deepcopy(value)
    place = value
    while isinstance(place, dict) and place and chance.random() < 0.5:
        inner = [v for v in place.values() if isinstance(v, (dict, list)) and v]
        if not inner:
            break
        place = chance.choice(inner)
    if isinstance(place, list):
        place[chance.randrange(len(place))] = chance.choice(VALUES)
    elif place and chance.random() < 0.2:
        del place[chance.choice(list(place))]
    else:
        place[chance.choice([*place, "extra"])] = chance.choice(VALUES)
    return value


def mutate_bytes(chance, data):
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 1, 2, 5, 20])):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(7):
            case 0 if data:
                data[at % len(data)] = chance.randrange(256)
            case 1:
                data[at:at] = chance.choice(BITS)
            case 2:
                del data[at : at + chance.choice([1, 2, 10, 100])]
            case 3:
                end = data.find(b"\r\n")
                data[end + 2 : end + 2] = chance.choice(HEADERS) + b"\r\n"
            case 4:
                data[at:at] = data[max(0, at - 40) : at]
            case 5:
                data = data[:at]
            case _:
                data = bytearray(data.replace(b"\r\n", chance.choice([b"\n", b"\r", b"\r\n\r\n", b" \r\n "]), 1))
        if not data:
            break
    return bytes(data)


def made(chance, run):
    if chance.random() < 0.4:
        return mutate_bytes(chance, request(chance.choice(["GET", "HEAD", "OPTIONS", "TRACE", "POST"]), chance.choice(READS).replace("ID", run)))
    method, path, body = chance.choice(CHANGES)
    if body is not None and chance.random() < 0.7:
        body = mutate_value(chance, body)
    data = request(method, path.replace("ID", run), json.loads(json.dumps(body).replace('"ID"', json.dumps(run))))
    return data if chance.random() < 0.6 else mutate_bytes(chance, data)


def send(server, chance, data):
    """What came back within a moment; how the connection ends is left to chance."""
    with socket.create_connection((server.host, server.port), timeout=10) as link:
        link.settimeout(chance.choice([0.0005, 0.001, 0.01]))
        got = b""
        try:
            if chance.random() < 0.1:
                cut = chance.randrange(len(data) + 1)
                link.sendall(data[:cut])
                time.sleep(0.002)
                data = data[cut:]
            link.sendall(data)
            if chance.random() < 0.2:
                link.shutdown(socket.SHUT_WR)
            while len(got) < 1 << 20 and (part := link.recv(65536)):
                got += part
        except (OSError, ValueError):
            pass
        if chance.random() < 0.2:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # ends by a reset
        return got


def test_mutated_requests(serve):
    chance = random.Random(SEED)
    server = serve()
    run = server.post("/api/runs", {"engine": "native", "settings": {"limit": 64, "epochs": 1}}, status=201)["id"]
    server.wait(run, "finished")
    end, count, answered = time.monotonic() + SECONDS, 0, {}
    while time.monotonic() < end:
        data = made(chance, run)
        answer = send(server, chance, data)
        count += 1
        if answer:
            assert answer.startswith(b"HTTP/"), (data[:500], answer[:200])  # an absurd version comes back as libevent reads it
            status = int(answer.split(b" ", 2)[1])
            answered[status] = answered.get(status, 0) + 1
            assert status < 500 or status in (501, 503), (data[:2000], answer[:500])
        assert server.process.poll() is None, data
    print(f"{count} requests, answers: {dict(sorted(answered.items()))}")
    assert {200, 400, 403, 404} <= set(answered), "the mutations do not reach far enough"
    assert server.get("/api/settings/defaults")["epochs"] == 5
    assert server.stop() == 0
