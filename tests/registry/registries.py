"""The part of the stand-in that knows an Azure ML registry, `reg1`: where it is, its models as Resource Manager tells them and as
Microsoft's client asks its data plane. A version's files are copied to a place of the registry's own, and never change."""

import re
import uuid

from endpoints import missing, now

NAME, GROUP = "reg1", "rg-shared"
KIND = "Microsoft.MachineLearningServices/registries"
DATA_PLANE = "/mferp/managementfrontend"


def refused(status, code, message):
    return status, {"error": {"code": code, "message": message, "details": [], "additionalInfo": []}}


class Registry:
    def __init__(self, azure, subscription, container):
        self.azure, self.subscription, self.container = azure, subscription, container
        self.scope = f"/subscriptions/{subscription}/resourceGroups/{GROUP}/providers/{KIND}/{NAME}"
        self.models = {}  # name -> {version: resource}
        self.permissions = [{"actions": [f"{KIND}/read", f"{KIND}/assets/*"], "notActions": []}]
        self.made = []  # every version that was ever made
        self.fails = []  # what the next versions end with: (code, message)

    def answer(self, method, path, query, body):
        """The answer to a request that is about this registry, or None."""
        if match := re.fullmatch(r"/registrymanagement/v1.0/registries/([^/]+)/discovery", path):
            return self.discovery(match[1])
        theirs = path.startswith(DATA_PLANE)
        path = path.removeprefix(DATA_PLANE)
        if not path.lower().startswith(self.scope.lower()):
            return None
        tail = path[len(self.scope) :]
        if tail == "":
            return 200, {"id": self.scope, "name": NAME, "type": KIND, "location": "westeurope", "tags": {}, "properties": {"publicNetworkAccess": "Enabled"}}
        if tail == "/providers/Microsoft.Authorization/permissions":
            return 200, {"value": self.permissions}
        if match := re.fullmatch(r"/(?:datareferences|datarefs)/([^/]+)/versions/([^/]+)", tail):
            return self.access(*match.groups(), body)
        if tail == "/models":
            return 200, {"value": [self.model(name) for name, versions in self.models.items() if versions]}
        match = re.fullmatch(r"/models/([^/]+)(?:/versions(?:/([^/]+)(/startPendingUpload)?)?)?", tail)
        if not match:
            return None
        name, version, pending = match.groups()
        if pending:
            return self.place(name, version)
        status, value, *headers = self.version(method, name, version, tail.endswith("/versions"), query, body)
        return (status, self.as_client_wants(name, value) if theirs else value, *headers)

    def discovery(self, name):
        if name != NAME:
            return 404, {"error": {"code": "UserError", "message": f"Registry {name} not found."}}
        base = f"{self.azure.data_plane}/"
        return 200, {"registryName": NAME, "tenantId": "11111111-1111-1111-1111-111111111111", "primaryRegion": "eastus", "subscriptionId": self.subscription, "resourceGroup": GROUP,
                     "workspaceName": "", "primaryRegionResourceProviderUri": base, "registryFqdns": {"eastus": {"uri": base}}}

    def as_client_wants(self, name, value):
        """The data plane's ids are not Resource Manager's."""
        if isinstance(value, dict) and "value" in value:
            return {"value": [self.as_client_wants(name, one) for one in value["value"]]}
        return {**value, "id": f"azureml://registries/{NAME}/models/{name}/versions/{value['name']}"} if value and "/versions/" in value.get("id", "") else value

    def reference(self, address, sas):
        return {"blobReferenceForConsumption": {"blobUri": address, "storageAccountArmId": "/subscriptions/s/a", "credential": {"credentialType": "SAS", "sasUri": f"{address}?{sas}"}}}

    def place(self, name, version):
        if version in self.models.get(name, {}):
            return refused(409, "Conflict", f"version {version} of {name} exists")
        address, sas = self.container(f"pending-{uuid.uuid4()}")
        return 200, {"pendingUploadId": str(uuid.uuid4()), "pendingUploadType": "TemporaryBlobReference", **self.reference(address, sas)}

    def access(self, name, version, body):
        there = self.models.get(name, {}).get(version)
        if not there or body != {"assetId": f"azureml://registries/{NAME}/models/{name}/versions/{version}", "blobUri": there["properties"]["modelUri"]}:
            return refused(404, "UserError", f"no asset {body}")
        container = there["properties"]["modelUri"].split("/")[3]
        return 200, self.reference(*self.container(container))

    def copy(self, uri):
        """What was uploaded, to a container of the registry's own: the address there; None unless it is whole."""
        container, _, path = uri.split("/", 3)[3].partition("/")
        source = self.azure.storage.get_container_client(container)
        blobs = list(source.list_blobs(name_starts_with=path, include=["metadata"]))
        if not blobs or (blobs[0].metadata or {}).get("upload_status") != "completed":
            return None
        address, _ = self.container(f"registry-{uuid.uuid4()}")
        for blob in blobs:
            self.azure.storage.get_blob_client(address.rpartition("/")[2], blob.name).upload_blob(source.download_blob(blob.name).readall())
        return f"{address}/{path}"

    def version(self, method, name, version, listing, query, body):
        versions, operations = self.models.setdefault(name, {}), self.azure.endpoints
        there = versions.get(version)
        if method == "PUT":
            properties = body["properties"]
            if there and there["properties"]["modelUri"] != properties["modelUri"]:
                return refused(409, "Conflict", "Asset with this name and version exists, and is not changed.")
            uri = properties["modelUri"] if there else self.copy(properties["modelUri"])
            if not uri:
                return refused(400, "UserError", "The files are not there.")
            if not there:
                self.made.append(f"{name}:{version}")
            resource = versions[version] = {
                "id": f"{self.scope}/models/{name}/versions/{version}", "name": version, "type": f"{KIND}/models/versions",
                "properties": {"flavors": {}, **properties, "modelUri": uri},
                "systemData": {"createdAt": there["systemData"]["createdAt"] if there else now(), "createdBy": "u", "createdByType": "User", "lastModifiedAt": now()},
            }
            return operations.put(resource, "Updating" if there else "Creating", not there, self.fails.pop(0) if self.fails else None)
        if method == "DELETE":
            return operations.remove(versions, version, there) if there else (204, None)
        if listing:
            view = {"ActiveOnly": (False,), "ArchivedOnly": (True,), "All": (False, True)}[query.get("listViewType", "ActiveOnly")]
            seen = sorted((one for one in versions.values() if bool(one["properties"].get("isArchived")) in view), key=lambda one: one["systemData"]["createdAt"], reverse=True)
            return 200, {"value": [operations.shown(one) for one in seen[: int(query.get("$top", 100))]]}
        if version:
            if there:
                operations.look(there)
            return (200, operations.shown(versions[version])) if version in versions else missing(f"version {version}")
        return (200, self.model(name)) if versions else missing(f"ModelContainer {name}")

    def model(self, name):
        numbers = [int(version) for version in self.models[name] if version.isdigit()]
        return {"id": f"{self.scope}/models/{name}", "name": name, "type": f"{KIND}/models",
                "properties": {"nextVersion": str(max(numbers, default=0) + 1), "latestVersion": str(max(numbers, default=1)), "isArchived": False}}
