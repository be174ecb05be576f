"""Every way to sign in to Azure, with what each can end in."""

import json
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

import pytest
import standin

VARIABLES = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")


@pytest.fixture
def ask(studio, cloud, models, monkeypatch, tmp_path):
    """Asks ARM for something, signed in one way: the cheapest question there is. Returns (what was sent to sign in, the result)."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin") + ":/usr/bin:/bin")

    def run(way, status=0, *more):
        cloud.entra.log.clear()
        words = ["registry", "list", "pytorch_mnist", "--from", "azure", "--config", cloud.config, "--json"]
        result = studio(*words, *(["--sign-in", way] if way else []), *more, status=status)
        for secret in (standin.SECRET, "nobody-may-see", "eyJ", "federated-token", "identity-secret", "msi-secret"):
            assert secret not in result.stdout + result.stderr
        if status:
            (line,) = [line for line in result.stderr.splitlines() if line.startswith("nnstudio: ")]
            assert line.count(": ") >= 2
        return result

    return run


def without(monkeypatch, *names):
    for name in names:
        monkeypatch.delenv(name, raising=False)


def fake_az(folder, script):
    """A stand-in for the Azure CLI."""
    (folder / "bin").mkdir(exist_ok=True)
    program = folder / "bin" / "az"
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)


def az_answer(seconds=3600, **more):
    token = standin.make_token("https://management.localhost")
    return json.dumps({"accessToken": token, "expires_on": int(time.time()) + seconds, "tokenType": "Bearer", **more})


# ---- service principal, workload identity


def test_service_principal(ask, cloud):
    ask("service-principal")
    assert cloud.entra.log[1] == f"POST /{standin.TENANT}/oauth2/v2.0/token"


def test_service_principal_with_a_wrong_secret(ask, monkeypatch):
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong-one")
    result = ask("service-principal", 1)
    assert "AADSTS7000215" in result.stderr and "trace id t1" in result.stderr and "wrong-one" not in result.stderr


def test_service_principal_without_its_variables(ask, monkeypatch):
    without(monkeypatch, "AZURE_CLIENT_SECRET")
    assert "needs AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET or AZURE_CLIENT_CERTIFICATE_PATH" in ask("service-principal", 1).stderr


def test_workload_identity_reads_its_file_anew(ask, cloud, monkeypatch, tmp_path):
    without(monkeypatch, "AZURE_CLIENT_SECRET")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "token"))
    assert "AZURE_FEDERATED_TOKEN_FILE" in ask("workload-identity", 1).stderr  # the file is not there yet
    (tmp_path / "token").write_text("federated-token-of-yesterday")
    assert "AADSTS700211" in ask("workload-identity", 1).stderr
    (tmp_path / "token").write_text("federated-token\n")
    ask("workload-identity")


def test_another_authority(ask, cloud, monkeypatch):
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", f"https://localhost:{cloud.entra.port}/")
    ask("service-principal", 0, "--tenant", "contoso.example")
    assert cloud.entra.log[1] == "POST /contoso.example/oauth2/v2.0/token"
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", "http://login.example")
    assert "is not https" in ask("service-principal", 1).stderr


# ---- managed identity: App Service, Azure ML's compute, the machine's identity service


def use_identity(monkeypatch, cloud, form):
    base = f"http://127.0.0.1:{cloud.ports['plain']}"
    for name, value in {
        "app": {"IDENTITY_ENDPOINT": f"{base}/msi/token", "IDENTITY_HEADER": "identity-secret"},
        "ml": {"MSI_ENDPOINT": f"{base}/msi/token", "MSI_SECRET": "msi-secret"},
        "machine": {"AZURE_POD_IDENTITY_AUTHORITY_HOST": base},
    }[form].items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("form, version, parameter, path", [
    ("app", "2019-08-01", "client_id", "/msi/token"),
    ("ml", "2017-09-01", "clientid", "/msi/token"),
    ("machine", "2018-02-01", "client_id", "/metadata/identity/oauth2/token"),
])
def test_managed_identity(ask, cloud, monkeypatch, form, version, parameter, path):
    without(monkeypatch, "AZURE_CLIENT_SECRET")
    use_identity(monkeypatch, cloud, form)
    ask("managed-identity")
    where, query, _ = cloud.azure.identity_log[0]
    assert where == path and query["api-version"] == version and query[parameter] == standin.CLIENT
    assert query["resource"] == f"https://management.localhost:{cloud.arm.port}"


@pytest.mark.parametrize("trouble", [[404, 404], [429], [500, 503]])
def test_managed_identity_that_is_not_ready_is_asked_again(ask, cloud, monkeypatch, trouble):
    use_identity(monkeypatch, cloud, "machine")
    cloud.azure.identity_faults = list(trouble)
    ask("managed-identity")
    assert len(cloud.azure.identity_log) == len(trouble) + 1


def test_managed_identity_that_refuses(ask, cloud, monkeypatch):
    use_identity(monkeypatch, cloud, "app")
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    assert "managed identity of App Service: asking for the managed identity: refused with HTTP 400, invalid_request" in ask("managed-identity", 1).stderr


# ---- the Azure CLI


def test_azure_cli(ask, cloud, monkeypatch, tmp_path):
    fake_az(tmp_path, f"echo \"$@\" > {tmp_path}/words; env > {tmp_path}/environment; cat > {tmp_path}/input\ncat <<'END'\n{az_answer()}\nEND\n")
    ask("azure-cli")
    words = (tmp_path / "words").read_text().split()
    assert words == ["account", "get-access-token", "--output", "json", "--resource", f"https://management.localhost:{cloud.arm.port}", "--tenant", standin.TENANT]
    environment = (tmp_path / "environment").read_text()
    assert "AZURE_CORE_NO_COLOR=true" in environment and "AZURE_CLIENT_ID=" in environment
    assert standin.SECRET not in environment, "the CLI is no business of the service principal's secret"
    assert (tmp_path / "input").read_text() == ""


@pytest.mark.parametrize("script, words", [
    ("echo \"Please run 'az login' to setup account.\" >&2; exit 1", "the Azure CLI is not signed in: run `az login`"),
    ("echo 'ERROR: AADSTS700082: The refresh token has expired due to inactivity.' >&2; echo 'Trace ID: 1' >&2; exit 1",
     "the Azure CLI gave no token: AADSTS700082: The refresh token has expired due to inactivity: run `az login`"),
    ("printf 'WARNING: beta\\nERROR: Please specify only one of them.\\n' >&2; exit 2", "gave no token: Please specify only one of them: run `az login`"),
    ("exit 1", "the Azure CLI gave no token: run `az account get-access-token`"),
    ("exit 0", "the Azure CLI gave no token: run `az login`"),
    ("echo not json at all", "the Azure CLI's answer"),
    ("echo '{\"accessToken\": 5}'", "holds no token"),
])
def test_azure_cli_without_a_token(ask, tmp_path, script, words):
    fake_az(tmp_path, script + "\n")
    assert words in ask("azure-cli", 1).stderr


@pytest.mark.parametrize("given, passed", [
    (("--tenant", "contoso.example"), ["--tenant", "contoso.example"]),
    (("--subscription", standin.SUBSCRIPTION), ["--subscription", standin.SUBSCRIPTION]),
    (("--subscription", standin.SUBSCRIPTION, "--tenant", "contoso.example"), ["--tenant", "contoso.example"]),
])
def test_azure_cli_gets_what_was_typed(ask, tmp_path, given, passed):
    """The CLI takes one of both only."""
    fake_az(tmp_path, f"echo \"$@\" > {tmp_path}/words\ncat <<'END'\n{az_answer()}\nEND\n")
    ask("azure-cli", 0, *given)
    assert (tmp_path / "words").read_text().split()[-2:] == passed


def test_azure_cli_that_takes_too_long(ask, tmp_path, monkeypatch):
    fake_az(tmp_path, "exec sleep 30\n")
    monkeypatch.setenv("NNSTUDIO_AZURE_CLI_SECONDS", "0.5")
    assert "did not answer within 0 seconds" in (words := ask("azure-cli", 1).stderr) or "within 1 seconds" in words
    assert "NNSTUDIO_AZURE_CLI_SECONDS" in words


def test_azure_cli_that_is_not_installed(ask):
    assert "the Azure CLI (az) is not on the PATH" in ask("azure-cli", 1).stderr


def test_azure_cli_of_old_tells_local_time(ask, tmp_path):
    token = standin.make_token("https://management.localhost")
    when = time.strftime("%Y-%m-%d %H:%M:%S.000000", time.localtime(time.time() + 3600))
    fake_az(tmp_path, f"echo '{json.dumps({'accessToken': token, 'expiresOn': when})}'\n")
    ask("azure-cli")


# ---- the chain


def test_the_chain_takes_the_first_that_is_set_up(ask, cloud, monkeypatch, tmp_path):
    use_identity(monkeypatch, cloud, "app")
    fake_az(tmp_path, f"echo x >> {tmp_path}/called; cat <<'END'\n{az_answer()}\nEND\n")
    ask(None)
    assert any("/oauth2/" in line for line in cloud.entra.log) and not (tmp_path / "called").exists()
    without(monkeypatch, "AZURE_CLIENT_SECRET")
    ask(None)  # the managed identity comes before the CLI, as in azure-identity
    assert not any("/oauth2/" in line for line in cloud.entra.log) and not (tmp_path / "called").exists()
    assert len(cloud.azure.identity_log) == 1
    without(monkeypatch, "IDENTITY_ENDPOINT", "IDENTITY_HEADER")
    ask(None)
    assert (tmp_path / "called").exists() and len(cloud.azure.identity_log) == 1


def test_a_managed_identity_that_is_refused_is_not_passed_over(ask, cloud, monkeypatch, tmp_path):
    fake_az(tmp_path, f"echo x >> {tmp_path}/called; cat <<'END'\n{az_answer()}\nEND\n")
    use_identity(monkeypatch, cloud, "app")
    without(monkeypatch, "AZURE_CLIENT_SECRET")
    monkeypatch.setenv("IDENTITY_HEADER", "another")
    assert "managed identity of App Service" in ask(None, 1).stderr
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("given, unset, words", [
    ({"AZURE_CLIENT_SECRET": "s"}, "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET is set without AZURE_TENANT_ID"),
    ({"AZURE_CLIENT_CERTIFICATE_PATH": "/c.pem"}, "AZURE_CLIENT_ID", "is set without AZURE_CLIENT_ID"),
    ({"AZURE_FEDERATED_TOKEN_FILE": "/t"}, "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE is set without AZURE_TENANT_ID"),
    ({"AZURE_USERNAME": "u", "AZURE_PASSWORD": "p"}, "AZURE_CLIENT_ID", "AZURE_USERNAME and AZURE_PASSWORD is not supported"),
    ({"IDENTITY_HEADER": "h"}, "AZURE_CLIENT_ID", "IDENTITY_HEADER is set without IDENTITY_ENDPOINT"),
    ({"IMDS_ENDPOINT": "h"}, "AZURE_CLIENT_ID", "IMDS_ENDPOINT is set without IDENTITY_ENDPOINT"),
    ({"MSI_SECRET": "h"}, "AZURE_CLIENT_ID", "MSI_SECRET is set without MSI_ENDPOINT"),
    ({"IDENTITY_ENDPOINT": "http://127.0.0.1:9"}, "AZURE_CLIENT_ID", "IDENTITY_ENDPOINT is set without IDENTITY_HEADER"),
])
def test_half_of_a_way_is_named(ask, cloud, monkeypatch, tmp_path, given, unset, words):
    fake_az(tmp_path, f"echo x >> {tmp_path}/called; cat <<'END'\n{az_answer()}\nEND\n")
    without(monkeypatch, "AZURE_CLIENT_SECRET", unset)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert words in ask(None, 1).stderr
    assert not (tmp_path / "called").exists() and cloud.azure.identity_log == []


def test_the_chain_stops_at_a_service_principal_that_is_refused(ask, cloud, monkeypatch, tmp_path):
    """Nobody is signed in as somebody else by surprise."""
    fake_az(tmp_path, f"echo x >> {tmp_path}/called; cat <<'END'\n{az_answer()}\nEND\n")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong-one")
    assert "AADSTS7000215" in ask(None, 1).stderr
    assert not (tmp_path / "called").exists()


def test_the_chain_that_finds_nothing_says_what_to_do(ask, monkeypatch):
    without(monkeypatch, *VARIABLES)
    words = ask(None, 1).stderr
    assert "not signed in to Azure" in words and "az login" in words and "device-code" in words


def test_an_unknown_way(ask):
    assert '--sign-in "magic" is not known: use auto, service-principal' in ask("magic", 2).stderr


# ---- device code


@pytest.fixture
def person(monkeypatch):
    """No service principal: somebody signs in by hand, at the public client."""
    without(monkeypatch, *VARIABLES)


def test_device_code_pending_and_slow_down(ask, cloud, person):
    cloud.azure.device = ["pending", "slow_down", "ok"]
    begun = time.monotonic()
    result = ask("device-code", 0, "--tenant", "organizations")
    assert time.monotonic() - begun >= 8  # 1 + 1 + (1 + 5) seconds: as asked
    event = json.loads(result.stdout.splitlines()[0])
    assert event["event"] == "sign-in" and event["code"] == "GTHK3QXW9" and event["url"] == "https://microsoft.com/devicelogin"
    assert len([line for line in cloud.entra.log if line.endswith("/token")]) == 3


@pytest.mark.parametrize("answer, words", [
    ("authorization_declined", "the sign-in was declined: start again"),
    ("access_denied", "the sign-in was declined: start again"),
    ("expired_token", "the code has expired: start again"),
    ("code_expired", "the code has expired: start again"),
    ("bad_verification_code", "the code was not accepted: start again"),
    ("invalid_client", "signing in with the device code: refused with HTTP 400, invalid_client"),
])
def test_device_code_refused(ask, cloud, person, answer, words):
    cloud.azure.device, cloud.azure.device_interval = [answer], 0.05
    assert words in ask("device-code", 1).stderr


def test_device_code_that_nobody_enters_expires_by_the_clock(ask, cloud, person):
    cloud.azure.device, cloud.azure.device_interval, cloud.azure.device_expires = ["pending"], "0.1", 1
    assert "the code has expired" in ask("device-code", 1).stderr


def test_device_code_goes_on_after_the_network_stumbled(ask, cloud, person):
    cloud.azure.device, cloud.azure.device_interval = ["pending", "ok"], 0.05
    cloud.entra.fail("/token", "lost", times=4)
    cloud.entra.fail("/token", "html", times=1)
    ask("device-code")


# ---- authorization code with PKCE


class Browser:
    """What a user's browser does: it is sent to the sign-in page, and back to the studio's own address."""

    def __init__(self, binary, cloud, tmp_path):
        words = [binary, "registry", "list", "m", "--from", "azure", "--config", cloud.config, "--sign-in", "browser", "--json"]
        self.process = subprocess.Popen([str(w) for w in words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        event = json.loads(self.process.stdout.readline())
        assert event["kind"] == "browser"
        self.url = event["url"]
        self.asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.url).query))
        cloud.azure.challenge = self.asked["code_challenge"]

    def come_back(self, how="get", path="/", **values):
        port = int(self.asked["redirect_uri"].rsplit(":", 1)[1])
        form = urllib.parse.urlencode(values)
        url = f"http://127.0.0.1:{port}{path}"
        request = urllib.request.Request(url, form.encode()) if how == "post" else urllib.request.Request(f"{url}?{form}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    def end(self, status):
        out, words = self.process.communicate(timeout=30)
        assert self.process.returncode == status, words
        assert "the-code" not in out + words
        return words


@pytest.fixture
def browser(binary, cloud, person, home, tmp_path):
    made = Browser(binary, cloud, tmp_path)
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.communicate()


@pytest.mark.parametrize("how", ["get", "post"])
def test_browser(browser, cloud, how):
    asked = browser.asked
    assert browser.url.startswith(f"https://login.localhost:{cloud.entra.port}/organizations/oauth2/v2.0/authorize?")
    assert asked["response_type"] == "code" and asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
    assert asked["redirect_uri"].startswith("http://localhost:") and "offline_access" in asked["scope"] and len(asked["state"]) == 43
    assert browser.come_back(path="/favicon.ico")[0] == 404
    status, page = browser.come_back(how, code="the-code", state=asked["state"])
    assert status == 200 and "You are signed in" in page
    browser.end(0)


def test_browser_with_a_wrong_state(browser, cloud):
    status, page = browser.come_back(code="the-code", state="of-somebody-else")
    assert status == 400 and "does not belong" in page
    assert "wrong state" in browser.end(1)
    assert not any(line.endswith("/token") for line in cloud.entra.log), "the code was used all the same"


def test_browser_without_a_state(browser, cloud):
    assert browser.come_back(code="the-code")[0] == 400
    assert "wrong state" in browser.end(1)


def test_browser_refused_by_the_person(browser):
    browser.come_back("post", error="access_denied", state=browser.asked["state"])
    assert "the sign-in was refused (access_denied)" in browser.end(1)


def test_browser_with_a_code_that_is_not_its_own(browser, cloud):
    cloud.azure.challenge = "of-another-sign-in"
    browser.come_back(code="the-code", state=browser.asked["state"])
    assert "AADSTS70008" in browser.end(1)


# ---- clouds, TLS


def test_a_cloud_that_the_metadata_does_not_know(ask, monkeypatch):
    monkeypatch.setenv("AZUREML_CURRENT_CLOUD", "AnotherCloud")
    assert 'does not describe "AnotherCloud"' in ask("service-principal", 1).stderr


def test_a_certificate_that_nobody_vouches_for_is_refused(ask, cloud, monkeypatch):
    monkeypatch.delenv("NNSTUDIO_CA_FILE")
    result = ask("service-principal", 1)
    assert "certificate" in result.stderr and cloud.entra.log == []


def test_a_certificate_of_another_name_is_refused(ask, cloud, monkeypatch):
    wrong = cloud.environment["ARM_CLOUD_METADATA_URL"].replace("https://localhost", "https://other.localhost")
    monkeypatch.setenv("ARM_CLOUD_METADATA_URL", wrong)
    result = ask("service-principal", 1)
    assert "certificate" in result.stderr and cloud.entra.log == []


@pytest.mark.parametrize("part", ["resourceManager", "loginEndpoint"])
def test_secrets_go_over_tls_only(ask, cloud, part):
    metadata = cloud.azure.metadata
    (metadata if part in metadata else metadata["authentication"])[part] = "http://management.example"
    assert "http://management.example" in (words := ask("service-principal", 1).stderr) and "is not https" in words
