"""ONNX: its checker passes what we write, onnxruntime computes our logits from it, and we read simple exports of others."""

import io

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
        "fc2.bias": np.zeros(8, "f4"), "fc3.weight": weights[3].numpy(), "fc3.bias": weights[4].numpy(),
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
        state["fc1.bias"] = np.zeros(5, "f4")
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
        (replace(4, op_type="Gelu", name="my_gelu"), "\"my_gelu\" is a Gelu"),
        (replace(4, op_type="Relu", domain="com.microsoft"), "is a Relu"),
        (replace(3, input=["flat", "a"]), "adds something that is no constant"),
        (replace(2, input=["flat", "flat"]), "no constant"),
        (replace(5, input=["flat", "w2"]), "does not follow"),
        (replace(8, input=["b"]), "does not follow"),
        (with_node(4, helper.make_node("Add", ["b", "b1"], ["b"])), "no bias belongs"),
        (with_node(2, helper.make_node("Tanh", ["flat"], ["flat"])), "without a layer before it"),
        (with_node(5, helper.make_node("Tanh", ["c"], ["c"])), "without a layer before it"),
        (with_node(5, helper.make_node("Softmax", ["c"], ["c"])), "without a layer before it"),
        (replace(4, op_type="Softmax"), "comes after softmax"),
        (lambda nodes: nodes[:-1], "its output is not"),
        (lambda nodes: [], "its output is not"),
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
        (spoil_type, "data type 7"), (spoil_external, "another file"), (spoil_chain, "does not fit"), (spoil_inputs, "more than one input"),
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
