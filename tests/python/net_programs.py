"""Runs the PyTorch and the Keras program of the same network and compares the two models.

usage: net_programs.py DATA_DIR FOLDER…
Each FOLDER holds model.py and model_tf.py. Prints a JSON list, one object per folder: the epochs that
each printed, the parameters of each model, and the largest difference of the logits of the test
samples after the PyTorch model's tensors were copied into the Keras model.
"""

import contextlib
import io
import json
import os
import runpy
import sys

import keras
import numpy as np
import torch


def run(program, data_dir):
    sys.argv = [program, "--data-dir", data_dir]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        made = runpy.run_path(program, run_name="__main__")
    return made, printed.getvalue()


def copied(module, maps):
    """The tensors of a PyTorch module as Keras keeps them; `maps`: the rows, columns and channels that a dense layer counts."""
    weight = module.weight.detach().numpy()
    rest = [module.bias.detach().numpy()] if module.bias is not None else []
    if isinstance(module, torch.nn.Linear):
        if maps:
            rows, columns, channels = maps
            weight = weight.reshape(-1, channels, rows, columns).transpose(0, 2, 3, 1).reshape(len(weight), -1)
        return [weight.T, *rest]
    if isinstance(module, torch.nn.Conv2d):
        channels = module.in_channels
        if module.groups == channels > 1:
            return [weight.reshape(channels, -1, *weight.shape[2:]).transpose(2, 3, 0, 1), *rest]
        return [weight.transpose(2, 3, 1, 0), *rest]
    if isinstance(module, torch.nn.LayerNorm) and weight.ndim == 3:
        return [value.transpose(1, 2, 0) for value in (weight, *rest)]
    if isinstance(module, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d)):
        rest += [module.running_mean.numpy(), module.running_var.numpy()]
    return [weight, *rest]


def copy_tensors(module, model):
    maps = None
    for layer in model.layers:
        if isinstance(layer, keras.layers.Flatten):
            maps = layer.input.shape[1:]
        if layer.weights and hasattr(module, layer.name):
            part = getattr(module, layer.name)
            layer.set_weights([*copied(part, maps), *layer.get_weights()[4:]])
            if isinstance(layer, keras.layers.Dense):
                maps = None


def compare(folder, data_dir):
    os.chdir(folder)
    made, torch_printed = run("model.py", data_dir)
    declared, keras_printed = run("model_tf.py", data_dir)
    module, model = made["model"].eval(), declared["model"]
    copy_tensors(module, model)
    with torch.no_grad():
        logits = module(made["x_test"]).numpy()
    predicted = model.predict(declared["x_test"], verbose=0)
    keras.config.set_floatx("float32")  # a program may have asked for another
    return {
        "torch_printed": torch_printed,
        "keras_printed": keras_printed,
        "torch_parameters": sum(parameter.numel() for parameter in module.parameters()),
        "keras_parameters": int(sum(np.prod(weight.shape) for weight in model.trainable_weights)),
        "difference": float(np.abs(logits - predicted).max()),
        "spread": float(logits.std()),
    }


if __name__ == "__main__":
    _, data_dir, *folders = sys.argv
    print(json.dumps([compare(folder, data_dir) for folder in folders]))
