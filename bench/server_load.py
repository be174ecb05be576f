"""The server under load: LISTENERS streams and RATE requests per second while a run trains, for SECONDS.

    python bench/server_load.py [--build build] [--listeners 1000] [--rate 1000] [--seconds 60]

The crowd is bench/crowd.c, which costs little beside the server on the same cores. Every listener must get every step of
the run exactly once and in order; a second crowd must leave the server no larger than the first. Prints what was seen,
--json as one JSON object; exit status 1 when an event was missed.
"""

import argparse
import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "python"))
from server_help import Server  # noqa: E402


def resident(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


async def line_of(program):
    line = await asyncio.wait_for(program.stdout.readline(), 120)
    assert line, "the crowd has ended early"
    return line.decode().strip()


async def tell(program, text):
    program.stdin.write(text.encode() + b"\n")
    await program.stdin.drain()


async def load(server, crowd, arguments):
    program = await asyncio.create_subprocess_exec(
        crowd, str(server.port), str(arguments.listeners), str(arguments.rate), str(arguments.seconds),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )
    assert await line_of(program) == "ready"
    settings = {"dataset": "synthetic", "limit": 20000, "batch_size": 128, "epochs": 100000, "threads": 1}
    run = server.post("/api/runs", {"engine": "native", "settings": settings}, status=201)
    memory, end = [], time.monotonic() + arguments.seconds

    async def weigh():
        while time.monotonic() < end:
            memory.append(resident(server.process.pid))
            await asyncio.sleep(arguments.seconds / 12)

    # The training is paused half of the time: the machine is small and the listeners are many.
    async def steer():
        while time.monotonic() < end - 2:
            await asyncio.sleep(1)
            await asyncio.to_thread(server.request, "POST", f"/api/runs/{run['id']}/pause")
            await asyncio.sleep(1)
            await asyncio.to_thread(server.request, "POST", f"/api/runs/{run['id']}/resume")

    await tell(program, "go")
    await asyncio.gather(weigh(), steer())
    assert await line_of(program) == "asked"
    await asyncio.to_thread(server.post, f"/api/runs/{run['id']}/stop")
    total = (await asyncio.to_thread(server.wait, run["id"], "stopped"))["progress"]["global_step"]
    await tell(program, str(total))
    result = json.loads(await line_of(program))
    await program.wait()
    await asyncio.sleep(2)
    return result | {
        "listeners": arguments.listeners, "seconds": arguments.seconds, "steps": total,
        "requests_per_second": result["requests"] / arguments.seconds,
        "rss_mb": [round(value / 1e6, 1) for value in memory], "rss_after_mb": round(resident(server.process.pid) / 1e6, 1),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", type=pathlib.Path, default="build")
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    subprocess.run(["ninja", "-C", build, "--quiet", "bench/crowd"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(str(build / "nnstudio"), pathlib.Path(folder) / "home", cwd=folder)
        try:
            start = resident(server.process.pid)
            result = asyncio.run(load(server, build / "bench/crowd", arguments))
            # What stays for a moment after a crowd is no growth; what a second one adds to it would be.
            small = argparse.Namespace(**vars(arguments) | {"seconds": min(20, arguments.seconds)})
            again = asyncio.run(load(server, build / "bench/crowd", small))
            result |= {"rss_start_mb": round(start / 1e6, 1), "rss_again_mb": again["rss_after_mb"]}
        finally:
            server.stop()
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"- {result['listeners']:,} listeners and {result['requests_per_second']:.0f} requests per second for {result['seconds']:.0f} s while a run"
            f" trained {result['steps']:,} steps: {result['messages']:,} messages told, {result['missed']} missed, {result['repeated']} repeated,"
            f" {result['incomplete']} listeners without the whole curve; {result['requests']:,} requests, {result['failed']} failed,"
            f" median {result['median_ms']:.2f} ms, 99 of 100 within {result['p99_ms']:.0f} ms."
        )
        print(
            f"- The server's memory: {result['rss_start_mb']} MB before, {max(result['rss_mb'])} MB at most, {result['rss_after_mb']} MB after"
            f" all had gone ({result['rss_again_mb']} MB after a second crowd of 20 s)."
        )
    return 1 if any(result[word] for word in ("missed", "incomplete", "failed", "gone")) else 0


if __name__ == "__main__":
    sys.exit(main())
