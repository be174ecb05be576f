"""Model files of PyTorch: what we write it reads, what it writes we read, and a pickle never gets to do anything."""

import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from modelfile_help import convert, inspect, refused


class SimpleNN(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(784, 128)
        self.fc2 = torch.nn.Linear(128, 10)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(5)
    return SimpleNN()


def assert_holds(studio, path, state, tmp_path, names=("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias")):
    """Reads `path` in the studio and compares with `state`, bit by bit, by way of safetensors' own library."""
    convert(studio, path, tmp_path / "check.safetensors")
    ours = load_file(tmp_path / "check.safetensors")
    assert list(ours) and sorted(ours) == sorted(names)
    for name, theirs in zip(names, state.values(), strict=True):
        assert ours[name].dtype == theirs.dtype
        assert torch.equal(ours[name], theirs), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_our_pth_loads_in_torch(studio, tmp_path, model, dtype):
    state = {name: value.to(dtype) for name, value in model.state_dict().items()}
    save_file(state, tmp_path / "in.safetensors")
    convert(studio, tmp_path / "in.safetensors", tmp_path / "out.pth")
    for extra in ({}, {"mmap": True}):
        loaded = torch.load(tmp_path / "out.pth", weights_only=True, **extra)
        assert list(loaded) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
        fresh = SimpleNN().to(dtype)
        fresh.load_state_dict(loaded)
        for name, value in fresh.state_dict().items():
            assert value.dtype == dtype and torch.equal(value, state[name])
    with zipfile.ZipFile(tmp_path / "out.pth") as archive:
        data = (tmp_path / "out.pth").read_bytes()
        assert archive.testzip() is None
        for entry in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, entry.header_offset + 26)
            assert (entry.header_offset + 30 + name + extra) % 64 == 0
            assert entry.compress_type == zipfile.ZIP_STORED


def test_activations_survive_our_own_pth(studio, tmp_path, model):
    torch.save(model.state_dict(), tmp_path / "plain.pth")
    assert inspect(studio, tmp_path / "plain.pth")["activation_known"] is False
    convert(studio, tmp_path / "plain.pth", tmp_path / "told.pth", "--activation", "tanh")
    told = inspect(studio, tmp_path / "told.pth")
    assert told["activation_known"] is True
    assert [layer["activation"] for layer in told["layers"]] == ["tanh", "none"]
    refused(studio, "convert", tmp_path / "told.pth", tmp_path / "no.pth", "--activation", "relu", words="leave --activation out", status=2)
    assert not (tmp_path / "no.pth").exists()


def compiled(state):
    return {f"_orig_mod.{name}": value for name, value in state.items()}


def parallel(state):
    return {f"module.{name}": value for name, value in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        dict,
        parallel,
        compiled,
        lambda s: parallel(compiled(s)),
        lambda s: {"state_dict": s, "epoch": 3, "lr": 0.1, "name": "a\0b", "best": None, "classes": ["0", "1"], "done": True},
        lambda s: {"model_state_dict": parallel(s), "epoch": 3, "loss": torch.tensor(0.5)},
        lambda s: {"model": s, "args": {"lr": (1, 2, 3, 4), "big": 1 << 80, "seed": -(1 << 40)}},
        lambda s: {"epoch": 1, "my_own_words": s},
        lambda s: {name: torch.nn.Parameter(value) for name, value in s.items()},
    ],
    ids=["plain", "dict", "data-parallel", "compiled", "both", "state_dict", "model_state_dict", "model", "own-key", "parameters"],
)
def test_torch_saves_we_load(studio, tmp_path, model, wrap):
    torch.save(wrap(model.state_dict()), tmp_path / "model.pth")
    assert_holds(studio, tmp_path / "model.pth", model.state_dict(), tmp_path)


def test_checkpoint_with_an_optimizer(studio, tmp_path, model):
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(2, 784)).sum().backward()
    optimizer.step()
    torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "epoch": 7}, tmp_path / "c.pt")
    assert_holds(studio, tmp_path / "c.pt", model.state_dict(), tmp_path)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_newer_pickle_protocols(studio, tmp_path, model, protocol):
    torch.save(model.state_dict(), tmp_path / "model.pth", pickle_protocol=protocol)
    assert_holds(studio, tmp_path / "model.pth", model.state_dict(), tmp_path)


def test_views_of_shared_and_strange_storages(studio, tmp_path):
    base = torch.rand(40, 30)
    state = {
        "a.weight": base[3:8, 2:9],  # a window
        "a.bias": torch.rand(1).expand(5),  # stride 0
        "b.weight": torch.rand(5, 4).t(),  # transposed
        "b.bias": base[0, ::8],  # every eighth
        "c.weight": torch.rand(3, 4).to(torch.bfloat16),
        "c.bias": torch.rand(3).to(torch.float16),
    }
    torch.save(state, tmp_path / "views.pth")
    wide = {name: value.float().contiguous() for name, value in state.items()}
    assert_holds(studio, tmp_path / "views.pth", wide, tmp_path, [f"fc{i}.{kind}" for i in (1, 2, 3) for kind in ("weight", "bias")])


def test_any_layer_names_and_no_bias(studio, tmp_path):
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 8, bias=False), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4)
    )
    torch.save(net.state_dict(), tmp_path / "seq.pth")
    said = inspect(studio, tmp_path / "seq.pth")
    assert [(layer["inputs"], layer["outputs"]) for layer in said["layers"]] == [(16, 8), (8, 8), (8, 4)]
    convert(studio, tmp_path / "seq.pth", tmp_path / "seq.safetensors")
    ours = load_file(tmp_path / "seq.safetensors")
    assert torch.equal(ours["fc1.weight"], net[1].weight) and "fc1.bias" not in ours
    assert torch.equal(ours["fc2.weight"], net[3].weight) and torch.equal(ours["fc3.bias"], net[5].bias)


def accuracy_of(studio, path, *options):
    return json.loads(studio("evaluate", path, "--limit", 50, "--json", *options).stdout)


def layers_named(*names, width=6):
    sizes = [784, *[width] * (len(names) - 1), 10]
    return {f"{name}.weight": torch.rand(b, a) for name, a, b in zip(names, sizes, sizes[1:])}


@pytest.mark.parametrize(
    "network, file",
    [
        (["l1", "l2", "l3", "out"], ["out", "l3", "l2", "l1"]),
        (["input", "hidden1", "hidden2", "output"], ["hidden1", "hidden2", "input", "output"]),
        (["Linear_1", "linear_2", "Linear_3", "linear_4"], ["Linear_1", "Linear_3", "linear_2", "linear_4"]),
        (["dense", "dense_1", "dense_2", "dense_10"], ["dense_10", "dense_2", "dense_1", "dense"]),
        (["b1.fc", "b2.fc", "b10.fc", "head"], ["b1.fc", "b10.fc", "b2.fc", "head"]),
        (["0", "2", "4", "10"], ["0", "10", "2", "4"]),
    ],
)
def test_numbers_in_names_give_the_order(studio, tmp_path, network, file):
    state = layers_named(*network)
    save_file({f"{name}.weight": state[f"{name}.weight"] for name in file}, tmp_path / "m.safetensors")
    convert(studio, tmp_path / "m.safetensors", tmp_path / "ours.safetensors")
    ours = load_file(tmp_path / "ours.safetensors")
    for i, name in enumerate(network, start=1):
        assert torch.equal(ours[f"fc{i}.weight"], state[f"{name}.weight"])


@pytest.mark.parametrize(
    "names, order",
    [(["fc_in", "fc_mid", "fc_late", "fc_out"], "fc_in,fc_late,fc_mid,fc_out"), (["fc1", "fc3", "fc2", "fc4"], "fc1,fc2,fc3,fc4"), (["a1", "b1", "a2", "b2"], "a1,b1,a2,b2")],
)
def test_several_orders_are_never_guessed(studio, tmp_path, names, order):
    """Names without numbers; numbers that contradict the order of definition; two stems that may interleave."""
    state = layers_named(*names)
    torch.save(state, tmp_path / "m.pth")
    for command in (["inspect", tmp_path / "m.pth"], ["convert", tmp_path / "m.pth", tmp_path / "out.h5"], ["evaluate", tmp_path / "m.pth"]):
        refused(studio, *command, words="several orders of its layers fit")
    convert(studio, tmp_path / "m.pth", tmp_path / "ours.safetensors", "--order", order)
    ours = load_file(tmp_path / "ours.safetensors")
    for i, name in enumerate(order.split(","), start=1):
        assert torch.equal(ours[f"fc{i}.weight"], state[f"{name}.weight"])


def test_what_is_assumed_is_said_with_every_number_and_kept(studio, tmp_path):
    torch.save(layers_named("0", "2", "4"), tmp_path / "m.pth")
    assumed = ["activation of layer 1: relu", "activation of layer 2: relu"]
    assert accuracy_of(studio, tmp_path / "m.pth")["assumed"] == assumed
    assert "activation of layer 1: relu" in studio("evaluate", tmp_path / "m.pth", "--limit", 50).stdout
    for kind in ("h5", "onnx", "safetensors", "pth"):
        convert(studio, tmp_path / "m.pth", tmp_path / f"kept.{kind}")
        assert accuracy_of(studio, tmp_path / f"kept.{kind}")["assumed"] == assumed, kind
        convert(studio, tmp_path / f"kept.{kind}", tmp_path / "told.safetensors", "--activation", "tanh,none")
        said = inspect(studio, tmp_path / "told.safetensors")
        assert said["assumed"] == [] and [layer["activation"] for layer in said["layers"]] == ["tanh", "none", "none"]
    assert accuracy_of(studio, tmp_path / "m.pth", "--activation", "none")["assumed"] == []
    refused(studio, "inspect", tmp_path / "m.pth", "--activation", "relu,tanh,relu", words="3 activations", status=2)
    refused(studio, "inspect", tmp_path / "told.safetensors", "--activation", "relu", words="itself says", status=2)


def test_a_loss_function_s_weights_are_no_layer(studio, tmp_path):
    state = {"criterion.weight": torch.rand(10), **layers_named("model.0", "model.2")}
    torch.save(state, tmp_path / "m.ckpt")
    assert len(inspect(studio, tmp_path / "m.ckpt")["layers"]) == 2


def test_safetensors_library_both_ways(studio, tmp_path, model):
    save_file(parallel(model.state_dict()), tmp_path / "theirs.safetensors")
    assert_holds(studio, tmp_path / "theirs.safetensors", model.state_dict(), tmp_path)


def write_archive(path, program, records=(), folder="archive", **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        archive.writestr(f"{folder}/data.pkl", program)
        archive.writestr(f"{folder}/version", "3\n")
        for name, data in records:
            archive.writestr(f"{folder}/{name}", data)


class Plain:
    """A class of the script's own."""


class Call:
    """Pickles as a call of anything."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def reduce_pickle(function, *arguments, protocol=2):
    return pickle.dumps({"fc1.weight": Call(function, *arguments)}, protocol)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "function, arguments, name",
    [
        (os.system, ("touch {canary}",), "posix.system"),
        (eval, ("open('{canary}', 'w')",), "eval"),
        (exec, ("open('{canary}', 'w')",), "exec"),
        (torch.load, ("{canary}",), "torch.serialization.load"),
        (getattr, (os, "system"), "getattr"),
        (__import__, ("os",), "__import__"),
        (torch.nn.Linear, (2, 2), "torch.nn.modules.linear.Linear"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_pickle_that_names_anything_else_is_refused_by_name(studio, tmp_path, protocol, function, arguments, name):
    canary = tmp_path / "canary"
    arguments = [a.format(canary=canary) if isinstance(a, str) else "os" for a in arguments]
    write_archive(tmp_path / "bad.pth", reduce_pickle(function, *arguments, protocol=protocol))
    for command in (["inspect", tmp_path / "bad.pth"], ["convert", tmp_path / "bad.pth", tmp_path / "out.safetensors"]):
        message = refused(studio, *command, words=name)
        assert "nothing was run" in message
    assert not canary.exists() and not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize(
    "program, words",
    [
        (b"cos\nsystem\n(S'id'\ntR.", "os.system"),
        (b"\x80\x02crandom\nrandom\n)R.", "random.random"),
        (b"\x80\x02crandom\nRandom\n)\x81.", "random.Random"),
        (b"(X\x02\x00\x00\x00idios\nsystem\n.", "os.system"),
        (b"\x80\x02ctorch\nFloatStorage\nX\x01\x00\x00\x00a\x85R.", "torch.FloatStorage"),
        (b"\x80\x02]\x85R.", "damaged"),
        (b"\x80\x02ccollections\nOrderedDict\n)R", "damaged"),
        (b"\x80\x02X\xff\xff\xff\xffab.", "damaged"),
        (b"\x80\x02h\x05.", "damaged"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "damaged"),
        (b"\x80\x02.", "damaged"),
        (b"\x80\x02((((.", "damaged"),
        (b"\x80\x02}]K\x01s.", "no state dict"),
        (b"\x80\x02]K\x00K\x01s.", "damaged"),
        (b"\x80\x02ctorch\nFloatStorage\nK\x00K\x01s.", "damaged"),
        (b"\x80\x02K\x05(K\x00K\x01u.", "damaged"),
        (b"\x80\x02]q\x00h\x00a.", "no state dict"),
        (b"\x80\x02" + b"N0" * 600000 + b"N.", "instructions"),
        (b"\x80\x02" + b"(" * 200000, "damaged"),
        (b"\x80\x02\x82\x01.", "0x82"),
        (b"\x80\x02X\x01\x00\x00\x00aQ.", "storage"),
        (b"", "damaged"),
    ],
)
def test_hand_made_pickles(studio, tmp_path, program, words):
    write_archive(tmp_path / "bad.pth", program)
    refused(studio, "inspect", tmp_path / "bad.pth", words=words)


def tensor_pickle(shape, strides, offset=0, numel=4, key="0", storage="FloatStorage"):
    def number(n):
        return b"\x8a\x08" + struct.pack("<q", n)

    def sizes(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    def text(value):
        return b"X" + struct.pack("<I", len(value)) + value.encode()

    return (
        b"\x80\x02}" + text("fc1.weight") + b"ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage")
        + b"ctorch\n" + storage.encode() + b"\n" + text(key) + text("cpu") + number(numel) + b"tQ"
        + number(offset) + sizes(shape) + sizes(strides) + b"\x89}tRs."
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (dict(shape=(2, 3), strides=(3, 1)), "outside its storage"),
        (dict(shape=(2, 2), strides=(2, 1), offset=1), "outside its storage"),
        (dict(shape=(2, 2), strides=(2**62, 1)), "outside its storage"),
        (dict(shape=(2**32, 2**32), strides=(0, 0)), "outside its storage"),
        (dict(shape=(2**27, 4), strides=(0, 1)), "outside its storage"),
        (dict(shape=(-2, 2), strides=(2, 1)), "described wrongly"),
        (dict(shape=(2, 2), strides=(-2, 1)), "described wrongly"),
        (dict(shape=(2, 2), strides=(2,)), "described wrongly"),
        (dict(shape=(1,) * 9, strides=(1,) * 9), "dimensions"),
        (dict(shape=(2, 2), strides=(2, 1), numel=2**40), "outside its storage"),
        (dict(shape=(2, 2), strides=(2, 1), numel=2**20), "the pickle says"),
        (dict(shape=(2, 2), strides=(2, 1), key="1"), "data/1 is missing"),
        (dict(shape=(2, 2), strides=(2, 1), key="../0"), "names no record"),
        (dict(shape=(2, 2), strides=(2, 1), storage="LongStorage"), "LongStorage"),
        (dict(shape=(2, 2, 1), strides=(2, 1, 1)), "[2, 2, 1] is not a dense layer's"),
    ],
)
def test_lying_tensors_are_refused(studio, tmp_path, arguments, words):
    write_archive(tmp_path / "lie.pth", tensor_pickle(**arguments), [("data/0", bytes(16))])
    refused(studio, "inspect", tmp_path / "lie.pth", words=words)


def test_the_hand_made_tensor_is_read_when_it_does_not_lie(studio, tmp_path):
    """The cases above fail for the reason they give and no other."""
    write_archive(tmp_path / "good.pth", tensor_pickle((2, 2), (2, 1)), [("data/0", bytes(16))], compression=zipfile.ZIP_DEFLATED)
    assert inspect(studio, tmp_path / "good.pth")["parameters"] == 4


def test_damaged_archives(studio, tmp_path, model):
    torch.save(model.state_dict(), tmp_path / "whole.pth")
    data = (tmp_path / "whole.pth").read_bytes()
    for name, content, words in [
        ("cut.pth", data[: len(data) // 2], "damaged or cut short"),
        ("tail.pth", data[:-30], "damaged or cut short"),
        ("bit.pth", data[:5000] + bytes([data[5000] ^ 4]) + data[5001:], "damaged"),
    ]:
        (tmp_path / name).write_bytes(content)
        refused(studio, "convert", tmp_path / name, tmp_path / "out.pth", words=words)
        assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == []


def test_other_things_torch_saves_are_refused_with_a_way_out(studio, tmp_path, model):
    torch.save(model, tmp_path / "whole-model.pth")
    refused(studio, "inspect", tmp_path / "whole-model.pth", words="SimpleNN")
    torch.jit.trace(model, torch.rand(1, 784)).save(tmp_path / "script.pt")
    refused(studio, "inspect", tmp_path / "script.pt", words="TorchScript")
    torch.save(model.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert_holds(studio, tmp_path / "old.pth", model.state_dict(), tmp_path)
    data = (tmp_path / "old.pth").read_bytes()
    for size in (20, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.pth").write_bytes(data[:size])
        refused(studio, "inspect", tmp_path / "cut.pth", words="damaged or cut short")
    torch.save(torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4)).state_dict(), tmp_path / "bn.pth")
    refused(studio, "inspect", tmp_path / "bn.pth", words="1.")
    torch.save(torch.nn.Conv2d(1, 2, 3).state_dict(), tmp_path / "conv.pth")
    refused(studio, "inspect", tmp_path / "conv.pth", words="[2, 1, 3, 3]")
    torch.save([1, 2], tmp_path / "list.pth")
    refused(studio, "inspect", tmp_path / "list.pth", words="no state dict")
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    refused(studio, "inspect", tmp_path / "a.npz", words=".npz")


def test_what_lies_beside_the_weights_is_passed_over(studio, tmp_path, model):
    """Objects of numpy, of the standard library and of the script's own classes: none is made, none matters."""
    import argparse
    import collections
    import datetime
    import pathlib

    beside = {
        "best": np.float64(0.9), "curve": np.zeros(3), "args": argparse.Namespace(lr=0.1), "history": collections.defaultdict(list, loss=[1.0]),
        "count": collections.Counter("ab"), "when": datetime.datetime(2025, 1, 2), "where": pathlib.PurePosixPath("/x"), "own": Plain(), "state_dict": model.state_dict(),
    }
    torch.save(beside, tmp_path / "m.pth")
    assert_holds(studio, tmp_path / "m.pth", model.state_dict(), tmp_path)
    torch.save({**model.state_dict(), "num_updates": torch.tensor(3), "fc1.steps": torch.zeros(2, dtype=torch.int32)}, tmp_path / "c.pth")
    assert_holds(studio, tmp_path / "c.pth", model.state_dict(), tmp_path)
    torch.save({**model.state_dict(), "own": Plain()}, tmp_path / "own.pth")
    refused(studio, "inspect", tmp_path / "own.pth", words="Plain")


def test_of_several_state_dicts_one_is_named(studio, tmp_path, model):
    other = {name: value + 1 for name, value in model.state_dict().items()}
    torch.save({"teacher": model.state_dict(), "student": other, "deep": {"ema.x": other}}, tmp_path / "m.pth")
    refused(studio, "inspect", tmp_path / "m.pth", words="teacher, student")
    for key, state in (("teacher", model.state_dict()), ("student", other), ("deep.ema.x", other)):
        convert(studio, tmp_path / "m.pth", tmp_path / "one.safetensors", "--key", key)
        assert torch.equal(load_file(tmp_path / "one.safetensors")["fc1.bias"], state["fc1.bias"])
    refused(studio, "inspect", tmp_path / "m.pth", "--key", "nobody", words="nobody", status=2)


def test_quantized_models_are_named_for_what_they_are(studio, tmp_path, model):
    torch.save({"fc1.weight": torch.quantize_per_tensor(torch.rand(4, 4), 0.1, 0, torch.qint8)}, tmp_path / "q.pth")
    refused(studio, "inspect", tmp_path / "q.pth", words="quantized")


def test_shards_are_read_by_their_index(studio, tmp_path, model):
    state = model.state_dict()
    names = ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"]
    for name, part in zip(names, ("fc1", "fc2")):
        save_file({key: value for key, value in state.items() if key.startswith(part)}, tmp_path / name)
    index = {"metadata": {}, "weight_map": {key: names[key.startswith("fc2")] for key in state}}
    path = tmp_path / "m.safetensors.index.json"
    path.write_text(json.dumps(index))
    assert_holds(studio, path, state, tmp_path)
    refused(studio, "inspect", tmp_path / names[0], words="part 1 of 2")
    path.write_text(json.dumps({"weight_map": {"fc1.weight": "../x.safetensors"}}))
    refused(studio, "inspect", path, words="its own folder")
    path.write_text(json.dumps({"weight_map": {**index["weight_map"], "fc9.weight": names[0]}}))
    refused(studio, "inspect", path, words="fc9.weight")
    (tmp_path / names[1]).unlink()
    path.write_text(json.dumps(index))
    refused(studio, "inspect", path, words=names[1])


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("m.tflite", b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite"), ("m.gguf", b"GGUF" + bytes(40), "GGUF"), ("x.npy", b"\x93NUMPY" + bytes(40), "NumPy"),
        ("m.pth", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"), ("m.pth", b"<!DOCTYPE html>", "web page"), ("m.data-00000-of-00001", bytes(40), "TensorFlow checkpoint"),
        ("m.pth", b"sys_info" + bytes(249) + b"ustar\x0000" + bytes(248), "tar archive"),
    ],
)
def test_other_files_are_named_for_what_they_are(studio, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    refused(studio, "inspect", tmp_path / name, words=words)


def test_a_zip_bomb_is_not_unpacked(studio, tmp_path):
    """A record of 200 MB of zeros in 200 kB, behind a tensor that asks for 16 bytes."""
    write_archive(tmp_path / "bomb.pth", tensor_pickle((2, 2), (2, 1)), [("data/0", bytes(16)), ("byteorder", bytes(200 << 20))],
                  compression=zipfile.ZIP_DEFLATED)
    refused(studio, "inspect", tmp_path / "bomb.pth", words="claims")


@pytest.mark.parametrize("name", ["m/data.pkl", "other/data.pkl", "m/extra/more.PKL", "data.pkl"])
@pytest.mark.parametrize("first", [False, True])
def test_a_pickle_hidden_beside_the_first_is_refused(studio, tmp_path, model, name, first):
    """A scanner looks at one, a reader takes another."""
    torch.save(model.state_dict(), tmp_path / "m.pth")
    records = [(name, b"cos\nsystem\n(S'touch was-run'\ntR.")]
    with zipfile.ZipFile(tmp_path / "m.pth") as good:
        own = [(record, good.read(record)) for record in good.namelist()]
    with zipfile.ZipFile(tmp_path / "two.pth", "w") as made:
        for record, content in records + own if first else own + records:
            made.writestr(record, content)
    assert refused(studio, "inspect", tmp_path / "two.pth", words="two.pth")
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("place", [0, 3])
def test_a_zip_whose_directory_says_otherwise_is_refused(studio, tmp_path, model, place):
    """The name in the record's own header is not the one in the directory; bytes before the archive."""
    torch.save(model.state_dict(), tmp_path / "m.pth")
    content = bytearray((tmp_path / "m.pth").read_bytes())
    if place:
        at = content.index(b"m/data.pkl")
        content[at : at + place] = b"xyz"
    else:
        content = b"#!/bin/sh\n" + content
    (tmp_path / "odd.pth").write_bytes(content)
    refused(studio, "inspect", tmp_path / "odd.pth", words="damaged")


def test_receipt_names_files_and_digests(studio, tmp_path, model):
    torch.save(model.state_dict(), tmp_path / "a.pth")
    result = studio("convert", tmp_path / "a.pth", tmp_path / "b.safetensors", "--json")
    receipt = json.loads(result.stdout)
    assert receipt["equal"] is True and receipt["model"]["parameters"] == 101770
    import hashlib

    for entry, value in zip(receipt["tensors"], model.state_dict().values(), strict=True):
        assert entry["sha256"] == hashlib.sha256(value.numpy().tobytes()).hexdigest()
    assert receipt["to"]["sha256"] == hashlib.sha256((tmp_path / "b.safetensors").read_bytes()).hexdigest()
