"""The part of the stand-in that knows compute clusters and command jobs: a job really runs its command, on as many ranks as it asks
for, and what lies in its output folder is uploaded when it ends."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

from endpoints import missing, now

MPIRUN = ["mpirun", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1", *(["--allow-run-as-root"] if os.geteuid() == 0 else []), "-n"]


class Jobs:
    def __init__(self, azure, scope):
        self.azure, self.scope = azure, scope
        self.jobs, self.made = {}, []
        self.held = threading.Event()  # a job waits for it before its command begins
        self.held.set()
        self.ends = "Completed"
        self.runs = True  # False: the command is only taken
        self.threads = []

    def arm(self, method, tail, body):
        """The answer to what is below the workspace, or None."""
        if match := re.fullmatch(r"/computes/([^/]+)", tail):
            return self.compute(match[1])
        if match := re.fullmatch(r"/jobs/([^/]+)(/cancel)?", tail):
            return self.job(method, match[1], match[2], body)
        return None

    def compute(self, name):
        kinds = {"cpu-cluster": "AmlCompute", "notebook": "ComputeInstance"}
        if name not in kinds:
            return missing("compute")
        return 200, {"id": f"{self.scope}/computes/{name}", "name": name, "type": "Microsoft.MachineLearningServices/workspaces/computes", "location": "westeurope", "properties": {"computeType": kinds[name], "provisioningState": "Succeeded"}}

    def job(self, method, name, cancel, body):
        there = self.jobs.get(name)
        if method == "PUT":
            if there:
                return 409, {"error": {"code": "UserError", "message": "a job is not changed", "details": [], "additionalInfo": []}}
            self.made.append(name)
            services = {"Studio": {"jobServiceType": "Studio", "endpoint": f"https://ml.azure.com/runs/{name}"}}
            there = self.jobs[name] = {
                "id": f"{self.scope}/jobs/{name}", "name": name, "type": "Microsoft.MachineLearningServices/workspaces/jobs",
                "properties": {**body["properties"], "status": "Queued", "services": services},
                "systemData": {"createdAt": now(), "createdBy": "u", "createdByType": "User", "lastModifiedAt": now()},
            }
            thread = threading.Thread(target=self.work, args=(there["properties"],), daemon=True)
            self.threads.append(thread)
            thread.start()
            return 201, there
        if there is None:
            return missing("job")
        if cancel:
            there["properties"]["status"] = "Canceled"
            return 202, None, [("Location", f"{self.azure.metadata['resourceManager']}{self.scope}/jobs/{name}?api-version=2024-10-01"), ("Retry-After", "10")]
        return 200, there, [("Retry-After", "10"), ("x-ms-retry-after-ms", "100")]

    def work(self, job):
        """The cluster."""
        job["status"] = "Running"
        self.held.wait(120)
        if job["status"] == "Canceled":
            return
        folder = pathlib.Path(tempfile.mkdtemp(prefix="job"))
        try:
            if self.runs:
                ranks = job["resources"]["instanceCount"] * job["distribution"]["processCountPerInstance"]
                command = job["command"].replace("${{outputs.run}}", str(folder))
                environment = {key: value for key, value in os.environ.items() if key != "NNSTUDIO_HOME"}
                subprocess.run([*MPIRUN, str(ranks), "bash", "-c", command], cwd=folder, env=environment, check=True, capture_output=True, timeout=120)
            place = job["outputs"]["run"]["uri"].split("/paths/")[1]
            for path in folder.rglob("*"):
                if path.is_file():
                    self.azure.storage.get_blob_client("cont", place + str(path.relative_to(folder))).upload_blob(path.read_bytes(), overwrite=True)
            job["status"] = self.ends
        except subprocess.SubprocessError as trouble:
            job["status"], job["description"] = "Failed", str(getattr(trouble, "stderr", trouble))[-1000:]
        finally:
            shutil.rmtree(folder)

    def quiet(self):
        """Nothing runs anymore."""
        self.held.set()
        for thread in self.threads:
            thread.join(130)
