"""The part of the stand-in that is an Azure ML workspace's tracking server: MLflow's own server behind the workspace's address, for
whoever brings a token of Resource Manager; its artifacts go to the storage, as the run's history says."""

import base64
import json
import re
import urllib.error
import urllib.parse
import urllib.request


class Tracking:
    def __init__(self, azure, scope):
        self.azure, self.scope = azure, scope
        self.server = None  # the address of the MLflow server behind
        self.uses = 10**9  # how many requests a token is good for
        self.used = {}  # token -> requests
        self.refused = 0
        self.experiments = {}  # id -> name

    def uri(self):
        return f"azureml://{self.azure.data_plane.removeprefix('https://')}/mlflow/v1.0{self.scope}"

    def denied(self, authorization):
        """What is wrong with the token, or None."""
        token = authorization.removeprefix("Bearer ")
        if token.count(".") != 2:
            return "no token"
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        if claims["aud"] != self.azure.metadata["resourceManager"]:
            return f"the token is for {claims['aud']}"
        self.used[token] = self.used.get(token, 0) + 1
        return "the token has ended" if self.used[token] > self.uses else None

    def answer(self, method, path, authorization, body):
        if problem := self.denied(authorization):
            self.refused += 1
            return 401, {"error": {"code": "UserError", "message": problem}}
        if (start := f"/mlflow/v2.0{self.scope}/api/2.0/mlflow/") and path.startswith(start):
            return self.forward(method, path[len(start) :], body)
        match = re.fullmatch(f"/history/v1.0{re.escape(self.scope)}/experiments/([^/]+)/runs/([^/]+)/artifacts/batch/metadata", path)
        return self.places(match[1], match[2], json.loads(body)["paths"]) if match and method == "POST" else (404, {"error": {"code": "NotFound", "message": path}})

    def forward(self, method, path, body):
        request = urllib.request.Request(f"{self.server}/api/2.0/mlflow/{path}", body or None, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, self.as_azure_tells(json.loads(answer.read() or b"{}"))
        except urllib.error.HTTPError as refusal:
            return refusal.code, json.loads(refusal.read())

    def as_azure_tells(self, value):
        """Artifacts do not go through the server."""
        if isinstance(value, list):
            return [self.as_azure_tells(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "artifact_location" in value:
            self.experiments[value["experiment_id"]] = value["name"]
            value["artifact_location"] = ""
        if "artifact_uri" in value:
            experiment = urllib.parse.quote(self.experiments[value["experiment_id"]])
            value["artifact_uri"] = f"{self.uri()}/experiments/{experiment}/runs/{value['run_id']}/artifacts"
        return {key: self.as_azure_tells(one) for key, one in value.items()}

    def places(self, experiment, run, paths):
        address, sas = self.azure.pending_container("cont")
        known = urllib.parse.unquote(experiment) in self.experiments.values()
        found = {one["path"]: {"contentUri": f"{address}/ExperimentRun/dcid.{run}/{one['path']}?{sas}"} for one in paths if known}
        return 200, {"artifacts": {}, "artifactContentInformation": found, "errors": {}}
