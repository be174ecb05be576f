"""The table of settings: the command line, the HTTP interface and the page's own check take the same values and refuse the
same ones; what was accepted once can be read, continued, evaluated and deleted; the docs and the schema say what the table says."""

import json
import math
import os
import pathlib
import re
import sqlite3
import subprocess
from urllib.parse import quote

import pytest
from server_help import Server

SOURCE = pathlib.Path(os.environ.get("NNSTUDIO_SOURCE", pathlib.Path(__file__).parents[2]))
SMALL = {"dataset": "synthetic", "limit": 64, "epochs": 1, "hidden": [8]}


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("settings")
    server = Server(binary, folder / "home", cwd=folder)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def table(server):
    return {setting["key"]: setting for setting in server.get("/api/settings")["settings"]}


def values(setting):
    """(value, whether it is in range): the bounds, just inside and just outside, and what is no number."""
    low, high = setting["low"], setting["high"]
    if setting["kind"] == "integer":
        return [(low, True), (high, True), (low - 1, False), (high + 1, False), (0.5, False), (math.nan, False), ("x", False)]
    if setting["kind"] == "number":
        outside = [(math.nextafter(low, -math.inf), False), (math.nextafter(high, math.inf), False)]
        inside = [(math.nextafter(low, math.inf), True), (math.nextafter(high, -math.inf), True)]
        edges = [(low, not setting["low_open"]), (high, not setting["high_open"])]
        return outside + inside + edges + [(math.nan, False), (math.inf, False), ("x", False)]
    if setting["kind"] == "choice":
        return [(choice["value"], True) for choice in setting["choices"]] + [("x", False), ("", False), (3, False)]
    if setting["kind"] == "flag":
        return [(True, True), (False, True), ("x", False), (1, False)]
    if setting["kind"] == "widths":
        inside = [[], [low], [high], [low] * setting["most"]]
        return [(v, True) for v in inside] + [(v, False) for v in ([low - 1], [high + 1], [low] * (setting["most"] + 1), ["x"], [0.5])]
    return []


def as_text(value):
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def beside(setting):
    """What the setting needs beside it: an optimizer that has it, and for Nesterov's momentum one."""
    with_it = {"optimizer": setting["optimizers"][0]} if setting["optimizers"] else {}
    return {**with_it, "momentum": 0.5} if setting["key"] == "nesterov" else with_it


def option(setting, value):
    return f"--{setting['option']}" if setting["kind"] == "flag" and value else f"--{setting['option']}={as_text(value)}"


def on_the_command_line(binary, setting, value, folder):
    """Whether `code` takes the value: the same options as `train`, without a training. The answer, when not, is one line."""
    words = [binary, "code", "torch", "--dataset", "synthetic", *(f"--{k}={v}" for k, v in beside(setting).items()), option(setting, value)]
    result = subprocess.run(words, capture_output=True, text=True, cwd=folder)
    if result.returncode == 0:
        return True, None
    assert result.returncode == 2 and result.stderr.count("\n") == 1, result.stderr
    return False, result.stderr.removeprefix("nnstudio: ").strip()


def in_the_query(server, setting, value):
    others = "".join(f"&{k}={v}" for k, v in beside(setting).items())
    status, _, content = server.request("GET", f"/api/code?dataset=synthetic{others}&{setting['key']}={quote(as_text(value))}")
    assert status in (200, 400), content
    return status == 200, None if status == 200 else json.loads(content)["error"]["message"]


def in_a_body(server, setting, value):
    """A run that waits for a data set that is not there is refused after its settings: 400 says what is wrong with them."""
    settings = {"dataset": "no-such-set", **beside(setting), setting["key"]: value}
    status, _, content = server.request("POST", "/api/runs", json.dumps({"engine": "native", "settings": settings}))
    message = json.loads(content)["error"]["message"]
    assert status in (400, 404), message
    return "no-such-set" in message, message


def by_description(setting, value):
    """What a form does that knows only the description."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)

    def within(v):
        return (v > setting["low"] if setting["low_open"] else v >= setting["low"]) and (
            v < setting["high"] if setting["high_open"] else v <= setting["high"]
        )

    if setting["kind"] == "integer":
        return isinstance(value, int) and within(value)
    if setting["kind"] == "number":
        return number and math.isfinite(value) and within(value)
    if setting["kind"] == "flag":
        return isinstance(value, bool)
    if setting["kind"] == "choice":
        return value in [choice["value"] for choice in setting["choices"]]
    return len(value) <= setting["most"] and all(isinstance(v, int) and within(v) for v in value)


def is_beyond(refusal):
    """The setting is in range, but what it makes is not: a network of too many parameters, a schedule in a Python program."""
    return "parameters" in refusal or "the Python programs" in refusal


def test_every_channel_gives_the_same_answer(binary, server, table, tmp_path):
    tried = 0
    for setting in table.values():
        for value, good in values(setting):
            what = f"{setting['key']} = {value!r}"
            assert by_description(setting, value) == good, what
            taken, message = in_a_body(server, setting, value)
            # NaN and infinities are no JSON: the body is refused as a whole.
            assert taken == good, f"{what}: {message}"
            if setting["program"]:
                in_query, refusal = in_the_query(server, setting, value)
                assert in_query == good or (good and is_beyond(refusal)), f"{what}: {refusal}"
            if setting["option"] and setting["kind"] != "flag" or value is True:
                taken, refusal = on_the_command_line(binary, setting, value, tmp_path)
                assert taken == good or (good and is_beyond(refusal)), f"{what}: {refusal}"
                if not good and setting["program"]:
                    assert refusal == in_the_query(server, setting, value)[1]
            tried += 1
    assert tried > 80


def test_what_belongs_to_another_optimizer_is_refused(server, table, studio):
    for setting in table.values():
        for optimizer in [choice["value"] for choice in table["optimizer"]["choices"]]:
            if not setting["optimizers"] or optimizer in setting["optimizers"]:
                continue
            value = True if setting["kind"] == "flag" else setting["high"] / 2
            body = {"engine": "native", "settings": {**SMALL, "optimizer": optimizer, setting["key"]: value}}
            message = server.post("/api/runs", body, status=400)["error"]["message"]
            assert f"belongs to {', '.join(setting['optimizers'])}" in message
            assert message in studio("code", "torch", "--optimizer", optimizer, option(setting, value), status=2).stderr


def settled(setting, value):
    """Settings with that value of which a run takes no second and little memory."""
    return {**SMALL, **beside(setting), setting["key"]: value}


def small_enough(setting, value):
    if setting["key"] in ("scale", "mean", "std") and value not in (0, 1):
        return abs(value) > 1 and setting["key"] != "mean"  # inputs of millions end in no number, and the run says so
    if setting["key"] == "validation":
        return value == 0  # a share that leaves no sample on one side is refused with the data: test_validation.py
    return not (setting["key"] == "epochs" and value > 10) and not (setting["kind"] == "widths" and sum(value) > 1000)


def test_a_run_accepted_once_can_be_read_continued_evaluated_and_deleted(server, table):
    for setting in table.values():
        for value, good in values(setting):
            if not good or not small_enough(setting, value):
                continue
            what = f"{setting['key']} = {value!r}"
            settings = settled(setting, value)
            run = server.post("/api/runs", {"engine": "native", "settings": settings}, status=201)
            assert run["settings"][setting["key"]] == value, what
            ended = server.wait(run["id"], "finished", "failed")
            assert ended["state"] == "finished", f"{what}: {ended['error']}"
            assert ended["settings"] == run["settings"], what
            epochs = settings["epochs"] + 1
            server.post(f"/api/runs/{run['id']}/continue", {"engine": "native", "epochs": epochs})
            again = server.wait(run["id"], "finished", "failed")
            assert again["state"] == "finished" and again["progress"]["epoch"] == epochs, f"{what}: {again['error']}"
            assert server.get(f"/api/runs/{run['id']}/evaluation")["samples"] > 0, what
            assert server.call("DELETE", f"/api/runs/{run['id']}?forever=1")["id"] == run["id"], what


@pytest.mark.parametrize("limit", [2**31 - 1, 2**31, 2**32 - 1])
def test_a_large_limit_of_the_terminal_keeps_its_run_usable(studio, home, limit):
    """Runs with --limit 2147483648 could not be removed, continued or evaluated."""
    small = ["--engine", "native", "--dataset", "synthetic", "--epochs", 1, "--hidden", 8, "--batch-size", 4096]
    studio("train", *small, "--limit", limit)
    (line,) = studio("runs", "list", "--json").stdout.splitlines()
    run = json.loads(line)
    assert run["settings"]["limit"] == limit
    studio("train", "--resume", run["id"], "--epochs", 2)
    studio("evaluate", run["files"][0]["path"], "--dataset", "synthetic")
    studio("runs", "rm", run["id"])
    assert studio("runs", "list", "--json").stdout == ""


def test_a_large_limit_of_an_older_version_is_read_as_it_was_given(binary, studio, home, tmp_path):
    """Older versions wrote it as the negative number of the same 32 bits."""
    studio("train", "--engine", "native", "--dataset", "synthetic", "--epochs", 1, "--hidden", 8, "--limit", 64)
    with sqlite3.connect(home / "studio.db") as base:
        base.execute("UPDATE runs SET settings = json_set(settings, '$.limit', -2147483648)")
        base.execute("PRAGMA user_version = 2")
        migrations = (pathlib.Path(__file__).parents[2] / "src/store/migrations.c").read_text()
        for table, column in re.findall(r"ALTER TABLE (\w+) ADD COLUMN (\w+)", migrations)[1:]:  # what later versions added
            base.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    base.close()
    (line,) = studio("runs", "list", "--json").stdout.splitlines()
    run = json.loads(line)
    assert run["settings"]["limit"] == 2**31
    studio("runs", "rm", run["id"])


def test_a_seed_of_an_older_version_goes_on(studio, home):
    """Seeds above 2^53 - 1, which JavaScript cannot hold, are refused for new runs; runs that have one are read and go on."""
    large = 2**63 - 1
    studio("train", "--engine", "native", "--dataset", "synthetic", "--epochs", 1, "--hidden", 8, "--limit", 64)
    (line,) = studio("runs", "list", "--json").stdout.splitlines()
    run = json.loads(line)
    checkpoint = home / "runs" / run["id"] / "checkpoint.safetensors"
    content = checkpoint.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    job = json.loads(header["__metadata__"]["job"])
    header["__metadata__"]["job"] = json.dumps({**job, "seed": large})
    text = json.dumps(header).encode()
    checkpoint.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])
    with sqlite3.connect(home / "studio.db") as base:
        base.execute("UPDATE runs SET settings = json_set(settings, '$.seed', ?)", (large,))
    base.close()
    story = studio("train", "--resume", run["id"], "--epochs", 2, "--json").stdout
    assert f'"seed":{large}' in story
    studio("runs", "rm", run["id"])


# --- the docs ---


def defaults_of(item):
    meaning, by_optimizer = item
    groups = {}
    for optimizer, value in by_optimizer.items():
        groups.setdefault(value, []).append(optimizer)
    return f"{meaning}: " + ", ".join(f"{'/'.join(group)} {value:g}" for value, group in groups.items())


def doc_rows(settings):
    yield "| setting | values | default | meaning |"
    yield "|---|---|---|---|"
    for setting in settings:
        names = f"`{setting['key']}`" + (f", `--{setting['option']}`" if setting["option"] else "")
        by_optimizer = setting["default_by_optimizer"]
        shown = "; ".join(map(defaults_of, by_optimizer.items())) if by_optimizer else as_text(setting["default"])
        shown = shown.removesuffix(".0")
        if setting["zero"] and setting["default"] in (0, None, []):
            shown = f"{setting['zero']} ({json.dumps(setting['default'])})"
        kept = "; kept when a run goes on" if setting["fixed_on_resume"] else ""
        owners = f"; only with {', '.join(setting['optimizers'])}" if setting["optimizers"] else ""
        yield f"| {names} | {setting['range']} | {shown} | {setting['help']}{owners}{kept} |"


def test_the_docs_show_the_table(server):
    """With NNSTUDIO_UPDATE=1 the table in the docs is written anew."""
    path = SOURCE / "docs" / "internals" / "api.md"
    text = path.read_text()
    begin, end = "<!-- settings -->\n", "<!-- /settings -->"
    before, rest = text.split(begin)
    shown, after = rest.split(end)
    rows = "\n".join(doc_rows(server.get("/api/settings")["settings"])) + "\n"
    if os.environ.get("NNSTUDIO_UPDATE"):
        path.write_text(before + begin + rows + end + after)
    else:
        assert shown == rows, "docs/internals/api.md differs from the table: NNSTUDIO_UPDATE=1 pytest tests/python/test_settings.py"


def test_the_schema_file_shows_the_table(server):
    """The page's types are made of it. With NNSTUDIO_UPDATE=1 it is written anew."""
    path = SOURCE / "src" / "http" / "schemas" / "settings.json"
    shape = {"Settings": server.get("/api/openapi.json")["components"]["schemas"]["Settings"]}
    if os.environ.get("NNSTUDIO_UPDATE"):
        path.write_text(json.dumps(shape, indent=2) + "\n")
    else:
        assert json.loads(path.read_text()) == shape, f"{path} differs from the table: NNSTUDIO_UPDATE=1 pytest tests/python/test_settings.py"
