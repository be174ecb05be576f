#!/usr/bin/env python3
"""Several ranks on one machine: time per epoch and the share of communication on 1 and 2 ranks, of dense networks of growing
width and of a convolutional one; and what that means for up to 64 ranks.

The model. A step of n samples on one rank costs a + b·n (two batch sizes tell a and b). On P ranks a step costs a + b·n/P, and
what travels: every value of the gradient twice, in P pieces of which one stays, and as many messages to each other rank:
2·(P − 1)·L + 2·V·(P − 1)/P / W. L and W are a straight line through what 2 ranks needed per step over all widths (which has their
waiting for one another in it); other networks are computed from the latency and bandwidth that they are named with. Prints
Markdown. About four minutes on two free cores; --quick tries it in one."""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

CONVOLUTIONS = "conv 8 3x3, relu, maxpool 2, conv 16 3x3, relu, maxpool 2, flatten, dense 64, relu, dense 10"
BATCH = 256
OTHERS = [("10 Gbit/s Ethernet, 30 µs (assumed)", 30e-6, 1.25e9), ("100 Gbit/s InfiniBand, 2 µs (assumed)", 2e-6, 12.5e9)]
PROJECTED = [1, 2, 4, 8, 16, 32, 64]


class Measured:
    """A run's medians over its epochs but the first."""

    def __init__(self, binary, home, net, ranks, samples, epochs, batch):
        launch = ["mpirun", "--oversubscribe", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "-n", str(ranks)] if ranks > 1 else []
        words = [binary, "train", "--engine", "native", "--threads", "1", "--dataset", "synthetic", "--limit", str(samples), "--epochs", str(epochs)]
        words += ["--batch-size", str(batch), "--net", net, "--json", "--home", home, "--out", home]
        done = subprocess.run([str(word) for word in [*launch, *words]], capture_output=True, text=True, cwd=home)
        if done.returncode:
            sys.exit(f"bench: {net} on {ranks} ranks: {done.stderr[-400:]}")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        (start,) = [event for event in events if event["event"] == "start"]
        rows = [event for event in events if event["event"] == "epoch"][1:]
        self.steps, self.parameters = start["steps_per_epoch"], start["parameters"]
        self.seconds = statistics.median(row["seconds"] for row in rows)
        self.communication = statistics.median(row.get("communication_seconds") or 0 for row in rows)
        self.step = self.seconds / self.steps


def line_through(points):
    """(at 0, slope) of the least squares' straight line."""
    n, sx, sy = len(points), sum(x for x, _ in points), sum(y for _, y in points)
    slope = (n * sum(x * y for x, y in points) - sx * sy) / (n * sum(x * x for x, _ in points) - sx * sx)
    return (sy - slope * sx) / n, slope


def communication(ranks, values, latency, bandwidth):
    """Seconds of a step: 4 bytes a value, twice, all but a rank's own piece."""
    return 0 if ranks == 1 else 2 * (ranks - 1) * latency + 2 * 4 * values * (ranks - 1) / ranks / bandwidth


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="build/nnstudio")
    parser.add_argument("--quick", action="store_true", help="fewer widths, samples and epochs: whether it works")
    a = parser.parse_args()
    binary = pathlib.Path(a.binary).resolve()
    if not shutil.which("mpirun"):
        sys.exit("bench: no mpirun: apt install openmpi-bin")
    widths = [128, 512] if a.quick else [128, 256, 512, 1024, 2048, 4096]
    samples, epochs = (1024, 2) if a.quick else (4096, 4)
    nets = {f"dense {width}": f"dense {width}, relu, dense 10" for width in widths} | {"convolutions": CONVOLUTIONS}
    found = {}
    with tempfile.TemporaryDirectory() as home:
        for name, net in nets.items():
            one, two = (Measured(binary, home, net, ranks, samples, epochs, BATCH) for ranks in (1, 2))
            half = Measured(binary, home, net, 1, samples, epochs, BATCH // 2)
            slope = max(0.0, (one.step - half.step) / (BATCH / 2))
            found[name] = (one, two, max(0.0, one.step - slope * BATCH), slope)
    print(f"The native engine, float32, one thread a rank, {samples} samples in batches of {BATCH}, one machine with {os.cpu_count()} processors; medians of the epochs but the first.\n")
    print("| network | values | epoch, 1 rank | epoch, 2 ranks | speedup | in communication |\n|---|---|---|---|---|---|")
    for name, (one, two, _, _) in found.items():
        print(f"| {name} | {one.parameters:,} | {one.seconds * 1e3:.1f} ms | {two.seconds * 1e3:.1f} ms | {one.seconds / two.seconds:.2f} | {100 * two.communication / two.seconds:.0f} % |")
    fixed, per_value = line_through([(two.parameters, two.communication / two.steps) for _, two, _, _ in found.values()])
    if per_value <= 0:
        sys.exit("bench: communication does not grow with what is sent: the machine is busy, measure on a quiet one")
    latency, bandwidth = max(fixed, 0) / 2, 4 / per_value
    print(f"\nA straight line through the communication of a step on 2 ranks: {latency * 1e6:.0f} µs a message, {bandwidth / 1e9:.2f} GB/s (shared memory, with the ranks' waiting for one another).")
    print("\nProjected speedup (not measured) with that step's cost a + b·n/P + 2·(P − 1)·L + 8·values·(P − 1)/P/W, the batch divided among P ranks, each with cores of its own:\n")
    print(f"| network | between ranks | {' | '.join(f'{p} ranks' for p in PROJECTED[1:])} |\n|---|---|{'---|' * len(PROJECTED[1:])}")
    for name, (one, _, a_fixed, b) in found.items():
        for words, l, w in [("this machine's memory", latency, bandwidth), *OTHERS]:
            cost = [a_fixed + b * BATCH / p + communication(p, one.parameters, l, w) for p in PROJECTED]
            print(f"| {name} | {words} | {' | '.join(f'{cost[0] / each:.1f}' for each in cost[1:])} |")
    print(f"\nAssumed: all ranks equally fast; nothing else on the network; a fixed part of a step (a: optimizer, packing, loops) that does not shrink; messages to the others one after the other; the batch stays {BATCH}: "
          "with one that grows with the ranks the share of communication falls as 1/P. Not in it: reading the data, the evaluation, which is rank 0's, and ranks that wait for a slow one.")  # fmt: skip


if __name__ == "__main__":
    main()
