"""Reads MNIST's IDX files, for the Python programs beside this one."""
import gzip
import os

import numpy


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
