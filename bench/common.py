"""What the Python programs beside this one share: their arguments, reading MNIST, reporting."""
import argparse
import gzip
import json
import os

import numpy


def arguments_parser(title, threads, threads_help):
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--data-dir", required=True, help="folder with mnist/ (and fashion-mnist/) in IDX files")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--lr", type=float, default=None, help="default 0.01 (sgd) or 0.001 (adam)")
    parser.add_argument("--threads", type=int, default=threads, help=threads_help)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    return parser


def reporter(arguments):
    """report(values, words): a line of JSON or of words, at once."""
    return lambda values, words: print(json.dumps(values) if arguments.json else words, flush=True)


def read_idx(folder, name):
    """The array of bytes of an IDX file, plain or .gz."""
    path = os.path.join(folder, name)
    opener = open
    if not os.path.exists(path):
        path, opener = path + ".gz", gzip.open
    with opener(path, "rb") as file:
        content = file.read()
    dimensions = content[3]
    shape = [int.from_bytes(content[4 + 4 * i:8 + 4 * i], "big") for i in range(dimensions)]
    return numpy.frombuffer(content, numpy.uint8, offset=4 + 4 * dimensions).reshape(shape)


def read_split(folder, part):
    """`part` "train" or "t10k": pictures [n, 784] as float32 from 0 to 1, labels [n] as int32."""
    pixels = read_idx(folder, part + "-images-idx3-ubyte")
    labels = read_idx(folder, part + "-labels-idx1-ubyte")
    return pixels.reshape(len(pixels), -1).astype(numpy.float32) / 255, labels.astype(numpy.int32)
