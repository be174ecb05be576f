"""serve-model beside `mlflow models serve` and onnxruntime with the same model.

    python bench/serving.py --data-dir DIR [--build build] [--seconds 10] [--rounds 3]

Each round asks both servers in turn, with one sample per request over 1 and 16 connections, and with 64 samples over 4.
The asker is bench/ask.c, on the same processors. Prints a table in Markdown of the medians, what onnxruntime does when
it is called directly, and how far both servers' logits are from its; exit status 1 when answers
differ by more than 1e-5 or fewer than 20 times MLflow's requests are answered at 16 connections.
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy as np
import onnxruntime

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "registry"))
from rig import Program, answers, free_port  # noqa: E402

LOADS = [("1 sample, 1 connection", 1, 1), ("1 sample, 16 connections", 1, 16), ("64 samples, 4 connections", 64, 4)]


def started(words, folder, name, **options):
    port = free_port()
    program = Program([str(word).replace("PORT", str(port)) for word in words], folder / f"{name}.log", **options)
    program.wait_for(lambda: answers(port), name, 300)
    program.port = port
    return program


def digits(data_dir, count):
    path = next(p for p in (pathlib.Path(data_dir) / "mnist").iterdir() if p.name.startswith("t10k-images"))
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rb").read()
    return np.frombuffer(raw, np.uint8, count * 784, 16).reshape(count, 784).astype(np.float32) / np.float32(255)


def score(port, samples):
    body = json.dumps({"inputs": samples.tolist()}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return np.array(json.load(answer)["predictions"])


def memory(program):
    group, total = os.getpgid(program.process.pid), 0
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                lines = (entry / "status").read_text().splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
        except (OSError, ProcessLookupError):
            continue
    return total


def asked(build, port, body, connections, seconds):
    words = [str(build / "bench" / "ask"), str(port), "/invocations", str(body), str(connections), str(seconds)]
    result = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert not result["failed"], result
    return result


def prepare(build, folder, data_dir):
    """Trains, converts, registers in a server of MLflow's; the folder of the registered model."""
    studio, home = str(build / "nnstudio"), folder / "home"
    train = [studio, "train", "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--epochs", "1", "--out", folder, "--home", home]
    subprocess.run(list(map(str, train)), check=True, capture_output=True)
    subprocess.run([studio, "convert", folder / "simple_nn.safetensors", folder / "simple_nn.onnx"], check=True, capture_output=True)
    place = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", folder / "artifacts"]
    tracking = started([pathlib.Path(sys.executable).parent / "mlflow", "server", "--host", "127.0.0.1", "--port", "PORT", *place], folder, "mlflow")
    address = f"http://127.0.0.1:{tracking.port}"
    subprocess.run([studio, "register", folder / "simple_nn.onnx", "--to", "mlflow", "--tracking-uri", address, "--name", "served", "--home", home], check=True, capture_output=True)
    import mlflow

    mlflow.set_tracking_uri(address)
    path = mlflow.artifacts.download_artifacts("models:/served/1", dst_path=str(folder / "served"))
    tracking.stop()
    return pathlib.Path(path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        served = prepare(given.build, folder, given.data_dir)
        mlflow = [pathlib.Path(sys.executable).parent / "mlflow", "models", "serve", "-m", served, "--env-manager", "local", "--host", "127.0.0.1", "--port", "PORT"]
        servers = {
            "nnstudio": started([given.build / "nnstudio", "serve-model", folder / "simple_nn.onnx", "--port", "PORT"], folder, "nnstudio"),
            "mlflow": started(mlflow, folder, "mlflow-models", env={**os.environ, "PATH": f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"}),
        }
        try:
            return measure(given, folder, servers)
        finally:
            for server in servers.values():
                server.stop()


def alone(session, sample, seconds):
    """onnxruntime called directly, one sample after the other: (runs per second, p99 in ms)."""
    name, times, begun = session.get_inputs()[0].name, [], time.perf_counter()
    while time.perf_counter() - begun < seconds or not times:
        before = time.perf_counter()
        session.run(None, {name: sample})
        times.append(time.perf_counter() - before)
    return len(times) / sum(times), 1000 * sorted(times)[min(len(times) - 1, int(0.99 * len(times)))]


def measure(given, folder, servers):
    samples = digits(given.data_dir, 64)
    session = onnxruntime.InferenceSession(str(folder / "simple_nn.onnx"), providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: samples})[0]
    apart = {name: float(np.abs(score(server.port, samples) - expected).max()) for name, server in servers.items()}
    seen = {}
    for load, count, connections in LOADS:
        body = folder / f"{count}.json"
        body.write_text(json.dumps({"inputs": samples[:count].tolist()}))
        for _ in range(given.rounds):
            for name, server in servers.items():
                seen.setdefault((load, name), []).append(asked(given.build, server.port, body, connections, given.seconds))
    ratios = {}
    print("| requests | nnstudio, per second | median, ms | p99, ms | mlflow models serve, per second | median, ms | p99, ms | ratio |\n|---|---|---|---|---|---|---|---|")
    for load, _, _ in LOADS:
        rates, cells = {}, []
        for name in servers:
            rounds = seen[load, name]
            rates[name] = statistics.median(r["requests"] / r["seconds"] for r in rounds)
            cells += [f"{rates[name]:,.0f}", *(f"{statistics.median(r[key] for r in rounds):.2f}" for key in ("median_ms", "p99_ms"))]
        ratios[load] = rates["nnstudio"] / rates["mlflow"]
        print(f"| {load} | {' | '.join(cells)} | **{ratios[load]:.1f}** |")
    print(f"\nLargest difference from onnxruntime's logits: nnstudio {apart['nnstudio']:.1e}, MLflow {apart['mlflow']:.1e}. ", end="")
    print("onnxruntime called directly, without a server: {:,.0f} single samples per second, p99 {:.3f} ms. ".format(*alone(session, samples[:1], given.seconds)), end="")
    print(f"Memory: {memory(servers['nnstudio']) / 1e6:.0f} MB and {memory(servers['mlflow']) / 1e6:.0f} MB. ", end="")
    print(f"{os.cpu_count()} processors, medians of {given.rounds} rounds of {given.seconds:g} s; the asker runs on the same processors.")
    return 0 if max(apart.values()) <= 1e-5 and ratios[LOADS[1][0]] >= 20 else 1


sys.exit(main())
