"""nnstudio job submit azureml: sent once, followed, and the run comes back with its model; the stand-in really runs it, on two ranks."""

import hashlib
import json
import pathlib
import shutil
import signal
import subprocess

import pytest
from test_endpoints import kill_at
from test_faults import SECRETS
from test_sdk import client, loopback_names  # noqa: F401

SETTINGS = ["--dataset", "synthetic", "--limit", 200, "--epochs", 2, "--dtype", "float64", "--name", "far.away"]
WHERE = ["--nodes", 2, "--image", "example.com/nnstudio:1", "--compute", "cpu-cluster", "--time", "00:30:00"]


@pytest.fixture
def cluster(cloud, binary):
    if not shutil.which("mpirun") or not (pathlib.Path(binary).parent / "nnstudio-mpi.so").exists():
        pytest.skip("no mpirun or no module for it: apt install openmpi-bin libopenmpi-dev")
    yield cloud
    cloud.azure.jobs.quiet()


def job(studio, cloud, *words, status=0):
    result = studio("job", *words, "--config", cloud.config, "--json", status=status)
    assert not SECRETS.search(result.stdout + result.stderr), result.stdout + result.stderr
    return result


def submission(binary, cloud):
    return [str(word) for word in (binary, "job", "submit", "azureml", *WHERE, "--program", binary, *SETTINGS, "--yes", "--config", cloud.config, "--json")]


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_job_trains_far_away_and_its_run_comes_home(binary, studio, cluster, home, client, tmp_path):  # noqa: F811
    jobs, where = cluster.azure.jobs, [*WHERE, "--program", binary]
    said = job(studio, cluster, "submit", "azureml", *where, *SETTINGS, status=2).stderr
    assert "Azure bills these machines" in said and "--yes" in said and jobs.made == []
    for compute, complaint in (("nowhere", 'has no compute cluster "nowhere"'), ("notebook", "is of the type ComputeInstance")):
        wrong = [compute if word == "cpu-cluster" else word for word in where]
        assert complaint in job(studio, cluster, "submit", "azureml", *wrong, *SETTINGS, "--yes", status=1).stderr
    assert jobs.made == []
    *told, end = lines(job(studio, cluster, "submit", "azureml", *where, *SETTINGS, "--yes").stdout)
    (name,) = jobs.made
    assert name.startswith("far-away-") and (end["job"], end["state"], end["link"]) == (name, "Completed", f"https://ml.azure.com/runs/{name}")
    assert [event["state"] for event in told if event["event"] == "state"][-1] == "Completed"
    run = json.loads(studio("runs", "show", end["run"], "--json").stdout)
    assert run["state"] == "finished" and run["progress"]["ranks"] == 2 and [file["path"] for file in run["files"]] == [end["model"]]
    assert run["files"][0]["sha256"] == hashlib.sha256(pathlib.Path(end["model"]).read_bytes()).hexdigest()
    assert str(home) in end["model"]
    # what one process computes here
    studio("train", *SETTINGS, "--out", "alone")
    (alone,) = [one for one in lines(studio("runs", "list", "--json").stdout) if one["id"] != end["run"]]
    here = json.loads(studio("runs", "show", alone["id"], "--json").stdout)
    assert len(run["epochs"]) == len(here["epochs"]) == 2
    for there, mine in zip(run["epochs"], here["epochs"]):
        assert abs(there["loss"] - mine["loss"]) < 1e-12 and there["accuracy"] == mine["accuracy"]
    # it is a run of this home: it goes on here, alone
    studio("train", "--resume", end["run"], "--epochs", 3)
    # Microsoft's own client reads the job as it was meant
    theirs = client.jobs.get(name)
    assert (theirs.status, theirs.display_name, theirs.experiment_name) == ("Completed", "far.away", "nnstudio")
    assert (theirs.resources.instance_count, theirs.distribution.process_count_per_instance, theirs.limits.timeout) == (2, 1, 1800)
    assert theirs.compute.endswith("cpu-cluster") and theirs.outputs["run"].path == f"azureml://datastores/workspaceblobstore/paths/nnstudio-jobs/{name}/"
    (row,) = lines(job(studio, cluster, "list").stdout)
    assert (row["job"], row["state"], row["run"]) == (name, "Completed", end["run"])
    assert "is over already" in job(studio, cluster, "cancel", name, status=1).stderr


# Where it is killed, and what its journal says then.
CUTS = [("hook", r"^PUT .*/environments/", "sending"), ("after", r"^PUT .*/jobs/", "sending"), ("after", r"^GET .*/jobs/", "sending")]


def test_a_job_that_was_cut_is_not_sent_twice(binary, studio, cluster, tmp_path):
    jobs, words = cluster.azure.jobs, submission(binary, cluster)
    jobs.held.clear()
    for moment, match, state in CUTS:
        kill_at(cluster, words, tmp_path, "arm", match, moment)
        (row,) = lines(job(studio, cluster, "list").stdout)
        assert row["state"] == state and jobs.made in ([], [row["job"]])
    jobs.held.set()
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    end = lines(done.stdout)[-1]
    assert jobs.made == [end["job"]] and end["run"]
    # killed while the results come: they are all here, once
    studio("runs", "rm", end["run"])
    shutil.rmtree(pathlib.Path(end["model"]).parent, ignore_errors=True)
    kill_at(cluster, [str(w) for w in (binary, "job", "follow", end["job"], "--config", cluster.config)], tmp_path, "blob", r"^GET .*checkpoint", "hook")
    assert not pathlib.Path(end["model"]).parent.exists()
    assert lines(job(studio, cluster, "follow", end["job"]).stdout)[-1]["run"] == end["run"]
    assert pathlib.Path(end["model"]).exists()


def test_an_interruption_leaves_it_running_and_says_how_to_go_on(binary, studio, cluster, tmp_path):
    jobs, words = cluster.azure.jobs, submission(binary, cluster)
    jobs.held.clear()
    process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stdout:
            if json.loads(line).get("state") == "Running":
                break
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    finally:
        process.kill()
        process.wait()
    (name,) = jobs.made
    assert process.returncode == 130
    assert f"`nnstudio job follow {name}` waits for it, `nnstudio job cancel {name}` ends it" in said
    assert jobs.jobs[name]["properties"]["status"] == "Running"
    job(studio, cluster, "cancel", name)
    said = job(studio, cluster, "follow", name, status=1).stderr
    assert f"the job {name} ended as Canceled" in said and said.count("\n") == 1
    assert "no job elsewhere was sent from here" in job(studio, cluster, "follow", "elsewhere", status=1).stderr
