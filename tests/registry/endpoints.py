"""The part of the stand-in that knows code folders, environments and online endpoints: a deployment runs the scoring script that was
uploaded, on the model that was registered. Answers as transcripts of Microsoft's own client show them."""

import datetime
import json
import pathlib
import re
import tempfile
import types
import uuid

KEY = "endpoint-key-that-nobody-may-see"
REGION = "westeurope"
OVER = ("Succeeded", "Failed", "Canceled")


def now():
    return datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")


def wrong(message):
    """A refusal as Azure's endpoints give it: JSON in a string in the details."""
    packed = json.dumps({"errors": {"": [message]}, "title": "One or more validation errors occurred.", "status": 400})
    inner = {"code": "InferencingClientCallFailed", "message": packed, "details": [], "additionalInfo": []}
    return 400, {"error": {"code": "BadRequest", "message": "The request is invalid.", "details": [inner], "additionalInfo": []}}


def missing(what):
    return 404, {"error": {"code": "UserError", "message": f"{what} not found", "details": [], "additionalInfo": []}}


class Endpoints:
    def __init__(self, azure, scope, container):
        """`container(name)` makes a container and gives (its address, a SAS, a client of it or of `cont`)."""
        self.azure, self.scope, self.container = azure, scope, container
        self.codes, self.environments, self.endpoints, self.made = {}, {}, {}, []
        self.operations = {}  # id -> the resource that it is about
        self.looks = 1  # how many times it is looked at before an operation ends
        self.fails = []  # what the next deployments end with: (code, message)
        self.refuses = []  # what the next PUTs of endpoints and deployments are refused with
        self.taken = set()  # names that other customers have
        self.pause = 0  # milliseconds
        self.answers = None  # instead of the scoring script: f(rows) -> predictions

    def manager(self):
        return self.azure.metadata["resourceManager"]

    # ---- long operations

    def wait(self):
        """The description has 10 s as the least; the milliseconds are what counts."""
        return [("Retry-After", "10"), ("x-ms-retry-after-ms", str(self.pause))]

    def begin(self, resource, state, end):
        """A long operation of the resource; its URL is in the resource, too."""
        number = f"oeidp:{uuid.uuid4()}:{uuid.uuid4()}"
        where = f"{self.manager()}/subscriptions/{self.scope.split('/')[2]}/providers/Microsoft.MachineLearningServices/locations/{REGION}"
        resource["properties"]["provisioningState"] = state
        resource["_left"], resource["_end"], resource["_error"] = self.looks, end, None
        self.operations[number] = resource
        url = f"{where}/mfeOperationsStatus/{number}?api-version=2024-10-01"
        resource["properties"].setdefault("properties", {})["AzureAsyncOperationUri"] = url
        return url, f"{where}/mfeOperationResults/{number}?api-version=2024-10-01"

    def look(self, resource):
        """Time passes for what is looked at."""
        if "_end" not in resource:
            return
        resource["_left"] -= 1
        if resource["_left"] < 0:
            resource.pop("_end")()

    def operation(self, kind, number):
        resource = self.operations.get(number)
        if resource is None:
            return missing("operation")
        self.look(resource)
        if kind == "mfeOperationResults":
            return (202, None, [("Location", f"{self.manager()}{self.path_of(number)}"), *self.wait()]) if "_end" in resource else (204, None)
        if "_end" in resource:
            return 200, {"status": "InProgress", "startTime": now()}, self.wait()
        if resource["_error"]:
            code, message = resource["_error"]
            return 200, {"error": {"code": code, "message": message}, "status": "Failed", "startTime": now(), "endTime": now()}
        return 200, {"status": "Succeeded", "startTime": now(), "endTime": now()}

    def path_of(self, number):
        return f"/subscriptions/{self.scope.split('/')[2]}/providers/Microsoft.MachineLearningServices/locations/{REGION}/mfeOperationResults/{number}?api-version=2024-10-01"

    def finish(self, resource, state="Succeeded", error=None):
        def end():
            resource["properties"]["provisioningState"], resource["_error"] = state, error

        return end

    def shown(self, resource):
        return {name: value for name, value in resource.items() if not name.startswith("_")}

    def put(self, resource, state, new, error=None):
        end = self.finish(resource, "Failed" if error else "Succeeded", error)
        url, _ = self.begin(resource, state, end)
        return (201 if new else 200), self.shown(resource), [("Azure-AsyncOperation", url), *self.wait()]

    def remove(self, holder, name, resource):
        def end():
            resource["_error"] = None
            holder.pop(name, None)

        _, location = self.begin(resource, "Deleting", end)
        return 202, None, [("Location", location), *self.wait()]

    # ---- requests

    def arm(self, method, tail, query, body):
        """The answer to what is below the workspace, or None."""
        if match := re.fullmatch(r"/(codes|environments)/([^/]+)/versions(?:/([^/]+)(/startPendingUpload)?)?", tail):
            return self.asset(method, *match.groups(), query, body)
        if match := re.fullmatch(r"/onlineEndpoints(?:/([^/]+)(/listKeys)?)?", tail):
            return self.endpoint(method, match[1], match[2], body)
        if match := re.fullmatch(r"/onlineEndpoints/([^/]+)/deployments(?:/([^/]+)(/getLogs)?)?", tail):
            return self.deployment(method, *match.groups(), body)
        return None

    def asset(self, method, kind, name, version, pending, query, body):
        versions = getattr(self, kind).setdefault(name, {})
        if pending:
            address, sas = self.container(f"pending-{uuid.uuid4()}")
            return 200, {
                "pendingUploadId": str(uuid.uuid4()), "pendingUploadType": "TemporaryBlobReference",
                "blobReferenceForConsumption": {"blobUri": address, "storageAccountArmId": "/subscriptions/s/a", "credential": {"credentialType": "SAS", "sasUri": f"{address}?{sas}"}},
            }
        if version is None:  # a question for code of a content, whatever its name
            every = [one for versions in self.codes.values() for one in versions.values()]
            return 200, {"value": [one for one in every if one["properties"]["properties"].get("hash_sha256") == query["hash"]]}
        if method == "PUT":
            known = version in versions
            self.made += [] if known else [f"{kind}/{name}/{version}"]
            versions[version] = versions.get(version) or {
                "id": f"{self.scope}/{kind}/{name}/versions/{version}", "name": version, "type": f"Microsoft.MachineLearningServices/workspaces/{kind}/versions",
                "properties": {**body["properties"], "provisioningState": "Succeeded"},
                "systemData": {"createdAt": now(), "createdBy": "u", "createdByType": "User", "lastModifiedAt": now()},
            }
            return (200 if known else 201), versions[version]
        return (200, versions[version]) if version in versions else missing(kind)

    def endpoint(self, method, name, keys, body):
        if name is None:
            return 200, {"value": [self.shown(one) for one in self.endpoints.values()]}
        there = self.endpoints.get(name)
        if keys:
            return (200, {"primaryKey": KEY, "secondaryKey": KEY + "-2"}) if there else missing("endpoint")
        if method == "PUT":
            if name in self.taken:
                return wrong("There is already an endpoint with this name, Endpoint name needs to be unique within a region. Try some other name.")
            if self.refuses:
                return wrong(self.refuses.pop(0))
            if there and there["properties"]["provisioningState"] not in OVER:
                return 409, {"error": {"code": "Conflict", "message": "another operation is going on", "details": [], "additionalInfo": []}}
            traffic = body["properties"].get("traffic", {})
            if there and set(traffic) - set(there["_deployments"]):
                return wrong(f"unknown deployments in the traffic: {traffic}")
            if not there:
                self.made.append(f"endpoint/{name}")
            resource = self.endpoints[name] = {
                "id": f"{self.scope}/onlineEndpoints/{name}", "name": name, "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints",
                "location": body["location"], "tags": body.get("tags", {}), "kind": "Managed",
                "identity": {**body["identity"], "principalId": "66666666-6666-6666-6666-666666666666", "tenantId": "11111111-1111-1111-1111-111111111111"},
                "properties": {
                    **body["properties"], "publicNetworkAccess": "Enabled",
                    "scoringUri": f"https://{name}.{REGION}.inference.localhost:{self.azure.login.rpartition(':')[2]}/score",
                },
                "systemData": {"createdAt": now(), "createdBy": "u", "createdByType": "User", "lastModifiedAt": now()},
                "_deployments": there["_deployments"] if there else {},
            }
            return self.put(resource, "Updating" if there else "Creating", not there)
        if method == "DELETE":
            return self.remove(self.endpoints, name, there) if there else (204, None)
        if there:
            self.look(there)
        return (200, self.shown(self.endpoints[name])) if name in self.endpoints else missing("endpoint")

    def deployment(self, method, endpoint, name, logs, body):
        if endpoint not in self.endpoints:
            return missing("endpoint")
        deployments = self.endpoints[endpoint]["_deployments"]
        if name is None:
            return 200, {"value": [self.shown(one) for one in deployments.values()]}
        there = deployments.get(name)
        if logs:
            if not there:
                return missing("deployment")
            return 200, {"content": f"Instance status:\n{body['containerType']}\n\nContainer logs:\nFileNotFoundError: model.pth\n"}
        if method == "PUT":
            if self.refuses:
                return wrong(self.refuses.pop(0))
            if there and there["properties"]["provisioningState"] != "Succeeded":
                return 409, {"error": {"code": "Conflict", "message": "it is in a state that refuses changes", "details": [], "additionalInfo": []}}
            if not there:
                self.made.append(f"deployment/{endpoint}/{name}")
            resource = deployments[name] = {
                "id": f"{self.scope}/onlineEndpoints/{endpoint}/deployments/{name}", "name": name,
                "type": "Microsoft.MachineLearningServices/workspaces/onlineEndpoints/deployments", "location": body["location"], "tags": body.get("tags", {}),
                "sku": {**body["sku"], "tier": "Standard"}, "kind": "Managed",
                "properties": {**body["properties"], "requestSettings": {"requestTimeout": "PT5S"}, "scaleSettings": {"scaleType": "Default"}},
                "systemData": {"createdAt": now(), "createdBy": "u", "createdByType": "User", "lastModifiedAt": now()},
            }
            return self.put(resource, "Updating" if there else "Creating", not there, self.fails.pop(0) if self.fails else None)
        if method == "DELETE":
            return self.remove(deployments, name, there) if there else (204, None)
        if there:
            self.look(there)
        return (200, self.shown(deployments[name])) if name in deployments else missing("deployment")

    # ---- the scoring host

    def score(self, host, authorization, body):
        """What a deployment with all traffic answers."""
        there = self.endpoints.get(host.split(".")[0])
        if not there or there["properties"].get("traffic", {}).get("blue") != 100:
            return 404, {"error": "no deployment has traffic"}
        if authorization != f"Bearer {KEY}":
            return 401, {"error": "the key is wrong"}
        if self.answers:
            sent = json.loads(body)  # an MLflow folder without a script takes and gives another form
            return 200, self.answers(sent["input_data"]) if "input_data" in sent else {"predictions": self.answers(sent["inputs"])}
        deployment = there["_deployments"]["blue"]
        module = deployment.get("_module") or self.start(deployment)
        deployment["_module"] = module
        answer = module.run(body.decode())
        return (200, answer) if isinstance(answer, dict) else (400, {"error": str(answer)})

    def start(self, deployment):
        """The container: the script and the model's file, as they were uploaded."""
        folder = pathlib.Path(tempfile.mkdtemp(prefix="deployment"))
        properties = deployment["properties"]
        name, version = properties["model"].split("/")[-3::2]
        blob = self.azure.models[name][version]["properties"]["modelUri"].split("/paths/")[1]
        (folder / blob.rpartition("/")[2]).write_bytes(self.azure.storage.get_blob_client("cont", blob).download_blob().readall())
        code = properties["codeConfiguration"]["codeId"].split("/")[-3]
        uri = self.codes[code]["1"]["properties"]["codeUri"].split("/")
        script = self.azure.storage.get_blob_client(uri[3], "/".join(uri[4:]) + "/" + properties["codeConfiguration"]["scoringScript"]).download_blob().readall()
        module = types.ModuleType("score")
        import os

        os.environ["AZUREML_MODEL_DIR"] = str(folder)
        exec(compile(script, "score.py", "exec"), module.__dict__)
        module.init()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        return module
