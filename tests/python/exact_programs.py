"""Runs the PyTorch and the Keras program of bundles, unchanged, and tells their losses in all digits.

usage: exact_programs.py DATA_DIR FOLDER…
Prints a JSON list, an object per folder: "torch", the losses of the last epoch's steps, "keras", the mean loss of every epoch;
null for a program that the bundle does not hold.
"""

import contextlib
import io
import json
import os
import runpy
import sys

import keras


def command(folder, program):
    """What the bundle's README says to type behind the program's name."""
    with open(os.path.join(folder, "README.md")) as file:
        lines = [line for line in file.read().splitlines() if line.startswith(f"python {program} ")]
    return lines[0].split()[2:] if lines else None


def run(folder, program, data_dir):
    words = command(folder, program)
    if words is None:
        return None
    os.chdir(folder)
    sys.argv = [program, *(data_dir if word == "DIR" else word for word in words)]
    with contextlib.redirect_stdout(io.StringIO()):
        return runpy.run_path(program, run_name="__main__")


def keras_losses(folder, data_dir):
    """fit() returns a history, which the program has no use for."""
    means, fit = [], keras.Model.fit

    def noting(model, *arguments, **options):
        history = fit(model, *arguments, **options)
        means.extend(history.history["loss"])
        return history

    keras.Model.fit = noting
    try:
        made = run(folder, "model_tf.py", data_dir)
    finally:
        keras.Model.fit = fit
        keras.config.set_floatx("float32")
    return means if made else None


def losses(folder, data_dir):
    made = run(folder, "model.py", data_dir)
    return {"torch": made and made["losses"], "keras": keras_losses(folder, data_dir)}


if __name__ == "__main__":
    _, data_dir, *folders = sys.argv
    print(json.dumps([losses(folder, data_dir) for folder in folders]))
