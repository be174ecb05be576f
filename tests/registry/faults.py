"""A reverse proxy on loopback that passes requests on and misbehaves on purpose.

A rule is {"match": regex on "METHOD path?query", "fault": name, "times": how often, "skip": how many to let pass first, ...}:
status (code, headers, body), html, redirect, lying (a Content-Length that is too large), cut (the answer ends after `bytes`), stall
(silence until the client gives up, at most `seconds`; `given_up` says whether it did), refuse (the request's body is dropped after `bytes`), lost (done behind, but the answer never comes).
`hook(line)` is called before a request goes on, `after(line)` when it was done behind and not yet answered."""

import http.client
import http.server
import re
import socket
import ssl
import threading
import time


class Proxy(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, route, certificate=None, prefix=""):
        """`route(path)` gives (port, whether TLS) of what stands behind, which knows nothing of `prefix`."""
        super().__init__(("127.0.0.1", 0), Handler)
        self.prefix, self.route, self.lock, self.busy = prefix, route, threading.Lock(), 0  # busy: requests under way
        self.reset()
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def reset(self):
        with self.lock:
            self.rules, self.log, self.hook, self.after = [], [], None, None

    def fail(self, match, fault, times=1, skip=0, **more):
        with self.lock:
            self.rules.append({"match": match, "fault": fault, "times": times, "skip": skip, **more})

    def fault_of(self, line):
        with self.lock:
            self.log.append(line)
            for rule in self.rules:
                if rule["times"] > 0 and re.search(rule["match"], line):
                    if rule["skip"] > 0:
                        rule["skip"] -= 1
                        continue
                    rule["times"] -= 1
                    return rule
        return None

    def handle_error(self, request, client_address):
        pass  # a client that was cut off, as it should be


def wait_for_quiet(*proxies):
    """Until no request is under way anymore."""
    until = time.monotonic() + 20
    while any(proxy.busy for proxy in proxies):
        assert time.monotonic() < until
        time.sleep(0.01)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, 1 << 16  # an answer at once and in one piece: else each waits 40 ms for an ACK
    server: Proxy

    def log_message(self, *arguments):
        pass

    def handle_any(self):
        with self.server.lock:
            self.server.busy += 1
        try:
            self.answer()
        finally:
            with self.server.lock:
                self.server.busy -= 1

    def answer(self):
        rule = self.server.fault_of(f"{self.command} {self.path}")
        fault = rule["fault"] if rule else None
        length = int(self.headers.get("Content-Length") or 0)
        if self.server.hook:
            self.server.hook(f"{self.command} {self.path}")
        if fault == "refuse":
            self.rfile.read(min(length, rule["bytes"]))
            return self.hang_up()
        body = self.rfile.read(length)
        if len(body) < length:
            return self.hang_up()  # the client went away in the middle
        if fault == "stall":
            rule["given_up"] = self.client_leaves(rule["seconds"])
            return self.hang_up()
        if fault == "status":
            return self.reply(rule["code"], rule.get("headers", {}), rule.get("body", b"{}"))
        if fault == "html":
            return self.reply(rule.get("code", 200), {"Content-Type": "text/html"}, b"<html><title>Sign in to the hotel's network</title></html>")
        if fault == "redirect":
            return self.reply(302, {"Location": "https://elsewhere.example/?sig=stolen"}, b"")
        status, headers, answer = self.forward(body)
        if self.server.after:
            self.server.after(f"{self.command} {self.path}")
        if fault == "lost":
            return self.hang_up()
        if fault == "cut":
            self.reply(status, headers, answer, send=rule["bytes"])
            return self.hang_up()
        if fault == "lying":
            self.reply(status, headers, answer, claim=len(answer) + 1000)
            return self.hang_up()
        self.reply(status, headers, answer)

    def forward(self, body):
        port, secure = self.server.route(self.path)
        if secure:
            connection = http.client.HTTPSConnection("127.0.0.1", port, context=ssl._create_unverified_context(), timeout=20)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("connection", "transfer-encoding")}
        connection.request(self.command, self.path.removeprefix(self.server.prefix), body if body or self.command in ("PUT", "POST") else None, headers)
        answer = connection.getresponse()
        data = answer.read()
        kept = {name: value for name, value in answer.getheaders() if name.lower() not in ("connection", "transfer-encoding", "keep-alive")}
        connection.close()
        return answer.status, kept, data

    def reply(self, status, headers, body, send=None, claim=None):
        self.send_response_only(status)
        told = {name.lower() for name in headers}
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
            elif self.command == "HEAD":  # says how long the file is
                self.send_header(name, str(int(value) + (1000 if claim else 0)))
        if self.command != "HEAD" or "content-length" not in told:
            self.send_header("Content-Length", str(claim or len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if send is None else body[:send])

    def client_leaves(self, seconds):
        self.connection.settimeout(seconds)
        try:
            return self.connection.recv(1) == b""
        except TimeoutError:
            return False
        except OSError:
            return True

    def hang_up(self):
        self.close_connection = True
        try:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    do_GET = do_PUT = do_POST = do_HEAD = do_PATCH = do_DELETE = handle_any
