"""nnstudio net: the words and fields of the contract, held against PyTorch's own count of parameters."""

import json
import os
import subprocess

import pytest

BINARY = os.environ["NNSTUDIO_BINARY"]


def net(*arguments):
    return subprocess.run([BINARY, "net", *arguments], capture_output=True, text=True, timeout=60)


def test_show_names_layers_shapes_and_costs():
    done = net("show", "keras-mnist-convnet", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    first = answer["layers"][0]
    assert {key: first[key] for key in ("name", "type", "output", "parameters", "multiply_adds")} == {
        "name": "conv1", "type": "conv2d", "output": [26, 26, 32], "parameters": 320, "multiply_adds": 194688}
    assert answer["parameters"] == 34826 and answer["multiply_adds"] == 2440960
    assert answer["layers"][-1]["output"] == [10]


def test_shapes_and_parameters_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    nn = torch.nn
    module = nn.Sequential(nn.Conv2d(3, 8, (3, 5), stride=2, padding=(1, 2)), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
                           nn.Conv2d(8, 12, 3, dilation=2, groups=4, bias=False), nn.LayerNorm([12, 5, 5]), nn.AdaptiveAvgPool2d(1),
                           nn.Flatten(), nn.Linear(12, 10))
    spec = ("conv 8 3x5 stride 2 pad 1 1 2 2, batchnorm relu, maxpool 3 stride 2 pad 1 1 1 1, conv 12 3 dilation 2 groups 4 nobias, "
            "layernorm, globalavgpool, dense 10")
    answer = json.loads(net("show", spec, "--input", "33x34x3", "--json").stdout)
    assert answer["parameters"] == sum(parameter.numel() for parameter in module.parameters())
    assert answer["buffers"] == 16
    x, shapes = torch.zeros(2, 3, 33, 34), []
    for layer in module:
        x = layer(x)
        shapes.append(list(x.shape[2:]) + [x.shape[1]] if x.dim() == 4 else [x.shape[1]])
    assert [layer["output"] for layer in answer["layers"]] == [shapes[i] for i in (0, 2, 3, 4, 5, 7, 8)]


@pytest.mark.parametrize("spec, words", [
    ("conv 32, dense 10", "layer 1: the kernel's size is missing"),
    ("maxpool 2, maxpool 2, conv 4 9x9, flatten, dense 10", "layer 3: the window of 9×9 does not fit its input of 7×7"),
    ("conv 4 3x3, dense 10", "layer 2: dense takes a list of values but gets maps of 26×26×4: put flatten before it"),
])
def test_what_does_not_fit_is_refused_in_one_line(spec, words):
    done = net("show", spec)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and words in done.stderr


def test_a_file_and_the_list_of_presets(tmp_path):
    listed = [json.loads(line) for line in net("list", "--json").stdout.splitlines()]
    assert {"mlp", "softmax", "lenet5", "keras-mnist-convnet", "pytorch-mnist", "mini-vgg"} <= {one["name"] for one in listed}
    path = tmp_path / "net.json"
    path.write_text(json.dumps({"layers": [{"type": "dense", "units": 12, "activation": "relu"}, {"type": "dense", "units": 3}]}))
    answer = json.loads(net("show", str(path), "--json").stdout)
    assert answer["parameters"] == 785 * 12 + 13 * 3
    assert answer["compact"] == "dense 12 relu, dense 3"
