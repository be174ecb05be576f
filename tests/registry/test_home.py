"""What the studio keeps of registrations at home: the local target, the history, predictions from any registered version."""

import base64
import json
import os
import re
import signal
import struct
import subprocess
import threading
import time
import zlib

import pytest

TARGETS = ["local", "azure", "mlflow"]


def png(pixels, width=28):
    """A gray picture as a PNG file's bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + pixels[i : i + width] for i in range(0, len(pixels), width))
    header = struct.pack(">IIBBBBB", width, len(pixels) // width, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


# A stroke from top to bottom, light on dark.
STROKE = bytes(255 if 11 < i % 28 < 16 and 4 < i // 28 < 24 else 0 for i in range(784))


@pytest.fixture
def place(request, cloud, monkeypatch):
    """Words and members of a request that lead to a target, and what its environment needs."""

    def words(target):
        if target == "mlflow":
            monkeypatch.setenv("MLFLOW_TRACKING_URI", request.getfixturevalue("mlflow_server"))
        return ["--config", cloud.config] if target == "azure" else []

    return words


@pytest.mark.parametrize("target", TARGETS)
def test_predicts_from_a_registered_version(studio, serve, cloud, models, home, tmp_path, place, target):
    """nnstudio predict and POST /api/predict answer from a version as from the file that it was."""
    where, name = place(target), f"predicted_{target}"
    studio("register", models / "simple_nn.pth", "--to", target, "--name", name, *where)
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", "64", "--epochs", "1", "--seed", "9", "--out", tmp_path)
    studio("register", tmp_path / "simple_nn.safetensors", "--to", target, "--name", name, *where)
    (tmp_path / "stroke.png").write_bytes(png(STROKE))
    expected = [json.loads(studio("predict", model, tmp_path / "stroke.png", "--json").stdout) for model in (models / "simple_nn.pth", tmp_path / "simple_nn.safetensors")]
    assert expected[0] != expected[1]
    words = ["predict", name, tmp_path / "stroke.png", "--from", target, *where, "--json"]
    assert json.loads(studio(*words, "--version", "1").stdout) == expected[0]
    assert json.loads(studio(*words).stdout) == expected[1], "the latest is the second"

    (home / ".azureml").mkdir()
    (home / ".azureml" / "config.json").write_text(cloud.config.read_text())
    server = serve()
    body = {"target": target, "name": name, "version": "1", "width": 28, "height": 28, "pixels": base64.b64encode(STROKE).decode()}
    answer = server.post("/api/predict", body)
    assert (answer["class"], answer["version"]) == (expected[0]["class"], "1")
    assert answer["probabilities"] == pytest.approx(expected[0]["probabilities"], abs=1e-12)
    assert server.post("/api/predict", {**body, "version": "latest"})["version"] == "2"
    # It was downloaded once: the second question finds the file by its hash.
    fetches = len([line for line in cloud.blob.log if line.startswith("GET")])
    assert server.post("/api/predict", body)["probabilities"] == answer["probabilities"]
    assert len([line for line in cloud.blob.log if line.startswith("GET")]) == fetches
    assert server.call("POST", "/api/predict", {**body, "version": "99"}, status=404)["error"]
    assert studio(*words, "--version", "99", status=1).stderr.startswith("nnstudio: ")


@pytest.mark.parametrize("target", ["azure", "mlflow"])
def test_a_file_that_was_changed_where_it_lies_is_not_taken(studio, cloud, models, tmp_path, place, request, target):
    where, name = place(target), f"changed_{target}"
    made = json.loads(studio("register", models / "simple_nn.pth", "--to", target, "--name", name, *where, "--json").stdout.splitlines()[-1])
    content = bytearray((models / "simple_nn.pth").read_bytes())
    content[5000] ^= 1
    if target == "azure":
        (blob,) = cloud.blob_client().list_blobs()
        cloud.blob_client().upload_blob(blob.name, bytes(content), overwrite=True)
    else:
        import urllib.request

        path = made["uri"].removeprefix("mlflow-artifacts:")
        url = f"{request.getfixturevalue('mlflow_server')}/api/2.0/mlflow-artifacts/artifacts{path}/data/simple_nn.pth"
        urllib.request.urlopen(urllib.request.Request(url, bytes(content), method="PUT"))
    result = studio("registry", "pull", name, "--from", target, *where, "--out", tmp_path / "back", status=1)
    assert "it was changed, do not use it" in result.stderr
    assert list((tmp_path / "back").iterdir()) == [], "a file that is not to be used was left"


def test_local_versions(studio, models, home, tmp_path):
    first = studio("register", models / "simple_nn.pth", "--name", "m", "--tag", "lecture=3", "--description", "MNIST")
    assert re.search(r"^version +1$", first.stdout, re.M) and re.search(r"^registered +20\d\d-", first.stdout, re.M)
    studio("register", models / "simple_nn.h5", "--name", "m")
    studio("register", models / "simple_nn.h5")
    assert [line.split()[:2] for line in studio("registry", "list").stdout.splitlines()] == [["m", "2"], ["tensorflow_synthetic", "1"]]
    assert [line.split()[1] for line in studio("registry", "list", "m").stdout.splitlines()] == ["2", "1"]
    shown = json.loads(studio("registry", "show", "m", "--version", "1", "--json").stdout)
    assert shown["tags"]["lecture"] == "3" and shown["description"] == "MNIST" and shown["bytes"] == (models / "simple_nn.pth").stat().st_size
    studio("registry", "pull", "m", "--version", "1", "--out", tmp_path / "back")
    assert (tmp_path / "back" / "simple_nn.pth").read_bytes() == (models / "simple_nn.pth").read_bytes()
    kept = home / "registry" / "m" / "1" / "simple_nn.pth"
    content = bytearray(kept.read_bytes())
    content[100] ^= 1
    kept.write_bytes(content)
    for verb in ("show", "pull"):
        assert "was changed after it was registered" in studio("registry", verb, "m", "--version", "1", "--out", tmp_path / "other", status=1).stderr
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("words, status, says", [
    (["register", "MODEL", "--name", "../up"], 2, "is not a valid model name"),
    (["register", "MODEL", "--version", "3"], 2, "numbered by the studio"),
    (["register", "MODEL", "--to", "moon"], 2, "use local, azure or mlflow"),
    (["register", "MODEL", "--tag", "nothing"], 2, "write it as name=value"),
    (["register", "missing.pth"], 1, "does not exist"),
    (["registry", "show", "none"], 1, "no model none is registered"),
    (["registry", "pull"], 2, "which model?"),
    (["registry", "drop", "m"], 2, "use list, show, pull"),
    (["registry", "list", "../up"], 2, "is not a valid model name"),
    (["register", "MODEL", "--to", "azure"], 1, "no config.json"),
    (["register", "MODEL", "--to", "mlflow"], 2, "--tracking-uri"),
])
def test_words_that_will_not_do(studio, models, monkeypatch, words, status, says):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = studio(*[models / "simple_nn.pth" if word == "MODEL" else word for word in words], status=status)
    (line,) = result.stderr.splitlines()
    assert line.startswith("nnstudio: ") and says in line and result.stdout == ""


def test_many_at_once_make_as_many_versions(binary, models, home, tmp_path):
    """Different files under one name at the same time: each becomes one version."""
    files = []
    for i in range(6):
        (tmp_path / str(i)).mkdir()
        files.append(tmp_path / str(i) / "simple_nn.safetensors")
        files[-1].write_bytes((models / "simple_nn.safetensors").read_bytes()[: -i or None] + b"\0" * i)
    running = [subprocess.Popen([binary, "register", file, "--name", "m"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for file in files]
    assert [process.communicate(timeout=60) and process.returncode for process in running] == [0] * len(files)
    assert sorted(os.listdir(home / "registry" / "m")) == [str(i + 1) for i in range(len(files))]


def test_a_run_whose_file_is_gone_cannot_be_registered(serve, home):
    """Found by clang-tidy: the path was freed twice."""
    server = serve()
    run = server.post("/api/runs", {"engine": "native", "settings": {"dataset": "synthetic", "limit": 64, "epochs": 1}}, status=201)
    server.wait(run["id"], "finished")
    gone = [file.unlink() for file in home.rglob("*.safetensors")]
    assert gone
    for format in ("safetensors", "pth"):
        task = server.post("/api/registry/registrations", {"target": "local", "run": run["id"], "format": format}, status=202)["task"]
        until = time.monotonic() + 60
        while (now := server.get(f"/api/tasks/{task}"))["state"] == "running" and time.monotonic() < until:
            time.sleep(0.05)
        assert now["state"] == "failed" and now["error"]
    assert server.get("/api/registry/registrations")["registrations"] == []


def test_a_server_that_was_killed_tells_what_was_cut_and_goes_on(studio, serve, cloud, models, home, tmp_path):
    (home / ".azureml").mkdir(parents=True)
    (home / ".azureml" / "config.json").write_text(cloud.config.read_text())
    server = serve()
    run = server.post("/api/runs", {"engine": "native", "settings": {"dataset": "synthetic", "limit": 64, "epochs": 1}}, status=201)
    server.wait(run["id"], "finished")
    arrived, ended = threading.Event(), threading.Event()

    def meet(line):
        if line.startswith("PUT") and "/versions/" in line:
            arrived.set()
            ended.wait(20)

    cloud.arm.after = meet
    body = {"target": "azure", "run": run["id"], "format": "pth", "sign_in": "service-principal"}
    server.post("/api/registry/registrations", body, status=202)
    assert arrived.wait(30)
    (row,) = server.get("/api/registry/registrations")["registrations"]
    assert row["state"] == "running"
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    ended.set()
    cloud.arm.reset()
    server = serve()
    (row,) = server.get("/api/registry/registrations")["registrations"]
    assert row["state"] == "failed" and "cut off" in row["data"]["error"]
    task = server.post("/api/registry/registrations", row["data"]["request"], status=202)["task"]
    until = time.monotonic() + 60
    while server.get(f"/api/tasks/{task}")["state"] == "running" and time.monotonic() < until:
        time.sleep(0.05)
    (row,) = server.get("/api/registry/registrations")["registrations"]
    assert (row["state"], row["version"]) == ("finished", "1") and cloud.versions(row["name"]) == ["1"]


def test_requests_have_the_members_of_the_table_of_options(serve, home):
    """The schemas are files of their own: they name exactly the options that the registry has."""
    server = serve()
    targets = {target["id"]: target for target in server.get("/api/registry/targets")["targets"]}
    options = {option["key"]: option for target in targets.values() for option in target["options"]}
    assert {"sign_in", "tenant", "workspace_name"} <= {option["key"] for option in targets["azure"]["options"]}
    assert {option["key"] for option in targets["mlflow"]["options"]} == {"tracking_uri", "experiment"} and targets["local"]["options"] == []
    schemas = server.get("/api/openapi.json")["components"]["schemas"]
    new = schemas["NewRegistration"]["properties"]
    assert set(new) == set(options) | {"run", "format", "target", "name", "version", "description", "tags"}
    for key, option in options.items():
        if option["kind"] == "choice":
            shape = schemas[new[key]["$ref"].rsplit("/", 1)[1]] if "$ref" in new[key] else new[key]
            assert set(shape["enum"]) == set(option["choices"])
        else:
            assert new[key]["maxLength"] == option["max_length"]
    assert set(schemas["SignIn"]["properties"]) <= set(options)


def test_an_option_of_another_target_is_refused(serve, home):
    server = serve()
    run = server.post("/api/runs", {"engine": "native", "settings": {"dataset": "synthetic", "limit": 64, "epochs": 1}}, status=201)
    server.wait(run["id"], "finished")
    task = server.post("/api/registry/registrations", {"target": "local", "run": run["id"], "format": "pth", "tracking_uri": "http://127.0.0.1:5"}, status=202)["task"]
    until = time.monotonic() + 30
    while (now := server.get(f"/api/tasks/{task}"))["state"] == "running" and time.monotonic() < until:
        time.sleep(0.05)
    assert now["error"] == '"tracking_uri" is an option of mlflow, not of local: leave it out'


def card_of(text):
    """The card as huggingface-hub reads it."""
    from huggingface_hub import ModelCard

    return ModelCard(text)


def test_the_model_card_is_one_that_hugging_face_reads(studio, home, tmp_path):
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", "640", "--epochs", "2", "--lr", "0.05", "--out", tmp_path)
    made = json.loads(studio("register", tmp_path / "simple_nn.safetensors", "--name", "m", "--description", "For | *the* <lecture>", "--json").stdout.splitlines()[-1])
    (run,) = [json.loads(line) for line in studio("runs", "list", "--json").stdout.splitlines()]
    run = json.loads(studio("runs", "show", run["id"], "--json").stdout)
    text = (home / "registry" / "m" / "1" / "README.md").read_text()
    card = card_of(text)
    assert (card.data.library_name, card.data.pipeline_tag, card.data.datasets) == ("safetensors", "image-classification", ["synthetic"])
    (result,) = card.data.eval_results
    assert (result.metric_type, result.dataset_name, card.data.model_name) == ("accuracy", "synthetic", "m")
    assert result.metric_value == run["last"]["val_accuracy"]
    assert made["sha256"] in text and run["id"] in text and "| lr | 0.05 |" in text and "| epochs | 2 |" in text
    assert "For \\| \\*the\\* \\<lecture\\>" in text


def test_a_model_of_others_has_a_card_without_figures(studio, models, home, tmp_path):
    import torch

    state = torch.load(models / "simple_nn.pth", weights_only=True)
    torch.save(state, tmp_path / "theirs.pth")
    studio("register", tmp_path / "theirs.pth", "--name", "m", "--tag", 'dataset=a "b": c')
    card = card_of((home / "registry" / "m" / "1" / "README.md").read_text())
    assert card.data.eval_results is None and card.data.datasets == ['a "b": c'] and card.data.library_name == "pytorch"
