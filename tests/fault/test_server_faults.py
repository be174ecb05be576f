"""The server dies at any moment: nothing that was shown is lost, and the run goes on."""

import os
import random
import signal
import sqlite3

import pytest
from server_help import Listener, gone, losses_of, wait_until, workers_of

SETTINGS = {"dataset": "synthetic", "limit": 4000, "epochs": 400, "seed": 3}


@pytest.mark.parametrize("other", ["torch"])
def test_killed_server(serve, other):
    server = serve()
    listener = Listener(server)
    run = server.post("/api/runs", {"engine": "native", "settings": SETTINGS}, status=201)["id"]
    shown = losses_of(listener.until(lambda kind, data: kind == "steps" and data["first_step"] > 3000), run)
    workers = workers_of(server)
    server.process.kill()
    server.process.wait()
    listener.close()
    wait_until(lambda: all(gone(pid) for pid in workers))  # end of their input: they write a checkpoint and end

    server = serve()
    kept = server.wait(run, "interrupted")
    assert kept["resumable"] and kept["error"]
    curve = server.curve(run)
    assert all(curve[step] == loss for step, loss in shown.items()), "a point that was shown is lost"
    assert kept["progress"]["global_step"] == len(curve)

    goal = kept["progress"]["epoch"] + 2
    server.post(f"/api/runs/{run}/continue", {"engine": other, "epochs": goal})
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert [s["engine"] for s in done["segments"]] == ["native", other]
    assert done["segments"][1]["first_step"] == len(curve)
    whole = server.curve(run)
    assert len(whole) == goal * 125

    twin = server.post("/api/runs", {"engine": "native", "settings": SETTINGS | {"epochs": goal}}, status=201)["id"]
    server.wait(twin, "finished")
    assert max(abs(a - b) for a, b in zip(whole, server.curve(twin))) < (1e-12 if other == "native" else 1e-4)


def heard(kind, data, run):
    return data.get("id" if kind == "run" else "run") == run


# The moments at which the server is killed, by what its listener has just heard of the run: (words, what is asked then).
MOMENTS = [
    ("begun", lambda kind, data: kind == "run" and data["state"] in ("starting", "running"), None),
    ("first steps", lambda kind, data: kind == "steps", None),
    ("an epoch ended", lambda kind, data: kind == "epoch", None),
    ("a checkpoint was told", lambda kind, data: kind == "run" and data["progress"]["epoch"] >= 1, None),
    ("paused", lambda kind, data: kind == "run" and data["state"] == "paused", "pause"),
    ("stopping", lambda kind, data: kind in ("run", "steps"), "stop"),
    ("some hundred messages later", None, None),
]


def test_a_server_killed_at_every_moment_has_lost_nothing(serve):
    """One run; the server is killed again and again, started, and told to go on. In the end the curve is that of a run that
    was never disturbed, and at no time was a point missing that any listener had been told."""
    chance = random.Random(11)
    shown, run = {}, None
    for turn, (moment, when, ask) in enumerate(MOMENTS):
        server = serve()
        listener = Listener(server)
        if run is None:
            run = server.post("/api/runs", {"engine": "native", "settings": SETTINGS | {"epochs": 100000}}, status=201)["id"]
        else:
            kept = server.wait(run, "interrupted", "stopped")
            assert kept["progress"]["global_step"] == len(server.curve(run))
            server.post(f"/api/runs/{run}/continue")
        if ask:
            shown |= losses_of(listener.until(lambda kind, data: kind == "steps"), run)
            server.post(f"/api/runs/{run}/{ask}")
        left = chance.randrange(20, 60)

        def reached(kind, data):
            nonlocal left
            left -= 1
            return heard(kind, data, run) and (when(kind, data) if when else left < 0)

        shown |= losses_of(listener.until(reached), run)
        workers = workers_of(server)
        server.process.kill()
        server.process.wait()
        listener.close()
        wait_until(lambda: all(gone(pid) for pid in workers))
        server = serve()
        kept = server.wait(run, "interrupted", "stopped")
        assert kept["error"] if kept["state"] == "interrupted" else moment == "stopping"
        curve = server.curve(run)
        lost = [step for step, loss in shown.items() if step >= len(curve) or curve[step] != loss]
        assert not lost, f"killed when {moment}: {len(lost)} points that were shown are lost, from step {lost[0]}"
        assert server.stop() == 0
    server = serve()
    goal = server.get(f"/api/runs/{run}")["progress"]["epoch"] + 1
    server.post(f"/api/runs/{run}/continue", {"epochs": goal})
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert [epoch["epoch"] for epoch in done["epochs"]] == list(range(1, goal + 1))
    twin = server.post("/api/runs", {"engine": "native", "settings": SETTINGS | {"epochs": goal}}, status=201)["id"]
    assert server.wait(twin, "finished")
    assert server.curve(run) == server.curve(twin)


def test_a_server_and_its_worker_killed_keep_what_was_shown(serve):
    """As when the machine's memory runs out: nobody writes a last checkpoint, and the points are there all the same."""
    server = serve()
    listener = Listener(server)
    run = server.post("/api/runs", {"engine": "native", "settings": SETTINGS | {"epochs": 100000}}, status=201)["id"]
    seen = listener.until(lambda kind, data: kind == "epoch" and data["epoch"] >= 3)
    shown = losses_of(seen + listener.until(lambda kind, data: kind == "steps"), run)
    for pid in [server.process.pid, *workers_of(server)]:
        os.kill(pid, signal.SIGKILL)
    server.process.wait()
    listener.close()
    server = serve()
    kept = server.wait(run, "interrupted")
    curve = server.curve(run)
    assert all(curve[step] == loss for step, loss in shown.items()), "a point that was shown is lost"
    assert kept["resumable"]
    goal = kept["progress"]["epoch"] + 2
    server.post(f"/api/runs/{run}/continue", {"epochs": goal})
    assert server.wait(run, "finished", "failed")["state"] == "finished"
    assert server.curve(run)[: len(curve)] == curve, "what is trained again is the same"


@pytest.mark.parametrize("other", ["native", "torch"])
def test_killed_again_before_it_has_come_as_far(serve, other):
    """Killed in mid-epoch, told to go on, and killed again at once: what is trained anew takes the place of what was shown only as
    far as it has come, and each step belongs to the engine that made it.

    The layer is wide so that an epoch lasts seconds: both kills must find the second one under way, the first of them the further."""
    slow = SETTINGS | {"limit": 20000, "batch_size": 4, "epochs": 2, "hidden": [2048]}
    server = serve()
    listener = Listener(server)
    run = server.post("/api/runs", {"engine": "native", "settings": slow}, status=201)["id"]
    shown = losses_of(listener.until(lambda kind, data: kind == "steps" and data["first_step"] >= 7500), run)
    for turn in range(2):
        for pid in [server.process.pid, *workers_of(server)]:
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
        listener.close()
        server = serve()
        kept, curve = server.wait(run, "interrupted"), server.curve(run)
        assert all(curve[step] == loss for step, loss in shown.items() if step < 5000 or turn == 0), "a point that was shown is lost"
        assert kept["progress"]["global_step"] == len(curve) > max(shown)
        if turn == 0:
            listener, before = Listener(server), curve
            server.post(f"/api/runs/{run}/continue", {"engine": other})
            listener.until(lambda kind, data: kind == "steps")
    assert curve[:5000] == before[:5000] and len(curve) == len(before)
    if other == "native":
        assert curve == before and [s["engine"] for s in kept["segments"]] == ["native", "native"]
    else:
        first, made, rest = kept["segments"]
        assert [first["engine"], made["engine"], rest["engine"]] == ["native", "torch", "native"]
        assert made["first_step"] == 5000 < rest["first_step"] <= len(curve)
        assert curve[rest["first_step"] :] == before[rest["first_step"] :]
    server.post(f"/api/runs/{run}/continue", {"engine": "native"})
    assert server.wait(run, "finished", "failed")["state"] == "finished"
    assert len(server.curve(run)) == 10000


def test_ended_server_stops_its_runs_with_a_checkpoint(serve):
    server = serve()
    listener = Listener(server)
    run = server.post("/api/runs", {"engine": "native", "settings": SETTINGS}, status=201)["id"]
    queued = [server.post("/api/runs", {"engine": "native", "settings": SETTINGS}, status=201)["id"] for _ in range(5)]
    listener.until(lambda kind, data: kind == "steps" and data["run"] == run)
    assert server.stop() == 0
    server = serve()
    assert server.get(f"/api/runs/{run}")["state"] == "stopped"
    assert server.get(f"/api/runs/{run}")["resumable"]
    assert {server.get(f"/api/runs/{other}")["state"] for other in queued} == {"stopped"}


def test_killed_worker_fails_its_run_alone(serve):
    server = serve()
    listener = Listener(server)
    first = server.post("/api/runs", {"engine": "native", "settings": SETTINGS}, status=201)["id"]
    listener.until(lambda kind, data: kind == "steps" and data["run"] == first)
    (pid,) = workers_of(server)
    second = server.post("/api/runs", {"engine": "native", "settings": SETTINGS | {"epochs": 100000}}, status=201)["id"]
    listener.until(lambda kind, data: kind == "steps" and data["run"] == second)
    os.kill(pid, signal.SIGKILL)
    failed = server.wait(first, "failed")
    assert "signal 9" in failed["error"]
    assert server.get(f"/api/runs/{second}")["state"] == "running"
    server.post(f"/api/runs/{second}/stop")
    server.wait(second, "stopped")


def test_a_trained_run_is_delivered_by_going_on(serve, fault):
    """The worker is killed between its last checkpoint and its model: "continue" writes the model, and trains nothing."""
    short = SETTINGS | {"epochs": 2}
    server = serve(env=fault("rename:1:kill:simple_nn", "worker"))
    run = server.post("/api/runs", {"engine": "native", "settings": short}, status=201)["id"]
    assert server.wait(run, "failed")["resumable"]
    curve = server.curve(run)
    server.stop()
    server = serve()
    server.post(f"/api/runs/{run}/continue")
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert done["files"] and server.curve(run) == curve and len(done["segments"]) == 1
    assert done["last"]["val_accuracy"] is not None


def test_newer_data_base_is_refused(studio, home):
    home.mkdir()
    with sqlite3.connect(home / "studio.db") as db:
        db.execute("PRAGMA user_version=999")
        db.execute(f"PRAGMA application_id={0x4e4e5374}")
    db.close()
    result = studio("serve", "--port", 0, "--home", home, status=1)
    assert "newer nnstudio" in result.stderr and result.stderr.count("\n") == 1


def test_foreign_data_base_is_refused(studio, home):
    home.mkdir()
    (home / "studio.db").write_bytes(b"this is no database\n" * 100)
    result = studio("serve", "--port", 0, "--home", home, status=1)
    assert result.stderr.startswith("nnstudio: ") and result.stderr.count("\n") == 1


def test_unwritable_home_is_refused(studio, tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    result = studio("serve", "--port", 0, "--home", place / "home", status=1)
    assert result.stderr.startswith("nnstudio: ") and result.stderr.count("\n") == 1


def test_busy_port_is_named_with_the_next(serve, studio):
    server = serve()
    result = studio("serve", "--port", server.port, status=1)
    assert f"port {server.port} is in use" in result.stderr and "--port" in result.stderr
    assert result.stderr.count("\n") == 1


def test_two_servers_on_one_home(serve, tmp_path):
    one, two = serve(), serve()
    log = (tmp_path / "server.log").read_text()
    assert f"another server (process {one.process.pid}, port {one.port}) owns the home" in log and log.count("another server") == 1
    listener = Listener(two)
    run = one.post("/api/runs", {"engine": "native", "settings": SETTINGS | {"epochs": 3}}, status=201)["id"]
    seen = listener.until(lambda kind, data: kind == "run" and data["id"] == run and data["state"] == "finished")
    assert len(losses_of(seen, run)) == 375


def test_a_model_that_cannot_be_converted_for_registering(serve, home):
    """Two ways to fail while the run's file is made into another format; either is told, and the server lives."""
    server = serve()
    run = server.post("/api/runs", {"engine": "native", "settings": {**SETTINGS, "epochs": 1}}, status=201)["id"]
    server.wait(run, "finished")
    (home / "registrations").write_text("a file where a folder should be")
    body = {"run": run, "format": "h5", "target": "local"}

    def register():
        task = server.post("/api/registry/registrations", body, status=202)["task"]
        wait_until(lambda: server.get(f"/api/tasks/{task}")["state"] != "running")
        return server.get(f"/api/tasks/{task}")

    first = register()
    assert first["state"] == "failed" and "registrations" in first["error"]
    for file in home.rglob("*.safetensors"):
        file.write_bytes(b"damaged")
    assert register()["state"] == "failed"
    assert server.get("/api/system")["version"] and server.process.poll() is None
