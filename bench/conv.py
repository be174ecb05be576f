#!/usr/bin/env python3
"""Convolutional networks: our lanes beside Python's PyTorch, Keras and JAX, and what the processor can multiply.

Every lane is a process of its own, best of one thread and of all, in turn, so that a machine whose speed drifts treats all
alike. Prints Markdown: µs per sample (median of the epochs but the first), how many times as fast the native engine is, and
how far the goals were reached. Ten minutes on two free cores; --runs 3 and --samples 12800 for steadier numbers take an hour.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

from common import read_split

# [type, numbers]: the studio's presets of those names
NETS = {
    "lenet5": [("conv", 6, 5, "same"), ("pool",), ("conv", 16, 5, "valid"), ("pool",), ("flatten",), ("dense", 120), ("dense", 84), ("last", 10)],
    "keras-mnist-convnet": [("conv", 32, 3, "valid"), ("pool",), ("conv", 64, 3, "valid"), ("pool",), ("flatten",), ("dropout", 0.5), ("last", 10)],
}
LANES = ["native", "torch", "tensorflow", "python-torch", "keras", "jax"]
TITLES = ["native engine", "PyTorch lane", "TensorFlow lane", "PyTorch in Python", "Keras fit", "JAX, jitted step"]
GOALS = [("lenet5", "native", ["python-torch", "keras"], 5, 8), ("keras-mnist-convnet", "native", ["python-torch", "keras"], 2, 3),
         (None, "torch", ["python-torch"], 1, 1), (None, "tensorflow", ["keras"], 1, 1)]  # fmt: skip


def pictures(a):
    x, y = read_split(os.path.join(a.data_dir, "mnist"), "train")
    return x[: a.samples].reshape(-1, 28, 28, 1), y[: a.samples]


def torch_lane(a):
    import torch
    from torch import nn

    torch.set_num_threads(a.threads)
    x, y = pictures(a)
    x, y = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(y).long()
    make = {
        "conv": lambda n, k, pad: [nn.LazyConv2d(n, k, padding=k // 2 if pad == "same" else 0), nn.ReLU()],
        "pool": lambda: [nn.MaxPool2d(2)], "flatten": lambda: [nn.Flatten()], "dropout": lambda p: [nn.Dropout(p)],
        "dense": lambda n: [nn.LazyLinear(n), nn.ReLU()], "last": lambda n: [nn.LazyLinear(n)],
    }  # fmt: skip
    model = nn.Sequential(*(m for kind, *numbers in NETS[a.net] for m in make[kind](*numbers)))
    model(x[:1])
    optimizer, criterion = torch.optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()
    for _ in range(a.epochs):
        started = time.perf_counter()
        for rows in torch.randperm(len(x)).split(a.batch_size):
            optimizer.zero_grad()
            criterion(model(x[rows]), y[rows]).backward()
            optimizer.step()
        yield time.perf_counter() - started


def keras_lane(a):
    import keras
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(a.threads)
    tensorflow.config.threading.set_inter_op_parallelism_threads(a.threads)
    x, y = pictures(a)
    layers = keras.layers
    make = {
        "conv": lambda n, k, pad: layers.Conv2D(n, k, padding=pad, activation="relu"), "pool": lambda: layers.MaxPooling2D(2),
        "flatten": layers.Flatten, "dropout": layers.Dropout, "dense": lambda n: layers.Dense(n, activation="relu"),
        "last": layers.Dense,
    }  # fmt: skip
    model = keras.Sequential([keras.Input((28, 28, 1)), *(make[kind](*numbers) for kind, *numbers in NETS[a.net])])
    model.compile(keras.optimizers.SGD(0.01), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in range(a.epochs):
        started = time.perf_counter()
        model.fit(x, y, batch_size=a.batch_size, epochs=1, verbose=0)
        yield time.perf_counter() - started


def jax_lane(a):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: a.threads])  # XLA sizes its pool by them
    import jax
    import jax.numpy as jnp

    x, y = (jnp.asarray(part) for part in pictures(a))

    def forward(parameters, h, key):
        weights = iter(parameters)
        for kind, *numbers in NETS[a.net]:
            if kind == "conv":
                w, b = next(weights)
                h = jax.lax.conv_general_dilated(h, w, (1, 1), numbers[2].upper(), dimension_numbers=("NHWC", "HWIO", "NHWC"))
                h = jax.nn.relu(h + b)
            elif kind == "pool":
                h = jax.lax.reduce_window(h, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
            elif kind == "flatten":
                h = h.reshape(len(h), -1)
            elif kind == "dropout":
                h = jnp.where(jax.random.bernoulli(key, 1 - numbers[0], h.shape), h / (1 - numbers[0]), 0)
            else:
                w, b = next(weights)
                h = h @ w + b
                h = jax.nn.relu(h) if kind == "dense" else h
        return h

    parameters, shape, channels, key = [], [28, 28], 1, jax.random.key(1)
    for kind, *numbers in NETS[a.net]:
        key, mine = jax.random.split(key)
        if kind == "conv":
            size = (numbers[1], numbers[1], channels, numbers[0])
            shape = shape if numbers[2] == "same" else [side - numbers[1] + 1 for side in shape]
            channels = numbers[0]
        elif kind == "pool":
            shape = [side // 2 for side in shape]
        elif kind == "flatten":
            channels *= shape[0] * shape[1]
        if kind in ("dense", "last"):
            size, channels = (channels, numbers[0]), numbers[0]
        if kind in ("conv", "dense", "last"):
            parameters.append((jax.random.normal(mine, size) * 0.1, jnp.zeros(size[-1])))

    def loss_of(parameters, h, labels, key):
        return -jnp.take_along_axis(jax.nn.log_softmax(forward(parameters, h, key)), labels[:, None], axis=1).mean()

    @jax.jit
    def step(parameters, rows, key):
        loss, slopes = jax.value_and_grad(loss_of)(parameters, x[rows], y[rows], key)
        return jax.tree.map(lambda p, g: p - 0.01 * g, parameters, slopes), loss

    for _ in range(a.epochs):
        started = time.perf_counter()
        key, mine = jax.random.split(key)
        for rows in jnp.split(jax.random.permutation(mine, len(x)), len(x) // a.batch_size):
            parameters, loss = step(parameters, rows, mine)
        loss.block_until_ready()
        yield time.perf_counter() - started


def sgemm(threads):
    """GFLOP/s of NumPy's float32 product, the best of some."""
    code = ("import numpy,time;a=numpy.ones((2048,2048),'f');b=a.copy();a@b;t=[]\n"
            "for _ in range(8):\n s=time.perf_counter();a@b;t.append(time.perf_counter()-s)\nprint(2*2048**3/min(t)/1e9)")  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    return float(subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout)


def measure(lane, net, batch, threads, a):
    """µs per sample of one process; None with its last words when it cannot run."""
    if lane in LANES[:3]:
        command = ["build/nnstudio", "train", "--json", "--engine", lane, "--net", net, "--data-dir", a.data_dir, "--dataset", "mnist",
                   "--limit", a.samples, "--epochs", a.epochs, "--batch-size", batch, "--threads", threads,
                   "--home", "build/bench/home", "--out", "build/bench/home"]  # fmt: skip
    else:
        command = [sys.executable, __file__, "--lane", lane, "--net", net, "--batch-size", batch, "--threads", threads,
                   "--samples", a.samples, "--epochs", a.epochs, "--data-dir", a.data_dir]  # fmt: skip
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([str(word) for word in command], env=env, capture_output=True, text=True)
    if done.returncode:
        print(f"{lane} cannot be measured: {(done.stderr.strip().splitlines() or ['?'])[-1]}", file=sys.stderr)
        return None
    events = [json.loads(line) for line in done.stdout.splitlines()]
    seconds = [event["seconds"] for event in events if event["event"] == "epoch"]
    return statistics.median(seconds[1:]) / a.samples * 1e6


def compare(net, batch, a):
    cores = len(os.sched_getaffinity(0))
    best = {}
    for run in range(a.runs):
        for lane in LANES:
            for threads in sorted({1, cores}):
                print(f"{net}, batch {batch}, run {run + 1}: {lane}, threads {threads}", file=sys.stderr)
                value = measure(lane, net, batch, threads, a)
                if value is not None:
                    best.setdefault(lane, {}).setdefault(threads, []).append(value)
    return {lane: min(statistics.median(values) for values in of.values()) for lane, of in best.items()}


def report(a):
    cores = len(os.sched_getaffinity(0))
    rate = max(sgemm(1), sgemm(cores))
    print(f"| µs per sample | {' | '.join(TITLES)} | native against PyTorch / Keras in Python | native, share of sgemm ({rate:.0f} GFLOP/s) |")
    print("|---|" + "---|" * (len(LANES) + 2))
    missed = []
    for net in NETS:
        cost = json.loads(subprocess.run(["build/nnstudio", "net", "show", net, "--json"], capture_output=True, text=True, check=True).stdout)
        for batch in (32, 128):
            got = compare(net, batch, a)
            # a step is a forward pass and two products of its size back (the first layer's only one)
            first = cost["layers"][0]["multiply_adds"]
            share = 2 * (3 * cost["multiply_adds"] - first) / (got["native"] * 1e-6) / (rate * 1e9)
            cells = [f"{got[lane]:.1f}" if lane in got else "–" for lane in LANES]
            times = [f"{got[lane] / got['native']:.1f}" if lane in got else "–" for lane in ("python-torch", "keras")]
            print(f"| {net}, batch {batch} | {' | '.join(cells)} | {' / '.join(times)} times | {share:.0%} |", flush=True)
            if net == "keras-mnist-convnet" and share < 0.5:
                missed.append(f"{net}, batch {batch}: {share:.0%} of sgemm, at least 50 %")
            for of, lane, others, least, _ in GOALS:
                for other in others:
                    if of in (None, net) and lane in got and other in got and got[other] / got[lane] < least:
                        missed.append(f"{net}, batch {batch}: {lane} is {got[other] / got[lane]:.1f} times as fast as {other}, at least {least}")
    print("\n" + "\n".join(f"- not reached: {words}" for words in missed) if missed else "\nAll goals reached.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--samples", type=int, default=6400)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--lane", choices=LANES[3:], help="this one alone, as a process")
    parser.add_argument("--net", choices=NETS)
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--threads", type=int)
    a = parser.parse_args()
    if not a.lane:
        return report(a)
    for seconds in {"python-torch": torch_lane, "keras": keras_lane, "jax": jax_lane}[a.lane](a):
        print(json.dumps({"event": "epoch", "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
