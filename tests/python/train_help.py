"""What the tests of training share."""

import json
import os
import signal
import subprocess
import tempfile
import threading

FIELDS = {
    "start": {"run", "engine", "engine_version", "dataset", "samples", "parameters", "epochs", "batch_size", "lr", "seed", "threads"},
    "step": {"engine", "first_step", "loss"},
    "epoch": {"engine", "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "seconds", "samples_per_second"},
    "end": {"engine", "state", "model", "seconds", "cpu_seconds", "peak_rss_bytes"},
    "summary": {"max_loss_difference", "fastest"},
    "error": {"engine", "message"},
    "rate": {"run", "engine", "global_step", "rate", "planned"},
}


class Story:
    """What `train --json` said."""

    def __init__(self, text):
        self.events = [json.loads(line) for line in text.splitlines()]
        for event in self.events:
            assert FIELDS[event["event"]] <= set(event), event

    def of(self, kind, engine=None):
        return [e for e in self.events if e["event"] == kind and engine in (None, e.get("engine"))]

    def losses(self, engine):
        """step → loss; no step twice."""
        losses = {}
        for event in self.of("step", engine):
            for i, loss in enumerate(event["loss"]):
                assert event["first_step"] + i not in losses
                losses[event["first_step"] + i] = loss
        return losses

    def curve(self, engine):
        losses = self.losses(engine)
        assert sorted(losses) == list(range(len(losses)))
        return [losses[step] for step in range(len(losses))]

    @property
    def summary(self):
        (summary,) = self.of("summary")
        return summary


def train(studio, *arguments, **options):
    return Story(studio("train", *arguments, "--json", **options).stdout)


def apart(a, b):
    assert len(a) == len(b) > 0
    return max(abs(x - y) for x, y in zip(a, b))


def children(pid):
    """The processes that `pid` started."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return [int(child) for child in file.read().split()]
    except FileNotFoundError:
        return []


class Running:
    """`nnstudio train … --json` while it runs. Its errors go to a file: communicate() would not see what reading line by line
    has taken into the pipe's buffer already."""

    def __init__(self, binary, cwd, *arguments, env=None, launcher=()):
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [*map(str, launcher), binary, "train", *map(str, arguments), "--json"],
            cwd=cwd, stdout=subprocess.PIPE, stderr=self.errors, text=True, env={**os.environ, **(env or {})},
        )
        self.lines, self.cut = [], ""

    def said(self):
        self.errors.seek(0)
        return self.errors.read()

    def read(self):
        """Whole lines; what came of another is kept in `cut`."""
        for line in self.process.stdout:
            if not line.endswith("\n"):
                self.cut = line
                return
            self.lines.append(line)
            yield line

    def until(self, wanted):
        """Reads events up to the first that `wanted` holds for."""
        for line in self.read():
            if wanted(json.loads(line)):
                return json.loads(line)
        raise AssertionError("it ended before that:\n" + "".join(self.lines[-3:]) + self.said())

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def finish(self, status, timeout=60):
        late = threading.Timer(timeout, self.process.kill)
        late.start()
        for _ in self.read():
            pass
        self.process.wait()
        late.cancel()
        self.process.stdout.close()
        assert status in (None, self.process.returncode), (self.process.returncode, self.said())
        # Who is killed, or whose launcher is, may end in the middle of a line.
        assert not self.cut or self.process.returncode < 0 or status is None, self.cut
        return Story("".join(self.lines)), self.said()
