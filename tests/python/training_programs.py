"""Runs the programs of bundles, unchanged, one framework in one process, and tells what they computed in all digits.

usage: training_programs.py PROGRAM DATA_DIR FOLDER…
Prints a JSON list, an object per folder: "epochs" (how many it trained), "loss" (PyTorch: of the last epoch's steps; Keras: the mean of every epoch),
"val_loss" (of the last epoch), "test_loss" (null where the program has none), or "error".
"""

import contextlib
import functools
import gzip
import io
import json
import os
import runpy
import sys
import traceback

from exact_programs import command


def run(folder, program, data_dir):
    os.chdir(folder)
    sys.argv = [program, *(data_dir if word == "DIR" else word for word in command(folder, program))]
    with contextlib.redirect_stdout(io.StringIO()):
        return runpy.run_path(program, run_name="__main__")


def told_by_torch(folder, data_dir):
    import torch

    try:
        made = run(folder, "model.py", data_dir)
    finally:
        torch.set_default_dtype(torch.float32)  # a program may have asked for another
    return {"epochs": made["epoch"] + 1, "loss": made["losses"], "val_loss": made["val_loss"], "test_loss": made.get("test_loss")}


def told_by_keras(folder, data_dir):
    """fit() returns a history, which the program has no use for."""
    import keras

    told, fit = [], keras.Model.fit

    def noting(model, *arguments, **options):
        history = fit(model, *arguments, **options).history
        told.extend(dict(zip(history, values)) for values in zip(*history.values()))

    keras.Model.fit = noting
    try:
        made = run(folder, "model_tf.py", data_dir)
    finally:
        keras.Model.fit = fit
        keras.config.set_floatx("float32")  # a program may have asked for another
        keras.backend.clear_session()
    test = made.get("test", {})
    report = made["Report"].on_epoch_end.__code__.co_consts  # which of them the program prints
    loss, val_loss = (next(name for name in names if name in report) for names in (("entropy", "loss"), ("val_entropy", "val_loss")))
    return {"epochs": len(told), "loss": [epoch[loss] for epoch in told], "val_loss": told[-1][val_loss], "test_loss": test.get(val_loss[4:])}


def main(program, data_dir, *folders):
    gzip.decompress = functools.lru_cache(maxsize=4)(gzip.decompress)  # all programs read the same files
    tell = told_by_torch if program == "model.py" else told_by_keras
    found = []
    for folder in folders:
        try:
            found.append(tell(folder, data_dir))
        except Exception:
            found.append({"error": traceback.format_exc()[-1500:]})
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
