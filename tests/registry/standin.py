"""A small stateful stand-in for Entra ID, Azure Resource Manager, and Azure's machine identity endpoints, on loopback.

It answers as transcripts of Microsoft's own client show; Prism in front of its ARM part checks every request and answer
against Microsoft's description. It is well behaved: faults.py misbehaves in front of it.
"""

import base64
import datetime
import hashlib
import hmac
import http.server
import json
import re
import ssl
import threading
import time
import urllib.parse
import uuid

import endpoints
import jobs
import registries
import tracking

ACCOUNT = "devstoreaccount1"
# The key of every Azurite, published in its documentation.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "44444444-4444-4444-4444-444444444444"
SECRET = "client-secret-that-nobody-may-see"
SCOPE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg1/providers/Microsoft.MachineLearningServices/workspaces/ws1"


def b64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def make_token(audience):
    """A JSON web token as Azurite wants it; its signature is not checked there."""
    now = int(time.time())
    claims = {"aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", "iat": now, "nbf": now - 10, "exp": now + 3600, "oid": "o", "tid": TENANT, "uti": str(uuid.uuid4())}  # no two are the same
    head = {"alg": "RS256", "typ": "JWT"}
    return ".".join([b64url(json.dumps(head).encode()), b64url(json.dumps(claims).encode()), b64url(b"signature-that-nobody-may-see")])


def make_sas(container, permissions="rcw", seconds=3600):
    """A service SAS, version 2021-08-06."""
    expiry = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    fields = [permissions, "", expiry, f"/blob/{ACCOUNT}/{container}", "", "", "", "2021-08-06", "c", "", "", "", "", "", "", ""]
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), "\n".join(fields).encode(), hashlib.sha256).digest()).decode()
    return urllib.parse.urlencode({"sv": "2021-08-06", "se": expiry, "sr": "c", "sp": permissions, "sig": signature})


class Azure:
    """What the stand-in knows, and how it is to misbehave."""

    def __init__(self):
        self.lock = threading.RLock()
        self.reset()

    def reset(self, secrets="sas", credentials="AccountKey"):
        self.models = {}  # name -> {version: envelope}
        self.endpoints = endpoints.Endpoints(self, SCOPE, self.pending_container)
        self.jobs = jobs.Jobs(self, SCOPE)
        self.registry = registries.Registry(self, SUBSCRIPTION, self.pending_container)
        self.tracking = tracking.Tracking(self, SCOPE)
        self.secrets = secrets  # "sas", "key", "refused"
        self.credentials = credentials
        self.sas_seconds = [3600]  # how long the next SAS's live; the last one is kept
        self.log = []  # "METHOD path"
        self.device = ["pending", "slow_down", "pending", "ok"]  # answers to polling
        self.device_interval, self.device_expires = 1, 900
        self.identity_faults = []  # statuses that the identity service answers before it works
        self.identity_log = []  # (path, query, the header that opened it)
        self.issued = []  # every token and signature that was given out
        self.blob_endpoint = None
        self.permissions = [{"actions": ["*/read"], "notActions": []}, {"actions": ["Microsoft.MachineLearningServices/workspaces/*/write", "Microsoft.MachineLearningServices/workspaces/*/delete"], "notActions": []}]
        self.certificate, self.assertions = None, []  # of the service principal; what it signed: (header, claims)
        # what ARM says of a workspace that is not there
        self.absent_words = "The Resource '{type}/{name}' under resource group 'rg1' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix"

    # ---- Entra ID

    def check_assertion(self, form):
        """What is wrong with a certificate's assertion, as Entra checks it; None when nothing is."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        unpack = lambda part: base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))  # noqa: E731
        signed, _, signature = form["client_assertion"].rpartition(".")
        head, claims = (json.loads(unpack(part)) for part in signed.split("."))
        schemes = {"PS256": padding.PSS(padding.MGF1(hashes.SHA256()), 32), "RS256": padding.PKCS1v15()}
        try:
            self.certificate.public_key().verify(unpack(signature), signed.encode(), schemes[head["alg"]], hashes.SHA256())
        except InvalidSignature:
            return "the signature does not verify"
        thumbprints = {"x5t": hashes.SHA1(), "x5t#S256": hashes.SHA256()}
        for name in thumbprints.keys() & head.keys():
            if unpack(head[name]) != self.certificate.fingerprint(thumbprints[name]):
                return f"{name} names another certificate"
        now = time.time()
        fine = (claims["aud"] == f"{self.login}/{TENANT}/oauth2/v2.0/token" and claims["iss"] == claims["sub"] == form["client_id"] == CLIENT
                and claims.get("nbf", 0) <= now + 5 and now < claims["exp"] <= now + 86400 and claims["jti"] and thumbprints.keys() & head.keys())
        self.assertions.append((head, claims))
        return None if fine else f"claims do not fit: {claims}"

    def token(self, form):
        grant = form.get("grant_type", "")
        audience = form.get("scope", "").split(" ")[0].removesuffix("/.default")
        if grant == "client_credentials":
            if form.get("client_assertion"):
                if self.certificate and form["client_assertion"].count(".") == 2:
                    if refusal := self.check_assertion(form):
                        return 401, {"error": "invalid_client", "error_description": f"AADSTS700027: {refusal}", "trace_id": "t1"}
                elif form["client_assertion"] != "federated-token":
                    return 401, {"error": "invalid_client", "error_description": "AADSTS700211: bad assertion", "trace_id": "t1"}
            elif form.get("client_secret") != SECRET:
                return 401, {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided.", "trace_id": "t1"}
        elif grant.endswith("device_code"):
            answer = self.device.pop(0) if len(self.device) > 1 else self.device[0]
            if answer != "ok":
                code = "authorization_pending" if answer == "pending" else answer
                return 400, {"error": code, "error_description": f"AADSTS70016: {code}", "error_codes": [70016]}
        elif grant == "authorization_code":
            challenge = b64url(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
            if form.get("code") != "the-code" or challenge != getattr(self, "challenge", None):
                return 400, {"error": "invalid_grant", "error_description": "AADSTS70008: bad code"}
        elif grant == "refresh_token":
            if form.get("refresh_token") != "refresh-token-that-nobody-may-see":
                return 400, {"error": "invalid_grant", "error_description": "AADSTS70000"}
        else:
            return 400, {"error": "unsupported_grant_type"}
        answer = {"token_type": "Bearer", "expires_in": 3599, "ext_expires_in": 3599, "access_token": make_token(audience)}
        self.issued.append(answer["access_token"])
        if grant in ("authorization_code", "refresh_token") or grant.endswith("device_code"):
            answer["refresh_token"] = "refresh-token-that-nobody-may-see"
        return 200, answer

    # ---- ARM

    def pending_container(self, name):
        """A container of its own for an asset's files: its address and a SAS."""
        protocol, suffix = self.blob_endpoint
        if not self.storage.get_container_client(name).exists():
            self.storage.create_container(name)
        sas = make_sas(name, "racwl")
        self.issued.append(dict(urllib.parse.parse_qsl(sas))["sig"])
        return f"{protocol}://{ACCOUNT}.blob.{suffix}/{name}", sas

    def arm(self, method, path, query, body, host):
        if path == "/metadata/endpoints":
            return 200, [self.metadata]
        if path == "/subscriptions":
            return 200, {"value": [{"id": f"/subscriptions/{SUBSCRIPTION}", "subscriptionId": SUBSCRIPTION, "displayName": "one"}]}
        if path == f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.MachineLearningServices/workspaces":
            return 200, {"value": [self.workspace()]}
        if match := re.fullmatch(r"/subscriptions/[^/]+/providers/Microsoft.MachineLearningServices/locations/[^/]+/(mfeOperation\w+)/([^/]+)", path):
            return self.endpoints.operation(*match.groups())
        if (answer := self.registry.answer(method, path, query, body)) is not None:
            return answer
        if not path.lower().startswith(SCOPE.lower()):
            match = re.match("/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/([^/]+/workspaces)/([^/]+)", path)
            if not match or match[1] != SUBSCRIPTION:
                return 404, error("SubscriptionNotFound", "The subscription could not be found.")
            if match[2] != "rg1":
                return 404, error("ResourceGroupNotFound", f"Resource group '{match[2]}' could not be found.")
            return 404, error("ResourceNotFound", self.absent_words.format(type=match[3], name=match[4]))
        tail = path[len(SCOPE) :]
        if tail == "":
            return 200, self.workspace()
        if tail == "/providers/Microsoft.Authorization/permissions":
            return 200, {"value": self.permissions}
        if tail == "/datastores":
            return 200, {"value": [self.datastore()]}
        if tail == "/datastores/workspaceblobstore":
            return 200, self.datastore()
        if tail == "/datastores/workspaceblobstore/listSecrets":
            if self.secrets == "refused":
                return 403, error("AuthorizationFailed", "no right to listSecrets")
            if self.secrets == "key":
                return 200, {"secretsType": "AccountKey", "key": KEY}
            seconds = self.sas_seconds.pop(0) if len(self.sas_seconds) > 1 else self.sas_seconds[0]
            sas = make_sas("cont", "racwl", seconds)
            self.issued.append(dict(urllib.parse.parse_qsl(sas))["sig"])
            return 200, {"secretsType": "Sas", "sasToken": sas}
        if tail == "/models":
            return 200, {"value": [self.model("GET", name, None, False, query, None)[1] for name, versions in self.models.items() if versions]}
        match = re.fullmatch(r"/models/([^/]+)(?:/versions(?:/([^/]+))?)?", tail)
        if match:
            return self.model(method, match[1], match[2], tail.endswith("/versions"), query, body)
        if (answer := self.endpoints.arm(method, tail, query, body)) is not None:
            return answer
        if (answer := self.jobs.arm(method, tail, body)) is not None:
            return answer
        return 404, error("ResourceNotFound", f"no {tail}")

    def workspace(self):
        return {
            "id": SCOPE, "name": "ws1", "type": "Microsoft.MachineLearningServices/workspaces", "location": "westeurope",
            "properties": {"workspaceId": "22222222-2222-2222-2222-222222222222", "v1LegacyMode": False, "friendlyName": "ws1", "mlFlowTrackingUri": self.tracking.uri()},
        }

    def datastore(self):
        protocol, suffix = self.blob_endpoint
        credentials = {"credentialsType": self.credentials}
        return {
            "id": SCOPE + "/datastores/workspaceblobstore", "name": "workspaceblobstore",
            "type": "Microsoft.MachineLearningServices/workspaces/datastores",
            "properties": {
                "datastoreType": "AzureBlob", "accountName": ACCOUNT, "containerName": "cont", "endpoint": suffix, "protocol": protocol,
                "isDefault": True, "credentials": credentials, "serviceDataAccessAuthIdentity": "None",
            },
        }

    def model(self, method, name, version, listing, query, body):
        versions = self.models.setdefault(name, {})
        if method == "PUT" and version:
            properties = body["properties"]
            old = versions.get(version)
            if old and old["properties"]["modelUri"] != properties["modelUri"]:
                return 400, error("UserError", "Asset paths cannot be updated.")
            now = datetime.datetime.now(datetime.timezone.utc).isoformat().replace("+00:00", "Z")
            created = old["systemData"]["createdAt"] if old else now
            versions[version] = {
                "id": f"{SCOPE}/models/{name}/versions/{version}", "name": version,
                "type": "Microsoft.MachineLearningServices/workspaces/models/versions",
                "properties": {"flavors": {}, **properties, "provisioningState": "Succeeded"},
                "systemData": {"createdAt": created, "createdBy": "someone", "createdByType": "User", "lastModifiedAt": now},
            }
            return (200 if old else 201), versions[version]
        if method == "DELETE" and version:
            return (200 if versions.pop(version, None) else 204), None
        if not versions:
            return 404, error("UserError", f"ModelContainer {name} not found")
        if listing:
            view = {"ActiveOnly": (False,), "ArchivedOnly": (True,), "All": (False, True)}[query.get("listViewType", "ActiveOnly")]
            seen = [v for v in versions.values() if bool(v["properties"].get("isArchived")) in view]
            newest = sorted(seen, key=lambda v: v["systemData"]["createdAt"], reverse=True)
            return 200, {"value": newest[: int(query.get("$top", 100))]}
        if version:
            return (200, versions[version]) if version in versions else (404, error("UserError", f"no version {version}"))
        numbers = [int(v) for v in versions if v.isdigit()]
        return 200, {
            "id": f"{SCOPE}/models/{name}", "name": name, "type": "Microsoft.MachineLearningServices/workspaces/models",
            "properties": {"nextVersion": str(max(numbers, default=0) + 1), "latestVersion": str(max(numbers, default=1)), "isArchived": False},
        }


def error(code, message):
    return {"error": {"code": code, "message": message, "details": [], "additionalInfo": []}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm, wbufsize = True, 1 << 16
    azure: Azure

    def log_message(self, *arguments):
        pass

    def reply(self, status, value, headers=()):
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("x-ms-request-id", "request-1")
        for name, text in headers:
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def handle_any(self):
        split = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(split.query))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        azure = self.azure
        with azure.lock:
            azure.log.append(f"{self.command} {split.path}")
            path = urllib.parse.unquote(split.path)
            if "/oauth2/v2.0/" in path or path.endswith("/openid-configuration") or "/discovery/" in path:
                return self.entra(path, dict(urllib.parse.parse_qsl(body.decode())))
            if path == "/score":
                return self.reply(*azure.endpoints.score(self.headers.get("Host"), self.headers.get("Authorization"), body))
            if path in ("/metadata/identity/oauth2/token", "/msi/token"):
                return self.identity(query)
            if self.tracking_path(path):
                return self.reply(*azure.tracking.answer(self.command, self.path, self.headers.get("Authorization", ""), body))
            if path != "/metadata/endpoints" and not self.headers.get("Authorization", "").startswith("Bearer ey"):
                return self.reply(401, error("AuthenticationFailed", "no token"))
            status, value, *headers = azure.arm(self.command, path, query, json.loads(body) if body else None, self.headers.get("Host"))
            self.reply(status, value, *headers)

    @staticmethod
    def tracking_path(path):
        return path.startswith(("/mlflow/", "/history/"))

    def entra(self, path, form):
        azure = self.azure
        if path.endswith("/openid-configuration"):
            base = f"{azure.login}/{TENANT}"
            return self.reply(200, {
                "token_endpoint": base + "/oauth2/v2.0/token", "authorization_endpoint": base + "/oauth2/v2.0/authorize",
                "device_authorization_endpoint": base + "/oauth2/v2.0/devicecode", "issuer": base + "/v2.0", "jwks_uri": base + "/discovery/v2.0/keys",
            })
        if path.endswith("/discovery/instance"):
            return self.reply(200, {"tenant_discovery_endpoint": f"{azure.login}/{TENANT}/v2.0/.well-known/openid-configuration", "metadata": []})
        if path.endswith("/devicecode"):
            return self.reply(200, {
                "user_code": "GTHK3QXW9", "device_code": "device-code-that-nobody-may-see", "verification_uri": "https://microsoft.com/devicelogin",
                "expires_in": azure.device_expires, "interval": azure.device_interval, "message": "To sign in ...",
            })
        self.reply(*azure.token(form))

    def identity(self, query):
        """The machine's own identity: App Service's form, Azure ML's, and the virtual machine's."""
        azure = self.azure
        forms = {"X-IDENTITY-HEADER": ("identity-secret", "2019-08-01", "client_id"), "secret": ("msi-secret", "2017-09-01", "clientid"),
                 "Metadata": ("true", "2018-02-01", "client_id")}
        header = next((name for name, (value, _, _) in forms.items() if self.headers.get(name) == value), None)
        azure.identity_log.append((urllib.parse.urlsplit(self.path).path, query, header))
        if azure.identity_faults:
            return self.reply(azure.identity_faults.pop(0), {"error": "not yet"})
        if not header or query.get("api-version") != forms[header][1] or query.get(forms[header][2]) != CLIENT:
            return self.reply(400, {"error": "invalid_request", "error_description": "header, version or client missing"})
        answer = {"access_token": make_token(query["resource"]), "expires_on": str(int(time.time()) + 86399), "resource": query["resource"], "token_type": "Bearer"}
        if header != "secret":
            answer["expires_in"] = "86399"
        self.reply(200, answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any


def serve(azure, certificate=None, port=0):
    """Starts the stand-in in a thread; returns (server, port)."""
    handler = type("BoundHandler", (Handler,), {"azure": azure})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, server.server_address[1]
