"""Registering in Azure ML against Azurite, Prism with Microsoft's description, and the stand-in."""

import hashlib
import json
import signal
import subprocess
import threading
import time

import pytest
import standin


def register(studio, cloud, model, *more, status=0):
    result = studio("register", model, "--to", "azure", "--config", cloud.config, "--json", *more, status=status)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return (lines[-1] if status == 0 else None), lines, result


@pytest.mark.parametrize("secrets, credentials", [("sas", "AccountKey"), ("key", "AccountKey"), ("refused", "AccountKey"), ("sas", "None")])
def test_registers_with_sas_key_and_bearer(studio, cloud, models, secrets, credentials):
    cloud.azure.secrets, cloud.azure.credentials = secrets, credentials
    content = (models / "simple_nn.pth").read_bytes()
    made, lines, _ = register(studio, cloud, models / "simple_nn.pth", "--tag", "lecture=3", "--description", "MNIST")
    assert (made["name"], made["version"]) == ("pytorch_synthetic", "1")
    assert made["id"].endswith("/models/pytorch_synthetic/versions/1")
    assert made["sha256"] == hashlib.sha256(content).hexdigest()
    assert [line["step"] for line in lines if line["event"] == "step"][-1] == 8
    kept = cloud.azure.models["pytorch_synthetic"]["1"]["properties"]
    assert kept["tags"]["lecture"] == "3" and kept["tags"]["framework"] == "pytorch" and kept["description"] == "MNIST"
    folder = hashlib.sha256(b"Initialize for october 2021 AML CLI version" + content).hexdigest()
    assert kept["modelUri"].endswith(f"/datastores/workspaceblobstore/paths/LocalUpload/{folder}/simple_nn.pth")
    blob = cloud.blob_client().get_blob_client(f"LocalUpload/{folder}/simple_nn.pth")
    assert blob.download_blob().readall() == content
    assert blob.get_blob_properties().metadata["upload_status"] == "completed"


def test_second_version_and_the_same_file_again(studio, cloud, models):
    first, _, _ = register(studio, cloud, models / "simple_nn.h5", "--name", "tensorflow_mnist")
    again, _, _ = register(studio, cloud, models / "simple_nn.h5", "--name", "tensorflow_mnist")
    assert (first["version"], again["version"]) == ("1", "2")
    assert first["uri"] == again["uri"]
    uploads = list(cloud.blob_client().list_blobs())
    assert len(uploads) == 1
    listed = studio("registry", "list", "tensorflow_mnist", "--from", "azure", "--config", cloud.config, "--json")
    assert [json.loads(line)["version"] for line in listed.stdout.splitlines()] == ["2", "1"]


def test_pulls_what_it_registered(studio, cloud, models, tmp_path):
    register(studio, cloud, models / "simple_nn.pth", "--name", "pytorch_mnist")
    studio("registry", "pull", "pytorch_mnist", "--from", "azure", "--config", cloud.config, "--out", tmp_path / "back")
    assert (tmp_path / "back" / "simple_nn.pth").read_bytes() == (models / "simple_nn.pth").read_bytes()


def test_a_name_that_arm_refuses_is_refused_before_any_request(studio, cloud, models):
    cloud.azure.log.clear()
    _, _, result = register(studio, cloud, models / "simple_nn.pth", "--name", "has.dots", status=2)
    assert "no dots" in result.stderr
    assert cloud.azure.log == []


@pytest.mark.parametrize("part, change, words", [
    ("workspace", {"v1LegacyMode": True}, "in v1 legacy mode: switch v1LegacyMode off"),
    ("datastore", {"datastoreType": "AzureFile", "fileShareName": "s"}, "is of type AzureFile: files can be put into"),
    ("datastore", {"credentials": {"credentialsType": "ServicePrincipal", "clientId": "c", "tenantId": "t"}}, "signs in by ServicePrincipal, which is not supported"),
    ("datastore", {"accountName": ""}, "does not say where its files are"),
])
def test_a_workspace_that_will_not_do(studio, cloud, models, monkeypatch, part, change, words):
    answer = getattr(cloud.azure, part)()
    answer["properties"].update(change)
    monkeypatch.setattr(cloud.azure, part, lambda: answer)
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert words in result.stderr
    assert cloud.versions("pytorch_synthetic") == []


def test_a_workspace_that_is_not_there(studio, cloud, models):
    _, _, result = register(studio, cloud, models / "simple_nn.pth", "--subscription", "00000000-0000-0000-0000-000000000001",
                            "--resource-group", "another", "--workspace", "ws1", status=1)
    assert "HTTP 404 ResourceGroupNotFound" in result.stderr and "check resource_group in config.json" in result.stderr


def test_a_list_that_points_to_another_host_is_not_followed(studio, cloud, models):
    cloud.arm.fail("/models/m/versions", "status", code=200, body=b'{"value":[],"nextLink":"https://elsewhere.example/next?token=x"}')
    result = studio("registry", "list", "m", "--from", "azure", "--config", cloud.config, status=1)
    assert "points elsewhere" in result.stderr and "token=x" not in result.stderr


def test_a_long_list_is_read_to_its_end(studio, cloud, models):
    base = cloud.azure.metadata["resourceManager"]
    page = {"value": [{"id": "x/models/a", "name": "a", "properties": {"latestVersion": "4"}}], "nextLink": f"{base}{standin.SCOPE}/models?api-version=2024-10-01"}
    register(studio, cloud, models / "simple_nn.pth")
    cloud.arm.fail("/models", "status", code=200, body=json.dumps(page).encode())
    listed = studio("registry", "list", "--from", "azure", "--config", cloud.config, "--json")
    assert [(row["name"], row["version"]) for row in map(json.loads, listed.stdout.splitlines())] == [("a", "4"), ("pytorch_synthetic", "1")]


def test_stopped_by_the_person_it_goes_on_later(binary, studio, cloud, models, tmp_path):
    """Ctrl-C in the middle of the upload."""
    arrived, ended = threading.Event(), threading.Event()

    def hold(line):
        if line.startswith("PUT") and not arrived.is_set():
            arrived.set()
            ended.wait(20)

    cloud.blob.hook = hold
    words = [binary, "register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config]
    process = subprocess.Popen([str(w) for w in words], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert arrived.wait(30)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    ended.set()
    assert process.returncode == 130 and told.splitlines()[-1] == "nnstudio: stopped while uploading the file: start again to go on"
    assert cloud.versions("pytorch_synthetic") == []
    assert register(studio, cloud, models / "simple_nn.pth")[0]["version"] == "1"


def test_the_same_at_the_same_time_is_refused(binary, studio, cloud, models, tmp_path):
    arrived, ended = threading.Event(), threading.Event()

    def hold(line):
        if line.startswith("PUT"):
            arrived.set()
            ended.wait(20)

    cloud.blob.hook = hold
    words = [binary, "register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config]
    process = subprocess.Popen([str(w) for w in words], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert arrived.wait(30)
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert "is already being registered under this name" in result.stderr
    ended.set()
    assert process.wait(30) == 0 and cloud.versions("pytorch_synthetic") == ["1"]


# ---- what is not there


@pytest.mark.parametrize("words", [None, "It was not found."])
@pytest.mark.parametrize("place, code, fix", [
    (("--subscription", standin.SUBSCRIPTION, "--resource-group", "rg1", "--workspace", "mistyped"), "ResourceNotFound", "workspace_name"),
    (("--subscription", standin.SUBSCRIPTION, "--resource-group", "mistyped", "--workspace", "ws1"), "ResourceGroupNotFound", "resource_group"),
    (("--subscription", standin.TENANT, "--resource-group", "rg1", "--workspace", "ws1"), "SubscriptionNotFound", "subscription_id"),
])
@pytest.mark.parametrize("ask", [("list",), ("list", "m"), ("show", "m"), ("pull", "m")], ids=" ".join)
def test_a_mistyped_place_is_not_an_empty_registry(studio, cloud, words, place, code, fix, ask):
    if words:
        cloud.azure.absent_words = words  # a service that does not name what is missing: the workspace is asked for
    result = studio("registry", *ask, "--from", "azure", *place, status=1)
    assert f"HTTP 404 {code}" in result.stderr and (f"check {fix}" in result.stderr or words), result.stderr
    assert result.stdout == ""


def test_an_empty_registry_is_empty(studio, cloud):
    assert studio("registry", "list", "m", "--from", "azure", "--config", cloud.config).stdout == ""
    assert "no model m is registered in ws1" in studio("registry", "show", "m", "--from", "azure", "--config", cloud.config, status=1).stderr


def test_a_404_of_something_in_between_is_no_empty_registry(studio, cloud):
    cloud.arm.fail("/models", "status", times=9, code=404, body=b"not here")
    result = studio("registry", "list", "--from", "azure", "--config", cloud.config, status=1)
    assert "HTTP 404: check the address and any proxy" in result.stderr


# ---- what the storage refuses: each code with its own fix


@pytest.mark.parametrize("code, words", [
    ("AuthorizationFailure", "network rules refuse this machine"),
    ("AuthorizationPermissionMismatch", 'ask for the role "Storage Blob Data Contributor"'),
    ("AuthenticationFailed", "check the datastore's credentials in Azure ML, and this machine's clock"),
    ("AccountIsDisabled", "the storage account is disabled"),
    ("SomethingElse", "check the datastore's credentials and your rights on it"),
])
@pytest.mark.parametrize("how", ["header", "body"])
def test_the_storage_refuses(studio, cloud, models, code, words, how):
    headers = {"x-ms-error-code": code} if how == "header" else {}
    body = b"" if how == "header" else f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>m</Message></Error>'.encode()
    cloud.blob.fail("^PUT", "status", times=99, code=403, headers=headers, body=body)
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert f"HTTP 403 {code}: " in result.stderr and words in result.stderr


@pytest.mark.parametrize("off, words", [(3600, "60 minutes slow"), (-3600, "60 minutes fast")])
def test_a_clock_that_is_wrong(studio, cloud, models, off, words):
    when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + off + (10 if off > 0 else -10)))
    cloud.blob.fail("^PUT", "status", times=99, code=403, headers={"Date": when, "x-ms-error-code": "AuthenticationFailed"}, body=b"")
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert f"this machine's clock is {words}: set it" in result.stderr


@pytest.mark.parametrize("secrets", ["sas", "key"])
def test_an_account_that_forbids_keys_gets_the_token(studio, cloud, models, tmp_path, secrets):
    """Shared keys, and a SAS made with one, are refused; the user's own token is not."""
    cloud.azure.secrets = secrets
    refused = {"code": 403, "headers": {"x-ms-error-code": "KeyBasedAuthenticationNotPermitted"}, "body": b""}
    cloud.blob.fail("", "status", times=1, **refused)
    register(studio, cloud, models / "simple_nn.pth", "--name", "m")
    cloud.blob.fail("", "status", times=1, **refused)
    studio("registry", "pull", "m", "--from", "azure", "--config", cloud.config, "--out", tmp_path / "back")
    assert (tmp_path / "back" / "simple_nn.pth").read_bytes() == (models / "simple_nn.pth").read_bytes()
    cloud.blob.fail("", "status", times=99, **refused)
    _, _, result = register(studio, cloud, models / "simple_nn.h5", "--name", "m", status=1)
    assert "the storage account allows no keys" in result.stderr


CHALLENGE = 'Bearer authorization_uri="https://login.localhost", error="insufficient_claims", claims="eyJhY2Nlc3NfdG9rZW4iOnt9fQ=="'


@pytest.mark.parametrize("door, match", [("arm", "/workspaces/ws1"), ("blob", "")])
def test_conditional_access_names_the_other_sign_ins(studio, cloud, models, door, match):
    cloud.azure.secrets = "refused"
    getattr(cloud, door).fail(match, "status", times=99, code=401, headers={"WWW-Authenticate": CHALLENGE}, body=b'{"error":{"code":"InvalidAuthenticationToken"}}')
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert "conditional access" in result.stderr and "device-code" in result.stderr


@pytest.mark.parametrize("number", ["53003", "50076", "50079", "50158", "53000"])
def test_conditional_access_at_the_sign_in(studio, cloud, models, number):
    body = {"error": "interaction_required", "error_description": f"AADSTS{number}: Access has been blocked by policies.", "claims": "{}"}
    cloud.entra.fail("/token", "status", times=9, code=400, body=json.dumps(body).encode())
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert f"AADSTS{number}" in result.stderr and "conditional access" in result.stderr and "browser" in result.stderr


def test_a_resource_group_as_azure_allows_it(studio, cloud):
    """Letters of any script, parentheses, underscores: escaped in the address."""
    result = studio("registry", "list", "--from", "azure", "--subscription", standin.SUBSCRIPTION, "--resource-group", "Über_(größe).1", "--workspace", "ws1", status=1)
    assert "ResourceGroupNotFound" in result.stderr and "Über_(größe).1" in result.stderr
    assert any("/resourceGroups/%C3%9Cber_(gr%C3%B6%C3%9Fe).1/" in line for line in cloud.arm.log)
    for name in ("ends.", "a b", "a/b", "x" * 91):
        result = studio("registry", "list", "--from", "azure", "--subscription", standin.SUBSCRIPTION, "--resource-group", name, "--workspace", "ws1", status=1)
        assert "resource group" in result.stderr and "Azure" in result.stderr


# ---- rights are asked before anything is written

WRITE = "Microsoft.MachineLearningServices/workspaces/models/versions/write"


@pytest.mark.parametrize("permissions, allowed", [
    ([{"actions": ["*"], "notActions": []}], True),
    ([{"actions": ["Microsoft.MachineLearningServices/workspaces/*/write"], "notActions": ["Microsoft.MachineLearningServices/workspaces/delete"]}], True),
    ([{"actions": ["*/read"]}, {"actions": [WRITE.upper()]}], True),
    ([{"actions": ["*/read"], "notActions": []}], False),
    ([{"actions": ["*"], "notActions": ["Microsoft.MachineLearningServices/workspaces/models/*"]}], False),
    ([{"actions": ["*"], "notActions": ["*/write"]}, {"actions": ["*/write"], "notActions": []}], True),
    ([], False),
])
def test_roles_that_do_not_allow_it_are_told_before_the_upload(studio, cloud, models, permissions, allowed):
    cloud.azure.permissions = permissions
    _, _, result = register(studio, cloud, models / "simple_nn.pth", status=0 if allowed else 1)
    if not allowed:
        assert f"your roles on the workspace ws1 do not include {WRITE}: ask for the role" in result.stderr
        assert cloud.blob.log == [] and cloud.versions("pytorch_synthetic") == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_roles_that_cannot_be_asked_are_no_refusal(studio, cloud, models, status):
    cloud.arm.fail("/permissions", "status", times=9, code=status, body=b'{"error":{"code":"AuthorizationFailed","message":"no"}}')
    register(studio, cloud, models / "simple_nn.pth")


# ---- options


def test_an_option_of_another_target_is_refused(studio, cloud, models):
    result = studio("register", models / "simple_nn.pth", "--to", "local", "--tracking-uri", "http://127.0.0.1:5", status=2)
    assert "--tracking-uri is an option of mlflow, not of local: leave it out" in result.stderr
    result = studio("registry", "list", "--from", "mlflow", "--tenant", "t", status=2)
    assert "--tenant is an option of azure, not of mlflow" in result.stderr
