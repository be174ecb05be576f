"""A model that serves: MLflow's scoring protocol, Open Inference v2, pictures; beside onnxruntime."""

import concurrent.futures
import http.client
import io
import json
import pathlib
import random
import re
import signal
import subprocess
import time

import numpy as np
import onnxruntime
import pytest
from PIL import Image

DIGITS = 40


class ModelServer:
    def __init__(self, binary, folder, model, *words, env=None):
        self.log = open(folder / "served.log", "w+")
        command = [binary, "serve-model", str(model), "--port", "0", *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, text=True, env=env, cwd=folder)
        self.first = self.process.stdout.readline()
        assert self.first.startswith("Serving "), self.said()
        self.port = int(re.search(r":(\d+)/", self.first)[1])

    def said(self):
        self.log.seek(0)
        return self.first + self.log.read()

    def ask(self, method, path, body=None, kind="application/json", **headers):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        data = json.dumps(body).encode() if body is not None and not isinstance(body, bytes) else body
        if data is not None:
            headers["Content-Type"] = kind
        link.request(method, path, data, headers)
        answer = link.getresponse()
        text = answer.read()
        link.close()
        return answer.status, json.loads(text) if "json" in (answer.getheader("Content-Type") or "") else text.decode()

    def score(self, body, kind="application/json"):
        status, answer = self.ask("POST", "/invocations", body, kind)
        assert status == 200, answer
        return np.array(answer["predictions"])

    def refused(self, body, kind="application/json", path="/invocations", status=400):
        got, answer = self.ask("POST", path, body, kind)
        assert got == status, answer
        assert answer["error"] == answer["message"] and "\n" not in answer["error"]
        return answer["error"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process.stdout.close()
        self.log.close()
        return code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("serve-model")


@pytest.fixture(scope="module")
def trained(binary, folder, data_dir):
    """LeNet-5 and a dense network, each with its .onnx beside it."""
    for name, words in (("lenet", ["--net", "lenet5"]), ("dense", ["--hidden", "32"])):
        out = folder / name
        command = [binary, "train", "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--limit", "640", "--epochs", "1"]
        subprocess.run([*command, *words, "--lr", "0.1", "--out", str(out), "--home", str(folder / "home")], check=True, capture_output=True)
        subprocess.run([binary, "convert", str(out / "simple_nn.safetensors"), str(out / "simple_nn.onnx")], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def digits(data_dir):
    import gzip

    path = next(p for p in pathlib.Path(data_dir, "mnist").iterdir() if p.name.startswith("t10k-images"))
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    return np.frombuffer(raw, np.uint8, DIGITS * 784, 16).reshape(DIGITS, 784)


@pytest.fixture(scope="module")
def server(binary, trained):
    server = ModelServer(binary, trained, trained / "lenet" / "simple_nn.safetensors", "--name", "lenet")
    yield server
    assert server.stop() == 0, server.said()


def onnx(trained, name, values):
    session = onnxruntime.InferenceSession(str(trained / name / "simple_nn.onnx"), providers=["CPUExecutionProvider"])
    place = session.get_inputs()[0]
    shape = [-1 if not isinstance(size, int) else size for size in place.shape]
    return session.run(None, {place.name: values.astype(np.float32).reshape([len(values), *shape[1:]])})[0]


def values_of(digits):
    return digits.astype(np.float32) / np.float32(255)


def test_every_form_of_the_protocol_gives_onnxruntimes_logits(server, trained, digits):
    values = values_of(digits)
    expected = onnx(trained, "lenet", values)
    rows = values.tolist()
    names = [f"pixel{i}" for i in range(784)]
    csv = ",".join(f'"{name}, ""gray"""' for name in names) + "\n" + "\n".join(",".join(map(repr, row)) for row in rows) + "\n"
    forms = {
        "inputs": {"inputs": rows},
        "nested": {"inputs": values.reshape(-1, 28, 28).tolist()},
        "channel": {"inputs": values.reshape(-1, 1, 28, 28).tolist()},
        "named": {"inputs": {"input": rows}},
        "instances": {"instances": rows},
        "named instances": {"instances": [{"input": row} for row in rows]},
        "split": {"dataframe_split": {"columns": names, "index": list(range(DIGITS)), "data": rows}, "params": {}},
        "records": {"dataframe_records": [dict(zip(names, row)) for row in rows]},
    }
    for name, body in forms.items():
        assert np.abs(server.score(body) - expected).max() <= 1e-5, name
    assert np.abs(server.score(csv.encode(), "text/csv; charset=utf-8") - expected).max() <= 1e-5


def test_the_dense_network_and_the_files_of_other_libraries(binary, trained, digits):
    values = values_of(digits)
    expected = onnx(trained, "dense", values)
    for file in ("simple_nn.safetensors", "simple_nn.onnx"):
        server = ModelServer(binary, trained, trained / "dense" / file)
        assert np.abs(server.score({"inputs": values.tolist()}) - expected).max() <= 1e-5
        assert server.stop() == 0


def test_open_inference(server, trained, digits):
    values = values_of(digits[:3])
    expected = onnx(trained, "lenet", values)
    path = "/v2/models/lenet/infer"
    tensor = {"name": "input", "shape": [3, 28, 28], "datatype": "FP32", "data": values.ravel().tolist()}
    status, answer = server.ask("POST", path, {"id": "mine", "inputs": [tensor]})
    assert status == 200 and answer["id"] == "mine" and answer["model_name"] == "lenet"
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert outputs["logits"]["shape"] == [3, 10] and outputs["class"]["datatype"] == "INT64"
    assert np.abs(np.reshape(outputs["logits"]["data"], (3, 10)) - expected).max() <= 1e-5
    assert outputs["class"]["data"] == expected.argmax(1).tolist()
    assert np.allclose(np.reshape(outputs["probabilities"]["data"], (3, 10)).sum(1), 1)
    as_bytes = {**tensor, "datatype": "UINT8", "shape": [3, 784], "data": digits[:3].tolist()}
    status, answer = server.ask("POST", path, {"inputs": [as_bytes], "outputs": [{"name": "logits"}]})
    assert [output["name"] for output in answer["outputs"]] == ["logits"]
    assert np.abs(np.reshape(answer["outputs"][0]["data"], (3, 10)) - expected).max() <= 1e-5
    for change, words in (
        ({"datatype": "INT64"}, 'the datatype "INT64" is not taken'),
        ({"shape": [3, 783]}, '"shape" has another size per sample than 784'),
        ({"shape": [4, 784]}, '"data" holds 2352 numbers, "shape" says 3136'),
        ({"shape": [3, 1 << 40]}, '"shape" must hold sizes from 1'),
        ({"datatype": "UINT8"}, "bytes are 0 to 255"),
    ):
        assert words in server.refused({"inputs": [{**tensor, **change}]}, path=path)
    assert 'no output "x"' in server.refused({"inputs": [tensor], "outputs": [{"name": "x"}]}, path=path)


def test_a_picture_is_answered_for_people_too(server, binary, trained, digits, tmp_path):
    for kind in ("png", "jpeg", "bmp", "gif"):
        # Dark on light, as on paper: it is turned over, and that is said.
        data = io.BytesIO()
        Image.fromarray(255 - digits[0].reshape(28, 28)).resize((280, 280)).save(data, kind, **({"quality": 95} if kind == "jpeg" else {}))
        status, answer = server.ask("POST", "/invocations", data.getvalue(), f"image/{kind}")
        assert status == 200, answer
        path = tmp_path / f"digit.{kind}"
        path.write_bytes(data.getvalue())
        told = subprocess.run([binary, "predict", trained / "lenet" / "simple_nn.safetensors", path, "--json"], capture_output=True, text=True, check=True)
        told = json.loads(told.stdout)
        assert answer["class"] == told["class_name"]
        assert np.allclose(answer["probabilities"], told["probabilities"], atol=1e-6)
        assert any("inverted" in word for word in answer["warnings"])
    assert "is not a readable picture" in server.refused(b"GIF", "image/gif")


def test_what_looks_wrong_is_said_and_what_is_wrong_is_refused(server):
    status, answer = server.ask("POST", "/invocations", {"inputs": [[255] * 784]})
    assert status == 200 and "bytes are sent as UINT8" in answer["warnings"][0]
    row = [0.5] * 784
    for body, words in (
        ({}, "names no samples"),
        ({"inputs": []}, "holds no samples"),
        ({"inputs": 3}, '"inputs" must be a list'),
        ({"inputs": [row[1:]]}, "sample 0 has 783 numbers, but the model takes 784"),
        ({"inputs": [row, [*row, 1]]}, "sample 1 has 785 numbers"),
        ({"inputs": [["x", *row[1:]]]}, "value 0 is not a number"),
        ({"inputs": [[None, *row[1:]]]}, "value 0 is not a number"),
        ({"inputs": [row], "instances": [row]}, 'both "inputs" and "instances"'),
        ({"inputs": [row], "params": {"a": 1}}, 'a member "params"'),
        ({"inputs": [row] * 1025}, "1025 samples are too many for one request: send at most 1024"),
        ({"dataframe_records": [{"a": 1}, {"b": 1}]}, "sample 0 has 1 numbers"),
        (b"[1", "not valid JSON"),
        (b'{"inputs": [[1e999]]}', "not valid JSON"),
    ):
        assert words in server.refused(body), body
    header, line = ",".join("abc"), ",".join(map(str, row))
    assert "begin with a header line" in server.refused((line + "\n" + line).encode(), "text/csv")
    assert "line 2 has 3 columns" in server.refused((header + "\n1,2,3\n").encode(), "text/csv")
    assert '"nan" is not a number' in server.refused((header + "\nnan,2,3\n").encode(), "text/csv")
    assert "holds no samples" in server.refused((header + "\n").encode(), "text/csv")
    assert "is not taken: send application/json, text/csv" in server.refused(b"x", "text/plain", status=415)


def test_mutated_requests_leave_it_answering(server, digits):
    draw = random.Random(7)
    good = json.dumps({"inputs": values_of(digits[:1]).tolist()}).encode()
    for _ in range(150):
        body = bytearray(good[: draw.randrange(len(good))] if draw.random() < 0.3 else good)
        for _ in range(draw.randrange(4) if body else 0):
            body[draw.randrange(len(body))] = draw.randrange(256)
        status, _ = server.ask("POST", "/invocations", bytes(body), draw.choice(["application/json", "text/csv", "image/png", "image/gif"]))
        assert status in (200, 400)
    assert server.ask("GET", "/ping")[0] == 200


def test_numbers_are_read_alike_by_both_readers(server):
    """The usual form has a reader of its own; "params" leads to the other one."""
    draw = random.Random(3)
    for _ in range(30):
        rows = [[draw.choice([draw.random(), draw.uniform(-9, 9), 10 ** draw.uniform(-30, 3), draw.randrange(9), 0, -0.0]) for _ in range(784)] for _ in range(2)]
        text = json.dumps(rows, indent=draw.choice([None, 1]))
        for old, new in draw.sample([("e-", "E-"), ("0.1", "0.10000000000000000000001"), ("[", " [ "), (",", "\t,\r\n")], 2):
            text = text.replace(old, new)
        one = server.score(f'{{"{draw.choice(["inputs", "instances"])}":{text}}}'.encode())
        assert (one == server.score(f'{{"inputs":{text},"params":{{}}}}'.encode())).all()
    row = ",".join(["1"] * 783)
    for last in ("01", "1.", ".5", "+1", "1e", "-", "0x1", "NaN", "Infinity", "1,", "", "[1", "1]", '"1"', "1 1", "1\0"):
        server.refused(f'{{"inputs":[[{row},{last}]]}}'.encode())
    for text in ("{\"inputs\":[[%s,1]]}}", "{\"inputs\":[[%s,1]]} x", "{\"inputs\":[[%s,1],]}", "{\"inputs\":[%s,1]}", "{\"inputs\":[[[[[[%s,1]]]]]]}"):
        server.refused((text % row).encode())


def test_a_crowd_is_answered_each_with_its_own(server, trained, digits):
    expected = onnx(trained, "lenet", values_of(digits))
    rows = values_of(digits).tolist()

    def one(i):
        return np.abs(server.score({"inputs": [rows[i % DIGITS]]})[0] - expected[i % DIGITS]).max()

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert max(pool.map(one, range(400))) <= 1e-5


def test_addresses_and_metrics(server, trained):
    for path in ("/ping", "/health", "/v2/health/live", "/v2/health/ready", "/v2/models/lenet/ready"):
        assert server.ask("GET", path)[0] == 200
    status, model = server.ask("GET", "/v2/models/lenet")
    assert model == server.ask("GET", "/metadata")[1]
    assert model["name"] == "lenet" and model["inputs"][0]["shape"] == [-1, 784]
    assert model["class_names"] == list("0123456789") and model["assumed"] == []
    assert server.ask("GET", "/nosuch")[0] == 404
    assert server.ask("GET", "/invocations")[0] == 405
    assert server.ask("GET", "/ping", Host="evil.example")[0] == 403
    before = server.ask("GET", "/metrics")[1]
    server.score({"inputs": [[0] * 784] * 3})
    after = server.ask("GET", "/metrics")[1]

    def number(text, name):
        return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)[1])

    assert number(after, "nnstudio_samples_total") - number(before, "nnstudio_samples_total") == 3
    assert number(after, 'nnstudio_batch_samples_bucket{le="+Inf"}') == number(after, "nnstudio_batch_samples_count")
    assert number(after, "nnstudio_requests_in_flight") == 0


def test_a_token_opens_it_and_nothing_else(binary, trained, tmp_path):
    (tmp_path / "token").write_text("correct-horse\n")
    server = ModelServer(binary, trained, trained / "dense" / "simple_nn.safetensors", "--token-file", tmp_path / "token")
    body = {"inputs": [[0] * 784]}
    assert server.ask("GET", "/ping")[0] == 200
    assert server.ask("POST", "/invocations", body)[0] == 401
    assert server.ask("GET", "/metadata", Authorization="Bearer wrong-horse")[0] == 401
    assert server.ask("POST", "/invocations", body, Authorization="Bearer correct-horse")[0] == 200
    # Behind a proxy the model has the proxy's name; who knows the token is no page of another site.
    assert server.ask("GET", "/metadata", Authorization="Bearer correct-horse", Host="models.example")[0] == 200
    assert server.stop() == 0


def test_a_stop_answers_what_was_asked(binary, trained):
    server = ModelServer(binary, trained, trained / "lenet" / "simple_nn.safetensors", "--threads", 1)
    body = {"inputs": [[0.5] * 784] * 1000}
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(server.ask, "POST", "/invocations", body) for _ in range(3)]
        for _ in range(500):
            if 'nnstudio_requests_in_flight 0' not in server.ask("GET", "/metrics")[1]:
                break
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        answers = [each.result() for each in asked if not each.exception()]
    assert answers and all(status == 200 and len(answer["predictions"]) == 1000 for status, answer in answers)
    assert server.process.wait(20) == 0
    server.stop()


def test_memory_does_not_grow_with_requests(server, digits):
    rows = values_of(digits).tolist()
    link = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    body = json.dumps({"inputs": rows[:8]}).encode()

    def round_of(count):
        for _ in range(count):
            link.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            assert link.getresponse().read()
        status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1])

    first = round_of(300)
    assert round_of(900) - first < 4096  # kB
    link.close()


@pytest.mark.parametrize(
    "words, message",
    [
        (["nosuch.pth"], "nosuch.pth"),
        (["MODEL", "--port", "70000"], "--port 70000 is out of range: give 0 to 65535"),
        (["MODEL", "--threads", "0"], "--threads 0 is out of range: give 1 to 64"),
        (["MODEL", "--name", "a/b"], '--name "a/b" cannot stand in an address'),
        (["MODEL", "--token", "short"], "the token is too short"),
        (["MODEL", "--engine", "torch"], "takes pictures of bytes alone"),
    ],
)
def test_what_cannot_be_served_is_said(binary, trained, words, message):
    words = [str(trained / "dense" / "simple_nn.safetensors") if word == "MODEL" else word for word in words]
    result = subprocess.run([binary, "serve-model", *words], capture_output=True, text=True, timeout=60)
    assert result.returncode in (1, 2) and message in result.stderr and result.stderr.count("\n") == 1
