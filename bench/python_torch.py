#!/usr/bin/env python3
"""MNIST with PyTorch in Python, as one would write it: the whole set as tensors in memory, a manual loop.

Prints a line when ready, one per epoch (seconds, mean loss of its steps) and one at the end (test accuracy, peak memory);
with --json each is a JSON object. The loop is the idiomatic one with nothing slow in it: no DataLoader, no item() a step, losses summed on the device.
"""
import os
import resource
import sys
import time

from common import arguments_parser, read_split, reporter

STARTED = time.perf_counter()


def main():
    parser = arguments_parser(__doc__.splitlines()[0], 1, "0: PyTorch's own choice")
    parser.add_argument("--momentum", type=float, default=0.0)
    parser.add_argument("--fused", action="store_true", help="the optimizer's fused kernel")
    parser.add_argument("--record", action="store_true", help="keep every step's loss and count correct answers, as the studio does")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    if arguments.threads:
        os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(arguments.threads)
    import torch
    from torch import nn

    folder = os.path.join(arguments.data_dir, arguments.data)
    device = torch.device(arguments.device)

    def tensors(part):
        pixels, labels = read_split(folder, part)
        return torch.from_numpy(pixels).to(device), torch.from_numpy(labels).long().to(device)

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

    report = reporter(arguments)

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
