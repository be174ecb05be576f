"""Every layer type through every format, both ways, by the real libraries: the same tensors, to the bit, and the same logits."""

import ast
import os
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnxruntime
import pytest
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch

from modelfile_help import convert, inspect, refused

NETS = {
    "convolution": "conv 6 5x3 stride 2 same relu, conv 8 3 groups 2 dilation 2 elu 0.7 nobias, depthwise 3x3 leaky_relu 0.2, maxpool 2 tanh, flatten, dense 10",
    "padding": "conv 4 3 pad 0 1 2 0 relu, depthwise 3 pad 1 1 1 1 stride 2, depthwise 2x3 pad 1 0 0 1 sigmoid, avgpool 2 stride 1, flatten, dense 10",
    "pooling": "maxpool 3 stride 2 same, conv 5 3x3 pad 1 1 1 1 softplus, avgpool 3 stride 1 same, globalavgpool, dense 10",
    "normalization": "conv 4 3 stride 2 same nobias, batchnorm epsilon 0.001 momentum 0.3 relu, layernorm silu, flatten, batchnorm, dense 12 selu, layernorm gelu, dropout 0.3, dense 10",
    "scaled": "normalize 0.1307 0.3081, batchnorm relu, flatten, layernorm, dense 8 gelu_tanh, dense 10",
    "rescaled": "rescale 2 -1, dense 16 leaky_relu, batchnorm, dense 12 elu, dense 10 nobias",
}
H5_LACKS = {"normalization": "where Keras loses its axes"}  # reading .h5, it keeps one axis of a layer
KERAS_LACKS = {"scaled": "gelu_tanh"}  # it has no word for the approximation
RANDOM = np.random.default_rng(3)


def torch_module(studio, net):
    """The nn.Module of the program that Code Diff writes for the network."""
    program = ast.parse(studio("code", "torch", "--net", net).stdout)
    program.body = [node for node in program.body if isinstance(node, (ast.Import, ast.ImportFrom, ast.ClassDef))]
    names = {}
    exec(compile(program, "model.py", "exec"), names)
    return names["Network"]().eval()


@pytest.fixture(params=NETS)
def trained(request, studio, tmp_path):
    """A network after a few steps, so that no tensor has its initial value: its name, text and file."""
    net = NETS[request.param]
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 48, "--batch-size", 16, "--epochs", 1, "--lr", 0.05, "--net", net, "--out", tmp_path)
    return request.param, net, tmp_path / "simple_nn.safetensors"


def assert_same(file, tensors):
    ours = load_file(file)
    assert sorted(ours) == sorted(tensors)
    for name, value in tensors.items():
        assert np.array_equal(ours[name], value), name


def test_layers_through_all_formats(trained, studio, tmp_path):
    name, net, file = trained
    tensors = load_file(file)
    module = torch_module(studio, net)
    x = RANDOM.uniform(size=(3, 1, 28, 28)).astype(np.float32)

    # PyTorch: ours loads in its module, what that saves loads here once its layers are told
    convert(studio, file, tmp_path / "ours.pth")
    for state in (torch.load(tmp_path / "ours.pth", weights_only=True), load_torch(file)):
        missing = module.load_state_dict(state, strict=False)
        assert not missing.unexpected_keys and all(key.endswith("num_batches_tracked") for key in missing.missing_keys)
    with torch.no_grad():
        logits = module(torch.from_numpy(x)).numpy()
    torch.save(module.state_dict(), tmp_path / "theirs.pth")
    convert(studio, tmp_path / "theirs.pth", tmp_path / "back.safetensors", "--net", net, "--input", "28x28")
    assert_same(tmp_path / "back.safetensors", tensors)

    # ONNX
    convert(studio, file, tmp_path / "ours.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "ours.onnx")
    (seen,) = session.run(None, {"input": x})
    assert np.abs(seen - logits).max() < 1e-5
    convert(studio, tmp_path / "ours.onnx", tmp_path / "back.safetensors")
    assert_same(tmp_path / "back.safetensors", tensors)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.from_numpy(x),), tmp_path / "theirs.onnx", dynamo=False, opset_version=20)
    convert(studio, tmp_path / "theirs.onnx", tmp_path / "again.onnx")
    (seen,) = onnxruntime.InferenceSession(tmp_path / "again.onnx").run(None, {"input": x})
    assert np.abs(seen - logits).max() < 1e-5

    # Keras: whole models in both forms, and weights alone
    if name in KERAS_LACKS:
        for ending in ("h5", "keras"):
            refused(studio, "convert", file, tmp_path / f"no.{ending}", words=KERAS_LACKS[name])
        return
    if name in H5_LACKS:
        refused(studio, "convert", file, tmp_path / "no.h5", words=H5_LACKS[name])
    for ending in ("keras",) if name in H5_LACKS else ("h5", "keras"):
        convert(studio, file, tmp_path / f"ours.{ending}")
        model = keras.models.load_model(tmp_path / f"ours.{ending}")
        seen = model.predict(x.transpose(0, 2, 3, 1), verbose=0)
        assert np.abs(seen - logits).max() < 1e-5, ending
        model.save(tmp_path / f"theirs.{ending}")
        convert(studio, tmp_path / f"theirs.{ending}", tmp_path / "back.safetensors")
        assert_same(tmp_path / "back.safetensors", tensors)
    convert(studio, file, tmp_path / "ours.weights.h5")
    assert inspect(studio, tmp_path / "ours.weights.h5")["assumed"] == []
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    model.load_weights(tmp_path / "ours.weights.h5")
    assert np.abs(model.predict(x.transpose(0, 2, 3, 1), verbose=0) - logits).max() < 1e-5
    model.save_weights(tmp_path / "theirs.weights.h5")
    convert(studio, tmp_path / "theirs.weights.h5", tmp_path / "back.safetensors", "--net", net, "--input", "28x28")
    assert_same(tmp_path / "back.safetensors", tensors)
