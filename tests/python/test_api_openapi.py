"""/api/openapi.json tells the truth: schemathesis makes requests of it and checks every answer against it."""

import copy

import jsonschema
import pytest

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
from server_help import Listener  # noqa: E402
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402

# A stream never ends; fetching and installing go out into the world.
LEFT_OUT = ("/api/events", "/api/datasets/{name}/fetch", "/api/engines/{engine}/install")


@pytest.fixture
def described(serve):
    server = serve()
    done = server.post("/api/runs", {"engine": "native", "settings": {"limit": 320, "epochs": 1}}, status=201)["id"]
    server.wait(done, "finished")
    return server, server.get("/api/openapi.json"), done


def test_every_operation_answers_as_described(described):
    server, document, done = described
    for path in LEFT_OUT:
        document["paths"].pop(path)
    for path in [path for path in document["paths"] if path.startswith("/api/registry")]:
        document["paths"].pop(path)
    # Runs that are started must end soon.
    schemas = document["components"]["schemas"]
    short = copy.deepcopy(schemas["Settings"]) | {"required": ["dataset", "epochs", "hidden", "limit"]}
    short["properties"] |= {
        "dataset": {"const": "synthetic"}, "limit": {"const": 64}, "epochs": {"enum": [1, 2]}, "hidden": {"enum": [[], [16], [8, 8]]},
        "batch_size": {"type": "integer", "minimum": 1, "maximum": 100}, "threads": {"enum": [0, 1]},
    }
    for name in ("NewRun", "NewShowdown"):
        schemas[name]["required"].append("settings")
        schemas[name]["properties"]["settings"] = short
    schemas["NewRun"]["properties"]["engine"] = {"const": "native"}
    schemas["NewShowdown"]["properties"]["engines"]["items"] = {"const": "native"}
    schemas["Continue"]["properties"] = {"engine": {"const": "native"}, "epochs": {"enum": [1, 2, 3]}}
    schema = schemathesis.openapi.from_dict(document)

    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.specs.openapi.checks.status_code_conformance,
        schemathesis.specs.openapi.checks.content_type_conformance,
        schemathesis.specs.openapi.checks.response_schema_conformance,
    ]
    for result in schema.get_all_operations():
        operation = result.ok()
        run_operation(operation, server.address.rstrip("/"), checks, done)


def run_operation(operation, address, checks, done):
    @settings(
        max_examples=12, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def check(case):
        if "id" in (case.path_parameters or {}) and len(case.path_parameters["id"]) % 2:
            case.path_parameters["id"] = done
        case.call_and_validate(base_url=address, checks=checks, timeout=300)  # seconds: a busy machine is no fault

    check()


def test_every_event_is_as_described(described):
    server, document, done = described
    described_kinds = document["components"]["schemas"]["Events"]["properties"]
    schema = lambda kind: described_kinds[kind] | {"components": document["components"]}  # noqa: E731
    seen = {}
    listener = Listener(server)
    run = server.post("/api/runs", {"engine": "native", "settings": {"limit": 320, "epochs": 2}}, status=201)["id"]
    for kind, data in listener.until(lambda kind, data: kind == "run" and data["id"] == run and data["state"] == "finished"):
        seen[kind] = data
    server.post(f"/api/runs/{run}/restore")
    server.call("DELETE", f"/api/runs/{run}?forever=1")
    for kind, data in listener.until(lambda kind, data: kind == "removed"):
        seen[kind] = data
    listener.close()
    late = Listener(server, last_id=0)
    kind, data = late.until(lambda kind, data: kind != "hello")[-1]
    seen[kind] = data
    late.close()
    assert {"hello", "run", "steps", "epoch", "removed"} <= seen.keys() <= described_kinds.keys()
    for kind, data in seen.items():
        jsonschema.validate(data, schema(kind))


def test_bodies_are_refused_by_the_same_schemas(described):
    """One message a mistake; what the description forbids is not taken."""
    server, _, done = described
    for method, path, body, message in (
        ("POST", "/api/runs", {"engine": "native", "colour": "red"}, 'there is no member "colour" here: leave it out'),
        ("POST", "/api/runs", {}, '"engine" is missing: it must be one of: torch, tensorflow, native'),
        ("PATCH", f"/api/runs/{done}", {"tags": [""]}, '"tags[0]" is "": it must be text of 1 to 60 characters'),
        ("POST", "/api/showdowns", {"engines": ["native", "native"]}, '"engines" names native twice: name it once'),
        ("POST", "/api/microscope", {"engines": ["native"], "batch": -1}, '"batch" is -1: it must be a whole number from 0 to 65535'),
        ("POST", "/api/classify", {"pixels": "", "width": 0, "height": 1}, '"width" is 0: it must be a whole number from 1 to 2048'),
        ("POST", "/api/registry/workspaces", {"sign_in": "guess"}, '"sign_in" is "guess": it must be one of: auto, '),
    ):
        answer = server.call(method, path, body, status=400)["error"]
        assert answer["code"] == "input" and answer["message"].startswith(message), answer
