"""Schedules of the learning rate against the frameworks' own, and that a run goes on with them as if nothing had happened."""

import json

import numpy as np
import pytest
from conftest import events

torch = pytest.importorskip("torch")
keras = pytest.importorskip("keras")

LR, EPOCHS, STEPS = 0.1, 12, 4  # steps per epoch
SMALL = ["--dataset", "synthetic", "--limit", 16 * STEPS, "--batch-size", 16, "--hidden", 8, "--lr", LR, "--dtype", "float64"]
L = torch.optim.lr_scheduler
K = keras.optimizers.schedules
F = np.float64

# PyTorch's schedulers step with every epoch; OneCycleLR with every step.
TORCH = {
    "step:every=3,gamma=0.5": lambda o: L.StepLR(o, 3, 0.5),
    "exponential:gamma=0.9": lambda o: L.ExponentialLR(o, 0.9),
    "polynomial:power=2,epochs=8": lambda o: L.PolynomialLR(o, 8, 2),
    "cosine:min=0.01,epochs=8": lambda o: L.CosineAnnealingLR(o, 8, 0.01),
    "cosine:restart=3,multiply=2": lambda o: L.CosineAnnealingWarmRestarts(o, 3, 2),
    "onecycle:max=0.3": lambda o: L.OneCycleLR(o, 0.3, EPOCHS * STEPS, cycle_momentum=False),
}
# Keras's schedules count steps.
KERAS = {
    "step:every=3,gamma=0.5": K.ExponentialDecay(F(LR), 3 * STEPS, F(0.5), staircase=True),
    "exponential:gamma=0.9": K.ExponentialDecay(F(LR), STEPS, F(0.9)),
    "polynomial:power=2,epochs=8": K.PolynomialDecay(F(LR), 8 * STEPS, F(1e-4), F(2)),
    "cosine:min=0.01,epochs=8": K.CosineDecay(F(LR), 8 * STEPS, F(0.1)),
    "cosine:restart=3": K.CosineDecayRestarts(F(LR), 3 * STEPS, F(2)),
}


@pytest.fixture
def told(studio):
    """(learning rate, validation loss) of every epoch."""

    def of(*options):
        result = studio("train", "--engine", "native", "--epochs", EPOCHS, *SMALL, *options, "--json")
        epochs = [event for event in events(result) if event["event"] == "epoch"]
        return [epoch["learning_rate"] for epoch in epochs], [epoch["val_loss"] for epoch in epochs]

    return of


def torch_optimizer(lr=LR):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


@pytest.mark.parametrize("schedule", TORCH)
def test_pytorchs_schedules(told, schedule):
    optimizer = torch_optimizer()
    scheduler = TORCH[schedule](optimizer)
    expected = []
    for _ in range(EPOCHS):
        for _ in range(STEPS):
            rate = optimizer.param_groups[0]["lr"]
            optimizer.step()
            if schedule.startswith("onecycle"):
                scheduler.step()
        expected.append(rate)
        if not schedule.startswith("onecycle"):
            scheduler.step()
    assert told("--schedule", schedule)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("schedule", KERAS)
def test_kerass_schedules(told, schedule):
    expected = [float(KERAS[schedule]((epoch + 1) * STEPS - 1)) for epoch in range(EPOCHS)]
    assert told("--schedule", schedule, "--meaning", "keras")[0] == pytest.approx(expected, rel=2e-7)


def test_pytorchs_plateau(told):
    rates, losses = told("--schedule", "plateau:patience=1,factor=0.3,threshold=0.2,cooldown=1,min=0.002")
    optimizer = torch_optimizer()
    scheduler = L.ReduceLROnPlateau(optimizer, factor=0.3, patience=1, threshold=0.2, cooldown=1, min_lr=0.002)
    for rate, loss in zip(rates, losses):
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        scheduler.step(loss)
    assert len(set(rates)) > 2


def test_kerass_plateau(told):
    rates, losses = told("--schedule", "plateau:patience=2,factor=0.3,threshold=0.2,cooldown=1,min=0.002", "--meaning", "keras")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(LR), "mse")
    callback = keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=2, min_delta=0.2, cooldown=1, min_lr=0.002)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, (rate, loss) in enumerate(zip(rates, losses)):
        assert rate == pytest.approx(float(model.optimizer.learning_rate), rel=1e-6)
        callback.on_epoch_end(epoch, {"val_loss": loss})
    assert len(set(rates)) > 2


@pytest.mark.parametrize("patience", [1, 3])
def test_it_stops_where_keras_stops(studio, patience):
    told = studio("train", "--engine", "native", "--epochs", 60, *SMALL, "--lr", 3, "--early-stop", patience, "--keep", "best", "--json")
    (end,) = [event for event in events(told) if event["event"] == "end"]
    losses = [event["val_loss"] for event in events(told) if event["event"] == "epoch"]
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.stop_training = False
    callback = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
    callback.set_model(model)
    callback.on_train_begin()
    for epoch, loss in enumerate(losses):
        assert not model.stop_training
        callback.on_epoch_end(epoch, {"val_loss": loss})
    assert model.stop_training and len(losses) < 60 and end["best_epoch"] == callback.best_epoch + 1


def test_warm_up_rises_in_equal_parts(told):
    rates, _ = told("--warmup", 2 * STEPS, "--schedule", "exponential:gamma=0.5")
    assert rates == pytest.approx([LR / 2, LR / 2] + [LR * 0.5**epoch for epoch in range(2, EPOCHS)], rel=1e-12)


@pytest.mark.parametrize(
    "schedule, message",
    [
        ("linear", 'unknown schedule "linear": use constant, step, exponential, polynomial, cosine, onecycle or plateau'),
        ("step", "the schedule step needs every: give step:every=VALUE"),
        ("cosine:gamma=2", 'the schedule cosine has no "gamma=2": give NAME=VALUE of min, epochs, restart, multiply or unit'),
        ("step:every=0", "every 0 of the schedule step is out of range: give a number above 0 to 1e+06"),
        ("step:every=2,unit=day", 'the schedule\'s unit "day" is not valid: give step or epoch'),
        ("onecycle:max=1,unit=epoch", "the schedule onecycle has its own unit: leave unit out"),
    ],
)
def test_what_it_does_not_know_is_refused_by_name(studio, schedule, message):
    assert message in studio("train", *SMALL, "--schedule", schedule, status=2).stderr


def test_gradients_are_clipped_in_one_way(studio):
    told = studio("train", *SMALL, "--clip-value", 1, "--clip-norm", 1, status=2).stderr
    assert "give one of clip value, clip norm and global clip norm" in told


@pytest.mark.parametrize("engine", ["native", "torch", "tensorflow"])
@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "nadam", "--schedule", "plateau:patience=0,factor=0.5,threshold=0.2"],
        ["--optimizer", "adagrad", "--meaning", "keras", "--schedule", "cosine:epochs=5", "--warmup", 11, "--clip-norm", 0.1],
    ],
    ids=lambda options: options[1],
)
def test_it_goes_on_as_if_nothing_had_happened(studio, options, engine):
    """Half of it natively, the rest on another engine; natively the numbers are the same to the bit."""

    def losses(*words):
        return [loss for event in map(json.loads, studio(*words, "--json").stdout.splitlines())
                if event["event"] == "step" for loss in event["loss"]]  # fmt: skip

    whole = losses("train", "--engine", "native", "--epochs", 5, *SMALL, *options)
    begun = studio("train", "--engine", "native", "--epochs", 2, *SMALL, *options, "--json")
    (run,) = [event["run"] for event in events(begun) if event["event"] == "start"]
    rest = losses("train", "--engine", engine, "--resume", run, "--epochs", 5)
    assert len(rest) == 3 * STEPS
    apart = np.abs(np.subtract(whole[-len(rest):], rest)).max()
    assert apart == 0 if engine == "native" else apart <= 1e-12
