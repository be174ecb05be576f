"""Model files of Keras: what we write it reads, what it writes we read."""

import io
import json
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from modelfile_help import convert, inspect, refused

RANDOM = np.random.default_rng(7)


def random_state(sizes, dtype=np.float32):
    state = {}
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:]), start=1):
        state[f"fc{i}.weight"] = RANDOM.normal(size=(outputs, inputs)).astype(dtype) / 8
        state[f"fc{i}.bias"] = RANDOM.normal(size=outputs).astype(dtype)
    return state


def forward(state, x, activation=lambda v: np.maximum(v, 0)):
    layers = len(state) // 2
    for i in range(1, layers + 1):
        x = x @ state[f"fc{i}.weight"].T + state[f"fc{i}.bias"]
        if i < layers:
            x = activation(x)
    return x


def keras_state(model):
    """The weights of a Keras model as the studio names them."""
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    state = {}
    for i, layer in enumerate(dense, start=1):
        state[f"fc{i}.weight"] = layer.kernel.numpy().T
        if layer.use_bias:
            state[f"fc{i}.bias"] = layer.bias.numpy()
    return state


def randomize(model):
    """Biases too, so that they cannot be mixed up."""
    model.set_weights([RANDOM.normal(size=w.shape).astype(w.dtype) / 8 for w in model.get_weights()])
    return model


def assert_holds(studio, path, model, tmp_path, *options):
    convert(studio, path, tmp_path / "check.safetensors", *options)
    ours, theirs = load_file(tmp_path / "check.safetensors"), keras_state(model)
    assert sorted(ours) == sorted(theirs)
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and np.array_equal(ours[name], value), name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_our_h5_loads_in_keras(studio, tmp_path, dtype, activation):
    state = random_state((784, 32, 16, 10), dtype)
    save_file(state, tmp_path / "in.safetensors")
    convert(studio, tmp_path / "in.safetensors", tmp_path / "out.h5", "--activation", activation)
    model = keras.models.load_model(tmp_path / "out.h5")
    assert [layer.activation.__name__ for layer in model.layers] == [activation, activation, "linear"]
    for name, value in keras_state(model).items():
        assert value.dtype == dtype and np.array_equal(value, state[name])
    x = RANDOM.uniform(size=(5, 784)).astype(dtype)
    function = {"relu": lambda v: np.maximum(v, 0), "tanh": np.tanh, "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[activation]
    assert np.abs(model.predict(x, verbose=0) - forward(state, x, function)).max() < 1e-5
    # And back, from what Keras makes of it.
    model.save(tmp_path / "again.h5")
    assert_holds(studio, tmp_path / "again.h5", model, tmp_path)


def test_our_h5_can_be_trained_further(studio, tmp_path):
    save_file(random_state((784, 16, 10)), tmp_path / "in.safetensors")
    convert(studio, tmp_path / "in.safetensors", tmp_path / "out.h5")
    model = keras.models.load_model(tmp_path / "out.h5")
    model.compile(optimizer="sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(RANDOM.uniform(size=(8, 784)), RANDOM.integers(10, size=8), verbose=0)


def test_the_same_model_gives_the_same_bytes(studio, tmp_path):
    save_file(random_state((16, 4, 3)), tmp_path / "in.safetensors")
    for name in ("a.h5", "b.h5", "a.pth", "b.pth", "a.safetensors", "b.safetensors"):
        convert(studio, tmp_path / "in.safetensors", tmp_path / name)
    for kind in ("h5", "pth", "safetensors"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def sequential():
    return keras.Sequential([keras.Input((784,)), keras.layers.Dense(32, activation="tanh"), keras.layers.Dense(10)])


def functional():
    inputs = keras.Input((28, 28))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(12, activation="relu", name="hidden_one")(x)
    x = keras.layers.Dropout(0.2)(x)
    x = keras.layers.Dense(8, use_bias=False)(x)
    x = keras.layers.Activation("sigmoid")(x)
    x = keras.layers.Dense(6)(x)
    x = keras.layers.ReLU()(x)
    return keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="a_last")(x))


def doubles():
    return keras.Sequential([keras.Input((9,), dtype="float64"), keras.layers.Dense(4, "relu", dtype="float64"), keras.layers.Dense(3, dtype="float64")])


@pytest.mark.parametrize(
    "make, activations, shape",
    [(sequential, ["tanh", "none"], [28, 28]), (functional, ["relu", "sigmoid", "relu", "none"], [28, 28]), (doubles, ["relu", "none"], [3, 3])],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_whole_models_of_keras(studio, tmp_path, make, activations, shape, compiled):
    model = randomize(make())
    if compiled:
        model.compile(optimizer="adam", loss="mse")
    model.save(tmp_path / "model.h5")
    said = inspect(studio, tmp_path / "model.h5")
    assert said["format"] == "h5" and said["activation_known"] is True and said["input"] == shape
    assert [layer["activation"] for layer in said["layers"]] == activations
    assert_holds(studio, tmp_path / "model.h5", model, tmp_path)


@pytest.mark.parametrize("make", [sequential, functional, doubles])
def test_weights_of_keras_alone(studio, tmp_path, make):
    model = randomize(make())
    model.compile(optimizer="adam", loss="mse")
    model.save_weights(tmp_path / "model.weights.h5")
    assert inspect(studio, tmp_path / "model.weights.h5")["activation_known"] is False
    assert_holds(studio, tmp_path / "model.weights.h5", model, tmp_path, "--activation", "tanh")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        from keras.src.legacy.saving import legacy_h5_format

        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    assert_holds(studio, tmp_path / "old.h5", model, tmp_path)


def test_weights_of_more_than_ten_layers_keep_their_order(studio, tmp_path):
    """dense_10 comes after dense_9, not after dense_1."""
    model = randomize(keras.Sequential([keras.Input((6,)), *[keras.layers.Dense(6, "relu") for _ in range(11)], keras.layers.Dense(2)]))
    model.save_weights(tmp_path / "model.weights.h5")
    assert_holds(studio, tmp_path / "model.weights.h5", model, tmp_path)


def test_subclassed_models_weights(studio, tmp_path):
    class SimpleNN(keras.Model):
        def __init__(self):
            super().__init__()
            self.fc1 = keras.layers.Dense(12, "relu")
            self.fc2 = keras.layers.Dense(10)

        def call(self, x):
            return self.fc2(self.fc1(x))

    model = SimpleNN()
    model(np.zeros((1, 16)))
    randomize(model)
    model.save_weights(tmp_path / "model.weights.h5")
    assert_holds(studio, tmp_path / "model.weights.h5", model, tmp_path)


def write_keras2(path, state):
    """What Keras 2.x wrote: fixed byte strings, names ending in :0, batch_input_shape, its way with functional nodes."""
    names = [f"dense_{i}" for i in range(len(state) // 2)]
    layers = [{"class_name": "InputLayer", "config": {"batch_input_shape": [None, 28, 28], "dtype": "float32", "name": "input_1"},
               "name": "input_1", "inbound_nodes": []},
              {"class_name": "Flatten", "config": {"name": "flatten", "dtype": "float32"}, "name": "flatten", "inbound_nodes": [[["input_1", 0, 0, {}]]]}]
    for i, name in enumerate(names):
        layers.append({"class_name": "Dense", "config": {"name": name, "units": len(state[f"fc{i + 1}.bias"]), "activation": "tanh" if i + 1 < len(names) else "softmax", "use_bias": True},
                       "name": name, "inbound_nodes": [[[layers[-1]["name"], 0, 0, {}]]]})
    config = json.dumps({"class_name": "Model", "config": {"name": "model_1", "layers": layers}})
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = np.bytes_(config)
        file.attrs["keras_version"] = np.bytes_("2.4.0")
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = np.array(["input_1", "flatten", *names], "S")
        for i, name in enumerate(names, start=1):
            group = weights.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}/kernel:0", f"{name}/bias:0"], "S")
            group.create_dataset(f"{name}/kernel:0", data=state[f"fc{i}.weight"].T, compression="gzip", shuffle=True)
            group[f"{name}/bias:0"] = state[f"fc{i}.bias"].astype(">f4")


def test_keras_2(studio, tmp_path):
    state = random_state((784, 20, 10))
    write_keras2(tmp_path / "old.h5", state)
    said = inspect(studio, tmp_path / "old.h5")
    assert [layer["activation"] for layer in said["layers"]] == ["tanh", "none"] and "softmax" in said["metadata"]["note"]
    convert(studio, tmp_path / "old.h5", tmp_path / "new.safetensors")
    ours = load_file(tmp_path / "new.safetensors")
    for name, value in state.items():
        assert np.array_equal(ours[name], value)


def save_and_refuse(studio, tmp_path, layers, words):
    keras.Sequential(layers).save(tmp_path / "model.h5")
    refused(studio, "inspect", tmp_path / "model.h5", words=words)


def test_what_the_studio_cannot_run_is_refused_by_name(studio, tmp_path):
    dense = keras.layers.Dense
    save_and_refuse(studio, tmp_path, [keras.Input((8, 8, 1)), keras.layers.Permute((2, 1, 3), name="turn"), keras.layers.Conv2D(2, 3), keras.layers.Flatten(), dense(3)], "\"turn\" is a Permute with no Flatten and Dense behind it")
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(9), keras.layers.Reshape((3, 3)), keras.layers.Permute((2, 1), name="turn"), keras.layers.Flatten(), dense(3)], "reshapes in a way")
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(4), keras.layers.Normalization(mean=0.5, variance=2.0, name="late"), dense(3)], "\"late\" is a Normalization that is not the first layer")
    save_and_refuse(studio, tmp_path, [keras.Input((8, 8, 1)), keras.layers.ZeroPadding2D(1, name="frame"), keras.layers.MaxPooling2D(2), keras.layers.Flatten(), dense(3)], "\"frame\" is a ZeroPadding2D with no convolution")
    save_and_refuse(studio, tmp_path, [keras.Input((8, 8)), dense(3, name="rows"), keras.layers.Flatten()], "\"rows\" is a Dense on rows")
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(4, "mish", name="g"), dense(3)], "\"g\" has the activation mish")
    save_and_refuse(studio, tmp_path, [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, padding="same", data_format="channels_first", name="first"), keras.layers.Flatten(), dense(3)], "channels_first")
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(4), keras.layers.LayerNormalization(rms_scaling=True, name="rms"), dense(3)], "rms_scaling") if "rms_scaling" in keras.layers.LayerNormalization(axis=-1).get_config() else None
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(4, "softmax"), dense(3, name="z")], "before the layer \"z\"")
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(4), keras.layers.ReLU(max_value=6, name="six"), dense(3)], "\"six\" is a ReLU with bounds")
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(4), keras.layers.Rescaling(1 / 255, name="scale"), dense(3)], "\"scale\" is a Rescaling that is not the first layer")
    inputs = keras.Input((8,))
    hidden = dense(4, name="alpha")(inputs)
    keras.Model(inputs, [hidden, dense(3, name="scores")(hidden)]).save(tmp_path / "two.h5")
    refused(studio, "inspect", tmp_path / "two.h5", words="2 outputs")
    save_and_refuse(studio, tmp_path, [keras.Input((8,)), dense(4), dense(3, "tanh")], "logits")
    inputs = keras.Input((8,))
    a, b = dense(4)(inputs), dense(4)(inputs)
    keras.Model(inputs, dense(3)(keras.layers.Add(name="plus")([a, b]))).save(tmp_path / "branch.h5")
    refused(studio, "inspect", tmp_path / "branch.h5", words="does not simply follow")
    inputs = keras.Input((8,))
    hidden = dense(8, name="h")(inputs)
    keras.Model(inputs, keras.layers.Add(name="residual")([inputs, hidden])).save(tmp_path / "residual.h5")
    refused(studio, "inspect", tmp_path / "residual.h5", words="does not simply follow")


def types(studio, path):
    return [(layer["type"], layer["activation"] if "activation" in layer else "none") for layer in inspect(studio, path)["layers"]]


def test_layers_beyond_dense_keep_every_bit(studio, tmp_path):
    """Convolution, pooling, normalization and activations of their own go through the studio and back unchanged."""
    layers = keras.layers
    model = randomize(keras.Sequential([
        keras.Input((12, 10, 3)),
        layers.Conv2D(4, (3, 2), strides=(2, 1), padding="same", activation="relu"), layers.BatchNormalization(momentum=0.9, epsilon=1e-4), layers.MaxPooling2D(2),
        layers.Conv2D(6, 2, groups=2, use_bias=False), layers.LeakyReLU(negative_slope=0.05), layers.AveragePooling2D((1, 2), padding="same"),
        layers.Flatten(), layers.Dense(7, "gelu"), layers.LayerNormalization(epsilon=1e-5), layers.Activation("silu"), layers.Dense(4),
    ]))
    model.save(tmp_path / "in.h5")
    assert types(studio, tmp_path / "in.h5") == [
        ("conv2d", "relu"), ("batchnorm", "none"), ("maxpool2d", "none"), ("conv2d", "leaky_relu"), ("avgpool2d", "none"), ("flatten", "none"),
        ("dense", "gelu"), ("layernorm", "silu"), ("dense", "none"),
    ]
    convert(studio, tmp_path / "in.h5", tmp_path / "a.safetensors")
    convert(studio, tmp_path / "a.safetensors", tmp_path / "b.pth")
    convert(studio, tmp_path / "b.pth", tmp_path / "c.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()
    ours = load_file(tmp_path / "a.safetensors")
    conv, norm, dense = model.layers[0], model.layers[1], model.layers[7]
    assert np.array_equal(ours["conv1.weight"], np.array(conv.kernel).transpose(3, 2, 0, 1))
    assert np.array_equal(ours["bn1.running_var"], np.array(norm.moving_variance))
    rows, columns, maps = model.layers[6].input.shape[1:]
    in_c_h_w = np.array(dense.kernel).reshape(rows, columns, maps, 7).transpose(3, 2, 0, 1).reshape(7, -1)
    assert np.array_equal(ours["fc1.weight"], in_c_h_w)


def test_rescaling_in_front_is_the_first_layer(studio, tmp_path):
    keras.Sequential([keras.Input((8, 8)), keras.layers.Rescaling(1 / 255, offset=-0.5), keras.layers.Flatten(), keras.layers.Dense(3)]).save(tmp_path / "m.h5")
    first = inspect(studio, tmp_path / "m.h5")["layers"][0]
    assert first["type"] == "rescale" and first["scale"] == 1 / 255 and first["offset"] == -0.5
    convert(studio, tmp_path / "m.h5", tmp_path / "again.h5")
    x = RANDOM.uniform(0, 255, size=(3, 8, 8))
    old, new = (keras.models.load_model(tmp_path / name).predict(shaped, verbose=0) for name, shaped in [("m.h5", x), ("again.h5", x[..., None])])
    assert np.abs(old - new).max() < 1e-5


def taken(studio, tmp_path, layers, x):
    """The largest difference between Keras and a PyTorch-free copy of what the studio read, written as .keras again."""
    model = keras.Sequential(layers)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.adapt(RANDOM.uniform(0, 3, size=(50, *layer.input.shape[1:])))
    seen = model.predict(x, verbose=0)
    found = []
    for ending in ("h5", "keras"):
        model.save(tmp_path / f"in.{ending}")
        convert(studio, tmp_path / f"in.{ending}", tmp_path / "out.keras")
        again = keras.models.load_model(tmp_path / "out.keras")
        found.append(np.abs(again.predict(x.reshape(-1, *again.input_shape[1:]), verbose=0) - seen).max())
    return max(found)


def test_normalization_and_permute_in_front(studio, tmp_path):
    """One mean, one per channel, one per value; and a picture that is turned: all compute what Keras computes."""
    layers, dense = keras.layers, keras.layers.Dense
    gray, color = RANDOM.uniform(size=(4, 6, 5)), RANDOM.uniform(size=(4, 6, 5, 3))
    values = gray.reshape(4, -1)
    for shape, front, x in [
        ((30,), [layers.Normalization()], values), ((30,), [layers.Normalization(), dense(7, "relu", use_bias=False)], values),
        ((30,), [layers.Normalization(axis=None)], values), ((6, 5), [layers.Flatten(), layers.Normalization()], gray),
        ((6, 5), [layers.Normalization(mean=0.3, variance=0.04), layers.Flatten()], gray),
        ((6, 5, 3), [layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.2, 0.4, 0.1]), layers.Conv2D(2, 3), layers.Flatten()], color),
        ((6, 5, 3), [layers.Normalization(), layers.Conv2D(2, 3), layers.Flatten()], color),
        ((6, 5), [layers.Permute((2, 1)), layers.Flatten(), layers.Normalization()], gray),
        ((6, 5, 3), [layers.Rescaling(2.0), layers.Permute((3, 1, 2)), layers.Flatten()], color),
        ((6, 5, 3), [layers.Permute((2, 1, 3)), layers.Flatten()], color),
    ]:  # fmt: skip
        assert taken(studio, tmp_path, [keras.Input(shape), *front, dense(3)], x.astype("f4")) < 1e-4, front
    worked_in = inspect(studio, tmp_path / "in.keras")["metadata"]["note"]
    assert "worked into the weights of the first dense layer" in worked_in


def test_l1_and_l2_of_kernels_are_read_and_other_regularizers_told(studio, tmp_path):
    layers, regularizers = keras.layers, keras.regularizers
    model = keras.Sequential([
        keras.Input((6, 5, 3)), layers.Conv2D(2, 2, kernel_regularizer=regularizers.L1(0.25)), layers.DepthwiseConv2D(2, depthwise_regularizer="l2"),
        layers.Flatten(), layers.Dense(4, kernel_regularizer=regularizers.L1L2(l1=0.5, l2=0.125)), layers.Dense(3, name="last"),
    ])  # fmt: skip
    spec = "conv 2 2 l1 0.25, depthwise 2 l2 0.01, flatten, dense 4 l1 0.5 l2 0.125, dense 3"
    for name in ("in.keras", "in.h5"):
        model.save(tmp_path / name)
        assert json.loads(studio("net", "show", tmp_path / name, "--json").stdout)["compact"] == spec
        assert "regularizer" not in json.dumps(inspect(studio, tmp_path / name).get("metadata"))
    for told in ({"bias_regularizer": "l2"}, {"kernel_regularizer": regularizers.OrthogonalRegularizer()}):
        keras.Sequential([keras.Input((4,)), layers.Dense(3, name="last", **told)]).save(tmp_path / "in.keras")
        assert "the layer last has a regularizer that the studio does not train with" in inspect(studio, tmp_path / "in.keras")["metadata"]["note"]


def test_what_stands_beside_the_layers(studio, tmp_path):
    """Metrics, an optimizer's variables, nested models, tensors as bfloat16, layers as activations: none hides the weights."""
    layers = keras.layers
    inner = keras.Sequential([keras.Input((6, 6, 1)), layers.ZeroPadding2D(((1, 0), (0, 2))), layers.Conv2D(4, 3, activation=layers.LeakyReLU(0.3)), layers.BatchNormalization()])
    deep = keras.Sequential([keras.Input((6, 6, 1)), keras.Sequential([inner, layers.DepthwiseConv2D(2, depth_multiplier=2, activation=layers.ELU(0.5))])])
    model = keras.Sequential([keras.Input((6, 6, 1)), deep, layers.GlobalAveragePooling2D(), layers.Dense(3)])
    model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)], run_eagerly=True)
    x = RANDOM.uniform(size=(8, 6, 6, 1)).astype("f4")
    model.fit(x, RANDOM.integers(3, size=8), verbose=0)
    seen = model.predict(x, verbose=0)
    for ending in ("h5", "keras"):
        model.save(tmp_path / f"in.{ending}")
        convert(studio, tmp_path / f"in.{ending}", tmp_path / "out.keras")
        assert np.abs(keras.models.load_model(tmp_path / "out.keras").predict(x, verbose=0) - seen).max() < 1e-5
    flat = keras.Sequential([keras.Input((12,)), layers.Dense(9, "relu"), layers.Dense(3)])
    flat.compile("adam", loss="mse", metrics=["mae", keras.metrics.RootMeanSquaredError()], run_eagerly=True)
    flat.fit(x.reshape(8, -1)[:, :12], x.reshape(8, -1)[:, :3], verbose=0)
    flat.save_weights(tmp_path / "m.weights.h5")
    assert_holds(studio, tmp_path / "m.weights.h5", flat, tmp_path)


def packed(path, **how):
    """The same file with every data set of two axes written in another way."""
    names = []
    with h5py.File(path, "r+") as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) and item.ndim == 2 else None)
        for name in names:
            values = file[name][()]
            del file[name]
            assert len(file.create_dataset(name, data=values, **how)) == len(values)
    assert names


@pytest.mark.parametrize("how", [{"compression": "lzf", "chunks": (7, 3)}, {"compression": "lzf", "shuffle": True, "fletcher32": True}], ids=str)
def test_weights_packed_by_lzf(studio, tmp_path, how):
    """Chunks that are cut at the edges, that LZF makes smaller, and that it leaves as they are."""
    model = randomize(sequential())
    kernel, bias = model.layers[0].get_weights()
    model.layers[0].set_weights([np.round(8 * kernel), bias])
    model.save(tmp_path / "m.h5")
    model.save_weights(tmp_path / "m.weights.h5")
    for name in ("m.h5", "m.weights.h5"):
        packed(tmp_path / name, **how)
        assert_holds(studio, tmp_path / name, model, tmp_path)


def half_float_type():
    """bfloat16 as HDF5 itself can describe it."""
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(15, 7, 8, 0, 7)
    kind.set_size(2)
    kind.set_ebias(127)
    return kind


def test_weights_in_bfloat16(studio, tmp_path):
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(9, "relu", dtype="bfloat16"), keras.layers.Dense(3, dtype="bfloat16")])
    exact = [RANDOM.normal(size=w.shape).astype(w.dtype) for w in model.get_weights()]
    model.set_weights(exact)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    model.save(tmp_path / "m.h5")
    message = refused(studio, "inspect", tmp_path / "m.h5", words="save the model as .keras")
    assert "bfloat16" in message
    with h5py.File(tmp_path / "m.h5", "r+") as file:
        for i, layer in enumerate(model.layers):
            group = file["model_weights"][layer.name]
            for name, value in zip(group.attrs["weight_names"], exact[2 * i :]):
                del group[name]
                space = h5py.h5s.create_simple(value.shape)
                written = h5py.h5d.create(group.id, name.encode(), half_float_type(), space)
                written.write(h5py.h5s.ALL, h5py.h5s.ALL, value.astype("f4"))
    for name in ("m.keras", "m.weights.h5", "m.h5"):
        convert(studio, tmp_path / name, tmp_path / "out.safetensors")
        ours = load_file(tmp_path / "out.safetensors")
        for i in (0, 1):
            assert np.array_equal(ours[f"fc{i + 1}.weight"], exact[2 * i].astype("f4").T), name
            assert np.array_equal(ours[f"fc{i + 1}.bias"], exact[2 * i + 1].astype("f4")), name


def test_a_group_for_each_channel_is_depthwise(studio, tmp_path):
    """Keras has two kernels' shapes for it: Conv2D's and DepthwiseConv2D's."""
    conv = keras.layers.Conv2D(6, 2, groups=3)
    keras.Sequential([keras.Input((4, 4, 3)), conv, keras.layers.Flatten(), keras.layers.Dense(3)]).save(tmp_path / "m.keras")
    convert(studio, tmp_path / "m.keras", tmp_path / "m.safetensors")
    assert np.array_equal(load_file(tmp_path / "m.safetensors")["conv1.weight"], conv.get_weights()[0].transpose(3, 2, 0, 1))


def test_models_within_models_and_layers_as_activations(studio, tmp_path):
    inner = keras.Sequential([keras.Input((6, 6)), keras.layers.Flatten(), keras.layers.Dense(5, keras.layers.ReLU()), keras.layers.Dense(4, use_bias=False)])
    outer = randomize(keras.Sequential([keras.Input((6, 6)), inner, keras.layers.Dense(3), keras.layers.Softmax()]))
    outer.save(tmp_path / "m.h5")
    assert types(studio, tmp_path / "m.h5") == [("dense", "relu"), ("dense", "none"), ("dense", "none")]
    convert(studio, tmp_path / "m.h5", tmp_path / "m.safetensors")
    ours = load_file(tmp_path / "m.safetensors")
    assert np.array_equal(ours["fc2.weight"].T, np.array(inner.layers[2].kernel)) and np.array_equal(ours["fc3.bias"], np.array(outer.layers[1].bias))


def test_a_sigmoid_at_the_end_is_said_with_every_number(studio, tmp_path):
    keras.Sequential([keras.Input((784,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(10, "sigmoid")]).save(tmp_path / "m.h5")
    assert "sigmoid at the end" in inspect(studio, tmp_path / "m.h5")["assumed"][0]
    convert(studio, tmp_path / "m.h5", tmp_path / "m.pth")
    assert "sigmoid at the end" in inspect(studio, tmp_path / "m.pth")["assumed"][0]


def test_weights_under_keras_s_own_name_load_in_keras(studio, tmp_path):
    state = random_state((784, 20, 12, 10))
    save_file(state, tmp_path / "in.safetensors")
    convert(studio, tmp_path / "in.safetensors", tmp_path / "m.weights.h5", "--activation", "relu")
    model = keras.Sequential([keras.Input((784,)), keras.layers.Dense(20, "relu"), keras.layers.Dense(12, "relu"), keras.layers.Dense(10)])
    model.load_weights(tmp_path / "m.weights.h5")
    for name, value in keras_state(model).items():
        assert np.array_equal(value, state[name])


@pytest.mark.parametrize("make", [sequential, functional, doubles])
@pytest.mark.parametrize("compiled", [False, True])
def test_keras_s_own_archive(studio, tmp_path, make, compiled):
    """What Keras 3 saves by default, read; and what the studio writes so, loaded by Keras."""
    model = randomize(make())
    if compiled:
        model.compile(optimizer="adam", loss="mse", metrics=["mae"])
    model.save(tmp_path / "in.keras")
    model.save(tmp_path / "in.h5")
    assert inspect(studio, tmp_path / "in.keras")["format"] == "keras" and types(studio, tmp_path / "in.keras") == types(studio, tmp_path / "in.h5")
    assert_holds(studio, tmp_path / "in.keras", model, tmp_path)
    convert(studio, tmp_path / "in.keras", tmp_path / "out.keras")
    again = keras.models.load_model(tmp_path / "out.keras")
    x = RANDOM.uniform(size=(3, int(np.prod(model.input_shape[1:]))))
    state = keras_state(again)
    for (name, value), other in zip(state.items(), keras_state(model).values(), strict=False):
        if value.shape == other.shape:
            assert np.array_equal(value, other), name
    assert again.predict(x, verbose=0).shape == (3, model.output_shape[-1])
    convert(studio, tmp_path / "out.keras", tmp_path / "out.h5")
    old = keras.models.load_model(tmp_path / "out.h5")
    assert np.array_equal(old.predict(x, verbose=0), again.predict(x, verbose=0))


def linked(weights):
    """The same .weights.h5 whose first data set lies in another file."""
    content = io.BytesIO(weights)
    with h5py.File(content, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        del file[names[0]]
        file[names[0]] = h5py.ExternalLink("/etc/passwd", "x")
    return content.getvalue()


def test_a_keras_archive_names_nothing_that_is_run(studio, tmp_path):
    import zipfile

    sequential().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}

    def written(config, **changed):
        with zipfile.ZipFile(tmp_path / "bad.keras", "w") as archive:
            for name, data in {**records, "config.json": json.dumps(config), **changed}.items():
                if data is not None:
                    archive.writestr(name, data)
        return tmp_path / "bad.keras"

    config = json.loads(records["config.json"])
    assert inspect(studio, written(config))["format"] == "keras"
    config["config"]["layers"][1]["module"] = "os"
    refused(studio, "inspect", written(config), words="the module os")
    config = json.loads(records["config.json"])
    config["config"]["layers"][1].update({"class_name": "Lambda", "config": {"name": "evil", "function": {"class_name": "__lambda__", "config": {"code": "x"}}}})
    refused(studio, "inspect", written(config), words="\"evil\" is a Lambda")
    refused(studio, "inspect", written(json.loads(records["config.json"]), **{"model.weights.h5": None}), words="model.weights.h5 is missing")
    # A bomb of zeros, in the weights or in the configuration, is refused by what it claims.
    for name, megabytes in (("model.weights.h5", 300), ("config.json", 8)):
        with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for record, data in {**records, name: bytes(megabytes << 20)}.items():
                archive.writestr(record, data)
        refused(studio, "inspect", tmp_path / "bomb.keras", words=f"{name} claims {megabytes << 20} bytes, the most is")
    refused(studio, "inspect", written(json.loads(records["config.json"]), **{"model.weights.h5": b"nothing"}), words="HDF5 cannot open")
    refused(studio, "inspect", written(json.loads(records["config.json"]), **{"model.weights.h5": linked(records["model.weights.h5"])}), words="link to elsewhere")
    with zipfile.ZipFile(written(json.loads(records["config.json"])), "a", zipfile.ZIP_DEFLATED) as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("config.json", b"{}")
    assert refused(studio, "inspect", tmp_path / "bad.keras", words="bad.keras")
    with zipfile.ZipFile(tmp_path / "bomb.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("metadata.json", records["metadata.json"])
        archive.writestr("config.json", b" " * (200 << 20))
        archive.writestr("model.weights.h5", records["model.weights.h5"])
    assert (tmp_path / "bomb.keras").stat().st_size < 1 << 20
    assert refused(studio, "inspect", tmp_path / "bomb.keras", words="config.json")
    (tmp_path / "cut.keras").write_bytes((tmp_path / "m.keras").read_bytes()[:2000])
    refused(studio, "inspect", tmp_path / "cut.keras", words="damaged or cut short")


def test_several_orders_are_asked_for(studio, tmp_path):
    class Names(keras.Model):
        def __init__(self, *names):
            super().__init__()
            for name in names:
                setattr(self, name, keras.layers.Dense(10 if name.endswith("out") else 12))
            self.names = names

        def call(self, x):
            for name in self.names:
                x = getattr(self, name)(x)
            return x

    model = Names("a_in", "c_mid", "b_late", "d_out")
    model(np.zeros((1, 16)))
    model.save_weights(tmp_path / "m.weights.h5")
    message = refused(studio, "inspect", tmp_path / "m.weights.h5", words="several orders")
    assert "--order (its layers: a_in,b_late,c_mid,d_out)" in message
    convert(studio, tmp_path / "m.weights.h5", tmp_path / "m.safetensors", "--order", "a_in,c_mid,b_late,d_out")
    assert np.array_equal(load_file(tmp_path / "m.safetensors")["fc2.weight"].T, np.array(model.c_mid.kernel))
    refused(studio, "inspect", tmp_path / "m.weights.h5", "--order", "a_in,c_mid,b_late", words="3 of 4", status=2)
    refused(studio, "inspect", tmp_path / "m.weights.h5", "--order", "a_in,c_mid,b_late,c_mid", words="twice", status=2)
    refused(studio, "inspect", tmp_path / "m.weights.h5", "--order", "d_out,c_mid,b_late,a_in", words="do not chain")


@pytest.fixture
def good(tmp_path):
    """A file to spoil, and what is spoilt in it."""
    write_keras2(tmp_path / "m.h5", random_state((784, 20, 10)))
    return tmp_path / "m.h5"


def spoil(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


KERNEL = "model_weights/dense_0/dense_0/kernel:0"


def replaced(file, make, name=KERNEL):
    del file[name]
    make(file)


def external_storage(file):
    replaced(file, lambda f: f.create_dataset(KERNEL, (784, 20), "f4", external=[("/etc/passwd", 0, 784 * 20 * 4)]))


def virtual(file):
    def make(f):
        layout = h5py.VirtualLayout((784, 20), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (784, 20))
        f.create_virtual_dataset(KERNEL, layout)

    replaced(file, make)


def broken_lzf(file, change):
    replaced(file, lambda f: f.create_dataset(KERNEL, data=np.zeros((784, 20), "f4"), chunks=(784, 20), compression="lzf"))
    data = file[KERNEL].id
    data.write_direct_chunk((0, 0), change(data.read_direct_chunk((0, 0))[1]))


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, (65536, 65536), "f4")), "claims too many"),
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, (784, 20), "f4")), "no data"),
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, data=np.zeros((784, 21), "f4"))), "do not agree"),
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, data=np.zeros((783, 20), "f4"))), "do not agree"),
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, data=np.zeros((784, 20), "i4"))), "no floating-point"),
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, data=np.zeros((784, 20), "f4"), scaleoffset=3)), "compressed with HDF5's filter 6"),
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, data=np.zeros((784, 20), "V2"))), "save the model as .keras"),
        (lambda f: broken_lzf(f, lambda chunk: b"\xff" + chunk[1:]), "damaged"),
        (lambda f: broken_lzf(f, lambda chunk: chunk[:-1]), "damaged"),
        (lambda f: broken_lzf(f, lambda chunk: chunk + b"\0x"), "damaged"),
        (lambda f: replaced(f, lambda f: f.create_dataset(KERNEL, (784, 20), "f4", chunks=(30000, 30000), maxshape=(30000, 30000), compression="gzip")), "damaged"),
        (lambda f: f.attrs.__setitem__("model_config", f.attrs["model_config"].replace(b'"Dense"', b'"Lambda"') if isinstance(f.attrs["model_config"], bytes) else f.attrs["model_config"].replace('"Dense"', '"Lambda"')), "is a Lambda"),
        (lambda f: replaced(f, lambda f: f.__setitem__(KERNEL, h5py.ExternalLink("/etc/passwd", "x"))), "link to elsewhere"),
        (lambda f: replaced(f, lambda f: f.__setitem__(KERNEL, h5py.SoftLink("/model_weights"))), "link to elsewhere"),
        (lambda f: replaced(f, lambda f: f.create_group(KERNEL)), "not a data set"),
        (lambda f: replaced(f, lambda f: None), "missing"),
        (lambda f: replaced(f, lambda f: None, "model_weights/dense_1"), "missing"),
        (lambda f: replaced(f, lambda f: None, "model_weights"), "no weights"),
        (lambda f: replaced(f, lambda f: f.__setitem__("model_weights", h5py.ExternalLink("x.h5", "/")), "model_weights"), "link to elsewhere"),
        (external_storage, "another file"),
        (virtual, "another file"),
        (lambda f: f["model_weights/dense_0"].attrs.__setitem__("weight_names", np.array([b"../x/kernel:0", b"b/bias:0"])), "damaged"),
        (lambda f: f["model_weights/dense_0"].attrs.__setitem__("weight_names", np.array([b"a/gamma:0"])), "gamma"),
        (lambda f: f["model_weights/dense_0"].attrs.__setitem__("weight_names", np.array([1, 2])), "damaged"),
        (lambda f: f.attrs.__setitem__("model_config", np.bytes_("{\"class_name\"")), "not valid JSON"),
        (lambda f: f.attrs.__setitem__("model_config", np.bytes_("{\"class_name\":\"Thing\"}")), "Thing"),
        (lambda f: f.attrs.__setitem__("model_config", np.bytes_("{\"class_name\":\"Sequential\",\"config\":{}}")), "no layers"),
        (lambda f: f.attrs.__setitem__("model_config", 3), "damaged"),
        (lambda f: f.attrs.__delitem__("model_config"), "no Keras weights"),
    ],
)
def test_lying_files_are_refused(studio, good, change, words):
    assert inspect(studio, good)["parameters"] == 784 * 20 + 20 + 210
    spoil(good, change)
    refused(studio, "inspect", good, words=words)


def test_damaged_files(studio, tmp_path, good):
    data = good.read_bytes()
    for size in (8, 100, 2000, len(data) // 2, len(data) - 1):
        good.write_bytes(data[:size])
        refused(studio, "convert", good, tmp_path / "out.pth", words="cut short")
    assert not list(tmp_path.glob("out*"))
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["measurements"] = np.zeros(3)
    refused(studio, "inspect", tmp_path / "other.h5", words="no Keras weights")
