"""The studio's HTTP interface, as docs/internals/api.md says it: real servers, real training."""

import base64
import csv
import io
import json
import os
import resource
import signal
import subprocess
import time

import pytest
import safetensors.numpy
from server_help import Listener, losses_of, workers_of

QUICK = {"dataset": "synthetic", "limit": 2000, "epochs": 2}
LONG = {"dataset": "synthetic", "limit": 2000, "epochs": 100000}


def start(server, engine="native", settings=QUICK, **more):
    return server.post("/api/runs", {"engine": engine, "settings": settings, **more}, status=201)


def trained(server, *arguments, **options):
    run = start(server, *arguments, **options)["id"]
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    return done


def test_system_and_defaults(serve):
    server = serve()
    system = server.get("/api/system")
    assert [engine["id"] for engine in system["engines"]] == ["torch", "tensorflow", "native"]
    assert system["ready"] == all(engine["found"] for engine in system["engines"])
    assert system["cpu"]["cores"] >= 1 and system["memory"]["total_bytes"] > 0
    settings = server.get("/api/settings/defaults")
    assert (settings["epochs"], settings["batch_size"], settings["hidden"], settings["lr"]) == (5, 32, [128], 0.01)


def test_preferences_are_kept(serve):
    server = serve()
    assert server.get("/api/preferences") == {}
    server.call("PUT", "/api/preferences", {"theme": "dark"})
    assert server.stop() == 0
    assert serve().get("/api/preferences") == {"theme": "dark"}


def test_a_schedule_is_planned_as_it_is_trained(serve):
    server = serve()
    settings = {**QUICK, "epochs": 4, "schedule": "exponential:gamma=0.5", "warmup": 70, "lr": 0.2}
    run = trained(server, settings=settings)
    asked = "&".join(f"{key}={value}" for key, value in settings.items())
    plan = server.get(f"/api/schedule?{asked}")
    each = run["progress"]["steps_per_epoch"]
    assert (plan["steps_per_epoch"], plan["steps"], plan["unit"]) == (each, 4 * each, "epoch")
    assert plan["first"] == pytest.approx(0.2 / 70) and plan["last"] == pytest.approx(0.2 * 0.5**3)
    assert plan["largest"] == max(plan["rate"]) == pytest.approx(0.2 * 63 / 70) and plan["largest_step"] == 62
    assert plan["step"] == sorted(set(plan["step"])) and plan["step"][0] == 0
    at = dict(zip(plan["step"], plan["rate"], strict=True))
    recorded = run["epochs"]
    assert len(recorded) == 4
    for epoch in recorded:
        last = max(step for step in at if step < epoch["global_step"])
        assert epoch["learning_rate"] == pytest.approx(at[last], rel=0.02)  # the curve has every other step
    assert server.get(f"/api/schedule?{asked}&steps_per_epoch=10")["steps"] == 40
    shares = [{"validation": 0.1}, {"validation": 0.37, "limit": 90}, {"validation": 0.37, "limit": 90, "validation_part": "last"}]
    for share in shares:  # of every class its own share is rounded
        wanted = {**settings, "epochs": 1, "batch_size": 1, **share}
        asked = "&".join(f"{key}={value}" for key, value in wanted.items())
        planned = server.get(f"/api/schedule?{asked}")
        assert planned["steps"] == trained(server, settings=wanted)["progress"]["global_step"] and not planned["estimated"]
    far = server.get("/api/schedule?dataset=mnist&schedule=cosine&validation=0.1")
    assert far["estimated"] and far["steps_per_epoch"] == 1688
    assert server.get("/api/schedule?dataset=synthetic")["constant"] is True
    assert server.get("/api/schedule?dataset=synthetic&schedule=plateau")["watches"] is True
    unread = server.get("/api/schedule?dataset=synthetic&schedule=cosine:mi%3D1")
    assert 'the schedule cosine has no "mi' in unread["problem"] and (unread["steps"], unread["rate"]) == (0, [])
    assert "there is no data set" in server.get("/api/schedule?dataset=nosuch", status=404)["error"]["message"]


def test_models_are_compared_on_the_data_that_is_chosen(serve):
    server = serve()
    a, b = (trained(server, settings=QUICK | {"epochs": 1, "seed": seed})["id"] for seed in (1, 2))
    address = f"/api/diff/models?a={a}&b={b}"
    own = server.get(address)
    assert own["same_network"] and not own["same"] and own["logits"]["samples"] > 0
    assert server.get(f"{address}&dataset=synthetic")["logits"] == own["logits"]
    other = server.get(f"{address}&dataset=nosuch")
    assert other["logits"] is None and 'there is no data set "nosuch"' in other["logits_missing"]
    assert other["tensors"] == own["tensors"]
    for kind in ("models", "runs"):
        assert '"b" is missing' in server.get(f"/api/diff/{kind}?a={a}", status=400)["error"]["message"]
    missing = server.get(f"/api/diff/models?a={a}&b=nosuch", status=404)
    assert 'no run and no kept model "nosuch"' in missing["error"]["message"]


def test_designs_are_kept_with_earlier_versions(serve):
    server = serve()
    assert server.get("/api/designs") == {"designs": []}
    first = server.call("PUT", "/api/designs/my%20net", {"net": "lenet5"})
    assert (first["name"], first["parameters"], first["earlier"]) == ("my net", 61706, [])
    server.call("PUT", "/api/designs/my%20net", {"net": "dense 10"})
    server.call("PUT", "/api/designs/my%20net", {"net": "dense 10"})  # the same again is no other version
    for name, body, words in [
        ("my%20net", {"net": "dense 10 relu"}, "the last layer has an activation"),
        ("%20net", {"net": "dense 10"}, "is not a valid name for a design"),
        ("n" * 65, {"net": "dense 10"}, "use 1 to 64 bytes"),
    ]:
        refused = server.call("PUT", f"/api/designs/{name}", body, status=400)
        assert words in refused["error"]["message"]
    assert server.stop() == 0
    server = serve()
    (design,) = server.get("/api/designs")["designs"]
    assert design["net"] == "dense 10" and [one["net"] for one in design["earlier"]] == [first["net"]]
    server.call("DELETE", "/api/designs/my%20net")
    assert server.call("DELETE", "/api/designs/my%20net", status=404)["error"]["code"] == "not_found"
    assert server.get("/api/designs") == {"designs": []}


def test_data(serve):
    server = serve()
    names = [entry["name"] for entry in server.get("/api/datasets")]
    assert names[:3] == ["synthetic", "mnist", "fashion-mnist"]
    samples = server.get("/api/datasets/synthetic/samples?count=7&seed=5&label=3")
    assert samples["labels"] == [3] * 7 and len(set(samples["indices"])) == 7
    assert len(base64.b64decode(samples["pixels"])) == 7 * 28 * 28
    assert samples == server.get("/api/datasets/synthetic/samples?count=7&seed=5&label=3")
    stats = server.get("/api/datasets/synthetic/stats?split=test")
    assert stats["count"] == 10000 == sum(stats["per_class"])
    assert len(base64.b64decode(stats["mean_images"])) == 10 * 28 * 28
    batch = server.get("/api/datasets/synthetic/engines?seed=1&batch_size=64")
    assert batch["shape"] == [64, 784] and len({engine["batch_hash"] for engine in batch["engines"]}) == 1
    assert batch["order_hash"] != server.get("/api/datasets/synthetic/engines?seed=2&batch_size=64")["order_hash"]


def test_a_run_from_start_to_end(serve):
    server = serve()
    listener = Listener(server)
    assert listener.next()[0] == "hello"
    run = start(server, tags=["lecture"], name="first")
    seen = listener.until(lambda kind, data: kind == "run" and data["state"] == "finished")
    kinds = [kind for kind, _ in seen]
    assert kinds.count("epoch") == 2, "a run is said to have ended after everything that belongs to it"
    done = server.get(f"/api/runs/{run['id']}")
    assert done["name"] == "first" and done["tags"] == ["lecture"] and len(done["epochs"]) == 2
    assert done["progress"]["global_step"] == done["progress"]["total_steps"] == 126
    assert done["epochs"][1]["val_accuracy"] == done["last"]["val_accuracy"]
    losses = losses_of(seen, run["id"])
    assert [losses[step] for step in range(126)] == server.curve(run["id"])
    (file,) = done["files"]
    status, headers, content = server.request("GET", file["url"])
    assert status == 200 and len(content) == file["bytes"]
    assert headers["content-disposition"] == 'attachment; filename="first.safetensors"'


def test_a_run_that_changed_hands_is_judged_by_its_newest_file(serve):
    server = serve()
    if not server.get("/api/system")["engines"][0]["found"]:
        pytest.skip("PyTorch is not installed")
    run = trained(server, settings=QUICK | {"epochs": 1})["id"]
    server.post(f"/api/runs/{run}/continue", {"engine": "torch", "epochs": 3})
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert [file["format"] for file in done["files"]] == ["pth", "safetensors"]
    # The run was told 2,000 test samples, the evaluation takes all.
    accuracy = server.get(f"/api/runs/{run}/evaluation")["accuracy"]
    assert abs(accuracy - done["last"]["val_accuracy"]) < 0.05 < accuracy - done["epochs"][0]["val_accuracy"]
    speeds = [(epoch["samples_per_second"], epoch["seconds"]) for epoch in done["epochs"]]
    mean = sum(speed * seconds for speed, seconds in speeds) / sum(seconds for _, seconds in speeds)
    assert done["progress"]["samples_per_second"] == pytest.approx(mean)
    log = [line["text"] for line in done["log"]]
    assert [line.split()[0] for line in log] == ["Native", "wrote", "finished", "PyTorch", "wrote", "finished"]
    assert log[3].endswith("from step 63") and log[4].startswith("wrote simple_nn.pth")


def test_losses_are_those_of_the_command_line(serve, studio, data_dir):
    server = serve("--data-dir", data_dir)
    run = trained(server, settings={"dataset": "mnist", "limit": 1000, "epochs": 1})["id"]
    result = studio("train", "--engine", "native", "--dataset", "mnist", "--data-dir", data_dir, "--limit", 1000, "--epochs", 1, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [loss for line in lines if line["event"] == "step" for loss in line["loss"]] == server.curve(run)


def test_pause_resume_stop_continue(serve):
    server = serve()
    run = start(server, settings=LONG)["id"]
    server.wait(run, "running")
    server.post(f"/api/runs/{run}/pause")
    paused = server.wait(run, "paused")
    time.sleep(0.3)
    assert server.get(f"/api/runs/{run}")["progress"]["global_step"] == paused["progress"]["global_step"]
    server.post(f"/api/runs/{run}/continue", status=409)
    server.post(f"/api/runs/{run}/resume")
    server.wait(run, "running")
    server.post(f"/api/runs/{run}/stop")
    stopped = server.wait(run, "stopped")
    assert stopped["resumable"] and stopped["files"]
    server.post(f"/api/runs/{run}/stop", status=409)
    goal = stopped["progress"]["epoch"] + 1
    server.post(f"/api/runs/{run}/continue", {"engine": "native", "epochs": goal})
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert len(server.curve(run)) == goal * 63 == done["progress"]["global_step"]
    told = stopped["progress"]
    assert told["epoch"] * 63 + told["step"] == told["global_step"] and told["step"] < told["steps_per_epoch"] == 63
    assert done["progress"]["epoch"] == done["progress"]["epochs"] == goal
    assert [epoch["epoch"] for epoch in done["epochs"]] == list(range(1, goal + 1))
    server.post(f"/api/runs/{run}/continue", {"epochs": goal}, status=409)


def rates_of(server, run):
    end = time.monotonic() + 60
    while not (rates := server.get(f"/api/runs/{run}")["rates"]):
        assert time.monotonic() < end, "the rate was not taken"
        time.sleep(0.03)
    return rates


def test_the_learning_rate_is_changed_by_hand(serve, studio, tmp_path, home):
    """The change is part of the run: the next engine goes on with it, and a run trained again from its settings has the same losses."""
    server = serve()
    settings = {"dataset": "synthetic", "limit": 512, "batch_size": 128, "net": "conv 4 5x5 relu, flatten, dense 10", "dtype": "float64", "epochs": 2000,
                "lr": 0.05, "schedule": "exponential:gamma=0.999,unit=step"}  # fmt: skip
    run = start(server, settings=settings)["id"]
    server.wait(run, "running")
    server.post(f"/api/runs/{run}/pause")
    at = server.wait(run, "paused")["progress"]["global_step"]
    for wrong in (0, -1, 1001, "0.1", None):
        server.post(f"/api/runs/{run}/rate", {"rate": wrong}, status=400)
    server.post(f"/api/runs/{run}/rate", {"rate": 0.1})
    studio("runs", "rate", run, "0.2")  # the last one holds
    server.post(f"/api/runs/{run}/resume")
    (change,) = rates_of(server, run)
    server.post(f"/api/runs/{run}/stop")
    stopped = server.wait(run, "stopped")
    server.post(f"/api/runs/{run}/rate", {"rate": 0.1}, status=409)
    assert change["step"] == at and change["rate"] == 0.2
    assert abs(change["planned"] - 0.05 * 0.999 ** (at / 4)) <= 1e-12
    server.post(f"/api/runs/{run}/continue", {"engine": "torch", "epochs": stopped["progress"]["epoch"] + 2})
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished" and done["rates"] == [change], done["error"]
    last = done["progress"]["global_step"] - 1
    assert abs(done["epochs"][-1]["learning_rate"] - 0.2 * 0.999 ** ((last - at) / 4)) <= 1e-12
    assert any("changed by hand" in line["text"] for line in done["log"])
    curve = server.curve(run)
    studio("trace", home / "runs" / run / "job.json", tmp_path / "again", "--marks", len(curve))
    again = safetensors.numpy.load_file(tmp_path / "again")["loss"]
    assert max(abs(a - b) for a, b in zip(curve, again, strict=True)) <= 1e-10
    other = start(server, settings=settings | {"epochs": done["progress"]["epoch"]})["id"]
    assert server.wait(other, "finished", "failed")["state"] == "finished"
    said = json.loads(studio("diff", run, other, "--json", status=1).stdout)
    assert said["cause"] == "settings" and f"Learning rate by hand 0.2 from step {at} and none" in said["evidence"], said
    (line,) = [line for line in studio("runs").stdout.splitlines() if run in line]
    assert f" {done['progress']['epoch']}/{done['progress']['epochs']} " in line


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_rate_that_no_step_has_had_is_kept(serve, way):
    """Asked of a run that is paused and never trains another step: whoever goes on with it takes it."""
    server = serve()
    run = start(server, settings=LONG | {"lr": 0.05})["id"]
    server.wait(run, "running")
    server.post(f"/api/runs/{run}/pause")
    server.wait(run, "paused")
    server.post(f"/api/runs/{run}/rate", {"rate": 0.2})
    if way == "kill":
        for pid in workers_of(server):
            os.kill(pid, signal.SIGKILL)
    else:
        server.post(f"/api/runs/{run}/stop")
    ended = server.wait(run, "stopped", "failed")
    progress = ended["progress"]
    server.post(f"/api/runs/{run}/continue", {"engine": "native", "epochs": progress["epoch"] + 1})
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    (change,) = done["rates"]
    assert change["rate"] == done["epochs"][-1]["learning_rate"] == 0.2
    assert change["step"] == progress["global_step"]


def test_a_run_goes_on_with_changed_data_only_when_told(serve, home):
    rows = [f"{i % 3}," + ",".join(str(i * j % 256) for j in range(16)) for i in range(60)]
    (home / "data").mkdir(parents=True)
    data = home / "data" / "mine.csv"
    data.write_text("\n".join(rows))
    server = serve()
    run = trained(server, settings={"dataset": "mine.csv", "epochs": 1, "batch_size": 4})["id"]
    data.write_text("\n".join(["2" + rows[0][1:], *rows[1:]]))

    def go_on(**more):
        server.post(f"/api/runs/{run}/continue", {"engine": "native", "epochs": 2, **more})
        return server.wait(run, "finished", "failed")

    refused = go_on()
    assert refused["state"] == "failed" and "mine.csv has changed since the run was begun" in refused["error"]
    assert refused["resumable"] and refused["progress"]["epoch"] == 1
    told = go_on(accept_changed_data=True)
    assert told["state"] == "finished" and told["progress"]["epoch"] == 2, told["error"]
    assert any("continues with changed data, as requested" in line["text"] for line in told["log"])


@pytest.mark.parametrize("engines", [["torch", "native"], ["tensorflow", "torch"]])
def test_a_run_changes_hands(serve, engines):
    server = serve()
    run = trained(server, engines[0])["id"]
    server.post(f"/api/runs/{run}/continue", {"engine": engines[1], "epochs": 4})
    done = server.wait(run, "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert [(s["engine"], s["first_step"]) for s in done["segments"]] == [(engines[0], 0), (engines[1], 126)]
    assert [epoch["engine"] for epoch in done["epochs"]] == [engines[0]] * 2 + [engines[1]] * 2
    assert len(done["files"]) == 2
    whole = trained(server, engines[1], QUICK | {"epochs": 4})["id"]
    assert max(abs(a - b) for a, b in zip(server.curve(run), server.curve(whole))) < 1e-4


@pytest.mark.parametrize("mode", ["parallel", "sequence"])
def test_showdown(serve, mode):
    server = serve()
    body = {"engines": ["torch", "tensorflow", "native"], "settings": QUICK, "mode": mode}
    group = server.post("/api/showdowns", body, status=201)
    for run in group["runs"]:
        assert server.wait(run["id"], "finished", "failed")["state"] == "finished"
    result = server.get(f"/api/showdowns/{group['group']}")
    assert result["state"] == "finished" and [row["engine"] for row in result["rows"]] == body["engines"]
    assert [d["pair"] for d in result["differences"]] == ["torch/tensorflow", "torch/native", "tensorflow/native"]
    assert all(d["max"] < 1e-4 and d["max_first_epoch"] <= d["max"] for d in result["differences"])
    assert "times as fast as" in result["verdict"] and "On this machine" in result["verdict"]
    ends = [server.get(f"/api/runs/{run['id']}") for run in group["runs"]]
    if mode == "sequence":
        assert all(a["ended_at"] <= b["started_at"] for a, b in zip(ends, ends[1:]))


def test_a_showdown_compares_equal_work(serve):
    """A run that goes on in another engine is, in its showdown, what its first engine did."""
    server = serve()
    body = {"engines": ["torch", "native"], "settings": {**QUICK, "epochs": 2}}
    group = server.post("/api/showdowns", body, status=201)
    torch, native = (run["id"] for run in group["runs"])
    for run in (torch, native):
        server.wait(run, "finished")
    before = server.get(f"/api/showdowns/{group['group']}")
    assert before["common_epoch"] == 2 and "Compared" not in before["verdict"]
    server.post(f"/api/runs/{torch}/continue", {"engine": "native", "epochs": 3})
    server.post(f"/api/runs/{native}/continue", {"epochs": 4})
    for run in (torch, native):
        server.wait(run, "finished")
    after = server.get(f"/api/showdowns/{group['group']}")
    rows = after["rows"]
    assert [(row["engine"], row["epochs"], row["handed_to"]) for row in rows] == [
        ("torch", 2, "Native"), ("native", 4, None)]
    figures = ("seconds_per_epoch", "samples_per_second", "cpu_seconds", "file_bytes", "val_accuracy")
    assert [rows[0][key] for key in figures] == [before["rows"][0][key] for key in figures]
    assert rows[1]["val_accuracy"] == before["rows"][1]["val_accuracy"]
    assert after["differences"][0]["steps"] == before["differences"][0]["steps"]
    assert after["verdict"].count("Native") and "Native 1.00" not in after["verdict"]


def test_cost_adds_up_over_workers(serve):
    server = serve()
    run = trained(server)["id"]
    before = server.get(f"/api/runs/{run}")
    server.post(f"/api/runs/{run}/continue", {"epochs": before["settings"]["epochs"] + 1})
    server.wait(run, "finished")
    after = server.get(f"/api/runs/{run}")
    assert after["cpu_seconds"] > before["cpu_seconds"]
    assert after["peak_rss_bytes"] >= before["peak_rss_bytes"]
    assert after["settings"]["epochs"] == before["settings"]["epochs"] + 1
    costs = [epoch["cpu_seconds"] for epoch in after["epochs"]]
    assert costs == sorted(costs) and costs[-1] > before["cpu_seconds"]


def test_divergence_is_recorded(serve):
    server = serve()
    wild = trained(server, settings={**QUICK, "lr": 1000.0})
    assert wild["state"] == "finished" and 0 < wild["diverged_at"] < 20
    tame = trained(server, settings={**QUICK, "epochs": 1})
    assert tame["diverged_at"] is None
    measures = {
        "loss": lambda run: run["last"]["loss"],
        "val_accuracy": lambda run: run["last"]["val_accuracy"],
        "seconds": lambda run: run["progress"]["seconds"],
        "settings.lr": lambda run: run["settings"]["lr"],
        "settings.epochs": lambda run: run["settings"]["epochs"],
    }
    # One that ended before it had measured anything comes last, whichever way.
    listener = Listener(server)
    none = start(server, settings={**QUICK, "lr": 0.02, "epochs": 3, "threads": 1})["id"]
    server.post(f"/api/runs/{none}/stop")
    server.wait(none, "stopped", "finished")
    listener.close()
    for key, value in measures.items():
        for order, factor in (("asc", 1), ("desc", -1)):
            found = [value(run) for run in server.get(f"/api/runs?sort={key}&order={order}")["runs"]]
            assert found == sorted(found, key=lambda x: (x is None, factor * (x or 0))), f"{key} {order}"
    refused = server.get("/api/runs?sort=beauty", status=400)["error"]["message"]
    assert all(key.split(".")[0] in refused for key in measures)


def test_a_run_that_cannot_work_is_refused_before_it_is_one(serve, fault):  # a sanitizer needs more than the memory left here
    server = serve()
    kept = trained(server, settings={**QUICK, "epochs": 1})["id"]
    resource.prlimit(server.process.pid, resource.RLIMIT_DATA, (2 << 30, resource.RLIM_INFINITY))
    for settings, words in [
        ({"hidden": [65536, 65536]}, "parameters: the most is 268435456"),
        ({"hidden": [15000, 15000], "optimizer": "adam"}, "training needs at least 3.8 GB of memory (236940010 parameters"),
        ({"batch_size": 65536, "net": "conv 64 3x3, flatten, dense 10"}, "and there are 2.1 GB"),
        ({"device": "cuda:7"}, 'no device "cuda:7" here: use cpu'),
        ({"net": "conv 3 99x99, flatten, dense 10"}, "99"),
        ({"net": "flatten, dense 9"}, "has 10 classes: end it with dense 10"),
    ]:
        for path, body in [("runs", {"engine": "native"}), ("showdowns", {"engines": ["native"]})]:
            refused = server.post(f"/api/{path}", {**body, "settings": {**QUICK, "limit": 0, **settings}}, status=400)
            assert words in refused["error"]["message"]
    assert [run["id"] for run in server.get("/api/runs")["runs"]] == [kept]


def test_search_edit_delete_restore(serve):
    server = serve()
    one, two = trained(server, name="apple")["id"], trained(server, name="pear")["id"]
    assert server.get("/api/runs?q=pear")["total"] == 1
    assert [run["id"] for run in server.get("/api/runs?sort=name&order=asc")["runs"]] == [one, two]
    server.call("PATCH", f"/api/runs/{one}", {"tags": ["a", "b"], "notes": "good\nrun", "name": "apple2"})
    assert server.get("/api/runs?tag=b")["runs"][0]["notes"] == "good\nrun"
    listener = Listener(server)
    assert server.call("DELETE", f"/api/runs/{one}")["deleted"]
    listener.until(lambda kind, data: kind == "removed" and data == {"run": one})
    assert [run["id"] for run in server.get("/api/runs")["runs"]] == [two]
    assert [run["id"] for run in server.get("/api/runs?deleted=1")["runs"]] == [one]
    server.post(f"/api/runs/{one}/restore")
    assert server.get("/api/runs")["total"] == 2
    server.call("DELETE", f"/api/runs/{two}?forever=1")
    server.get(f"/api/runs/{two}", status=404)


def test_export(serve):
    server = serve()
    run = trained(server)["id"]
    _, headers, content = server.request("GET", f"/api/runs/{run}/export?format=csv")
    assert headers["content-disposition"] == f'attachment; filename="{run}.csv"'
    lines = content.decode().splitlines()
    rows = list(csv.DictReader(io.StringIO("\n".join(line for line in lines if not line.startswith("#")))))
    assert [float(row["loss"]) for row in rows] == server.curve(run)
    assert {row["engine"] for row in rows} == {"native"} and rows[-1]["epoch"] == "2"
    whole = server.get(f"/api/runs/{run}/export?format=json")
    assert whole["points"]["loss"] == server.curve(run) and len(whole["epochs"]) == 2
    # What others wrote is no formula in a spreadsheet, whichever cell it is cut into.
    tags = ["=1+1", "a,=2", "-3", "@x", "+4", 'q\\",=5', "plain-tag"]
    server.call("PATCH", f"/api/runs/{run}", {"tags": tags})
    _, _, content = server.request("GET", f"/api/runs/{run}/export?format=csv")
    cells = [cell for row in csv.reader(io.StringIO(content.decode())) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    (line,) = [line for line in content.decode().splitlines() if line.startswith("# tags: ")]
    assert json.loads(line.removeprefix("# tags: ")) == tags and "plain-tag" in line


def test_decimation_keeps_the_extremes(serve):
    server = serve()
    run = trained(server, settings=QUICK | {"epochs": 20})["id"]
    curve = server.curve(run)
    few = server.get(f"/api/runs/{run}/points?max=50")
    assert few["stride"] > 1 and len(few["step"]) <= 50 and few["step"] == sorted(set(few["step"]))
    assert min(few["loss"]) == min(curve) and max(few["loss"]) == max(curve)
    assert all(curve[step] == loss for step, loss in zip(few["step"], few["loss"]))
    assert few["seconds"] == sorted(few["seconds"]) and few["seconds"][0] >= 0
    part = server.get(f"/api/runs/{run}/points?from=100&to=119")
    assert part["step"] == list(range(100, 120)) and part["loss"] == curve[100:120] and part["total"] == len(curve)


def test_evaluation_weights_and_drawing(serve, studio):
    server = serve()
    done = [trained(server, engine) for engine in ("torch", "tensorflow", "native")]
    for run in done:
        evaluation = server.get(f"/api/runs/{run['id']}/evaluation")
        assert evaluation["samples"] == 10000 == sum(map(sum, evaluation["confusion"]))
        right = sum(evaluation["confusion"][i][i] for i in range(10))
        assert evaluation["accuracy"] == pytest.approx(right / 10000)
        assert len(evaluation["mistakes"]) == 24
        assert all(m["label"] != m["predicted"] for m in evaluation["mistakes"])
        told = json.loads(studio("evaluate", run["files"][0]["path"], "--dataset", "synthetic", "--json").stdout)
        assert told["confusion"] == evaluation["confusion"]
        assert evaluation == server.get(f"/api/runs/{run['id']}/evaluation")
        weights = server.get(f"/api/runs/{run['id']}/weights")
        assert (weights["count"], weights["rows"], weights["columns"]) == (128, 28, 28)
        assert len(base64.b64decode(weights["values"])) == 128 * 784 * 4
    picture = bytearray(100 * 100)
    for y in range(15, 85):
        picture[y * 100 + 46 : y * 100 + 54] = b"\xff" * 8
    body = {"pixels": base64.b64encode(picture).decode(), "width": 100, "height": 100}
    answers = server.post("/api/classify", body)
    assert {answer["run"] for answer in answers["answers"]} == {run["id"] for run in done}
    assert all(sum(answer["probabilities"]) == pytest.approx(1) for answer in answers["answers"])
    assert len(base64.b64decode(answers["input"])) == 784
    one = server.post("/api/classify", body | {"runs": [done[0]["id"]]})
    assert [answer["run"] for answer in one["answers"]] == [done[0]["id"]]
    server.post("/api/classify", body | {"width": 99}, status=400)


def test_a_file_that_a_later_run_replaced_is_not_shown_as_the_first(serve, studio):
    server = serve()
    for seed in (1, 2):
        studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 1000, "--epochs", 1, "--seed", seed)
    newest, oldest = [run["id"] for run in server.get("/api/runs")["runs"]]
    assert server.get(f"/api/runs/{newest}/evaluation")["samples"] == 10000
    server.get(f"/api/runs/{oldest}/evaluation", status=409)
    server.get(f"/api/runs/{oldest}/files/simple_nn.safetensors", status=409)


def test_a_terminals_run_is_seen_live_and_stopped(serve, binary, tmp_path):
    server = serve()
    listener = Listener(server)
    terminal = subprocess.Popen(
        [binary, "train", "--engine", "native", "--dataset", "synthetic", "--limit", "4000", "--epochs", "100000"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    try:
        run = listener.until(lambda kind, data: kind == "steps")[-1][1]["run"]
        listener.until(lambda kind, data: kind == "epoch" and data["run"] == run)
        assert server.get(f"/api/runs/{run}")["started_by"] == "terminal"
        server.post(f"/api/runs/{run}/pause", status=409)
        server.post(f"/api/runs/{run}/stop")
        assert terminal.wait(timeout=20) == 130
    finally:
        terminal.kill()
        terminal.wait()
    stopped = server.wait(run, "stopped")
    server.post(f"/api/runs/{run}/continue", {"epochs": stopped["progress"]["epoch"] + 1})
    assert server.wait(run, "finished", "failed")["state"] == "finished"


def test_stream_resumes_where_it_broke(serve):
    server = serve()
    first = Listener(server)
    run = start(server, settings=QUICK | {"epochs": 30})["id"]
    seen = first.until(lambda kind, data: kind == "steps")
    last_id = first.last_id
    first.close()
    server.wait(run, "finished")
    second = Listener(server, last_id)
    assert second.next()[0] == "hello"
    seen += second.until(lambda kind, data: kind == "run" and data["state"] == "finished")
    losses = losses_of(seen, run)
    assert [losses[step] for step in range(len(losses))] == server.curve(run)
    third = Listener(server, 10**12)
    assert [third.next()[0], third.next()[0]] == ["hello", "reset"]


def test_refusals_are_clear(serve):
    server = serve()
    for body in (
        {}, {"engine": "keras"}, {"engine": "native", "settings": {"epochs": 0}}, {"engine": "native", "settings": {"speed": 1}},
        {"engine": "native", "settings": {"hidden": [0]}}, {"engine": "native", "name": "../x"}, {"engine": "native", "extra": 1},
        {"engine": "native", "tags": [1]}, {"engine": "native", "settings": []},
    ):
        message = server.post("/api/runs", body, status=400)["error"]["message"]
        assert message and "\n" not in message
    server.post("/api/runs", {"engine": "native", "settings": {"dataset": "/etc/passwd"}}, status=404)
    server.get("/api/runs/none", status=404)
    server.get("/api/nothing", status=404)
    assert server.request("PUT", "/api/runs")[0] == 405
    assert server.get("/api/runs")["total"] == 0


def test_tasks(serve, monkeypatch, tmp_path):
    monkeypatch.setenv("NNSTUDIO_MIRROR", (tmp_path / "nowhere").as_uri())
    server = serve()
    listener = Listener(server)
    task = server.post("/api/datasets/mnist/fetch", status=202)["task"]
    listener.until(lambda kind, data: kind == "task" and data["id"] == task and data["state"] == "failed" and data["error"])
    assert server.get(f"/api/tasks/{task}")["state"] == "failed"
    server.post("/api/datasets/synthetic/fetch", status=404)
    server.post("/api/engines/native/install", status=404)
    server.get("/api/tasks/t99", status=404)
