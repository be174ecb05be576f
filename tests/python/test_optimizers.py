"""Every optimizer with its options in both meanings, on every engine, against torch.optim and keras.optimizers themselves:
the same network from the same start, float64, a learning rate that changes, parameters within 1e-12.

NNSTUDIO_STEPS=1000 tries that many steps; by default 24.
"""

import functools
import importlib
import inspect
import itertools
import json
import os
import pathlib
import subprocess

import numpy as np
import pytest

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")
tensorflow = pytest.importorskip("tensorflow")

STEPS = int(os.environ.get("NNSTUDIO_STEPS", 24))
ROWS, COLUMNS, HIDDEN, CLASSES, BATCH, SAMPLES = 3, 4, 7, 4, 8, 64
SHAPES = [(HIDDEN, ROWS * COLUMNS), (HIDDEN,), (CLASSES, HIDDEN), (CLASSES,)]
BOUNDS = np.cumsum([np.prod(shape) for shape in SHAPES])[:-1]
TOLERANCE = 1e-12

DECAY = {"weight_decay": 0.02}
MOMENTUM = {"momentum": 0.9}
# Bounds that some steps' gradients reach and others' do not.
CLIPS = [{"clip_value": 0.03}, {"clip_norm": 0.15}, {"clip_global_norm": 0.3}]
# An epsilon that matters, so that its place in the formula does.
# Losses that are not plain cross-entropy.
LOSSES = [{"smoothing": 0.1}, {"class_weights": [0.5, 1, 2, 4]}, {"smoothing": 0.2, "class_weights": [3, 1, 0.25, 2]}]
OPTIONS = {
    "sgd": [*LOSSES, {**LOSSES[2], **CLIPS[2]}, *CLIPS, *[{**MOMENTUM, **DECAY, **clip} for clip in CLIPS], {}, DECAY, MOMENTUM, {**MOMENTUM, **DECAY}, {**MOMENTUM, "nesterov": True}, {**MOMENTUM, **DECAY, "nesterov": True}],
    "adam": [LOSSES[2], *CLIPS, {}, DECAY, {"amsgrad": True}, {"amsgrad": True, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3, **DECAY}],
    "adamw": [{}, {"amsgrad": True, **DECAY, "epsilon": 1e-3}],
    "rmsprop": [{}, DECAY, MOMENTUM, {"centered": True}, {"centered": True, **MOMENTUM, **DECAY, "rho": 0.95, "epsilon": 1e-3}],
    "adagrad": [{}, {**DECAY, "epsilon": 1e-3}],
    "adadelta": [{}, {**DECAY, "epsilon": 1e-3}],
    "adamax": [CLIPS[2], {}, {**DECAY, "epsilon": 1e-3}],
    "nadam": [{}, {**DECAY, "epsilon": 1e-3}],
}
CASES = [
    {"type": name, "meaning": meaning, **options}
    for name, variants in OPTIONS.items()
    for options, meaning in itertools.product(variants, ["pytorch", "keras"])
]
BASE = {"sgd": 0.1, "adagrad": 0.1, "adadelta": 1.0}


def rates_of(case):
    """Falls and rises, so that what holds the rate and what does not part."""
    base = BASE.get(case["type"], 0.01)
    return [base * (1 if i < STEPS // 3 else 0.1 + 0.9 * abs(np.sin(i / 7))) for i in range(STEPS)]


@pytest.fixture(scope="module")
def task():
    random = np.random.default_rng(5)
    pixels = random.integers(0, 256, (SAMPLES, ROWS * COLUMNS))
    labels = (pixels[:, ::3].sum(1) // 40 + random.integers(0, 2, SAMPLES)) % CLASSES
    order = np.concatenate([random.permutation(SAMPLES) for _ in range(STEPS * BATCH // SAMPLES + 1)])[: STEPS * BATCH]
    start = np.concatenate([random.normal(0, 0.3, shape).ravel() for shape in SHAPES])
    return {
        "rows": ROWS, "columns": COLUMNS, "hidden": HIDDEN, "classes": CLASSES, "batch_size": BATCH,
        "pixels": pixels.ravel().tolist(), "labels": labels.tolist(), "order": order.tolist(), "parameters": start.tolist(),
        "cases": [{"optimizer": case, "rates": rates_of(case)} for case in CASES], "cut": 0,
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(binary, task):
    """Final parameters of every case by an engine; `cut` as optimizer_cases.c says."""
    program = pathlib.Path(binary).parent / "tests" / "unit" / "optimizer_cases"
    if not program.exists():
        pytest.skip("the unit tests' programs are not built")

    @functools.cache
    def of(engine, cut=0, every=1):
        text = json.dumps({**task, "cases": task["cases"][::every], "cut": cut})
        result = subprocess.run([program, engine], input=text, capture_output=True, text=True, timeout=900)
        assert result.returncode == 0, result.stderr[-2000:]
        return np.array(json.loads(result.stdout))

    return of


def slope_of(case):
    """The derivative of the framework's own loss by the logits."""
    smoothing, weights = case.get("smoothing", 0), case.get("class_weights")

    def in_torch(logits, y):
        z = torch.tensor(logits, requires_grad=True)
        weight = None if weights is None else torch.tensor(weights, dtype=torch.float64)
        torch.nn.CrossEntropyLoss(weight, label_smoothing=smoothing)(z, torch.from_numpy(y)).backward()
        return z.grad.numpy()

    def in_keras(logits, y):
        """As fit(class_weight=…): the label's weight is the sample's."""
        z = tensorflow.Variable(logits)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=np.float64(smoothing), dtype="float64")
        with tensorflow.GradientTape() as tape:
            value = loss(np.eye(CLASSES)[y], z, None if weights is None else np.array(weights, float)[y])
        return tape.gradient(value, z).numpy()

    if not smoothing and weights is None:
        return None
    return in_torch if case["meaning"] == "pytorch" else in_keras


def gradient(parameters, x, y, slope=None):
    """Of the mean cross-entropy of a network with one hidden layer of tanh; all parameters in one row, as optimizers do not mind."""
    w1, b1, w2, b2 = (part.reshape(shape) for part, shape in zip(np.split(parameters, BOUNDS), SHAPES))
    hidden = np.tanh(x @ w1.T + b1)
    logits = hidden @ w2.T + b2
    delta = np.exp(logits - logits.max(1, keepdims=True))
    delta /= delta.sum(1, keepdims=True)
    delta[np.arange(len(y)), y] -= 1
    delta /= len(y)
    if slope:
        delta = slope(logits, y)
    below = (delta @ w2) * (1 - hidden**2)
    return np.concatenate([part.ravel() for part in (below.T @ x, below.sum(0), delta.T @ hidden, delta.sum(0))])


def clipper(case):
    """The framework's own clipping of a gradient of all parameters in one row, tensor by tensor."""
    if not any(key.startswith("clip") for key in case):
        return lambda row: row

    def parts(row):
        return [part.reshape(shape) for part, shape in zip(np.split(row, BOUNDS), SHAPES)]

    def in_torch(row):
        tensors = [torch.nn.Parameter(torch.zeros(part.shape, dtype=torch.float64)) for part in parts(row)]
        for tensor, part in zip(tensors, parts(row)):
            tensor.grad = torch.from_numpy(part.copy())
        if "clip_value" in case:
            torch.nn.utils.clip_grad_value_(tensors, case["clip_value"])
        else:
            torch.nn.utils.clip_grad_norm_(tensors, case.get("clip_norm", case.get("clip_global_norm")))
        return np.concatenate([tensor.grad.numpy().ravel() for tensor in tensors])

    names = {"clip_value": "clipvalue", "clip_norm": "clipnorm", "clip_global_norm": "global_clipnorm"}
    ((name, bound),) = [(names[key], value) for key, value in case.items() if key in names]
    optimizer = keras.optimizers.SGD(**{name: np.float64(bound)})
    return in_torch if case["meaning"] == "pytorch" else lambda row: np.concatenate(
        [np.ravel(part) for part in optimizer._clip_gradients([tensorflow.constant(part) for part in parts(row)])]
    )  # fmt: skip


def by_torch(case):
    classes = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW", "rmsprop": "RMSprop", "nadam": "NAdam"}
    named = ("type", "meaning", "smoothing", "class_weights", "beta1", "beta2", "epsilon", "rho")
    options = {key: value for key, value in case.items() if key not in named and not key.startswith("clip")}
    if "beta1" in case:
        options["betas"] = (case["beta1"], case["beta2"])
    if "epsilon" in case:
        options["eps"] = case["epsilon"]
    if "rho" in case:
        options["alpha" if case["type"] == "rmsprop" else "rho"] = case["rho"]
    kind = getattr(torch.optim, classes.get(case["type"], case["type"].capitalize()))

    def begin(values):
        parameter = torch.tensor(values, requires_grad=True)
        optimizer = kind([parameter], lr=1.0, **options)

        def step(gradient, rate):
            optimizer.param_groups[0]["lr"] = rate
            parameter.grad = torch.from_numpy(gradient)
            optimizer.step()
            return parameter.detach().numpy()

        return step

    return begin


def by_keras(case):
    classes = {"sgd": "SGD", "adamw": "AdamW", "rmsprop": "RMSprop"}
    names = {"beta1": "beta_1", "beta2": "beta_2"}
    flags = {key: value for key, value in case.items() if isinstance(value, bool)}
    # Keras rounds Python's floats to float32 on the way; NumPy's survive.
    options = {names.get(k, k): np.float64(v) for k, v in case.items() if k not in ("type", "meaning", "smoothing", "class_weights", *flags) and not k.startswith("clip")}
    kind = getattr(keras.optimizers, classes.get(case["type"], case["type"].capitalize()))
    for key in ("momentum", "rho", "beta_1", "beta_2", "epsilon", "weight_decay", "initial_accumulator_value"):
        usual = inspect.signature(kind.__init__).parameters.get(key)
        if usual and isinstance(usual.default, float):
            options.setdefault(key, np.float64(usual.default))

    def begin(values):
        variable = keras.Variable(values, dtype="float64")
        optimizer = kind(learning_rate=np.float64(1), **options, **flags)
        optimizer.build([variable])

        def apply(gradient, rate):
            optimizer._learning_rate = rate
            optimizer.apply([gradient], [variable])

        # A graph takes as long to make as so many steps; Adadelta's takes no number of NumPy's.
        if STEPS > 100 and case["type"] != "adadelta":
            apply = tensorflow.function(apply)

        def step(gradient, rate):
            apply(*[keras.ops.convert_to_tensor(np.float64(value), "float64") for value in (gradient, rate)])
            return variable.numpy()

        return step

    return begin


class Exact:
    """keras.ops, but 0.96, which Keras's Nadam has in its source, is not rounded to float32 on the way."""

    def __getattr__(self, name):
        return getattr(keras.ops, name)

    def cast(self, x, dtype):
        return keras.ops.cast(np.float64(x) if isinstance(x, float) else x, dtype)

    def power(self, base, exponent):
        return keras.ops.power(np.float64(base) if isinstance(base, float) else base, exponent)


@pytest.fixture(scope="module")
def in_float64():
    """Both frameworks keep NAdam's product of momenta in their default dtype."""
    floatx, dtype = keras.config.floatx(), torch.get_default_dtype()
    keras.config.set_floatx("float64")
    torch.set_default_dtype(torch.float64)
    nadam = importlib.import_module("keras.src.optimizers.nadam")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nadam, "ops", Exact())
        yield
    keras.config.set_floatx(floatx)
    torch.set_default_dtype(dtype)


@pytest.fixture(scope="module")
def references(task, in_float64):
    x = np.array(task["pixels"]).reshape(SAMPLES, -1) / 255
    y, order = np.array(task["labels"]), np.array(task["order"]).reshape(STEPS, BATCH)
    ends = []
    for case in CASES:
        parameters, clip, slope = np.array(task["parameters"]), clipper(case), slope_of(case)
        step = (by_torch if case["meaning"] == "pytorch" else by_keras)(case)(parameters)
        for rows, rate in zip(order, rates_of(case)):
            parameters = step(clip(gradient(parameters, x[rows], y[rows], slope)), rate)
        ends.append(np.array(parameters))
    return np.array(ends)


def label(case):
    return " ".join(f"{key}={value}" for key, value in case.items())


@pytest.mark.parametrize("engine", ["native", "plan", "torch", "tensorflow"])
def test_every_optimizer_is_the_frameworks_own(trained, references, engine):
    ends = trained(engine)
    apart = np.abs(ends - references).max(1)
    print(f"{engine}: {apart.max():.2e} after {STEPS} steps, {label(CASES[apart.argmax()])}")
    assert not [f"{label(case)}: {d:.2e}" for case, d in zip(CASES, apart) if not d <= TOLERANCE]


@pytest.mark.parametrize("engine", ["native", "torch", "tensorflow"])
def test_it_goes_on_in_another_engine_as_if_nothing_had_happened(trained, engine):
    every = 3  # all optimizers, both meanings
    assert (trained(engine, cut=STEPS // 2, every=every) == trained(engine)[::every]).all()


def test_the_meanings_part(references):
    """Else one of the two is not computed. Without state, and at equal defaults, they are the same."""
    same = [{}, DECAY]
    for name, variants in OPTIONS.items():
        for options in variants:
            pair = [i for i, case in enumerate(CASES) if case == {"type": name, "meaning": case["meaning"], **options}]
            apart = np.abs(np.subtract(*references[pair])).max()
            clips = [key for key in options if key.startswith("clip")]
            if "class_weights" in options or "smoothing" in options:  # row 30: the mean of weights; smoothing alone is the same
                assert name != "sgd" or clips or (apart <= TOLERANCE) == ("class_weights" not in options), (options, apart)
            elif not clips:
                assert (apart <= TOLERANCE) == (name == "sgd" and options in same), (name, options, apart)
            elif name == "sgd" and "momentum" not in options:  # by value all mean the same, by norm row 15's two differences
                assert (apart <= TOLERANCE) == (clips == ["clip_value"]), (options, apart)
