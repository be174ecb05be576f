"""Files that come from the page: sent in pieces, looked at, kept or thrown away. What the files do not decide is asked
for; limits, names and archives that mean harm are refused, and nothing half-written stays."""

import gzip
import io
import json
import stat
import struct
import zipfile

import numpy as np
import pytest
from server_help import wait_until

PIECE = 1 << 20
OCTETS = {"Content-Type": "application/octet-stream"}


def begin(server, files, status=201):
    listed = [{"name": name, "bytes": content if isinstance(content, int) else len(content)} for name, content in files]
    return server.call("POST", "/api/uploads", {"files": listed}, status=status)


def piece(server, upload, file, offset, content):
    status, _, answer = server.request("PUT", f"/api/uploads/{upload}/files/{file}?offset={offset}", content, OCTETS)
    return status, json.loads(answer)


def send(server, *files):
    """The id of a whole upload."""
    upload = begin(server, files)["id"]
    for i, (_, content) in enumerate(files):
        for offset in range(0, len(content), PIECE):
            status, answer = piece(server, upload, i, offset, content[offset : offset + PIECE])
            assert status == 200, answer
    assert server.get(f"/api/uploads/{upload}")["complete"]
    return upload


def look(server, upload, status=200, **answers):
    return server.post(f"/api/uploads/{upload}/look", answers, status=status)


def keep(server, upload, name, status=200, **answers):
    return server.post(f"/api/uploads/{upload}/keep", {"name": name, **answers}, status=status)


def scratch(server):
    return sorted(path.name for path in (server.home / "scratch").glob("upload-*"))


@pytest.fixture
def studio(serve, home):
    server = serve()
    server.home = home
    return server


def measurements(rows=60):
    """Three flowers by two numbers; which column is the label is not said, and no value tells."""
    lines = ["petal,sepal,kind"] + [f"{i % 4},{i % 5 / 2},{i % 3}" for i in range(rows)]
    return "\n".join(lines).encode()


def pictures(count=30, side=6):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, side, side), np.uint8), np.arange(count, dtype=np.uint8) % 3


def idx_pair():
    images, labels = pictures()
    return (
        struct.pack(">IIII", 0x803, *images.shape) + images.tobytes(),
        struct.pack(">II", 0x801, len(labels)) + labels.tobytes(),
    )


def bmp(value, side=8):
    """A gray picture of one brightness, as a BMP file of 24 bits."""
    row = bytes([value] * 3 * side)
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54 + len(row) * side, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0) + row * side


def zipped(entries, mode=None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (mode or stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return out.getvalue()


def test_a_table_asks_for_its_label_and_keeps_the_answer(studio):
    upload = send(studio, ("my flowers.csv", measurements()))
    first = look(studio, upload)
    assert first["kind"] == "data" and first["data"] is None and first["asks"] == "label_column"
    assert "“Label column”" in first["problem"] and "--" not in first["problem"] and "/" not in first["problem"]
    assert (first["columns"], first["name"]) == (["petal", "sepal", "kind"], "my-flowers")
    assert "“Label column”" in keep(studio, upload, "flowers", status=400)["error"]["message"]
    quoted = send(studio, ("quoted.csv", "\ufeff".encode() + measurements().replace(b"petal", b'"petal; ""wide"""')))
    assert look(studio, quoted)["columns"] == ['petal; "wide"', "sepal", "kind"], "as the reader takes them, mark and quotes"
    studio.call("DELETE", f"/api/uploads/{quoted}")

    data = look(studio, upload, label_column="kind")["data"]
    assert data["samples"]["train"] + data["samples"]["test"] == 60
    assert (data["classes"], data["label_column"], data["table"]) == (["0", "1", "2"], "kind", True)
    assert keep(studio, upload, "flowers", label_column="kind") == {"kind": "data", "name": "flowers.csv"}
    wait_until(lambda: scratch(studio) == [])
    assert studio.call("GET", f"/api/uploads/{upload}", status=404)

    # Whoever opens it follows what was said: the page, and a run's worker.
    assert studio.get("/api/datasets/flowers.csv/stats")["classes"] == ["0", "1", "2"]
    run = studio.post("/api/runs", {"engine": "native", "settings": {"dataset": "flowers.csv", "epochs": 1}}, status=201)
    assert studio.wait(run["id"], "finished", "failed")["state"] == "finished"

    again = send(studio, ("flowers.csv", measurements(30)))
    assert "is there already" in keep(studio, again, "flowers", status=409, label_column="kind")["error"]["message"]
    assert studio.get("/api/datasets/flowers.csv/stats")["count"] < 60, "the first is as it was"
    studio.call("DELETE", f"/api/uploads/{again}")
    wait_until(lambda: scratch(studio) == [])

    # Its owner removed the data by hand: other data of that name is not read by the old answers.
    (studio.home / "data/flowers.csv").unlink()
    named = b"petal,label\n" + b"".join(b"%d.5,%d\n" % (i % 3, i % 2) for i in range(40))
    keep(studio, send(studio, ("flowers.csv", named)), "flowers")
    assert [path.name for path in (studio.home / "data").iterdir()] == ["flowers.csv"]
    assert studio.get("/api/datasets/flowers.csv/stats")["classes"] == ["0", "1"], "read anew"


def test_a_pair_of_idx_files_and_arrays(studio):
    images, labels = idx_pair()
    plain, packed = (images, labels), (gzip.compress(images), gzip.compress(labels))
    for ending, (pixels, classes) in [("", plain), (".gz", packed)]:
        upload = send(
            studio, (f"train-images-idx3-ubyte{ending}", pixels), (f"train-labels-idx1-ubyte{ending}", classes)
        )
        data = look(studio, upload)["data"]
        assert (data["shape"], data["range"], len(data["shown"]["labels"])) == ([6, 6, 1], [0, 255], 10)
        name = "six" + ending.replace(".", "-")
        assert keep(studio, upload, name)["name"] == name
        assert studio.get(f"/api/datasets/{name}/stats")["rows"] == 6

    lone = send(studio, ("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels))
    assert look(studio, lone)["data"]["shape"] == [6, 6, 1]
    keep(studio, lone, "lone")
    assert studio.get("/api/datasets/lone/stats")["rows"] == 6

    x, y = pictures()
    arrays = []
    for name, array in [("x_train.npy", x), ("y_train.npy", y)]:
        out = io.BytesIO()
        np.save(out, array)
        arrays.append((name, out.getvalue()))
    upload = send(studio, *arrays)
    assert look(studio, upload)["data"]["classes"] == ["0", "1", "2"]
    keep(studio, upload, "arrays")
    assert studio.get("/api/datasets/arrays/stats")["columns"] == 6


def test_a_zip_of_folders(studio):
    entries = [(f"pets/{kind}/{i}.bmp", bmp(40 * i + 10)) for kind in ("cat", "dog") for i in range(5)]
    entries += [("__MACOSX/pets/cat/._1.bmp", b"x"), ("pets/.DS_Store", b"x")]
    upload = send(studio, ("holiday.zip", zipped(entries)))
    data = look(studio, upload)["data"]
    assert (data["classes"], data["shape"], data["title"]) == (["cat", "dog"], [8, 8, 1], "pets")
    assert {"what": "hidden files of the archive", "count": 2} in data["skipped"]
    keep(studio, upload, "pets")
    assert studio.get("/api/datasets/pets/stats")["classes"] == ["cat", "dog"]
    assert not (studio.home / "data/pets/.DS_Store").exists()


HARMFUL = [
    ([("../outside.csv", b"a")], None, "leads out of the folder"),
    ([("a/../../outside.csv", b"a")], None, "leads out of the folder"),
    ([("/tmp/outside.csv", b"a")], None, "absolute path"),
    ([("a\\..\\outside.csv", b"a")], None, "backslash"),
    ([("C:outside.csv", b"a")], None, "absolute path"),
    ([("link/pwned.csv", b"/etc/passwd")], stat.S_IFLNK | 0o777, "is a link"),
    ([("a/1.bmp", bmp(1)), ("a/1.bmp", bmp(2))], None, "is there twice"),
    ([("/".join("d" * 14) + "/a.csv", b"a")], None, "too deep"),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_mean_harm(studio):
    for entries, mode, words in HARMFUL:
        upload = send(studio, ("evil.zip", zipped(entries, mode)))
        answer = look(studio, upload)
        assert words in answer["problem"] and answer["data"] is None, entries
        studio.call("DELETE", f"/api/uploads/{upload}")
    wait_until(lambda: scratch(studio) == [])
    assert not list(studio.home.rglob("outside.csv")) and not list(studio.home.rglob("pwned.csv"))


def test_a_bomb_is_refused_by_what_it_claims(studio):
    claimed = bytearray(zipped([("a.csv", b"0" * 5000)]))
    at = claimed.rindex(b"PK\x01\x02") + 24  # the size in the central directory
    claimed[at : at + 4] = struct.pack("<I", 0xFFFFFFF0)
    upload = send(studio, ("bomb.zip", bytes(claimed)))
    assert "more than 2147483648 bytes" in look(studio, upload)["problem"]


def test_limits_and_names(studio):
    for files, words in [
        ([("a.csv", 3 << 30)], "bytes"),
        ([("a.csv", 0)], "bytes"),
        ([("a.csv", 2 << 30), ("b.csv", 1)], "the most is 2147483648"),
        ([("../a.csv", 3)], "not a valid file name"),
        ([(".hidden.csv", 3)], "not a valid file name"),
        ([("a\n.csv", 3)], "not a valid file name"),
        ([("a.csv", 3), ("a.csv", 3)], "two files are called"),
        ([("run.exe", 3)], "is not a file that the studio opens here"),
        ([("model.pth", 3), ("a.csv", 3)], "is data beside a model file"),
        ([(f"{i}.npy", 3) for i in range(17)], "files"),
    ]:
        assert words in begin(studio, files, status=400)["error"]["message"], files
    upload = begin(studio, [("a.csv", b"x" * 10)])["id"]
    assert piece(studio, upload, 0, 4, b"1234")[0] == 409, "a hole"
    assert piece(studio, upload, 0, 0, b"x" * 11)[0] == 400, "more than was said"
    assert piece(studio, upload, 1, 0, b"x")[0] == 404
    assert piece(studio, upload, "0x", 0, b"x")[0] == 404
    assert studio.request("PUT", f"/api/uploads/{upload}/files/0?offset=0", b"x" * 10)[0] == 415
    large = begin(studio, [("a.csv", 4 * PIECE)])["id"]
    assert "send at most 1048576" in piece(studio, large, 0, 0, b"x" * (PIECE + 1))[1]["error"]["message"]
    studio.call("DELETE", f"/api/uploads/{large}")
    assert piece(studio, upload, 0, 0, b"12345")[0] == 200
    assert "not come whole" in look(studio, upload, status=409)["error"]["message"]
    assert piece(studio, upload, 0, 5, b"12345")[1]["complete"]
    for name in ("../x", ".x", "a/b", "x" * 101, "-x", "con"):
        keep(studio, upload, name, status=400)
    for _ in range(7):
        begin(studio, [("a.csv", b"x")])
    assert "8 uploads are waiting" in begin(studio, [("a.csv", b"x")], status=409)["error"]["message"]


def test_a_killed_server_and_a_stopped_one_leave_nothing(serve, home):
    server = serve()
    server.home = home
    upload = begin(server, [("a.npz", b"x" * 100)])["id"]
    piece(server, upload, 0, 0, b"x" * 60)
    assert len(scratch(server)) == 1
    server.kill()
    again = serve()
    again.home = home
    wait_until(lambda: scratch(again) == [])
    upload = begin(again, [("a.npz", b"x" * 100)])["id"]
    piece(again, upload, 0, 0, b"x" * 60)
    assert again.stop() == 0 and scratch(again) == []


def weights_file():
    """A .safetensors of two dense layers, whose activation it does not say."""
    rng = np.random.default_rng(1)
    tensors = {"fc1.weight": (8, 36), "fc1.bias": (8,), "fc2.weight": (3, 8), "fc2.bias": (3,)}
    head, body = {}, b""
    for name, shape in tensors.items():
        content = rng.standard_normal(shape).astype("<f4").tobytes()
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def test_a_model_is_asked_for_its_activation_and_trained_on(studio):
    images, labels = idx_pair()
    data = send(studio, ("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels))
    keep(studio, data, "six")

    upload = send(studio, ("little net.safetensors", weights_file()))
    answer = look(studio, upload)
    assert answer["problem"] is None and answer["asks"] == "activation" and answer["data"] is None
    model = answer["model"]
    assert (model["parameters"], model["activation_known"]) == (8 * 36 + 8 + 3 * 8 + 3, False)
    assert [layer["output"] for layer in model["layers"]][-1] == "3"
    assert "“Activation”" in keep(studio, upload, "little", status=400)["error"]["message"]
    assert look(studio, upload, activation="tanh")["model"]["net"] == "dense 8 tanh, dense 3"
    assert keep(studio, upload, "little", activation="tanh") == {"kind": "model", "name": "little.safetensors"}
    assert studio.get("/api/models") == {"models": [{"name": "little.safetensors"}], "deleted": []}

    begun = studio.post(
        "/api/runs",
        {"engine": "native", "settings": {"dataset": "six", "epochs": 1, "from": "little.safetensors"}},
        status=201,
    )
    done = studio.wait(begun["id"], "finished", "failed")
    assert done["state"] == "finished", done["error"]
    assert [layer.get("activation") for layer in done["network"]["layers"]][0] == "tanh"
    for name in ("nothing", "../studio.db", "little"):
        studio.post("/api/runs", {"engine": "native", "settings": {"dataset": "six", "from": name}}, status=404)
    broken = send(studio, ("broken.onnx", b"\x08\x07junk"))
    assert look(studio, broken)["problem"]


def model_names(server):
    answer = server.get("/api/models")
    return [[one["name"] for one in answer[kind]] for kind in ("models", "deleted")]


def test_a_kept_model_is_deleted_and_restored(serve, home):
    def kept(fill):
        upload = send(server, ("a net.safetensors", weights_file().replace(b"\x00" * 4, fill * 4)))
        return keep(server, upload, "net", activation="relu")

    def bytes_of():
        return (home / "models/net.safetensors").read_bytes()

    server = serve()
    server.home = home
    kept(b"\x00")
    first = bytes_of()
    assert model_names(server) == [["net.safetensors"], []]
    assert server.call("DELETE", "/api/models/net.safetensors") == {"kind": "model", "name": "net.safetensors"}
    assert model_names(server) == [[], ["net.safetensors"]] and list((home / "models").iterdir()) == []
    server.post("/api/runs", {"engine": "native", "settings": {"from": "net.safetensors"}}, status=404)
    for name in ("net.safetensors", "..", "studio.db", "%2e%2e%2fstudio.db"):
        assert server.call("DELETE", f"/api/models/{name}", status=404)
    assert (home / "studio.db").exists()

    # Its name is free: a new one is never replaced by an old one that comes back.
    kept(b"\x00")
    (home / "models/net.safetensors").write_bytes(b"another")
    assert "is there already" in server.post("/api/models/net.safetensors/restore", {}, status=409)["error"]["message"]
    assert bytes_of() == b"another"
    server.call("DELETE", "/api/models/net.safetensors")
    server.post("/api/models/net.safetensors/restore", {})
    assert bytes_of() == b"another", "the newest of the name comes back first"
    (home / "models/net.safetensors").unlink()
    server.post("/api/models/net.safetensors/restore", {})
    assert bytes_of() == first and model_names(server) == [["net.safetensors"], []]
    assert "no deleted model" in server.post("/api/models/net.safetensors/restore", {}, status=404)["error"]["message"]

    # What was deleted more than a day ago goes when the studio looks after its home.
    server.call("DELETE", "/api/models/net.safetensors")
    (trashed,) = (home / "trash").iterdir()
    moment = int(trashed.name.split("-")[1])
    trashed.rename(trashed.with_name(trashed.name.replace(str(moment), str(moment - 25 * 3600 * 1000))))
    server.stop()
    again = serve()
    wait_until(lambda: list((home / "trash").iterdir()) == [])
    assert model_names(again) == [[], []]


def own_data(server):
    sets = [one["name"] for one in server.get("/api/datasets") if one["own"]]
    return [sorted(sets), [one["name"] for one in server.get("/api/datasets/deleted")]]


def test_kept_data_is_deleted_and_restored(serve, home):
    server = serve()
    server.home = home

    def kept(rows, **answers):
        return keep(server, send(server, ("flowers.csv", measurements(rows))), "flowers", **answers)

    def samples():
        return sum(server.get(f"/api/datasets/flowers.csv/stats?split={split}")["count"] for split in ("train", "test"))

    kept(3000, label_column="kind")
    assert own_data(server) == [["flowers.csv"], []] and samples() == 3000
    choices = home / "data/.flowers.csv.json"
    said = choices.read_bytes()

    # A run that is alive reads it; one that has ended is counted.
    settings = {"dataset": "flowers.csv", "net": "dense 3", "epochs": 100000, "lr": 0.01, "batch_size": 1}
    run = server.post("/api/runs", {"engine": "native", "settings": settings}, status=201)["id"]
    server.wait(run, "running")
    server.post(f"/api/runs/{run}/pause")
    server.wait(run, "paused")
    refused = server.call("DELETE", "/api/datasets/flowers.csv", status=409)["error"]["message"]
    assert run in refused and "flowers.csv" in refused and own_data(server) == [["flowers.csv"], []]
    server.post(f"/api/runs/{run}/stop")
    server.wait(run, "stopped")
    assert server.call("DELETE", "/api/datasets/flowers.csv") == {"name": "flowers.csv", "runs": 1}
    assert own_data(server) == [[], ["flowers.csv"]]
    assert not choices.exists(), "what was said of it goes with it"
    assert server.get("/api/datasets/flowers.csv/stats", status=404)
    server.post("/api/runs", {"engine": "native", "settings": settings}, status=404)

    # Only what is the user's own, and nothing beside the folder.
    (home / "data/mnist").mkdir()
    for name in ("mnist", "synthetic", "flowers.csv", "..", "%2e%2e%2fstudio.db", ".flowers.csv.json"):
        assert server.call("DELETE", f"/api/datasets/{name}", status=404)
    assert (home / "data/mnist").is_dir() and (home / "studio.db").exists()

    # Its name is free: other data of that name is read anew, and never replaced by what comes back.
    kept(90, label_column="petal")
    assert samples() == 90
    assert "is there already" in server.post("/api/datasets/flowers.csv/restore", {}, status=409)["error"]["message"]
    assert "petal" in choices.read_text() and samples() == 90
    assert server.call("DELETE", "/api/datasets/flowers.csv")["runs"] == 1
    server.post("/api/datasets/flowers.csv/restore", {})
    assert samples() == 90 and "petal" in choices.read_text(), "the newest of the name comes back first"
    (home / "data/flowers.csv").unlink()
    choices.unlink()
    server.post("/api/datasets/flowers.csv/restore", {})
    assert own_data(server) == [["flowers.csv"], []] and choices.read_bytes() == said

    # What was deleted more than a day ago goes, with what was said of it.
    server.call("DELETE", "/api/datasets/flowers.csv")
    server.stop()
    for trashed in list((home / "trash").iterdir()):
        moment = trashed.name.split("-")[1]
        trashed.rename(trashed.with_name(trashed.name.replace(moment, str(int(moment) - 25 * 3600 * 1000))))
    again = serve()
    wait_until(lambda: list((home / "trash").iterdir()) == [])
    assert own_data(again) == [[], []]
