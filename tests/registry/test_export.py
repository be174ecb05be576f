"""nnstudio export azureml: Microsoft's own client loads the YAML, their inference server runs the scoring script on real
digits, and the training program is the run's."""

import gzip
import json
import os
import pathlib
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest
from rig import Program, free_port
from test_mlflow import logits_of
from test_serve_model import ModelServer

PLACE = "azureml://datastores/workspaceblobstore/paths/data"


def export(studio, models, out, *more, ending="pth", **options):
    words = ["--data", PLACE, "--framework", "torch"] if "--no-job" not in more else []
    return studio("export", "azureml", models / f"simple_nn.{ending}", "--out", out, "--home", models / "home", *words, *more, **options)


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_microsofts_client_loads_each_file(studio, models, tmp_path):
    ml = pytest.importorskip("azure.ai.ml")
    out = tmp_path / "files"
    export(studio, models, out, "--name", "digits", "--description", 'two\nlines: "quoted" # no comment', "--compute", "cpu-cluster")
    model = ml.load_model(out / "model.yml")
    assert (model.name, model.type, model.description) == ("digits", "custom_model", 'two\nlines: "quoted" # no comment')
    assert (out / "model.yml").parent / "model" / "simple_nn.pth" == model.path
    assert model.path.read_bytes() == (models / "simple_nn.pth").read_bytes()
    assert model.tags["dataset"] == "synthetic" and len(model.tags["sha256"]) == 64
    environment = ml.load_environment(out / "environment.yml")
    pip = environment.conda_file["dependencies"][-1]["pip"]
    assert [line.split("==")[0] for line in pip] == ["azureml-inference-server-http", "numpy", "torch"]
    endpoint = ml.load_online_endpoint(out / "endpoint.yml")
    assert (endpoint.auth_mode, endpoint.name) == ("key", f"digits-{model.tags['sha256'][:6]}")
    deployment = ml.load_online_deployment(out / "deployment.yml")
    named = f"{environment.name}:{environment.version}"
    assert (deployment.endpoint_name, deployment.model, deployment.environment) == (endpoint.name, "digits@latest", named)
    assert (out / deployment.code_configuration.code / deployment.code_configuration.scoring_script).is_file()
    assert (deployment.instance_type, deployment.instance_count) == ("Standard_DS3_v2", 1)
    job = ml.load_job(out / "job.yml")
    assert (job.compute, job.environment, job.component.code) == ("cpu-cluster", named, "train")
    assert job.inputs.data._data.path == PLACE and set(job.outputs) == {"model"}
    # another model of the same packages shares the built environment; another framework does not
    export(studio, models, tmp_path / "other", "--no-job", ending="safetensors")
    export(studio, models, tmp_path / "same", "--name", "second")
    versions = [ml.load_environment(tmp_path / name / "environment.yml").version for name in ("other", "same")]
    assert versions[0] != environment.version == versions[1]
    assert not (tmp_path / "other" / "job.yml").exists() and not (tmp_path / "other" / "train").exists()


def test_the_job_trains_the_runs_network(studio, models, tmp_path):
    """What job.yml starts, started here: it leaves the file that the job hands on."""
    export(studio, models, tmp_path / "files")
    (tmp_path / "data").mkdir()
    studio("data", "export", "synthetic", "--out", tmp_path / "data")
    program = tmp_path / "files" / "train" / "train.py"
    subprocess.run([sys.executable, str(program), "--data-dir", str(tmp_path / "data")], check=True, cwd=tmp_path, capture_output=True)
    layers = json.loads(studio("inspect", tmp_path / "simple_nn.pth", "--json").stdout)["layers"]
    assert layers == json.loads(studio("inspect", models / "simple_nn.pth", "--json").stdout)["layers"]


def test_the_same_words_give_the_same_bytes_and_all_or_nothing(studio, models, tmp_path):
    for name in ("a", "b"):
        export(studio, models, tmp_path / name)
    made = files_of(tmp_path / "a")
    assert made == files_of(tmp_path / "b") and len(made) == 9
    refused = {
        "is there already": ["--name", "x"],
        "not a valid endpoint name": ["--endpoint", "9lives"],
        "out of range (1 to 20)": ["--instances", "21"],
        "not a valid model name": ["--name", "a.b"],
    }
    for words, options in refused.items():
        target = tmp_path / ("a" if words == "is there already" else "new")
        assert words in export(studio, models, target, *options, status=None).stderr
    for words, options in {"Give --data": [], "--framework torch or": ["--data", PLACE], "is not a folder": ["--data", "nowhere"],
                           "is not in": ["--data", PLACE, "--framework", "torch", "--home", tmp_path / "elsewhere"]}.items():
        result = studio("export", "azureml", models / "simple_nn.pth", "--out", tmp_path / "new", *(options if "--home" in options else [*options, "--home", models / "home"]), status=None)
        assert result.returncode and words in result.stderr
    assert files_of(tmp_path / "a") == made
    assert not [path for path in tmp_path.iterdir() if path.name.startswith((".", "new"))]


# name -> layers: a convolutional network, one with what has a state or a slope of its own, one of color pictures
NETWORKS = {
    "lenet5": "lenet5",
    "states": "conv 4 3x3 same nobias, batchnorm relu, avgpool 2, conv 6 3x3 elu, maxpool 2, flatten, dropout 0.5, dense 12 gelu, dense 10",
    "color": "conv 4 3x3 same relu, maxpool 2, flatten, dense 8 relu, dense 3",
    "color-dense": "dense 8 relu, dense 3",
}


def color_pictures(folder):
    from PIL import Image

    random = np.random.default_rng(0)
    for label in range(3):
        (folder / f"class{label}").mkdir(parents=True)
        for at in range(8):
            picture = random.integers(0, 256, (12, 14, 3), dtype=np.uint8)
            Image.fromarray(picture).save(folder / f"class{label}" / f"{at}.png")
    return folder


@pytest.mark.parametrize("name", NETWORKS)
def test_the_scripts_model_gives_our_logits_for_any_network(studio, binary, tmp_path, name):
    """From each format: dense or not, gray or color."""
    color = name.startswith("color")
    data = color_pictures(tmp_path / "pictures") if color else "synthetic"
    studio("train", "--engine", "native", "--dataset", data, "--limit", "64" if not color else "0", "--epochs", "1", "--net", NETWORKS[name], "--out", tmp_path)
    model, shape = tmp_path / "simple_nn.safetensors", (3, 12, 14) if color else (1, 28, 28)
    pixels = np.random.default_rng(1).random((5, *shape), dtype=np.float32)
    server = ModelServer(binary, tmp_path, model)
    try:
        expected = server.score({"inputs": pixels.reshape(5, -1).tolist()})
    finally:
        server.stop()
    for ending in ("pth", "h5", "onnx"):
        studio("convert", model, tmp_path / f"simple_nn.{ending}")
    for file in ("simple_nn.safetensors", "simple_nn.pth", "simple_nn.h5", "simple_nn.onnx"):
        out = tmp_path / file.replace(".", "-")
        studio("export", "azureml", tmp_path / file, "--no-job", "--out", out)
        script = {"__name__": "score"}
        exec(compile((out / "score" / "score.py").read_text(), "score.py", "exec"), script)
        loaded = script["Model"](str(tmp_path / file))
        for form in (pixels, pixels.reshape(5, -1), pixels.transpose(0, 2, 3, 1) if color else pixels[:, 0]):
            assert np.abs(loaded.predict(form) - expected).max() < 1e-5, file


def test_their_server_runs_the_scoring_script(studio, models, data_dir, tmp_path):
    pytest.importorskip("azureml_inference_server_http", reason="tests/python/requirements.txt names it")
    export(studio, models, tmp_path / "files", "--no-job")
    port, health = free_port(), free_port()
    server = Program(
        [sys.executable, "-m", "azureml_inference_server_http.amlserver", "--entry_script", "score.py", "--model_dir", tmp_path / "files" / "model", "--port", port, "--health_port", health],
        tmp_path / "server.log", cwd=tmp_path / "files" / "score", env=os.environ,
    )

    def send(body):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/score", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ready():
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).status == 200
        except OSError:
            return False

    try:
        server.wait_for(ready, "the inference server", 120)
        pictures = gzip.decompress((pathlib.Path(data_dir) / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
        digits = np.frombuffer(pictures, np.uint8, 50 * 784, 16).reshape(50, 784) / np.float32(255)
        status, answer = send(json.dumps({"inputs": digits.tolist()}).encode())
        assert status == 200
        assert np.abs(np.array(answer["predictions"]) - logits_of(models, digits)).max() < 1e-5
        assert send(json.dumps({"instances": digits.reshape(50, 28, 28).tolist()}).encode())[1] == answer
        for bad in (b"{", b"[]", b'{"inputs": []}', b'{"inputs": [[1, 2]]}', b'{"inputs": [["a"]]}', b'{"inputs": [[NaN' + b", 0" * 783 + b"]]}"):
            status, words = send(bad)
            assert status == 400 and "error" in words, bad
    finally:
        server.stop()
