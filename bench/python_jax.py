#!/usr/bin/env python3
"""MNIST with JAX in Python, the fastest way it has: a whole epoch is one compiled lax.scan.

Prints one line of JSON per epoch (--json) or a readable one: seconds, mean loss of the steps, test accuracy at the end.
The first epoch's seconds hold the compilation. A last, short batch is left out, as is usual with scan.
"""
import os
import resource
import sys
import time

from common import arguments_parser, read_split, reporter

STARTED = time.perf_counter()


def main():
    parser = arguments_parser(__doc__.splitlines()[0], 0, "processors to use; 0: all")
    arguments = parser.parse_args()
    if arguments.threads:  # XLA sizes its pool by the processors it may use
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:arguments.threads])
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    try:
        import jax
    except ImportError:
        print("python_jax.py: JAX is not installed: pip install jax", file=sys.stderr)
        return 1
    import jax.numpy as jnp

    folder = os.path.join(arguments.data_dir, arguments.data)
    x, y = (jnp.asarray(part) for part in read_split(folder, "train"))
    test_x, test_y = read_split(folder, "t10k")
    adam = arguments.optimizer == "adam"
    lr = arguments.lr or (0.001 if adam else 0.01)

    def draw_layer(key, inputs, outputs):
        bound = inputs ** -0.5
        weight_key, bias_key = jax.random.split(key)
        return {"w": jax.random.uniform(weight_key, (inputs, outputs), minval=-bound, maxval=bound),
                "b": jax.random.uniform(bias_key, (outputs,), minval=-bound, maxval=bound)}

    def logits_of(parameters, pictures):
        hidden = jax.nn.relu(pictures @ parameters[0]["w"] + parameters[0]["b"])
        return hidden @ parameters[1]["w"] + parameters[1]["b"]

    def loss_of(parameters, pictures, labels):
        chances = jax.nn.log_softmax(logits_of(parameters, pictures))
        return -jnp.take_along_axis(chances, labels[:, None], axis=1).mean()

    def update(state, gradients):
        if not adam:
            return state | {"p": jax.tree.map(lambda p, g: p - lr * g, state["p"], gradients)}
        t = state["t"] + 1
        m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, state["m"], gradients)
        v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, state["v"], gradients)
        rate, spread = lr / (1 - 0.9 ** t), jnp.sqrt(1 - 0.999 ** t)
        p = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) / spread + 1e-8), state["p"], m, v)
        return {"p": p, "m": m, "v": v, "t": t}

    @jax.jit
    def train_epoch(state, key, x, y):
        def step(state, rows):
            loss, gradients = jax.value_and_grad(loss_of)(state["p"], x[rows], y[rows])
            return update(state, gradients), loss

        steps = len(x) // arguments.batch_size
        order = jax.random.permutation(key, len(x))[:steps * arguments.batch_size]
        return jax.lax.scan(step, state, order.reshape(steps, arguments.batch_size))

    report = reporter(arguments)

    key, first, second = jax.random.split(jax.random.key(arguments.seed), 3)
    state = {"p": [draw_layer(first, x.shape[1], arguments.hidden), draw_layer(second, arguments.hidden, 10)]}
    if adam:
        zeros = jax.tree.map(jnp.zeros_like, state["p"])
        state |= {"m": zeros, "v": zeros, "t": jnp.zeros(())}

    ready = time.perf_counter() - STARTED
    report({"event": "ready", "jax": jax.__version__, "seconds": ready}, f"ready after {ready:.2f} s, JAX {jax.__version__}")
    for epoch in range(1, arguments.epochs + 1):
        started = time.perf_counter()
        key, order_key = jax.random.split(key)
        state, losses = train_epoch(state, order_key, x, y)
        mean = float(losses.mean())  # waits for the epoch to end
        seconds = time.perf_counter() - started
        report({"event": "epoch", "epoch": epoch, "seconds": seconds, "loss": mean, "samples_per_second": len(x) / seconds},
               f"epoch {epoch}: {seconds:.3f} s, loss {mean:.6f}, {len(x) / seconds:,.0f} samples/s")
    accuracy = float((logits_of(state["p"], test_x).argmax(axis=1) == test_y).mean())
    seconds = time.perf_counter() - STARTED
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report({"event": "end", "accuracy": accuracy, "seconds": seconds, "peak_bytes": peak},
           f"test accuracy {accuracy:.4f}, {seconds:.2f} s in all, peak {peak / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
