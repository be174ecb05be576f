#!/usr/bin/env python3
"""MNIST with Keras in Python, as one would write it: Sequential, compile, fit.

Prints one line of JSON per epoch (--json) or a readable one: seconds, mean loss of the steps, test accuracy at the end.
"""
import os
import resource
import sys
import time

from common import arguments_parser, read_split, reporter

STARTED = time.perf_counter()


def main():
    parser = arguments_parser(__doc__.splitlines()[0], 0, "0: TensorFlow's own choice")
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow

    if arguments.threads:
        tensorflow.config.threading.set_intra_op_parallelism_threads(arguments.threads)
        tensorflow.config.threading.set_inter_op_parallelism_threads(arguments.threads)

    folder = os.path.join(arguments.data_dir, arguments.data)
    x, y = read_split(folder, "train")
    test_x, test_y = read_split(folder, "t10k")

    keras.utils.set_random_seed(arguments.seed)
    model = keras.Sequential([
        keras.Input(shape=(x.shape[1],)),
        keras.layers.Dense(arguments.hidden, activation="relu"),
        keras.layers.Dense(10),
    ])
    if arguments.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(learning_rate=arguments.lr or 0.01)
    else:
        optimizer = keras.optimizers.Adam(learning_rate=arguments.lr or 0.001)
    model.compile(optimizer=optimizer, loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                  metrics=["accuracy"])

    report = reporter(arguments)

    class Report(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            seconds = time.perf_counter() - self.started
            speed = len(x) / seconds
            report({"event": "epoch", "epoch": epoch + 1, "seconds": seconds, "loss": logs["loss"], "samples_per_second": speed},
                   f"epoch {epoch + 1}: {seconds:.3f} s, loss {logs['loss']:.6f}, {speed:,.0f} samples/s")

    ready = time.perf_counter() - STARTED
    report({"event": "ready", "keras": keras.__version__, "tensorflow": tensorflow.__version__, "seconds": ready},
           f"ready after {ready:.2f} s, Keras {keras.__version__}, TensorFlow {tensorflow.__version__}")
    model.fit(x, y, batch_size=arguments.batch_size, epochs=arguments.epochs, verbose=0, callbacks=[Report()])
    accuracy = model.evaluate(test_x, test_y, batch_size=1000, verbose=0, return_dict=True)["accuracy"]
    seconds = time.perf_counter() - STARTED
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report({"event": "end", "accuracy": accuracy, "seconds": seconds, "peak_bytes": peak},
           f"test accuracy {accuracy:.4f}, {seconds:.2f} s in all, peak {peak / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
