"""What goes wrong on the way to Azure ML: each fault at each request ends in success after new tries, or in one line that names
the step and the fix; a second try finishes the work; there is never a second or a half version."""

import hashlib
import json
import re
import subprocess
import threading
import time

import faults
import pytest

# Every request of a registration: (door, what it looks like, how many such come before it).
REQUESTS = {
    "cloud": ("entra", r"^GET /metadata/endpoints", 0),
    "sign-in": ("entra", r"^POST .*/oauth2/v2.0/token", 0),
    "workspace": ("arm", r"^GET .*/workspaces/ws1\?", 0),
    "rights": ("arm", r"^GET .*/permissions\?", 0),
    "next-version": ("arm", r"^GET .*/models/[^/]+\?", 0),
    "datastore": ("arm", r"^GET .*/datastores\?", 0),
    "access": ("arm", r"^POST .*/listSecrets", 0),
    "look": ("blob", r"^HEAD ", 0),
    "upload": ("blob", r"^PUT (?!.*comp=)", 0),
    "mark": ("blob", r"^PUT .*comp=metadata", 0),
    "register": ("arm", r"^PUT .*/versions/", 0),
    "read-back": ("arm", r"^GET .*/versions/", 0),
    "check-file": ("blob", r"^HEAD ", 1),
}
LINE = re.compile(r"nnstudio: (step \d of 8: )?[^:\n]+: .+: [^\n]+")
# The names of what may never be shown.
SECRETS = re.compile(r"sig=|eyJ[A-Za-z0-9_-]{10}|nobody-may-see|Eby8vdM02|SharedKey|Bearer")


def put_fault(cloud, request, fault, times=1, **more):
    door, match, skip = REQUESTS[request]
    getattr(cloud, door).fail(match, fault, times=times, skip=skip, **more)


def register(studio, cloud, model, status=None):
    result = studio("register", model, "--to", "azure", "--config", cloud.config, "--json", status=status)
    assert not SECRETS.search(result.stdout + result.stderr), result.stdout + result.stderr
    return result


def assert_whole(cloud, model, result):
    """One version, one file, whole and marked."""
    made = json.loads(result.stdout.splitlines()[-1])
    assert made["event"] == "end" and made["version"] == "1"
    assert cloud.versions("pytorch_synthetic") == ["1"]
    (blob,) = list(cloud.blob_client().list_blobs(include=["metadata"]))
    assert blob.metadata["upload_status"] == "completed"
    kept = cloud.azure.models["pytorch_synthetic"]["1"]["properties"]
    assert kept["modelUri"].endswith(blob.name)
    assert made["sha256"] == hashlib.sha256(model.read_bytes()).hexdigest() == kept["tags"]["sha256"]
    assert cloud.blob_client().download_blob(blob.name).readall() == model.read_bytes()


PASSING = {
    "busy": ("status", {"code": 429, "headers": {"Retry-After": "0"}, "body": b'{"error":{"code":"TooManyRequests"}}'}),
    "broken": ("status", {"code": 500, "body": b"<html>trouble</html>"}),
    "unavailable": ("status", {"code": 503, "headers": {"x-ms-retry-after-ms": "1"}, "body": b""}),
    "answer-cut": ("cut", {"bytes": 7}),
    "request-cut": ("refuse", {"bytes": 1000}),
    "lying-length": ("lying", {}),
    "answer-lost": ("lost", {}),
}


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_tried_again_at_every_request(studio, cloud, models, fault):
    name, more = PASSING[fault]
    # Answers without a body cannot be cut; a file of another length is no fault that passes, but told.
    left_out = {"answer-cut": {"look", "upload", "mark", "check-file"}, "lying-length": {"check-file"}}
    for request in REQUESTS:
        if request not in left_out.get(fault, ()):
            put_fault(cloud, request, name, **more)
    result = register(studio, cloud, models / "simple_nn.pth", status=0)
    assert_whole(cloud, models / "simple_nn.pth", result)
    for door in cloud.doors:
        assert all(rule["times"] == 0 for rule in door.rules), "a fault was never met"


@pytest.mark.parametrize("request_name", ["upload", "register"])
def test_a_stall_is_given_up_and_tried_again(studio, cloud, models, monkeypatch, request_name):
    monkeypatch.setenv("NNSTUDIO_STALL_SECONDS", "1")
    put_fault(cloud, request_name, "stall", seconds=30)
    assert_whole(cloud, models / "simple_nn.pth", register(studio, cloud, models / "simple_nn.pth", status=0))
    (rule,) = [rule for door in cloud.doors for rule in door.rules]
    assert rule["given_up"]


LASTING = {
    "401": ("status", {"code": 401, "body": b'{"error":{"code":"InvalidAuthenticationToken","message":"no."}}'}),
    "403": ("status", {"code": 403, "body": b'{"error":{"code":"AuthorizationFailed","message":"The client has no right."}}'}),
    "404": ("status", {"code": 404, "body": b'{"error":{"code":"ResourceNotFound","message":"It is not there."}}'}),
    "409": ("status", {"code": 409, "body": b'{"error":{"code":"Conflict","message":"Somebody else was first."}}'}),
    "429": ("status", {"code": 429, "headers": {"Retry-After": "0"}, "body": b'{"error":{"code":"TooManyRequests"}}'}),
    "500": ("status", {"code": 500, "body": b"<html>trouble</html>"}),
    "503": ("status", {"code": 503, "body": b'{"error":{"code":"ServiceUnavailable","message":"a\nb"}}'}),
    "page": ("html", {}),
    "redirect": ("redirect", {}),
    "request-cut": ("refuse", {"bytes": 1000}),
    "lying-length": ("lying", {}),
    "answer-cut": ("cut", {"bytes": 7}),
    "answer-lost": ("lost", {}),
}
# What is no failure: a version that is not there yet; storage secrets that the user's own token stands in for; an upload
# that is not there yet; a cut in an answer that has no body, or its length.
FINE = {
    "404": {"next-version", "access", "look"}, "401": {"access"}, "403": {"access"}, "409": {"access"},
    "answer-cut": {"look", "upload", "mark", "check-file"}, "lying-length": {"look"},
}


def assert_told(result, request):
    assert result.returncode == 1, f"a fault in {request} went unnoticed"
    (line,) = result.stderr.splitlines()
    assert LINE.fullmatch(line), line
    assert line.startswith("nnstudio: step") or request == "cloud", line
    assert "elsewhere.example" not in line


@pytest.mark.parametrize("fault", LASTING)
def test_what_lasts_is_told_in_one_line_and_the_next_try_goes_on(studio, cloud, models, fault):
    """At each request in turn: what stopped there is taken up again, and stops at the next one; the last try finishes the work."""
    name, more = LASTING[fault]
    for request in REQUESTS:
        if request in FINE.get(fault, ()) or request == "rights":  # rights that cannot be asked show when they are used
            continue
        put_fault(cloud, request, name, times=99, **more)
        assert_told(register(studio, cloud, models / "simple_nn.pth"), request)
        assert set(cloud.versions("pytorch_synthetic")) <= {"1"}
        for door in cloud.doors:
            door.reset()
    assert_whole(cloud, models / "simple_nn.pth", register(studio, cloud, models / "simple_nn.pth", status=0))


@pytest.mark.parametrize("moment", ["hook", "after"])
def test_killed_at_each_request_the_next_run_goes_on(binary, studio, cloud, models, home, tmp_path, moment):
    """SIGKILL when the request arrives, or when it was done and its answer is on the way."""
    words = [str(w) for w in (binary, "register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config, "--json")]
    for name, (door, match, skip) in REQUESTS.items():
        met = []
        arrived = threading.Event()

        def meet(line):
            if re.search(match, line):
                met.append(line)
            if len(met) == skip + 1:
                arrived.set()
                ended.wait(20)

        ended = threading.Event()
        setattr(getattr(cloud, door), moment, meet)
        process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert arrived.wait(30), f"there was no request for {name}"
        process.kill()
        process.wait()
        ended.set()
        faults.wait_for_quiet(*cloud.doors)
        assert set(cloud.versions("pytorch_synthetic")) <= {"1"}
        for each in cloud.doors:
            each.reset()
    assert_whole(cloud, models / "simple_nn.pth", register(studio, cloud, models / "simple_nn.pth", status=0))


def test_there_are_as_many_requests_as_the_tests_think(studio, cloud, models):
    register(studio, cloud, models / "simple_nn.pth", status=0)
    assert cloud.requests() == len(REQUESTS)


def block_numbers(cloud):
    """The blocks that were sent, as numbers, in order."""
    import base64
    import urllib.parse

    found = [urllib.parse.parse_qs(line.split("?", 1)[1])["blockid"][0] for line in cloud.blob.log if "comp=block&" in line]
    return [int(base64.b64decode(one)) for one in found]


def test_an_upload_in_blocks_goes_on_where_it_was_cut(studio, cloud, models, monkeypatch):
    monkeypatch.setenv("NNSTUDIO_BLOCK_BYTES", "65536")
    cloud.blob.fail("comp=block&", "status", times=99, skip=3, code=503, body=b"")
    first = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert "uploading the file" in first.stderr and "what was sent is kept" in first.stderr
    assert list(cloud.blob_client().list_blobs()) == [], "half a file is seen"
    cloud.blob.reset()
    result = register(studio, cloud, models / "simple_nn.pth", status=0)
    assert block_numbers(cloud) == [3, 4, 5, 6], "what was there already was sent again"
    assert_whole(cloud, models / "simple_nn.pth", result)


@pytest.mark.parametrize("secrets", ["sas", "key", "refused"])
def test_a_file_over_the_limit_of_one_request_goes_in_blocks(studio, cloud, models, monkeypatch, secrets):
    monkeypatch.setenv("NNSTUDIO_BLOCK_BYTES", "65536")
    cloud.azure.secrets = secrets
    assert_whole(cloud, models / "simple_nn.pth", register(studio, cloud, models / "simple_nn.pth", status=0))
    assert block_numbers(cloud) == list(range(7))


def test_a_sas_that_runs_out_in_mid_upload_is_renewed(studio, cloud, models, monkeypatch):
    monkeypatch.setenv("NNSTUDIO_BLOCK_BYTES", "65536")
    cloud.azure.sas_seconds = [2, 3600]
    begun = time.monotonic()
    refused = []

    def wait(line):
        if "comp=block&" in line and len(block_numbers(cloud)) == 4:
            time.sleep(max(0.0, begun + 4 - time.monotonic()))
            refused.append(line)

    cloud.blob.hook = wait
    assert_whole(cloud, models / "simple_nn.pth", register(studio, cloud, models / "simple_nn.pth", status=0))
    assert refused and cloud.azure.log.count(next(line for line in cloud.azure.log if "listSecrets" in line)) == 2
    sent = block_numbers(cloud)  # one of them twice: the one that was refused
    assert sorted(set(sent)) == list(range(7)) and len(sent) == 8


def test_a_sas_that_never_works_is_told(studio, cloud, models):
    cloud.azure.sas_seconds = [-10]
    result = register(studio, cloud, models / "simple_nn.pth", status=1)
    assert "HTTP 403 AuthorizationFailure" in result.stderr, result.stderr
    assert cloud.versions("pytorch_synthetic") == []


def test_a_version_that_somebody_else_took_is_counted_on(studio, cloud, models):
    """Between the question for the next version and the registration another client is quicker."""
    taken = []

    def take(line):
        if line.startswith("PUT") and "/versions/1?" in line and not taken:
            taken.append(line)
            properties = {"modelUri": "azureml://elsewhere", "modelType": "custom_model", "tags": {}, "properties": {}, "isAnonymous": False, "isArchived": False}
            cloud.azure.model("PUT", "pytorch_synthetic", "1", False, {}, {"properties": properties})

    cloud.arm.hook = take
    result = register(studio, cloud, models / "simple_nn.pth", status=0)
    assert json.loads(result.stdout.splitlines()[-1])["version"] == "2"
    assert cloud.versions("pytorch_synthetic") == ["1", "2"]


def test_a_version_that_was_typed_and_is_taken_is_told(studio, cloud, models):
    studio("register", models / "simple_nn.h5", "--to", "azure", "--config", cloud.config, "--name", "m", "--version", "5")
    result = studio("register", models / "simple_nn.pth", "--to", "azure", "--config", cloud.config, "--name", "m", "--version", "5", status=1)
    assert "Asset paths cannot be updated" in result.stderr
    assert cloud.versions("m") == ["5"]
