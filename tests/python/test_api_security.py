"""Security, and hard to break: every rule of docs/internals/http.md has its test."""

import http.client
import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest
from server_help import TIMEOUT, Listener

PATIENCE = 20  # HTTP_PATIENCE_SECONDS


def status_of(answer):
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def head_of(server, data):
    """The head of the answer, whatever comes after it."""
    with socket.create_connection((server.host, server.port), timeout=TIMEOUT) as link:
        link.sendall(data)
        got = b""
        while b"\r\n\r\n" not in got:
            part = link.recv(65536)
            assert part, f"the answer has no end: {got[:200]}"
            got += part
        return got.split(b"\r\n\r\n")[0]


def alive(server):
    return server.get("/api/settings/defaults")["epochs"] == 5


def addresses(pid):
    """Local addresses of the process's listening sockets."""
    inodes = set()

    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(fd)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in open(f"/proc/{pid}/net/{table}").read().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append(fields[1].split(":")[0])
    return found


def test_only_loopback_unless_told(serve):
    assert addresses(serve().process.pid) == ["0100007F"]


FOREIGN = [
    "evil.example", "evil.example:8501", "127.0.0.1.evil.example", "10.0.0.1", "", "[::1", "localhost.evil:1", "a@127.0.0.1", "localhost.",
    "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1.", "0", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "127.0.0.1:", "127.0.0.1:80:80",
]  # fmt: skip


def test_foreign_hosts_are_refused(serve):
    server = serve()
    for host in FOREIGN:
        status, _, body = server.request("GET", "/api/system", headers={"Host": host})
        assert status == 403 and b"Host" in body, host


def test_own_hosts_are_taken(serve):
    server = serve()
    for host in ("127.0.0.1", f"localhost:{server.port}", "[::1]:1", "LOCALHOST", "127.0.0.2:99"):
        assert server.request("GET", "/api/settings/defaults", headers={"Host": host})[0] == 200
    assert status_of(server.raw(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")) == 403
    twice = f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode()
    assert status_of(server.raw(twice)) == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"])
def test_foreign_origin_is_refused(serve, origin):
    server = serve()
    assert server.request("POST", "/api/runs", {"engine": "native"}, {"Origin": origin})[0] == 403
    assert server.request("GET", "/api/runs", headers={"Origin": origin})[0] == 403
    assert server.get("/api/runs")["total"] == 0


def test_own_origin_is_taken(serve):
    server = serve()
    own = f"http://{server.host}:{server.port}"
    assert server.request("PUT", "/api/preferences", {"a": 1}, {"Origin": own})[0] == 200


def test_a_foreign_host_with_a_matching_origin_is_refused(serve):
    """A name that was made to point here: the browser takes page and studio for one."""
    server = serve()
    for host in (f"evil.example:{server.port}", "localhost.", "127.1"):
        headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
        assert server.request("PUT", "/api/preferences", {"a": 1}, headers)[0] == 403
    assert server.get("/api/preferences") == {}


def test_no_page_elsewhere_is_let_in(serve):
    """Neither by a preflight, nor by a socket that is no HTTP, nor in a frame."""
    server = serve()
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "content-type"}
    for path in ("/api/preferences", "/"):
        status, headers, _ = server.request("OPTIONS", path, headers=asked)
        assert status in (403, 405) and not [name for name in headers if name.startswith("access-control")]
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    for path in (b"/", b"/api/events", b"/api/system"):
        for origin in (b"", b"Origin: http://evil.example\r\n"):
            head = head_of(server, b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s%s\r\n" % (path, origin, upgrade))
            assert status_of(head) == (403 if origin else 200) and b"websocket" not in head.lower()


def test_cross_site_fetches_are_refused(serve):
    server = serve()
    for mode in ("no-cors", "cors"):
        assert server.request("GET", "/api/runs", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode})[0] == 403
    assert server.request("GET", "/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})[0] == 200
    assert server.request("GET", "/", headers={"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"})[0] == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx", ""])
def test_a_form_cannot_make_changes(serve, kind):
    server = serve()
    assert server.request("POST", "/api/runs", '{"engine":"native"}', {"Content-Type": kind})[0] == 415
    assert server.get("/api/runs")["total"] == 0


def test_headers_on_every_answer(serve):
    server = serve()
    for path in ("/", "/runs/abc", "/api/system", "/api/nothing", "/nothing", "/assets/nothing.js"):
        _, headers, _ = server.request("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


# --- the token ---


def test_other_addresses_need_a_token(serve):
    server = serve("--host", "0.0.0.0")
    token = server.address.split("?token=")[1]
    assert len(token) == 32
    assert server.request("GET", "/api/system")[0] == 401
    assert server.request("GET", "/")[0] == 401
    assert server.request("GET", "/api/events")[0] == 401
    for wrong in ("", "x" * 32, token[:-1], token + "0"):
        assert server.request("GET", "/api/system", headers={"Authorization": f"Bearer {wrong}"})[0] == 401
        assert server.request("GET", f"/?token={wrong}")[0] == 401
    assert server.request("GET", "/api/system", headers={"Authorization": f"Bearer {token}"})[0] == 200
    status, headers, _ = server.request("GET", f"/runs?token={token}")
    assert status == 303 and headers["location"] == "/runs"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie
    assert server.request("GET", "/", headers={"Cookie": "a=b; " + cookie.split(";")[0]})[0] == 200
    assert server.request("GET", "/", headers={"Cookie": f"x{cookie.split(';')[0]}"})[0] == 401
    assert server.request("GET", "/", headers={"Cookie": cookie.split(";")[0], "Host": "evil.example"})[0] == 403
    assert server.request("GET", f"//evil.example/?token={token}")[0] == 401


NOBODY = 65534
ASK = "import sys, urllib.request as r; q = r.Request(sys.argv[1], headers=dict(h.split('=', 1) for h in sys.argv[2:])); print(r.urlopen(q).status)"


def as_user(uid, address, *headers):
    """What another user of the machine gets: its status."""
    result = subprocess.run(["/usr/bin/env", "python3", "-c", ASK, address, *headers], user=uid, capture_output=True, text=True, cwd="/")
    return int((re.findall(r"HTTP Error (\d+)", result.stderr) or [result.stdout.strip() or "0"])[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_of_the_machine_needs_the_token(serve):
    server = serve()
    if "?token=" in server.address:
        pytest.skip("the kernel does not tell here who asks")
    place = f"http://127.0.0.1:{server.port}/api/settings/defaults"
    assert as_user(0, place) == 200
    assert as_user(NOBODY, place) == 401
    assert as_user(NOBODY, place, "Authorization=Bearer " + "0" * 32) == 401
    chosen = serve("--token", "correct-horse")
    place = f"http://127.0.0.1:{chosen.port}/api/settings/defaults"
    assert as_user(NOBODY, place, "Authorization=Bearer correct-horse") == 200
    assert as_user(0, place) == 401


@pytest.mark.parametrize("way", ["file", "variable"])
def test_a_token_that_no_list_of_processes_shows(serve, tmp_path, way):
    (tmp_path / "token").write_text("correct-horse\n")
    server = serve("--token-file", tmp_path / "token") if way == "file" else serve(env={**os.environ, "NNSTUDIO_TOKEN": "correct-horse"})
    assert server.request("GET", "/api/runs")[0] == 401
    assert server.request("GET", "/api/runs", headers={"Authorization": "Bearer correct-horse"})[0] == 200
    assert b"correct-horse" not in pathlib.Path(f"/proc/{server.process.pid}/cmdline").read_bytes()


def test_a_token_is_for_one_port(serve):
    """Cookies do not know ports: two studios of one machine must not overwrite each other's."""
    one, two = (serve("--token", name * 8) for name in "ab")
    names = {server.request("GET", f"/?token={token * 8}")[1]["set-cookie"].split("=")[0] for server, token in ((one, "a"), (two, "b"))}
    assert len(names) == 2


def test_the_home_is_its_owners(serve, home):
    serve()
    assert home.stat().st_mode & 0o777 == 0o700
    files = {file.name: file.stat().st_mode & 0o777 for file in home.glob("studio.db*")}
    assert len(files) == 3 and set(files.values()) == {0o600}, files


def test_a_chosen_token(serve, studio):
    server = serve("--token", "correct-horse")
    assert server.request("GET", "/api/runs")[0] == 401
    assert server.request("GET", "/api/runs", headers={"Authorization": "Bearer correct-horse"})[0] == 200
    assert "too short" in studio("serve", "--port", 0, "--token", "abc", status=2).stderr


# --- no path leaves the home ---

OUTSIDE = [
    "/../../etc/passwd", "/assets/../../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/assets/..%2f..%2fetc%2fpasswd",
    "/api/runs/../../etc/passwd", "/api/runs/x/files/..%2f..%2fetc%2fpasswd", "/api/runs/..%2f..%2f/files/x", "/api/runs/%00/files/a",
    "/api/datasets/..%2f..%2f..%2fetc/stats", "/api/datasets/%2fetc%2fpasswd/samples", "/api/datasets/.hidden/stats", "//etc/passwd",
    "/api/runs/x/files/%2fetc%2fpasswd", "/assets/..\\..\\etc\\passwd", "/api/runs/x/files/..%5c..%5cetc%5cpasswd", "/assets/%23/../../etc/passwd",
    "/assets/app.js%00.css", "/api/models/#/../../etc/passwd", "/api/datasets/file:%2f%2f%2fetc%2fpasswd/stats", "/assets/%252e%252e/etc/passwd",
]


def test_no_path_leaves_the_home(serve):
    server = serve()
    for path in OUTSIDE:
        answer = server.raw(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        assert status_of(answer) in (400, 404), (path, answer[:300])
        assert b"root:" not in answer


@pytest.mark.parametrize("settings", [{"dataset": "../../etc"}, {"dataset": "/etc"}, {"from": "/etc/passwd"}, {"from": "../x"}, {"device": "x" * 40}])
def test_no_setting_names_a_path(serve, settings):
    status, _, body = serve().request("POST", "/api/runs", {"engine": "native", "settings": settings})
    assert status in (400, 404), body


# --- slow, huge, malformed, half-closed ---


def test_large_bodies_are_refused(serve):
    server = serve()
    announced = b"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n{"
    assert status_of(server.raw(announced)) == 413
    chunked = b"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    try:
        answer = server.raw(chunked + (b"10000\r\n" + b"x" * 0x10000 + b"\r\n") * 64)
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    assert status_of(answer) in (None, 400, 413)
    status, _, _ = server.request("PUT", "/api/preferences", {"a": "x" * 70000})
    assert status == 400
    assert alive(server)


def test_large_headers_are_refused(serve):
    server = serve()
    try:
        answer = server.raw(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"y" * 100000 + b"\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    assert status_of(answer) in (None, 400, 413, 431)
    assert status_of(server.raw(b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n")) != 200
    assert alive(server)


MALFORMED = [
    b"\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/9.9\r\n\r\n", b"\x00" * 1000,
    b"GET / HTTP/1.1\r\nbroken header\r\n\r\n", b"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: abc\r\n\r\n", b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"BREW / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET /api/runs?limit=%zz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    b"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"GET /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nX: a\r\n b\r\nConnection: close\r\n\r\n",
]


@pytest.mark.parametrize("half_close", [False, True])
def test_malformed_requests_are_survived(serve, half_close):
    server = serve()
    for data in MALFORMED:
        answer = server.raw(data, timeout=0.5, half_close=half_close)
        status = status_of(answer)
        assert status is None or status >= 400 or data.endswith(b" b\r\nConnection: close\r\n\r\n"), (data, answer[:100])
    assert alive(server)


@pytest.mark.parametrize("target", ["/api/runs/%ff", "/api/runs/" + "%c3%a9" * 40, "/api/runs?%ff=1", "/api/runs?" + "a" + "%c3%a9" * 60 + "=1"])
def test_what_is_no_text_is_refused_in_clear_words(serve, target):
    """The answer quotes it, cut at some length: it must be JSON all the same."""
    status, _, body = serve().request("GET", target)
    assert status in (400, 404) and json.loads(body)["error"]["message"]


HIDDEN = b"GET /api/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
SMUGGLING = {
    "length and chunked": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
    "space before the colon": b"Content-Length : %d\r\n\r\n" % len(HIDDEN),
    "tab before the colon": b"Content-Length\t: %d\r\n\r\n" % len(HIDDEN),
    "sign in the length": b"Content-Length: +%d\r\n\r\n" % len(HIDDEN),
    "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n",
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n\r\n",
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "folded": b"Content-Length:\r\n %d\r\n\r\n" % len(HIDDEN),
    "return alone": b"X: y\rContent-Length: %d\r\n\r\n" % len(HIDDEN),
    "NUL": b"X: y\0\r\nContent-Length: 0\r\n\r\n",
    "sign in a chunk's size": b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "0x in a chunk's size": b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "two hosts": b"Host: 127.0.0.1\r\nContent-Length: 0\r\n\r\n",
    "two origins": b"Origin: http://127.0.0.1\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("form", SMUGGLING.values(), ids=SMUGGLING.keys())
def test_smuggling_is_refused(serve, form):
    """The request is refused and nothing after it is answered, also on a connection that was in use before."""
    server = serve()
    server.call("PUT", "/api/preferences", {"theme": "dark"})
    before = b"GET /api/preferences HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    head = b"PUT /api/preferences HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    for first in (b"", before):
        answer = server.raw(first + head + form + HIDDEN)
        statuses = re.findall(rb"HTTP/1.1 (\d+) ", answer)
        # 413 is libevent's own word for a chunk that it cannot read
        assert statuses[:-1] == [b"200"] * bool(first) and statuses[-1] in (b"400", b"413"), answer[:2000]
    assert server.get("/api/preferences") == {"theme": "dark"}


def test_a_host_does_not_end_at_a_nul(serve):
    answer = serve().raw(b"GET /api/preferences HTTP/1.1\r\nHost: 127.0.0.1\0.evil.example\r\nConnection: close\r\n\r\n")
    assert status_of(answer) == 400


def test_absolute_addresses_are_taken_when_they_are_ours(serve):
    server = serve()
    for authority, status in ((b"127.0.0.1", 200), (b"localhost:%d" % server.port, 200), (b"evil.example", 403), (b"a@127.0.0.1", 403)):
        answer = server.raw(b"GET http://%s/api/preferences HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n" % authority)
        assert status_of(answer) == status, answer
    assert status_of(server.raw(b"GET https://127.0.0.1/ HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")) == 400


@pytest.mark.parametrize("chunks", [b"2\r\n{}\r\n0\r\n\r\n", b"2;name=value\r\n{}\r\n0\r\n\r\n", b"1\r\n{\r\n01 ; x=\"y\"\r\n}\r\n000\r\n\r\n"])
def test_chunked_bodies_are_taken(serve, chunks):
    head = b"PUT /api/preferences HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    assert status_of(serve().raw(head + chunks)) == 200


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"engine":"native"', '{"a":1,"a":2}', '{"engine":"\\ud800"}', "\xff", "[" * 100000, '{"engine":1}'])
def test_malformed_json_is_refused(serve, text):
    status, _, body = serve().request("POST", "/api/runs", text.encode("latin-1"))
    assert status == 400 and json.loads(body)["error"]["message"]


def test_half_closed_and_abandoned_requests_are_survived(serve):
    server = serve()
    for _ in range(50):
        link = socket.create_connection((server.host, server.port))
        link.sendall(b"GET /api/datasets/synthetic/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        link.shutdown(socket.SHUT_WR)
        link.close()
    for _ in range(20):
        link = socket.create_connection((server.host, server.port))
        link.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        link.close()
    run = server.post("/api/runs", {"engine": "native", "settings": {"limit": 500, "epochs": 1}}, status=201)["id"]
    assert server.wait(run, "finished")
    assert alive(server)


def test_slow_clients_are_cut_off(serve):
    """Slowloris: a byte now and then does not keep a connection, and nobody else waits meanwhile."""
    server = serve()
    links = []
    for i in range(100):
        link = socket.create_connection((server.host, server.port))
        if i % 2:
            link.sendall(b"GET /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        else:  # a body that never comes to its end
            link.sendall(b"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
        links.append(link)
    end, ended = time.monotonic() + PATIENCE + TIMEOUT, 0
    while links and time.monotonic() < end:
        assert alive(server)
        time.sleep(0.5)
        for link in list(links):
            try:
                link.sendall(b"X-a: b\r\n")
                link.setblocking(False)
                if link.recv(1000) == b"":
                    raise ConnectionResetError
            except BlockingIOError:
                link.setblocking(True)
            except OSError:
                links.remove(link)
                link.close()
                ended += 1
    for link in links:
        link.close()
    assert ended == 100


def test_listeners_that_do_not_read_do_not_fill_memory(serve):
    """A copy for each of 200 would be more than twice of what the server may grow."""
    server = serve()
    idle = [socket.create_connection((server.host, server.port)) for _ in range(200)]
    for link in idle:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    listener = Listener(server)
    before = resident(server.process.pid)
    settings = {"dataset": "synthetic", "limit": 20000, "batch_size": 1, "hidden": [4], "epochs": 1000, "threads": 1}
    run = server.post("/api/runs", {"engine": "native", "settings": settings}, status=201)["id"]
    told = 0

    def enough(kind, data):
        nonlocal told
        told += len(json.dumps(data)) if kind == "steps" else 0
        return told >= 600_000

    listener.until(enough)
    assert resident(server.process.pid) - before < 50e6
    server.post(f"/api/runs/{run}/stop")
    server.wait(run, "stopped")
    for link in idle:
        link.close()


def resident(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


def test_many_connections_at_once(serve):
    server = serve()
    failures = []

    def ask():
        try:
            connection = http.client.HTTPConnection(server.host, server.port, timeout=30)
            for _ in range(20):
                connection.request("GET", "/api/settings/defaults")
                assert connection.getresponse().read()
            connection.close()
        except Exception as problem:  # noqa: BLE001
            failures.append(problem)

    threads = [threading.Thread(target=ask) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_too_many_connections_are_turned_away_and_the_others_served(serve):
    wanted = 4000  # HTTP_CONNECTIONS_MAX
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted + 200:
        pytest.skip(f"this machine allows a process {hard} open files")
    server, request = serve(), b"GET /api/settings/defaults HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    links = []

    def connect():
        links.append(socket.create_connection((server.host, server.port), timeout=30))
        return links[-1]

    def is_served(link):
        try:
            link.sendall(request)
            return link.recv(12) == b"HTTP/1.1 200"
        except (BrokenPipeError, ConnectionResetError):
            return False

    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 200), hard))
    try:
        for _ in range(wanted):
            connect()
        assert is_served(links[-1]) and is_served(links[0])
        assert not is_served(connect())
        for link in links[10:20]:
            link.close()
        end = time.monotonic() + PATIENCE
        while not is_served(connect()):
            assert time.monotonic() < end, "a place that became free is not given again"
    finally:
        for link in links:
            link.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert alive(server)


def test_guesses_of_the_token_are_slowed_and_logged(serve, tmp_path):
    """Each waits; when many come at once, no more are looked at, not even a right one.

    All are there before the server looks at the first: it is held while they are sent."""
    server = serve("--token", "correct-horse")

    def ask(token):
        link = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT)
        link.request("GET", "/api/system", headers={"Authorization": f"Bearer {token}"})
        return link

    server.process.send_signal(signal.SIGSTOP)
    guesses = [ask(f"guess-{i}") for i in range(70)]
    right = [ask("correct-horse") for _ in range(10)]
    begun = time.monotonic()
    server.process.send_signal(signal.SIGCONT)
    answers = [link.getresponse().status for link in guesses]
    assert time.monotonic() - begun >= 1
    assert set(answers) == {401, 429} and answers.count(401) >= 64
    assert 429 in [link.getresponse().status for link in right]
    assert server.request("GET", "/api/system", headers={"Authorization": "Bearer correct-horse"})[0] == 200
    assert (tmp_path / "server.log").read_text().count("wrong token") == 1
    for link in guesses + right:
        link.close()
