"""Processes are killed at random moments, again and again: nothing that was shown is lost, and every run ends with the bits of
one that was never disturbed.

NNSTUDIO_KILL_ROUNDS: how many rounds (20; `make kill` takes 200); NNSTUDIO_KILL_SEED: where they begin. A round that fails
names its number: ROUNDS=1 SEED=that one repeats it."""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

import pytest
from server_help import Listener, gone, losses_of, wait_until, workers_of

ROUNDS = int(os.environ.get("NNSTUDIO_KILL_ROUNDS", "20"))
SEED = int(os.environ.get("NNSTUDIO_KILL_SEED", "1"))

# Many short epochs, each with its checkpoint; or few long ones, so that much lies between two checkpoints.
SHAPES = {
    "short epochs": {"dataset": "synthetic", "limit": 1000, "epochs": 40, "hidden": [16], "batch_size": 32, "seed": 5, "threads": 1},
    "long epochs": {"dataset": "synthetic", "limit": 4000, "epochs": 3, "hidden": [16], "batch_size": 1, "seed": 6, "optimizer": "adam", "lr": 0.001, "threads": 1},
}


def tensors(path):
    """What a .safetensors holds beside its metadata, which names the run."""
    content = pathlib.Path(path).read_bytes()
    return hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()


def leftovers(folder):
    return [path.name for path in pathlib.Path(folder).rglob("*") if ".part-" in path.name]


class Ears:
    """Listens to a server's stream until it dies; keeps every loss that was told."""

    def __init__(self, server):
        self.listener, self.messages = Listener(server), []
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            while True:
                self.messages.append(self.listener.next())
        except Exception:  # noqa: BLE001: the server is dead, in whatever way that shows
            pass

    def told(self, run):
        self.thread.join(20)
        self.listener.close()
        return losses_of(self.messages, run)


class Victim:
    """A home whose server is killed and started again."""

    def __init__(self, start):
        self.start = start
        self.open()

    def open(self):
        self.server = self.start()
        self.ears = Ears(self.server)

    def kill(self, chance, who):
        """Kills the server, its workers or both; the server is started anew. What was told of each run is kept."""
        targets = {"server": [self.server.process.pid], "worker": workers_of(self.server)}
        workers = targets["worker"]
        targets["both"] = targets["server"] + workers if chance.random() < 0.5 else workers + targets["server"]
        for pid in targets[who]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if who == "worker":
            time.sleep(0.15)  # until it is heard of
            return {}
        self.server.process.wait()
        wait_until(lambda: all(gone(pid) for pid in workers))
        ears = self.ears
        self.open()
        return ears


@pytest.fixture(scope="module")
def undisturbed(binary, tmp_path_factory):
    """shape → (curve, digest of the model's tensors) of a run that nobody touched."""
    from server_help import Server

    folder = tmp_path_factory.mktemp("undisturbed")
    server, found = Server(binary, folder / "home", cwd=folder), {}
    for name, settings in SHAPES.items():
        run = server.post("/api/runs", {"engine": "native", "settings": settings}, status=201)["id"]
        done = server.wait(run, "finished", "failed")
        assert done["state"] == "finished", done["error"]
        found[name] = server.curve(run), tensors(done["files"][0]["path"]), done["progress"]["seconds"]
    server.stop()
    return found


def train_and_kill(victim, chance, undisturbed, home):
    shape = chance.choice(list(SHAPES))
    curve, model, seconds = undisturbed[shape]
    run = victim.server.post("/api/runs", {"engine": "native", "settings": SHAPES[shape]}, status=201)["id"]
    shown, kills = {}, chance.choice([1, 2, 2, 3])
    for turn in range(kills):
        # the first one anywhere, those after it mostly before what is trained again has been trained
        time.sleep(chance.uniform(0, 2 * seconds + 0.3 if turn == 0 else 0.25))
        ears = victim.kill(chance, chance.choice(["server", "worker", "both", "both"]))
        if ears:
            shown |= ears.told(run)
        now = victim.server.wait(run, "interrupted", "failed", "stopped", "finished")
        kept = victim.server.curve(run)
        lost = [step for step, loss in shown.items() if step >= len(kept) or kept[step] != loss]
        assert not lost, f"{len(lost)} points that were shown are lost, from step {lost[0]} of {len(kept)}"
        assert kept == curve[: len(kept)] and now["progress"]["global_step"] == len(kept)
        if now["state"] == "finished":
            break
        victim.server.post(f"/api/runs/{run}/continue")
    done = victim.server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert victim.server.curve(run) == curve and tensors(done["files"][0]["path"]) == model
    assert [epoch["epoch"] for epoch in victim.server.get(f"/api/runs/{run}")["epochs"]] == list(range(1, SHAPES[shape]["epochs"] + 1))
    assert leftovers(home / "runs" / run) == []
    return run


def kill_terminal(binary, chance, undisturbed, home):
    """`nnstudio train` and its worker."""
    shape = chance.choice(list(SHAPES))
    curve, model, seconds = undisturbed[shape]
    settings = SHAPES[shape]
    words = ["--dataset", "synthetic", "--limit", settings["limit"], "--epochs", settings["epochs"], "--hidden", 16, "--seed", settings["seed"],
             "--batch-size", settings["batch_size"], "--optimizer", settings.get("optimizer", "sgd"), "--lr", settings.get("lr", 0.01),
             "--name", "killed"]  # fmt: skip
    out = home / "terminal"
    before = set(os.listdir(home / "runs"))
    words, run = ["--engine", "native", *words, "--out", out], None
    for turn in range(chance.choice([1, 2])):
        process = subprocess.Popen([binary, "train", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home)
        time.sleep(chance.uniform(0, 2 * seconds + 0.2) / (turn + 1))
        (worker, *_) = workers_of(process) or [None]
        for pid in filter(None, [worker, process.pid] if chance.random() < 0.7 else [process.pid]):
            os.kill(pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: worker is None or gone(worker))  # noqa: B023: called at once
        new = set(os.listdir(home / "runs")) - before
        if not new or not (home / "runs" / min(new) / "checkpoint.safetensors").exists():
            return  # killed before there was anything to go on from
        run = min(new)
        words = ["--resume", run]
    result = subprocess.run([binary, "train", "--resume", run], capture_output=True, text=True, cwd=home)
    assert result.returncode == 0 or "has done its" in result.stderr, result.stderr
    assert tensors(out / "killed.safetensors") == model
    shown = json.loads(subprocess.run([binary, "runs", "show", run, "--json"], capture_output=True, text=True, check=True).stdout)
    assert shown["state"] == "finished" and shown["progress"]["global_step"] == len(curve)
    assert leftovers(home / "runs" / run) == []


def kill_registration(victim, chance, run, home):
    """A version is there whole, or not at all, and the next try succeeds."""
    model = victim.server.get(f"/api/runs/{run}")["files"][0]
    name = f"m{chance.randrange(10**9)}"
    body = {"run": run, "target": "local", "name": name, "format": chance.choice(["safetensors", "pth", "onnx"])}
    victim.server.post("/api/registry/registrations", body, status=202)
    time.sleep(chance.uniform(0, 0.08))
    victim.kill(chance, "server")
    listed = [item["state"] for item in victim.server.get("/api/registry/registrations")["registrations"] if item["name"] == name]
    assert "running" not in listed, "a registration that nobody works on anymore"
    task = victim.server.post("/api/registry/registrations", body, status=202)["task"]
    wait_until(lambda: victim.server.get(f"/api/tasks/{task}")["state"] != "running")
    done = victim.server.get(f"/api/tasks/{task}")
    assert done["state"] in ("finished", "done", "succeeded"), done
    assert tensors(model["path"]) and leftovers(home / "registry") == []


def kill_writing(binary, chance, model, home):
    """A file that is converted has its name when it is whole."""
    ending = chance.choice(["pth", "h5", "onnx", "safetensors"])
    out = home / f"out-{chance.randrange(10**9)}"
    out.mkdir()
    good, killed = out / f"good.{ending}", out / f"killed.{ending}"
    subprocess.run([binary, "convert", model, good], check=True, capture_output=True)
    process = subprocess.Popen([binary, "convert", model, killed], stdout=subprocess.DEVNULL)
    time.sleep(chance.uniform(0, 0.03))
    process.kill()
    process.wait()
    if killed.exists():
        assert killed.read_bytes() == good.read_bytes()
    subprocess.run([binary, "convert", model, killed], check=True, capture_output=True)
    assert killed.read_bytes() == good.read_bytes() and sorted(os.listdir(out)) == sorted([good.name, killed.name])


# What the rounds are, over and over.
KINDS = ["train", "terminal", "train", "registration", "train", "writing", "train", "train", "terminal", "train"]


def test_killed_at_random_moments(binary, serve, home, undisturbed):
    victim = Victim(serve)
    run = train_and_kill(victim, random.Random(0), undisturbed, home)
    for number in range(SEED, SEED + ROUNDS):
        chance, kind = random.Random(number), KINDS[number % len(KINDS)]
        try:
            if kind == "train":
                run = train_and_kill(victim, chance, undisturbed, home)
            elif kind == "terminal":
                kill_terminal(binary, chance, undisturbed, home)
            elif kind == "registration":
                kill_registration(victim, chance, run, home)
            else:
                kill_writing(binary, chance, victim.server.get(f"/api/runs/{run}")["files"][0]["path"], home)
        except AssertionError as problem:
            raise AssertionError(f"round {number} ({kind}): {problem}") from problem
