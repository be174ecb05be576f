"""The server under load: LISTENERS streams and RATE requests a second while a run trains, for SECONDS.

    python bench/server_load.py [--binary build/nnstudio] [--listeners 1000] [--rate 1000] [--seconds 60]

Every listener must get every step of every run exactly once and in order; the server's memory must be no larger after the
last minute than after the first. Prints what was seen, --json as one JSON object; exit status 1 when an event was missed.
"""

import argparse
import asyncio
import json
import pathlib
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "python"))
from server_help import Server  # noqa: E402


def resident(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024


class Count:
    """What one listener has seen: where each run stands."""

    def __init__(self):
        self.steps = {}
        self.missed = self.repeated = self.messages = 0

    def take(self, kind, data):
        self.messages += 1
        if kind == b"reset":
            self.missed += 1
        if kind != b"steps":
            return
        # Only the head is looked at: a thousand listeners share two cores with the server.
        run = data[data.index(b'"run":"') + 7 :]
        run = run[: run.index(b'"')]
        first = data[data.index(b'"first_step":') + 13 :]
        first = int(first[: first.index(b",")])
        count = data.count(b",", data.index(b"["), data.index(b"]")) + 1
        expected = self.steps.get(run)
        if expected is not None:
            self.missed += first > expected
            self.repeated += first < expected
        elif first != 0:
            self.missed += 1
        self.steps[run] = first + count


async def listen(server, count, ready, stop):
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=1 << 24)
    writer.write(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    kind = None
    try:
        while True:
            line = await reader.readline()
            if not line:
                if not stop.is_set():
                    count.missed += 1
                return
            if line.startswith(b"event: "):
                kind = line[7:].strip()
                if kind == b"hello":
                    ready.release()
            elif line.startswith(b"data: ") and kind:
                count.take(kind, line)
    except asyncio.CancelledError:
        pass
    finally:
        writer.close()


PATHS = ["/api/settings/defaults", "/api/runs?limit=10", "/", "/api/preferences", "/api/tasks"]


async def ask(server, share, end, done):
    """One client that keeps its connection."""
    reader, writer = await asyncio.open_connection(server.host, server.port, limit=1 << 24)
    turn = 0
    while time.monotonic() < end:
        begun = time.monotonic()
        writer.write(f"GET {PATHS[turn % len(PATHS)]} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        await reader.readexactly(length)
        done.append((head.startswith(b"HTTP/1.1 200"), time.monotonic() - begun))
        turn += 1
        await asyncio.sleep(max(0, share - (time.monotonic() - begun)))
    writer.close()


async def load(server, arguments):
    counts = [Count() for _ in range(arguments.listeners)]
    ready, stop, done = asyncio.Semaphore(0), asyncio.Event(), []
    listeners = [asyncio.create_task(listen(server, count, ready, stop)) for count in counts]
    for _ in counts:
        await asyncio.wait_for(ready.acquire(), 60)
    clients = 20
    end = time.monotonic() + arguments.seconds
    settings = {"dataset": "synthetic", "limit": 2000, "epochs": 100000, "threads": 1}
    run = await asyncio.to_thread(server.post, "/api/runs", {"engine": "native", "settings": settings}, status=201)
    memory = []

    async def weigh():
        while time.monotonic() < end:
            memory.append(resident(server.process.pid))
            await asyncio.sleep(arguments.seconds / 12)

    # The training is paused most of the time: the machine is small and the listeners are many.
    async def steer():
        while time.monotonic() < end - 2:
            await asyncio.sleep(1)
            await asyncio.to_thread(server.request, "POST", f"/api/runs/{run['id']}/pause")
            await asyncio.sleep(1)
            await asyncio.to_thread(server.request, "POST", f"/api/runs/{run['id']}/resume")

    await asyncio.gather(weigh(), steer(), *(ask(server, clients / arguments.rate, end, done) for _ in range(clients)))
    await asyncio.to_thread(server.post, f"/api/runs/{run['id']}/stop")
    total = (await asyncio.to_thread(server.wait, run["id"], "stopped"))["progress"]["global_step"]
    for _ in range(300):
        if all(count.steps.get(run["id"].encode()) == total for count in counts):
            break
        await asyncio.sleep(0.1)
    stop.set()
    for task in listeners:
        task.cancel()
    await asyncio.gather(*listeners, return_exceptions=True)
    await asyncio.sleep(2)
    short = sum(count.steps.get(run["id"].encode()) != total for count in counts)
    slow = sorted(seconds for _, seconds in done)
    return {
        "listeners": len(counts), "seconds": arguments.seconds, "steps": total,
        "messages": sum(count.messages for count in counts),
        "missed": sum(count.missed for count in counts), "repeated": sum(count.repeated for count in counts), "incomplete": short,
        "requests": len(done), "requests_per_second": len(done) / arguments.seconds, "failed": sum(not good for good, _ in done),
        "median_ms": 1000 * slow[len(slow) // 2], "p99_ms": 1000 * slow[len(slow) * 99 // 100],
        "rss_mb": [round(value / 1e6, 1) for value in memory], "rss_after_mb": round(resident(server.process.pid) / 1e6, 1),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="build/nnstudio")
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(str(pathlib.Path(arguments.binary).resolve()), pathlib.Path(folder) / "home", cwd=folder)
        try:
            start = resident(server.process.pid)
            result = asyncio.run(load(server, arguments))
            # What stays for a moment after a crowd is no growth; what a second one adds to it would be.
            small = argparse.Namespace(**vars(arguments) | {"listeners": max(1, arguments.listeners // 4), "seconds": min(10, arguments.seconds)})
            again = asyncio.run(load(server, small))
            result |= {"rss_start_mb": round(start / 1e6, 1), "rss_again_mb": again["rss_after_mb"]}
        finally:
            server.stop()
    if arguments.json:
        print(json.dumps(result))
    else:
        print(
            f"- {result['listeners']:,} listeners and {result['requests_per_second']:.0f} requests a second for {result['seconds']:.0f} s while a run"
            f" trained {result['steps']:,} steps: {result['messages']:,} messages told, {result['missed']} missed, {result['repeated']} repeated,"
            f" {result['incomplete']} listeners without the whole curve; {result['requests']:,} requests, {result['failed']} failed,"
            f" median {result['median_ms']:.1f} ms, 99 of 100 within {result['p99_ms']:.0f} ms."
        )
        print(
            f"- The server's memory: {result['rss_start_mb']} MB before, {max(result['rss_mb'])} MB at most, {result['rss_after_mb']} MB after"
            f" all had gone ({result['rss_again_mb']} MB after a second, smaller crowd)."
        )
    return 1 if result["missed"] or result["incomplete"] or result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
