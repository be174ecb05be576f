"""Registering with a real MLflow server, and MLflow's own loader on what was registered."""

import json
import subprocess

import numpy as np
import pytest


def logits_of(folder, pixels):
    """The network's logits by hand, from the .safetensors file that all formats came from."""
    from safetensors.numpy import load_file

    tensors = load_file(folder / "simple_nn.safetensors")
    hidden = np.maximum(pixels @ tensors["fc1.weight"].T + tensors["fc1.bias"], 0)
    return hidden @ tensors["fc2.weight"].T + tensors["fc2.bias"]


@pytest.mark.parametrize("ending", ["pth", "h5", "safetensors", "onnx"])
def test_pyfunc_gives_our_logits(studio, models, mlflow_server, tmp_path, ending, monkeypatch):
    name = f"mnist_{ending}"
    result = studio("register", models / f"simple_nn.{ending}", "--to", "mlflow", "--tracking-uri", mlflow_server, "--name", name, "--json")
    made = json.loads(result.stdout.splitlines()[-1])
    assert made["version"] == "1" and made["id"] == f"models:/{name}/1"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
    import mlflow

    mlflow.set_tracking_uri(mlflow_server)
    model = mlflow.pyfunc.load_model(f"models:/{name}/1")
    pixels = np.random.default_rng(1).random((50, 784), dtype=np.float32)
    assert np.abs(model.predict(pixels) - logits_of(models, pixels)).max() < 1e-5

    version = mlflow.MlflowClient().get_model_version(name, "1")
    assert version.tags["sha256"] == made["sha256"] and version.status == "READY"

    studio("registry", "pull", name, "--from", "mlflow", "--tracking-uri", mlflow_server, "--out", tmp_path / "back")
    assert (tmp_path / "back" / f"simple_nn.{ending}").read_bytes() == (models / f"simple_nn.{ending}").read_bytes()


def test_plain_http_to_another_machine_is_refused(studio, models):
    result = studio("register", models / "simple_nn.pth", "--to", "mlflow", "--tracking-uri", "http://mlflow.example:5000", status=2)
    assert "https" in result.stderr
