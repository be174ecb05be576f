"""Memory follows what is needed, not what a file claims or how long a run was."""

import json
import resource
import sqlite3
import struct
import zipfile


def at_most(megabytes):
    """The memory that a process may write to."""

    def limit():
        resource.setrlimit(resource.RLIMIT_DATA, (megabytes << 20, megabytes << 20))

    return limit


STEPS = 600_000


def test_a_long_run_is_exported_as_it_is_read(studio, home, tmp_path):
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 100, "--epochs", 1)
    run = json.loads(studio("runs", "list", "--json").stdout)["id"]
    with sqlite3.connect(home / "studio.db") as db:
        (key,) = db.execute("SELECT key FROM runs").fetchone()
        db.execute("DELETE FROM points")
        for first in range(0, STEPS, 8000):
            losses = struct.pack("<8000d", *(1 / (1 + step) for step in range(first, first + 8000)))
            db.execute("INSERT INTO points (run, first_step, count, seconds, losses) VALUES (?,?,8000,?,?)", (key, first, 1 + first, losses))
    db.close()
    studio("runs", "export", run, "--out", "long.zip", preexec_fn=at_most(32))  # 24 MB as text, 19 as numbers
    with zipfile.ZipFile(tmp_path / "long.zip") as archive, archive.open("curve.csv") as curve:
        rows = [line for line in curve if not line.startswith(b"#")]
    assert len(rows) == STEPS + 1
    assert rows[0] == b"step,epoch,engine,seconds,loss\n"
    assert rows[-1].startswith(b"%d," % (STEPS - 1)) and float(rows[-1].split(b",")[-1]) == 1 / STEPS


def test_a_record_that_inflates_beyond_what_the_pickle_says(studio, tmp_path):
    """1 GiB of zeros take 1 MB in the archive; the pickle says that the tensor has a few kilobytes."""
    studio("train", "--engine", "native", "--dataset", "synthetic", "--limit", 100, "--epochs", 1)
    studio("convert", "models/simple_nn.safetensors", "honest.pth")
    with zipfile.ZipFile(tmp_path / "honest.pth") as honest, zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_STORED) as bomb:
        for name in honest.namelist():
            if not name.endswith("/data/0"):
                bomb.writestr(name, honest.read(name))
                continue
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            with bomb.open(entry, "w") as out:
                for _ in range(64):
                    out.write(bytes(16 << 20))
    assert (tmp_path / "bomb.pth").stat().st_size < 8 << 20
    result = studio("inspect", "bomb.pth", status=1, preexec_fn=at_most(128))
    assert "data/0 claims 1073741824 bytes" in result.stderr and len(result.stderr.splitlines()) == 1
