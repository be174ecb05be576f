"""Managed identities and certificates beside Microsoft's own client, azure-identity: the same environment, the same stub, the
same request."""

import contextlib
import http.server
import json
import os
import pathlib
import ssl
import subprocess
import threading
import time
import urllib.parse

import pytest
import standin

ARC_FOLDER = pathlib.Path("/var/opt/azcmagent/tokens")
SEEN = ("metadata", "x-identity-header", "secret", "authorization")


class Stub(http.server.ThreadingHTTPServer):
    """An endpoint of managed identities of any form, which keeps what it was asked."""

    daemon_threads = True

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), StubHandler)
        self.asked, self.arc_key, self.answers_for = [], None, None
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.address = f"{'https' if certificate else 'http'}://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that did not trust the certificate


class StubHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def log_message(self, *arguments):
        pass

    def handle_any(self):
        split = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(split.query))
        form = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()))
        headers = {name.lower(): value for name, value in self.headers.items() if name.lower() in SEEN}
        self.server.asked.append((self.command, split.path, query, form, headers))
        if self.server.arc_key and "authorization" not in headers:
            return self.reply(401, {}, {"WWW-Authenticate": f"Basic realm={self.server.arc_key}"})
        resource, now = {**query, **form}.get("resource", ""), int(time.time())
        answer = {"access_token": standin.make_token(resource), "expires_in": "86399", "expires_on": str(now + 86399), "resource": resource, "token_type": "Bearer"}
        client = self.server.answers_for or query.get("client_id")
        self.reply(200, {**answer, **({"client_id": client} if client else {})}, {})

    def reply(self, status, value, headers):
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = handle_any


@pytest.fixture
def stubs(certificate):
    with contextlib.ExitStack() as stack:
        made = {"plain": Stub(), "tls": Stub(certificate)}
        for stub in made.values():
            stack.callback(stub.server_close)
            stack.callback(stub.shutdown)
        yield made


@pytest.fixture
def thumbprint(certificate):
    text = subprocess.run(["openssl", "x509", "-in", certificate[0], "-noout", "-fingerprint", "-sha1"], check=True, capture_output=True, text=True).stdout
    return text.strip().split("=")[1].replace(":", "")


@pytest.fixture
def arc_key():
    """A key file of Azure Arc's agent: its folder is fixed, and azure-identity checks that, too."""
    try:
        ARC_FOLDER.mkdir(parents=True, exist_ok=True)
        file = ARC_FOLDER / f"nnstudio-test-{os.getpid()}.key"
        file.write_text("arc-key-that-nobody-may-see")
    except OSError as error:
        pytest.skip(f"{ARC_FOLDER} cannot be written: {error}")
    yield file
    file.unlink()
    for folder in (ARC_FOLDER, ARC_FOLDER.parent):
        with contextlib.suppress(OSError):
            folder.rmdir()


@pytest.fixture
def ours(studio, cloud, monkeypatch):
    """Asks ARM for something as a managed identity; the secrets stay unseen."""
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name)

    def ask(status=0, way="managed-identity"):
        result = studio("registry", "list", "m", "--from", "azure", "--config", cloud.config, "--sign-in", way, status=status)
        assert "nobody-may-see" not in result.stdout + result.stderr and "eyJ" not in result.stdout + result.stderr
        return result.stderr

    return ask


def theirs(scope):
    """azure-identity, as DefaultAzureCredential makes its managed identity."""
    from azure.identity import ManagedIdentityCredential

    credential = ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID"), retry_total=0)
    return credential.get_token(scope).token


FORMS = {
    "app": {"IDENTITY_ENDPOINT": "{plain}/msi/token", "IDENTITY_HEADER": "h-that-nobody-may-see"},
    "arc": {"IDENTITY_ENDPOINT": "{plain}/metadata/identity/oauth2/token", "IMDS_ENDPOINT": "{plain}"},
    "fabric": {"IDENTITY_ENDPOINT": "{tls}/metadata/identity/oauth2/token", "IDENTITY_HEADER": "h-that-nobody-may-see", "IDENTITY_SERVER_THUMBPRINT": "{thumbprint}"},
    "ml": {"MSI_ENDPOINT": "{plain}/msi/token", "MSI_SECRET": "s-that-nobody-may-see"},
    "shell": {"MSI_ENDPOINT": "{plain}/oauth2/token"},
    "machine": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": "{plain}"},
    # which form wins when the variables of two are set
    "app and ml": {"IDENTITY_ENDPOINT": "{plain}/app", "IDENTITY_HEADER": "h", "MSI_ENDPOINT": "{plain}/ml", "MSI_SECRET": "s"},
    "app and arc": {"IDENTITY_ENDPOINT": "{plain}/app", "IDENTITY_HEADER": "h", "IMDS_ENDPOINT": "{plain}/arc"},
    "ml and machine": {"MSI_ENDPOINT": "{plain}/ml", "MSI_SECRET": "s", "AZURE_POD_IDENTITY_AUTHORITY_HOST": "{plain}/machine"},
    "half": {"IDENTITY_ENDPOINT": "{plain}/half"},
    "half and ml": {"IDENTITY_ENDPOINT": "{plain}/half", "MSI_ENDPOINT": "{plain}/ml", "MSI_SECRET": "s"},
}


@pytest.mark.parametrize("client", [None, standin.CLIENT], ids=["system", "user"])
@pytest.mark.parametrize("form", FORMS)
def test_the_matrix_of_azure_identity(ours, cloud, stubs, thumbprint, arc_key, monkeypatch, form, client):
    for name, value in FORMS[form].items():
        monkeypatch.setenv(name, value.format(plain=stubs["plain"].address, tls=stubs["tls"].address, thumbprint=thumbprint))
    if client:
        monkeypatch.setenv("AZURE_CLIENT_ID", client)
    if form == "arc":
        stubs["plain"].arc_key = arc_key

    def asked(run):
        """What the stubs were asked by it, or None when it refused before asking."""
        for stub in stubs.values():
            stub.asked.clear()
        try:
            run()
        except AssertionError:
            raise
        except Exception:
            assert not any(stub.asked for stub in stubs.values())
            return None
        return [request for stub in stubs.values() for request in stub.asked]

    expected = asked(lambda: theirs(f"https://management.localhost:{cloud.arm.port}/.default"))
    got = asked(lambda: ours(0 if expected else 1) and None)
    assert (got or None) == expected


def test_another_certificate_than_service_fabrics_gets_nothing(ours, stubs, thumbprint, monkeypatch):
    wrong = ("0" if thumbprint[0] != "0" else "1") + thumbprint[1:]
    for name, value in FORMS["fabric"].items():
        monkeypatch.setenv(name, value.format(tls=stubs["tls"].address, thumbprint=wrong))
    assert "is not the one with the SHA-1" in ours(1)
    assert stubs["tls"].asked == []


@pytest.mark.parametrize("place", ["/etc/passwd", "/var/opt/azcmagent/tokens/../../../../etc/passwd.key", "/var/opt/azcmagent/tokens/x.txt", "/var/opt/azcmagent/tokens/", ""])
def test_a_challenge_reads_no_other_file(ours, stubs, monkeypatch, place):
    for name, value in FORMS["arc"].items():
        monkeypatch.setenv(name, value.format(plain=stubs["plain"].address))
    stubs["plain"].arc_key = place or " "
    assert "does not name a .key file" in ours(1)
    assert len(stubs["plain"].asked) == 1


def test_an_agent_that_answers_for_another_identity(ours, stubs, arc_key, monkeypatch):
    for name, value in FORMS["arc"].items():
        monkeypatch.setenv(name, value.format(plain=stubs["plain"].address))
    monkeypatch.setenv("AZURE_CLIENT_ID", standin.CLIENT)
    stubs["plain"].arc_key, stubs["plain"].answers_for = arc_key, standin.TENANT
    assert "answered for another identity" in ours(1)


# ---- a service principal's certificate


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """By name: (file, password)."""
    folder = tmp_path_factory.mktemp("certificates")
    key, cert = folder / "key.pem", folder / "cert.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=principal")
    (folder / "both.pem").write_text(key.read_text() + cert.read_text())
    (folder / "reversed.pem").write_text(cert.read_text() + key.read_text())
    openssl("rsa", "-aes256", "-in", key, "-out", folder / "locked-key.pem", "-passout", "pass:pw")
    (folder / "locked.pem").write_text((folder / "locked-key.pem").read_text() + cert.read_text())
    openssl("pkcs12", "-export", "-inkey", key, "-in", cert, "-out", folder / "open.pfx", "-passout", "pass:")
    openssl("pkcs12", "-export", "-inkey", key, "-in", cert, "-out", folder / "locked.pfx", "-passout", "pass:pw")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "other-key.pem", "-out", folder / "other.pem", "-days", "2", "-subj", "/CN=other")
    (folder / "mixed.pem").write_text(key.read_text() + (folder / "other.pem").read_text())
    (folder / "key-only.pem").write_text(key.read_text())
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", folder / "ec-key.pem", "-out", folder / "ec-cert.pem", "-days", "2", "-subj", "/CN=ec")
    (folder / "ec.pem").write_text((folder / "ec-key.pem").read_text() + (folder / "ec-cert.pem").read_text())
    (folder / "garbage.pfx").write_bytes(bytes(range(256)) * 4)
    return folder


@pytest.fixture
def principal(cloud, certificates, monkeypatch):
    from cryptography import x509

    monkeypatch.delenv("AZURE_CLIENT_SECRET")
    cloud.azure.certificate = x509.load_pem_x509_certificate((certificates / "cert.pem").read_bytes())

    def use(name, password=None):
        monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PATH", str(certificates / name))
        if password:
            monkeypatch.setenv("AZURE_CLIENT_CERTIFICATE_PASSWORD", password)

    return use


@pytest.mark.parametrize("name, password", [("both.pem", None), ("reversed.pem", None), ("locked.pem", "pw"), ("open.pfx", None), ("locked.pfx", "pw")])
@pytest.mark.parametrize("chain", [False, True])
def test_a_certificate_signs_in_as_azure_identity_does(studio, cloud, principal, certificate, monkeypatch, name, password, chain):
    import socket

    from azure.identity import CertificateCredential

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: resolve("127.0.0.1" if str(host).endswith(".localhost") else host, *more, **named))
    principal(name, password)
    if chain:
        monkeypatch.setenv("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN", "true")
    reference = CertificateCredential(
        standin.TENANT, standin.CLIENT, os.environ["AZURE_CLIENT_CERTIFICATE_PATH"], password=password, send_certificate_chain=chain,
        authority=f"https://login.localhost:{cloud.entra.port}", disable_instance_discovery=True, connection_verify=str(certificate[0]),
    )
    reference.get_token(f"https://management.localhost:{cloud.arm.port}/.default")
    for way in ("service-principal", "auto"):
        studio("registry", "list", "m", "--from", "azure", "--config", cloud.config, "--sign-in", way)
    (their_head, their_claims), (our_head, our_claims), _ = cloud.azure.assertions
    assert {key: our_claims[key] for key in ("aud", "iss", "sub")} == {key: their_claims[key] for key in ("aud", "iss", "sub")}
    assert our_head.get("x5c") == (their_head["x5c"] if isinstance(their_head.get("x5c", []), list) else [their_head["x5c"]]) if chain else "x5c" not in our_head


@pytest.mark.parametrize("name, password, words", [
    ("locked.pem", None, "set AZURE_CLIENT_CERTIFICATE_PASSWORD if it has a password"),
    ("locked.pem", "wrong", "check AZURE_CLIENT_CERTIFICATE_PASSWORD"),
    ("locked.pfx", "wrong", "check AZURE_CLIENT_CERTIFICATE_PASSWORD"),
    ("garbage.pfx", None, "cannot be read as PFX"),
    ("mixed.pem", None, "holds no certificate of its private key"),
    ("key-only.pem", None, "holds no certificate of its private key"),
    ("ec.pem", None, "is not RSA: Entra ID takes RSA keys only"),
    ("missing.pem", None, "AZURE_CLIENT_CERTIFICATE_PATH"),
])
def test_a_certificate_that_will_not_do(studio, cloud, principal, name, password, words):
    principal(name, password)
    result = studio("registry", "list", "m", "--from", "azure", "--config", cloud.config, status=1)
    assert words in result.stderr and "wrong" not in result.stderr
    assert not any("/oauth2/" in line for line in cloud.entra.log)


def test_a_certificate_that_entra_does_not_know(studio, cloud, principal, certificates, monkeypatch):
    from cryptography import x509

    principal("both.pem")
    cloud.azure.certificate = x509.load_pem_x509_certificate((certificates / "other.pem").read_bytes())
    assert "AADSTS700027" in studio("registry", "list", "m", "--from", "azure", "--config", cloud.config, status=1).stderr
