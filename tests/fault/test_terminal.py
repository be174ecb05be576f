"""Text from others is shown, never obeyed: escape sequences, newlines and marks of direction reach no terminal."""

import json
import struct
import unicodedata
import zlib

import pytest

EVIL = "a\x1b]0;title\x07\x1b[31m\nnnstudio: all is well\u202egpj\u009b2J"


def harmless(result, lines=None):
    for text in (result.stdout, result.stderr):
        bad = [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
        assert not bad, (bad, text)
        assert not any(line.startswith("nnstudio: all is well") for line in text.splitlines())
    if lines is not None:
        assert len(result.stderr.splitlines()) == lines


def picture(shade):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((shade + 3 * x + y) % 256 for x in range(8)) for y in range(8))
    head = struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def make_folder(place):
    for number, name in enumerate((EVIL, "plain")):
        (place / name).mkdir(parents=True)
        for i in range(6):
            (place / name / f"{i}{EVIL}.png").write_bytes(picture(100 * number + i))
    return place


def test_names_of_class_folders(studio, tmp_path):
    data = make_folder(tmp_path / "pictures")
    harmless(studio("train", "--engine", "native", "--dataset", data, "--epochs", 1))
    harmless(studio("evaluate", "models/simple_nn.safetensors", "--dataset", data, status=None))
    (data / EVIL / f"0{EVIL}.png").write_bytes(b"this is no picture")
    harmless(studio("train", "--engine", "native", "--dataset", data, "--epochs", 1, status=None))


def test_names_of_files_and_folders(studio, tmp_path):
    for command in (["inspect"], ["train", "--resume"], ["train", "--engine"], ["data", "fetch"], ["runs", "show"], ["registry", "show"]):
        harmless(studio(*command, EVIL, status=None))
    folder = tmp_path / EVIL
    harmless(studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 100, "--epochs", 1, "--out", folder))
    harmless(studio("inspect", folder / "simple_nn.safetensors"))
    harmless(studio("convert", folder / "simple_nn.safetensors", folder / "b.pth"))
    harmless(studio("inspect", folder, status=None))
    (run,) = [json.loads(line)["id"] for line in studio("runs", "list", "--json").stdout.splitlines()]
    harmless(studio("runs", "show", run))
    harmless(studio("runs", "export", run, "--out", folder / "x.zip"))


def test_what_a_model_file_tells(studio, tmp_path):
    """Its metadata, and the names of its tensors."""
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 100, "--epochs", 1)
    whole = (tmp_path / "models" / "simple_nn.safetensors").read_bytes()
    size = int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8 : 8 + size])
    head["__metadata__"][EVIL] = EVIL
    renamed = {k if k == "__metadata__" else EVIL + k: v for k, v in head.items()}
    for changed in (head, renamed):
        text = json.dumps(changed).encode()
        (tmp_path / "evil.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + size :])
        harmless(studio("inspect", "evil.safetensors", status=None))
        harmless(studio("convert", "evil.safetensors", "evil.pth", status=None))


def test_notes_of_a_run(studio, serve):
    server = serve()
    settings = {"dataset": "synthetic", "limit": 100, "epochs": 1}
    run = server.post("/api/runs", {"engine": "native", "settings": settings}, status=201)["id"]
    server.wait(run, "finished")
    server.call("PATCH", f"/api/runs/{run}", {"notes": EVIL, "title": "lr 0.1, für später"})
    result = studio("runs", "show", run)
    assert "all is well" in result.stdout  # shown
    harmless(result)
    assert studio("runs", "list").stdout.splitlines()[1].endswith("  lr 0.1, für später")
    refused = server.call("PATCH", f"/api/runs/{run}", {"title": EVIL}, status=400)
    assert "title" in refused["error"]["message"]


@pytest.mark.parametrize("name", ["-x", "--help", "..", "x.", "con", "NUL", "com1", "a/b", "a\nb", "\x1b[31m"])
def test_names_that_would_be_something_else(studio, tmp_path, name):
    result = studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 100, "--epochs", 1, f"--name={name}", status=2)
    harmless(result, lines=1)
    assert "is not a valid model name" in result.stderr
    assert not (tmp_path / "models").exists()
