"""A run of a million steps: what the server sends of it is small and exact, and a zoom shows every step."""

import array
import bisect
import random
import sqlite3

import pytest

MILLION = 1_000_000
ROW = 3000  # steps per row of the table, uneven against the buckets


@pytest.fixture(scope="module")
def losses():
    """A curve with noise and a few lone spikes, which a picture may not lose."""
    chance = random.Random(5)
    values = array.array("d", (2 / (1 + step / 50000) + chance.random() * 0.2 for step in range(MILLION)))
    for _ in range(40):
        values[chance.randrange(MILLION)] = chance.choice([chance.uniform(5, 9), chance.uniform(1e-6, 1e-4)])
    return values


@pytest.fixture
def long_run(serve, home, losses):
    """(server, run): a real run whose curve was made longer behind the server's back."""
    server = serve()
    run = server.post("/api/runs", {"engine": "native", "settings": {"limit": 320, "epochs": 1}}, status=201)["id"]
    server.wait(run, "finished")
    with sqlite3.connect(home / "studio.db", timeout=30) as db:
        (key,) = db.execute("SELECT key FROM runs WHERE id=?", (run,)).fetchone()
        db.execute("DELETE FROM points WHERE run=?", (key,))
        db.executemany(
            "INSERT INTO points (run, first_step, count, seconds, losses) VALUES (?,?,?,?,?)",
            (
                (key, first, len(part), (first + len(part)) / 1000, part.tobytes())
                for first in range(0, MILLION, ROW)
                for part in [losses[first : first + ROW]]
            ),
        )
        db.execute("UPDATE runs SET global_step=?, seconds=? WHERE key=?", (MILLION, MILLION / 1000, key))
    db.close()
    return server, run


def test_a_million_steps_reduced_keep_every_extreme(long_run, losses):
    server, run = long_run
    for most in (2, 100, 4096):
        _, _, content = server.request("GET", f"/api/runs/{run}/points?max={most}")
        points = server.get(f"/api/runs/{run}/points?max={most}")
        assert len(content) < 300 + 80 * most, "the answer grows with what is shown, not with the run"
        assert points["total"] == MILLION and points["to"] == MILLION - 1 and len(points["step"]) <= most
        assert points["step"] == sorted(set(points["step"]))
        assert all(losses[step] == loss for step, loss in zip(points["step"], points["loss"]))
        assert points["seconds"] == pytest.approx([(step + 1) / 1000 for step in points["step"]])
        stride = points["stride"]
        for first in range(0, MILLION, stride):  # of each bucket the least, the greatest and the mean
            bucket = losses[first : first + stride]
            here = slice(bisect.bisect_left(points["step"], first), bisect.bisect_left(points["step"], first + stride))
            shown = points["loss"][here]
            assert (min(shown), max(shown)) == (min(bucket), max(bucket)), first
            assert points["mean"][here] == pytest.approx([sum(bucket) / len(bucket)] * len(shown))


def test_a_zoom_shows_all_there_is(long_run, losses):
    server, run = long_run
    low, high = 0, MILLION - 1
    while True:
        points = server.get(f"/api/runs/{run}/points?from={low}&to={high}&max=4000")
        assert (points["from"], points["to"]) == (low, high) and len(points["step"]) <= 4000
        assert min(points["loss"]) == min(losses[low : high + 1]) and max(points["loss"]) == max(losses[low : high + 1])
        if points["stride"] == 1:
            break
        quarter = (high - low) // 4
        low, high = low + quarter, high - quarter
    assert points["step"] == list(range(low, high + 1)) and points["loss"] == list(losses[low : high + 1])
    assert points["mean"] == points["loss"]
    last = server.get(f"/api/runs/{run}/points?from={MILLION - 5}&to={MILLION + 5}&max=100")
    assert last["step"] == list(range(MILLION - 5, MILLION)) and last["loss"] == list(losses[-5:])
    assert server.get(f"/api/runs/{run}/points?from={MILLION}")["step"] == []
