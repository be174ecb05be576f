"""One sample's way through a network: what every layer gives for it, its saliency, a unit's weights. And that nothing
goes on computing an answer that nobody waits for."""

import base64
import json
import os
import pathlib
import signal
import socket

import numpy
import pytest
from server_help import gone, wait_until, workers_of

NET = "conv 4 3x3 relu, maxpool 2, dropout 0.5, flatten, dense 12 tanh, dense 10"
SETTINGS = {"net": NET, "dataset": "synthetic", "limit": 640, "epochs": 1, "batch_size": 32, "seed": 3}


@pytest.fixture(scope="module")
def served(request, tmp_path_factory, binary):
    from server_help import Server

    folder = tmp_path_factory.mktemp("activations")
    server = Server(binary, folder / "home", cwd=folder)
    request.addfinalizer(server.stop)
    run = server.post("/api/runs", {"engine": "native", "settings": SETTINGS}, status=201)["id"]
    server.wait(run, "finished")
    return server, run


def floats(picture, *shape):
    return numpy.frombuffer(base64.b64decode(picture["values"]), numpy.float32).reshape(*shape).astype(float)


def maps(layer):
    """Its values, as exact as a byte a value can be."""
    count, rows, columns = layer["shown"], layer["rows"], layer["columns"]
    raw = numpy.frombuffer(base64.b64decode(layer["values"]), numpy.uint8).reshape(count, rows, columns)
    low, high = (numpy.array(layer[key])[:, None, None] for key in ("low", "high"))
    return low + raw / 255 * (high - low)


def pixels(flow):
    size = [flow["input"][key] for key in ("channels", "rows", "columns")]
    return numpy.frombuffer(base64.b64decode(flow["input"]["pixels"]), numpy.uint8).reshape(size) / 255


def test_feature_maps_follow_from_the_weights_that_are_shown(served):
    server, run = served
    flow = server.post("/api/activations", {"run": run, "index": 7})
    conv, pool, dropout, flat, dense, last = flow["layers"]
    assert [layer["type"] for layer in flow["layers"]] == ["conv2d", "maxpool2d", "dropout", "flatten", "dense", "dense"]
    assert (conv["maps"], conv["rows"], conv["columns"]) == (4, 26, 26) and last["columns"] == 10
    picture = pixels(flow)[0]
    for unit in range(4):
        weights = server.post("/api/activations/unit", {"run": run, "layer": 0, "unit": unit})
        kernel = floats(weights["weights"], 3, 3)
        windows = numpy.lib.stride_tricks.sliding_window_view(picture, (3, 3))
        computed = numpy.maximum((windows * kernel).sum((2, 3)) + weights["bias"], 0)
        step = (conv["high"][unit] - conv["low"][unit]) / 255
        assert abs(maps(conv)[unit] - computed).max() <= step / 2 + 1e-6
        pooled = computed.reshape(13, 2, 13, 2).max((1, 3))
        assert abs(maps(pool)[unit] - pooled).max() <= step / 2 + 1e-6
    assert maps(dropout) == pytest.approx(maps(pool)), "nothing is dropped when a network is used"
    weights = server.post("/api/activations/unit", {"run": run, "layer": 4, "unit": 11})
    assert [weights[key] for key in ("channels", "rows", "columns")] == [4, 13, 13], "as the maps that it sees"
    value = numpy.tanh((floats(weights["weights"], 4, 13, 13) * maps(pool)).sum() + weights["bias"])
    assert maps(dense)[0, 0, 11] == pytest.approx(value, abs=0.03)
    assert flow["class"] == int(numpy.argmax(flow["logits"])) and sum(flow["probabilities"]) == pytest.approx(1)
    assert flow["label"] == server.post("/api/activations", {"run": run, "index": 7, "split": "test"})["label"]


def test_every_engine_shows_the_same(served):
    server, run = served
    ask = {"run": run, "index": 2, "class": 4}
    flows = [server.post("/api/activations", {**ask, "engine": engine}) for engine in ("native", "torch", "tensorflow")]
    assert [flow["computed_by"] for flow in flows] == ["native", "torch", "tensorflow"]
    first = flows[0]
    answer = server.post("/api/activations", {"run": run, "index": 2, "saliency": True})
    named = server.post("/api/activations", {"run": run, "index": 2, "class": first["class"]})
    assert answer["saliency"] == named["saliency"] and answer["saliency"] is not None
    saliency = floats(first["saliency"], 28, 28)
    assert abs(saliency).max() > 0
    for flow in flows[1:]:
        assert flow["logits"] == pytest.approx(first["logits"], abs=1e-5)
        assert abs(floats(flow["saliency"], 28, 28) - saliency).max() < 1e-5
        for layer, other in zip(first["layers"], flow["layers"]):
            assert other["low"] == pytest.approx(layer["low"], abs=1e-5)
            assert other["high"] == pytest.approx(layer["high"], abs=1e-5)


def test_a_drawing_flows_too(served):
    server, run = served
    ink = bytes(255 if 100 < i % 280 < 130 else 0 for i in range(280 * 280))
    drawing = {"pixels": base64.b64encode(ink).decode(), "width": 280, "height": 280}
    flow = server.post("/api/activations", {"run": run, **drawing})
    assert flow["label"] is None and pixels(flow).max() == 1
    answer = server.post("/api/classify", {"runs": [run], **drawing})["answers"][0]
    assert answer["probabilities"] == pytest.approx(flow["probabilities"], abs=1e-6)


def test_a_design_starts_from_the_weights_of_its_seed(served):
    server, run = served
    first, again, other = (
        server.post("/api/activations", {"settings": {**SETTINGS, "seed": seed}, "index": 0}) for seed in (3, 3, 4)
    )
    assert first == again and first["logits"] != other["logits"] and first["saliency"] is None
    trained = server.post("/api/activations", {"run": run, "index": 0})
    assert trained["input"] == first["input"] and trained["logits"] != first["logits"]
    started = server.post("/api/activations", {"settings": {**SETTINGS, "from": run}, "index": 0})
    assert started["logits"] == trained["logits"]
    unit = server.post("/api/activations/unit", {"settings": SETTINGS, "layer": 0, "unit": 1})
    assert floats(unit["weights"], 3, 3).std() > 0


def test_a_checkpoint_is_looked_at_by_name(served):
    server, run = served
    flow = server.post("/api/activations", {"run": run, "checkpoint": True, "index": 7})
    assert flow["logits"] == server.post("/api/activations", {"run": run, "index": 7})["logits"]


@pytest.mark.parametrize(
    "path, body, status, words",
    [
        ("", {}, 400, "names no network"),
        ("", {"run": "RUN", "settings": {}}, 400, "a run and settings"),
        ("", {"settings": SETTINGS, "checkpoint": True}, 400, "a design has no checkpoint"),
        ("", {"run": "RUN", "index": 99999999}, 404, "there is no sample 99999999"),
        ("", {"run": "RUN", "class": 10}, 400, "no class 10: choose one from 0 to 9"),
        ("", {"run": "nobody"}, 404, "nobody"),
        ("", {"settings": {**SETTINGS, "net": "conv 3 99x99, flatten, dense 10"}}, 400, "99"),
        ("/unit", {"run": "RUN", "layer": 1, "unit": 0}, 404, "layer 2, maxpool2d, has no unit"),
        ("/unit", {"run": "RUN", "layer": 0, "unit": 4}, 404, "layer 1 has no unit 4: it has 4"),
        ("/unit", {"run": "RUN", "layer": 9, "unit": 0}, 404, "there is no layer 10: the network has 6"),
    ],
)
def test_what_is_not_there_is_refused_by_name(served, path, body, status, words):
    server, run = served
    if body.get("run") == "RUN":
        body = {**body, "run": run}
    answer = server.post("/api/activations" + path, body, status=status)
    assert words in answer["error"]["message"]


def test_an_engine_that_is_not_here_is_told(serve):
    server = serve(env={**os.environ, "NNSTUDIO_TORCH_LIB": "/nonexistent"})
    body = {"index": 1, "height": 400, "engine": "torch", "settings": {"dataset": "synthetic"}}
    refused = server.post("/api/activations", body, status=503)["error"]
    assert refused["code"] == "unavailable" and "nnstudio engines install torch" in refused["message"]


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("GET", "/api/datasets/synthetic/engines?batch_size=64", None),
        ("POST", "/api/microscope", {"engines": ["native", "torch"], "settings": SETTINGS}),
        ("POST", "/api/activations", {"run": "RUN", "engine": "torch", "saliency": True}),
    ],
)
def test_what_works_for_a_request_ends_with_it(served, method, path, body):
    """The processes are held, so that by themselves they would never end, and then the client hangs up."""
    server, run = served
    text = json.dumps({**body, **({"run": run} if "run" in body else {})}) if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: {server.host}:{server.port}\r\nContent-Type: application/json\r\n"
    with socket.create_connection((server.host, server.port)) as link:
        link.sendall(f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode())
        held = set()

        def hold():
            for pid in workers_of(server):
                try:
                    if b"trace" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGSTOP)
                        held.add(pid)
                except OSError:
                    pass
            return held

        wait_until(hold)
    wait_until(lambda: all(gone(pid) for pid in hold()))
    assert server.get("/api/datasets/synthetic/samples?count=1")["labels"], "the thread is free again"
