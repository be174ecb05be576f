"""ONNX: its checker passes what we write, onnxruntime computes our logits from it, and we read simple exports of others."""

import io
import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file, save_file

from modelfile_help import convert, inspect, refused

RANDOM = np.random.default_rng(11)
ACTIVATIONS = {"relu": lambda v: np.maximum(v, 0), "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}


def random_state(sizes, dtype="float32"):
    state = {}
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), start=1):
        state[f"fc{i}.weight"] = (RANDOM.normal(size=(outputs, inputs)) / np.sqrt(inputs)).astype(dtype)
        state[f"fc{i}.bias"] = RANDOM.normal(size=outputs).astype(dtype)
    return state


def forward(state, x, activation):
    for i in range(1, len(state) // 2 + 1):
        x = x @ state[f"fc{i}.weight"].T + state[f"fc{i}.bias"]
        if 2 * i < len(state):
            x = activation(x)
    return x


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["input"] and [o.name for o in session.get_outputs()] == ["logits"]
    return session.run(None, {"input": x})[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("sizes", [(784, 128, 10), (784, 10), (36, 20, 15, 5)])
def test_onnxruntime_computes_our_logits(studio, tmp_path, dtype, activation, sizes):
    state = random_state(sizes, dtype)
    save_file(state, tmp_path / "in.safetensors")
    convert(studio, tmp_path / "in.safetensors", tmp_path / "out.onnx", "--activation", activation)
    model = onnx.load(tmp_path / "out.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {t.name: numpy_helper.to_array(t).tobytes() for t in model.graph.initializer} == {n: v.tobytes() for n, v in state.items()}
    x = RANDOM.uniform(size=(7, sizes[0])).astype(dtype)
    exact = forward({n: v.astype(np.float64) for n, v in state.items()}, x.astype(np.float64), ACTIVATIONS[activation])
    assert np.abs(run(tmp_path / "out.onnx", x) - exact).max() < (1e-5 if dtype == "float32" else 1e-12)


def assert_holds(studio, path, state, activations, tmp_path):
    assert [layer["activation"] for layer in inspect(studio, path)["layers"]] == activations
    convert(studio, path, tmp_path / "check.safetensors")
    ours = load_file(tmp_path / "check.safetensors")
    assert sorted(ours) == sorted(state)
    for name, value in state.items():
        assert ours[name].dtype == value.dtype and np.array_equal(ours[name], value), name


def test_torch_onnx_export(studio, tmp_path):
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(784, 12), torch.nn.Tanh(), torch.nn.Dropout(0.1), torch.nn.Linear(12, 8, bias=False), torch.nn.Sigmoid(), torch.nn.Linear(8, 10)
    ).eval()
    buffer = io.BytesIO()
    torch.onnx.export(net, (torch.zeros(1, 1, 28, 28),), buffer, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    (tmp_path / "torch.onnx").write_bytes(buffer.getvalue())
    weights = list(net.state_dict().values())
    state = {
        "fc1.weight": weights[0].numpy(), "fc1.bias": weights[1].numpy(), "fc2.weight": weights[2].numpy(),
        "fc3.weight": weights[3].numpy(), "fc3.bias": weights[4].numpy(),
    }
    assert_holds(studio, tmp_path / "torch.onnx", state, ["tanh", "sigmoid", "none"], tmp_path)
    assert inspect(studio, tmp_path / "torch.onnx")["input"] == [28, 28]


def tf_like(state, raw=True, **changes):
    """MatMul and Add, as converters of TensorFlow write them."""
    def tensor(value, name):
        if raw:
            return numpy_helper.from_array(np.ascontiguousarray(value), name)
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        return helper.make_tensor(name, kind, value.shape, value.flatten().tolist())

    nodes = [helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([-1, 16]))),
             helper.make_node("Reshape", ["pixels", "shape"], ["flat"]),
             helper.make_node("MatMul", ["flat", "w1"], ["a"]), helper.make_node("Add", ["b1", "a"], ["b"]),
             helper.make_node("Relu", ["b"], ["c"]),
             helper.make_node("MatMul", ["c", "w2"], ["d"]), helper.make_node("Add", ["d", "b2"], ["e"]),
             helper.make_node("Softmax", ["e"], ["f"]), helper.make_node("Identity", ["f"], ["out"])]
    nodes = changes.get("nodes", lambda n: n)(nodes)
    kind = helper.np_dtype_to_tensor_dtype(state["fc1.weight"].dtype)
    graph = helper.make_graph(
        nodes, "g",
        [helper.make_tensor_value_info("pixels", kind, [None, 4, 4])] + changes.get("inputs", []),
        [helper.make_tensor_value_info("out", kind, [None, 3])],
        [tensor(state["fc1.weight"].T, "w1"), tensor(state["fc1.bias"], "b1"), tensor(state["fc2.weight"].T, "w2"), tensor(state["fc2.bias"][None], "b2")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_matmul_and_add(studio, tmp_path, raw, dtype):
    state = random_state((16, 5, 3), dtype)
    model = tf_like(state, raw)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "tf.onnx")
    assert_holds(studio, tmp_path / "tf.onnx", state, ["relu", "none"], tmp_path)
    said = inspect(studio, tmp_path / "tf.onnx")
    assert said["input"] == [4, 4] and "softmax" in said["metadata"]["note"]


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [True, False])
def test_flatten_and_gemm(studio, tmp_path, transposed, bias):
    """Weights either way round, with and without a bias, float attributes spelled out, a Flatten before."""
    state = random_state((16, 5, 3))
    if not bias:
        del state["fc1.bias"]
    first = state["fc1.weight"] if transposed else np.ascontiguousarray(state["fc1.weight"].T)
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["flat"], axis=1),
        helper.make_node("Gemm", ["flat", "w1"] + ["b1"] * bias, ["a"], alpha=1.0, beta=1.0, transB=transposed),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Gemm", ["b", "w2", "b2"], ["out"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["N", 1, 4, 4])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 3])],
        [numpy_helper.from_array(value, name) for name, value in
         {"w1": first, "w2": state["fc2.weight"], "b2": state["fc2.bias"], **({"b1": state["fc1.bias"]} if bias else {})}.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, tmp_path / "gemm.onnx")
    assert_holds(studio, tmp_path / "gemm.onnx", state, ["sigmoid", "none"], tmp_path)
    assert inspect(studio, tmp_path / "gemm.onnx")["input"] == [4, 4]


@pytest.mark.parametrize("factor", [{"alpha": 0.5}, {"beta": 2.0}, {"transA": 1}])
def test_a_gemm_that_does_more_is_refused(studio, tmp_path, factor):
    nodes = lambda nodes: nodes[:2] + [helper.make_node("Gemm", ["flat", "w1", "b1"], ["b"], name="odd", **factor)] + nodes[4:]
    (tmp_path / "odd.onnx").write_bytes(tf_like(random_state((16, 5, 3)), nodes=nodes).SerializeToString())
    refused(studio, "inspect", tmp_path / "odd.onnx", words="\"odd\" is a Gemm with factors or a transposed input")


def with_node(index, node):
    return lambda nodes: nodes[:index] + [node] + nodes[index:]


def replace(index, **changes):
    def change(nodes):
        for key, value in changes.items():
            target = getattr(nodes[index], key)
            if isinstance(value, list):
                del target[:]
                target.extend(value)
            else:
                setattr(nodes[index], key, value)
        return nodes

    return change


@pytest.mark.parametrize(
    "nodes, words",
    [
        (replace(4, op_type="Mish", name="my_mish"), "\"my_mish\" is a Mish"),
        (replace(4, op_type="Relu", domain="com.microsoft"), "is a Relu"),
        (replace(3, input=["flat", "a"]), "joins two branches"),
        (replace(2, input=["flat", "flat"]), "no constant"),
        (replace(5, input=["flat", "w2"]), "takes 5 values, but gets 16"),
        (replace(8, input=["b"]), "declared with 3 values, but has 5"),
        (with_node(4, helper.make_node("Add", ["b", "b1"], ["b"])), "another node gives too"),
        (lambda nodes: with_node(5, helper.make_node("Add", ["c", "b1"], ["c2"]))(replace(5, input=["c2", "w2"])(nodes)), "no bias belongs"),
        (replace(4, op_type="Softmax"), "comes after softmax"),
        (lambda nodes: nodes[:-1], "does not come from its input"),
        (lambda nodes: [], "does not come from its input"),
        (replace(4, attribute=[helper.make_attribute("consumed_inputs", 1)]), "the attribute consumed_inputs"),
        (replace(7, attribute=[helper.make_attribute("axis", 0)]), "axis 0"),
        (lambda nodes: [helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([-1, 8])))] + nodes[1:], "do not stay together"),
        (lambda nodes: [helper.make_node("Constant", [], ["shape"], value=numpy_helper.from_array(np.array([1, 16])))] + nodes[1:], "do not stay together"),
        (lambda nodes: [helper.make_node("Transpose", ["pixels"], ["turned"], perm=[0, 2, 1])] + replace(1, input=["turned", "shape"])(nodes), "transposes"),
    ],
)
def test_other_graphs_are_refused_by_name(studio, tmp_path, nodes, words):
    state = random_state((16, 5, 3))
    (tmp_path / "other.onnx").write_bytes(tf_like(state, nodes=nodes).SerializeToString())
    refused(studio, "inspect", tmp_path / "other.onnx", words=words)


def spoil_data(model):
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def spoil_shape(model):
    model.graph.initializer[0].dims[0] = 1 << 40


def spoil_negative(model):
    model.graph.initializer[0].dims[0] = -16


def spoil_rank(model):
    model.graph.initializer[0].dims[:] = [16, 5, 1]


def spoil_type(model):
    model.graph.initializer[0].data_type = TensorProto.INT64


def spoil_external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def spoil_chain(model):
    model.graph.initializer[2].dims[:] = [3, 5]


def spoil_inputs(model):
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


@pytest.mark.parametrize(
    "spoil, words",
    [
        (spoil_data, "do not agree"), (spoil_shape, "do not agree"), (spoil_negative, "is odd"), (spoil_rank, "two dimensions"),
        (spoil_type, "data type 7"), (spoil_external, "outside the model's folder"), (spoil_chain, "does not fit"), (spoil_inputs, "more than one input"),
    ],
)
def test_lying_tensors_are_refused(studio, tmp_path, spoil, words):
    model = tf_like(random_state((16, 5, 3)))
    spoil(model)
    (tmp_path / "lie.onnx").write_bytes(model.SerializeToString())
    refused(studio, "inspect", tmp_path / "lie.onnx", words=words)


def test_damaged_and_deep_files(studio, tmp_path):
    data = tf_like(random_state((16, 5, 3))).SerializeToString()
    for size in (2, 20, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.onnx").write_bytes(data[:size])
        refused(studio, "convert", tmp_path / "cut.onnx", tmp_path / "out.pth", words="")
        assert not (tmp_path / "out.pth").exists()
    # An If within an If within an If …: protobuf-c alone would run out of stack.
    graph = onnx.GraphProto().SerializeToString()

    def field(number, content):
        size, tag = len(content), bytes([number << 3 | 2])
        varint = b""
        while size > 127:
            varint += bytes([size & 127 | 128])
            size >>= 7
        return tag + varint + bytes([size]) + content

    for _ in range(5000):
        graph = field(1, field(5, field(6, graph)))
    (tmp_path / "deep.onnx").write_bytes(b"\x08\x08" + field(7, graph))
    refused(studio, "inspect", tmp_path / "deep.onnx", words="nested too deep")
    (tmp_path / "many.onnx").write_bytes(b"\x08\x08" + field(7, field(1, b"") * 1_500_000 + field(5, b"") * 600_000))
    refused(studio, "inspect", tmp_path / "many.onnx", words="fields")


def small_net(**kinds):
    torch.manual_seed(2)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 12), torch.nn.ReLU(), torch.nn.Linear(12, 10)).eval()


def state_of(net):
    layers = [layer for layer in net if isinstance(layer, torch.nn.Linear)]
    return {f"fc{i}.{kind}": getattr(layer, kind).detach().numpy() for i, layer in enumerate(layers, 1) for kind in ("weight", "bias")}


@pytest.fixture
def external(tmp_path):
    """A model whose weights lie beside it, as torch.onnx.export writes them."""
    net = small_net()
    folder = tmp_path / "model"
    folder.mkdir()
    buffer = io.BytesIO()
    torch.onnx.export(net, (torch.zeros(1, 1, 28, 28),), buffer, dynamo=False)
    onnx.save(onnx.load_from_string(buffer.getvalue()), folder / "m.onnx", save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    return folder, state_of(net)


def test_weights_in_a_file_beside_the_model(studio, tmp_path, external):
    folder, state = external
    assert_holds(studio, folder / "m.onnx", state, ["relu", "none"], tmp_path)


def test_a_cache_of_links_is_read(studio, tmp_path, external):
    """Hugging Face's cache keeps both files in blobs/ and links to them."""
    folder, state = external
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for name in ("m.onnx", "m.onnx.data"):
        (folder / name).rename(blobs / f"hash-{name}")
        (snapshot / name).symlink_to(blobs / f"hash-{name}")
    assert_holds(studio, snapshot / "m.onnx", state, ["relu", "none"], tmp_path)


def relocate(**changes):
    def change(folder):
        model = onnx.load(folder / "m.onnx", load_external_data=False)
        for entry in model.graph.initializer[0].external_data:
            entry.value = changes.get(entry.key, entry.value)
        for key in set(changes) - {entry.key for entry in model.graph.initializer[0].external_data}:
            model.graph.initializer[0].external_data.add(key=key, value=changes[key])
        (folder / "m.onnx").write_bytes(model.SerializeToString())

    return change


def moved(link):
    def change(folder):
        (folder / "m.onnx.data").rename(folder.parent / "elsewhere")
        getattr(folder / "m.onnx.data", link)(folder.parent / "elsewhere")

    return change


@pytest.mark.parametrize(
    "change, words",
    [
        (relocate(location="../m.onnx.data"), "outside the model's folder"), (relocate(location="/etc/passwd"), "outside the model's folder"),
        (relocate(location=".."), "outside the model's folder"), (relocate(location=""), "outside the model's folder"), (relocate(location="a\\b"), "outside the model's folder"),
        (moved("symlink_to"), "link to another folder"), (moved("hardlink_to"), "hard link"),
        (relocate(offset="99999999"), "do not belong together"), (relocate(length="8"), "do not belong together"), (relocate(offset="-1"), "offset"),
        (relocate(offset="99999999999999999999"), "offset"), (relocate(length="x"), "length"), (relocate(basepath="/"), "basepath"),
        (lambda folder: (folder / "m.onnx.data").write_bytes(bytes(100)), "do not belong together"),
        (lambda folder: (folder / "m.onnx.data").unlink(), "not beside it"),
    ],
)
def test_external_data_from_elsewhere_is_refused(studio, tmp_path, external, change, words):
    folder, _ = external
    change(folder)
    refused(studio, "convert", folder / "m.onnx", tmp_path / "out.pth", words=words)
    assert not (tmp_path / "out.pth").exists()


def test_a_view_computed_from_the_shape(studio, tmp_path):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Linear(784, 6), torch.nn.Linear(6, 10)

        def forward(self, x):
            return torch.log_softmax(self.b(torch.tanh(self.a(x.view(x.shape[0], -1)))), 1)

    net = Net().eval()
    buffer = io.BytesIO()
    torch.onnx.export(net, (torch.zeros(2, 1, 28, 28),), buffer, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "n"}})
    (tmp_path / "m.onnx").write_bytes(buffer.getvalue())
    assert any(node.op_type == "Shape" for node in onnx.load(tmp_path / "m.onnx").graph.node)
    state = {f"fc{i}.{kind}": getattr(layer, kind).detach().numpy() for i, layer in ((1, net.a), (2, net.b)) for kind in ("weight", "bias")}
    assert_holds(studio, tmp_path / "m.onnx", state, ["tanh", "none"], tmp_path)


def test_constants_in_every_form(studio, tmp_path):
    """Identity of a constant, Transpose and Cast of a weight, half precision in int32_data, a bias of one value, value_floats."""
    state = random_state((16, 5, 3))
    half = np.full((16, 5), 0.25, "f2")
    nodes = [
        helper.make_node("Identity", ["w1"], ["w1_same"]), helper.make_node("Cast", ["w1_same"], ["w1_float"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w1_float"], ["a"]), helper.make_node("Add", ["one", "a"], ["b"]), helper.make_node("Cast", ["b"], ["b2"], to=TensorProto.DOUBLE),
        helper.make_node("Sigmoid", ["b2"], ["c"]), helper.make_node("Transpose", ["w2"], ["w2_turned"]), helper.make_node("MatMul", ["c", "w2_turned"], ["d"]),
        helper.make_node("Constant", [], ["bias"], value_floats=state["fc2.bias"].tolist()), helper.make_node("Add", ["d", "bias"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["N"]), helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor("w1", TensorProto.FLOAT16, half.shape, half.flatten().tolist()), numpy_helper.from_array(np.array([[0.5]], "f4"), "one"), numpy_helper.from_array(state["fc2.weight"], "w2")],
    )
    (tmp_path / "m.onnx").write_bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString())
    state["fc1.weight"], state["fc1.bias"] = half.astype("f4").T, np.full(5, 0.5, "f4")
    assert_holds(studio, tmp_path / "m.onnx", state, ["sigmoid", "none"], tmp_path)


def test_the_first_of_several_outputs_is_said(studio, tmp_path):
    model = tf_like(random_state((16, 5, 3)))
    model.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, [None, 5]))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert inspect(studio, tmp_path / "m.onnx")["assumed"] == ["output: out (the first of 2)"]
    # Named, nothing is assumed; the hidden layer's ends in an activation, and is taken for what it is.
    told = json.loads(studio("inspect", tmp_path / "m.onnx", "--key", "out", "--json").stdout)
    assert told["assumed"] == [] and len(told["layers"]) == 2
    refused(studio, "inspect", tmp_path / "m.onnx", "--key", "c", words="must end in logits")
    refused(studio, "inspect", tmp_path / "m.onnx", "--key", "logits", words="its outputs: out, c")


def test_layers_beyond_dense_compute_the_same_in_onnxruntime(studio, tmp_path):
    torch.manual_seed(4)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), torch.nn.LeakyReLU(0.05), torch.nn.BatchNorm2d(4), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 6, 2, groups=2, bias=False), torch.nn.Softplus(), torch.nn.AvgPool2d((1, 2)), torch.nn.Flatten(),
        torch.nn.Linear(12, 7), torch.nn.ELU(0.7), torch.nn.LayerNorm(7), torch.nn.Linear(7, 5), torch.nn.SELU(), torch.nn.Linear(5, 4),
    ).eval()
    net[2].running_mean.uniform_(-1, 1)
    net[2].running_var.uniform_(0.5, 2)
    x = torch.rand(3, 3, 12, 7)
    class Scaled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net((x - 0.25) / 0.5)

    torch.onnx.export(Scaled().eval(), (x,), tmp_path / "in.onnx", dynamo=False, input_names=["input"], output_names=["logits"], dynamic_axes={"input": {0: "n"}})
    exact = Scaled()(x).detach().numpy()
    assert [layer["type"] for layer in inspect(studio, tmp_path / "in.onnx")["layers"]] == [
        "normalize", "conv2d", "batchnorm", "maxpool2d", "conv2d", "avgpool2d", "flatten", "dense", "layernorm", "dense", "dense"]
    convert(studio, tmp_path / "in.onnx", tmp_path / "a.pth")
    convert(studio, tmp_path / "a.pth", tmp_path / "c.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "c.onnx"), full_check=True)
    assert np.abs(run(tmp_path / "c.onnx", x.numpy()) - exact).max() < 1e-5
