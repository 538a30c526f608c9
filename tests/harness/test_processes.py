"""Work whose process was killed: it is not said to go on, and holds nothing."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import HarnessError, Sample, TrainingResult, TrainingTask, train
from harness.processes import is_gone, this_process
from harness.store import Store

WAITS = """
import sys
from harness import Sample, evaluate, train

class Waiting:
    def identity(self):
        return {}
    def generate(self, samples, *, attempt=0):
        self.train(None)
    def train(self, task):
        print("here", flush=True)
        sys.stdin.read()

samples = [Sample("s", "Question", ("xxx",))]
if sys.argv[1] == "evaluation":
    evaluate(samples, generator=Waiting(), scorers=["match"], store="s.db")
else:
    train(samples, trainer=Waiting(), scorers=[], output="o", store="s.db")
"""


@contextlib.contextmanager
def waiting(kind: str, folder: Path) -> Iterator[None]:
    """A process in the midst of an evaluation or a training; it is killed at the end."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", WAITS, kind]
    with subprocess.Popen(command, cwd=folder, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "here\n"
        yield
        process.kill()


def status(folder: Path) -> str:
    with Store(folder / "s.db", readonly=True) as store:
        (record,) = store.everything()
    return record.status


@pytest.mark.parametrize("kind", ["evaluation", "training"])
def test_what_was_killed_is_interrupted(kind: str, tmp_path: Path) -> None:
    with waiting(kind, tmp_path):
        assert status(tmp_path) == "running"
    assert status(tmp_path) == "interrupted"


class Quick:
    """Trains nothing, and notes that it was asked to."""

    def __init__(self) -> None:
        self.trained = 0

    def train(self, task: TrainingTask) -> TrainingResult:
        self.trained += 1
        return TrainingResult(task.output)


class Nested(Quick):
    """Trains another into the same folder meanwhile."""

    def train(self, task: TrainingTask) -> TrainingResult:
        train(task.samples, trainer=Quick(), scorers=[], output=task.output, resume=False)
        return super().train(task)


def test_one_training_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    trainer, samples, output = Quick(), [Sample("s", "Question")], tmp_path / "o"
    with waiting("training", tmp_path):
        with pytest.raises(HarnessError, match=f"another training writes to {output} now; wait"):
            train(samples, trainer=trainer, scorers=[], output=output, store=tmp_path / "s.db")
        assert trainer.trained == 0
        assert status(tmp_path) == "running", "the other one goes on"
    train(samples, trainer=trainer, scorers=[], output=output, store=tmp_path / "t.db")
    assert trainer.trained == 1
    assert [path.name for path in output.iterdir()] == ["samescore.json"]


@pytest.mark.usefixtures("own_store")
def test_a_training_within_a_training_does_not_write_to_its_folder(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="another training writes to"):
        train([Sample("s", "Q")], trainer=Nested(), scorers=[], output=tmp_path / "o")


def test_a_process_is_known_by_more_than_its_number() -> None:
    here = json.loads(this_process())
    assert not is_gone(json.dumps(here))
    assert is_gone(json.dumps({**here, "started": "1"})), "the number was given anew"
    assert is_gone(json.dumps({**here, "boot": "another"})), "the machine was started anew"
    assert not is_gone(json.dumps({**here, "host": "another", "pid": 1})), "nobody here knows"


def test_a_zombie_has_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(json.dumps({**json.loads(this_process()), "pid": child.pid}))
