#!/usr/bin/env python3
"""MNIST with PyTorch in Python, as one would write it: the whole set as tensors in memory, a manual loop.

Prints a line when ready, one an epoch (seconds, mean loss of its steps) and one at the end (test accuracy, peak memory);
with --json each is a JSON object. The loop is the idiomatic one with nothing slow in it: no DataLoader, no item() a step, losses summed on the device.
"""
import argparse
import gzip
import json
import os
import resource
import sys
import time

STARTED = time.perf_counter()


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="folder with mnist/ (and fashion-mnist/) in IDX files")
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_argument("--lr", type=float, default=None, help="default 0.01 (sgd) or 0.001 (adam)")
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--fused", action="store_true", help="the optimizer's fused kernel")
    parser.add_argument("--threads", type=int, default=1, help="0: PyTorch's own choice")
    parser.add_argument("--record", action="store_true", help="keep every step's loss and count right answers, as the studio does")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    return parser.parse_args()


def read_idx(folder, name):
    """The array of an IDX file, plain or .gz, as bytes after its header."""
    import numpy
    path = os.path.join(folder, name)
    opener = open
    if not os.path.exists(path):
        path, opener = path + ".gz", gzip.open
    with opener(path, "rb") as file:
        content = file.read()
    dimensions = content[3]
    shape = [int.from_bytes(content[4 + 4 * i:8 + 4 * i], "big") for i in range(dimensions)]
    return numpy.frombuffer(content, numpy.uint8, offset=4 + 4 * dimensions).reshape(shape)


def main():
    arguments = parse_arguments()
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(arguments.threads)
    import torch
    from torch import nn

    folder = os.path.join(arguments.data_dir, arguments.data)
    device = torch.device(arguments.device)

    def tensors(part):
        pixels = torch.tensor(read_idx(folder, part + "-images-idx3-ubyte")).flatten(1).float().div_(255)
        labels = torch.tensor(read_idx(folder, part + "-labels-idx1-ubyte")).long()
        return pixels.to(device), labels.to(device)

    x, y = tensors("train")
    test_x, test_y = tensors("t10k")

    torch.manual_seed(arguments.seed)
    model = nn.Sequential(nn.Linear(x.shape[1], arguments.hidden), nn.ReLU(), nn.Linear(arguments.hidden, 10)).to(device)
    criterion = nn.CrossEntropyLoss()
    if arguments.optimizer == "sgd":
        optimizer = torch.optim.SGD(model.parameters(), lr=arguments.lr or 0.01, momentum=arguments.momentum,
                                    fused=arguments.fused or None)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=arguments.lr or 0.001, fused=arguments.fused or None)

    def report(values, words):
        print(json.dumps(values) if arguments.json else words, flush=True)

    report({"event": "ready", "torch": torch.__version__, "seconds": time.perf_counter() - STARTED},
           f"ready after {time.perf_counter() - STARTED:.2f} s, PyTorch {torch.__version__}")
    for epoch in range(1, arguments.epochs + 1):
        started = time.perf_counter()
        order = torch.randperm(len(x), device=device)
        total, steps, losses, correct = torch.zeros((), device=device), 0, [], 0
        for batch in order.split(arguments.batch_size):
            optimizer.zero_grad()
            logits = model(x[batch])
            loss = criterion(logits, y[batch])
            loss.backward()
            optimizer.step()
            if arguments.record:
                losses.append(loss.item())
                correct += (logits.argmax(1) == y[batch]).sum().item()
            total += loss.detach()
            steps += 1
        mean = total.item() / steps
        seconds = time.perf_counter() - started
        report({"event": "epoch", "epoch": epoch, "seconds": seconds, "loss": mean, "samples_per_second": len(x) / seconds},
               f"epoch {epoch}: {seconds:.3f} s, loss {mean:.6f}, {len(x) / seconds:,.0f} samples/s")
    with torch.no_grad():
        accuracy = (model(test_x).argmax(1) == test_y).float().mean().item()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report({"event": "end", "accuracy": accuracy, "seconds": time.perf_counter() - STARTED, "peak_bytes": peak},
           f"test accuracy {accuracy:.4f}, {time.perf_counter() - STARTED:.2f} s in all, peak {peak / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
