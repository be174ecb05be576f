#!/usr/bin/env python3
"""Every kernel of the native engine by itself, for each kind of vector code that this processor runs, beside its sgemm.

Prints Markdown: rates on one thread, the best of all bursts of some turns, and for products the share of NumPy's float32
product, measured before every turn. Half a minute.
"""
import argparse
import os
import subprocess
import sys

from conv import sgemm

# what NNSTUDIO_NATIVE_CPU takes, and the name that the engine gives it
KINDS = {"portable": "portable vectors", "avx2": "AVX2", "avx512": "AVX-512"}


def measure(kind, data_dir):
    """{(kernel, unit): rate}, or None where the processor has no such vectors."""
    env = {**os.environ, "NNSTUDIO_NATIVE_CPU": kind}
    done = subprocess.run(["build/bench/kernels", data_dir], env=env, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit("kernels: build/bench/kernels failed")
    name, *lines = done.stdout.splitlines()
    if name != KINDS[kind]:
        return None
    return {(kernel, unit): float(rate) for kernel, unit, rate in (line.split("\t") for line in lines)}


def cell(rate, unit, product):
    share = f" ({rate / product:.0%})" if unit == "GFLOP/s" else ""
    return f"{rate:.3g}{share}" if rate < 1000 else f"{rate:.0f}{share}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", required=True, help="folder with mnist/ in IDX files")
    parser.add_argument("--turns", type=int, default=3)
    a = parser.parse_args()
    best, product = {}, 0
    for turn in range(a.turns):
        product = max(product, sgemm(1))
        for kind in KINDS:
            print(f"turn {turn + 1}: {kind}", file=sys.stderr)
            for what, rate in (measure(kind, a.data_dir) or {}).items():
                of = best.setdefault(kind, {})
                of[what] = max(rate, of.get(what, 0))
    titles = [KINDS[kind] for kind in best]
    print(f"| one thread (sgemm {product:.0f} GFLOP/s) | unit | {' | '.join(titles)} |")
    print("|---|" + "---|" * (len(best) + 1))
    for kernel, unit in next(iter(best.values())):
        print(f"| {kernel} | {unit} | {' | '.join(cell(best[kind][kernel, unit], unit, product) for kind in best)} |")
    missing = [title for kind, title in KINDS.items() if kind not in best]
    if missing:
        print(f"\nNot on this processor: {', '.join(missing)}.")


if __name__ == "__main__":
    main()
