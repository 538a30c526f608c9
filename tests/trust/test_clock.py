"""A clock that jumps

The system's clock is set back or forward by up to ten years while something runs, as a time server
or a laptop that wakes up does. Waits and times left go by a clock that cannot be set; what is
recorded stays in order, and nothing is removed because a clock was wrong.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import Completion, Sample, Score, evaluate
from harness.cli import main
from harness.components import Run
from harness.progress import Progress
from harness.store import Store
from harness.testing.faults import FaultServer
from tests.plugins import test_judge_runs as judged
from tests.trust.lives import COMMAND, Lives
from tests.trust.trial import Trial

YEARS = 10 * 365 * 86_400.0
SAMPLES = [Sample(f"s{i}", f"p{i}", ("x",), {"completion": "x"}) for i in range(60)]
COMMANDS = (("runs",), ("show", "last"), ("compare", "last~1", "last"), ("gc", "--dry-run"))


class Terminal(io.StringIO):
    """Text that is taken for a terminal."""

    def isatty(self) -> bool:
        return True


class Clock:
    """`time.time` and `time.time_ns`, set to another time at each so-many-th look."""

    def __init__(self, trial: Trial, every: int = 1) -> None:
        self._chance, self._every, self._looks = trial.chance, every, 0
        self._offset, self._real = 0.0, (time.time, time.time_ns)

    def time(self) -> float:
        self._looks += 1
        if self._looks % self._every == 0:
            self._offset = self._chance.uniform(-YEARS, YEARS)
        return self._real[0]() + self._offset

    def time_ns(self) -> int:
        return self._real[1]() + int(self._offset * 1e9)


@pytest.fixture
def jumps(monkeypatch: pytest.MonkeyPatch, trial: Trial) -> Callable[[], Clock]:
    """Sets the clock at each look from now on."""

    def begin() -> Clock:
        clock = Clock(trial)
        monkeypatch.setattr(time, "time", clock.time)
        monkeypatch.setattr(time, "time_ns", clock.time_ns)
        return clock

    return begin


def test_runs(
    trial: Trial,
    jumps: Callable[[], Clock],
    own_store: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`runs`, `show`, `compare`, `gc`, `report` work, whatever times they find."""
    trial("two runs, then `runs`, `show`, `compare`, `gc` and `report`, with a clock that jumps")
    jumps()
    for number, _ in enumerate(trial.rounds()):
        for half in (0, 1):
            found = evaluate(
                SAMPLES, generator="recorded", scorers=["match"], name=f"{number}-{half}"
            )
            assert found["match"].n == len(SAMPLES)
        for command in COMMANDS:
            assert main([*command]) == 0, capsys.readouterr().err
        report = own_store.with_name("report.html")
        assert main(["report", "last", "-o", str(report)]) == 0
        assert "-1 day" not in capsys.readouterr().out
        trial.saw("commands", len(COMMANDS) + 1)


def test_judge(
    trial: Trial,
    jumps: Callable[[], Clock],
    fault_server: Callable[..., FaultServer],
    tmp_path: Path,
) -> None:
    """A wait for a rate limit or a deadline is not cut short, and does not last for years."""
    trial("a judged run with rate limits and deadlines, with a clock that jumps")
    for number, _ in enumerate(trial.rounds(0.2)):
        server = fault_server(rate=400.0, burst=5, retry_after=0.01)
        jumps()
        began = time.monotonic()
        values = judged.run(server.openai_url, str(tmp_path / f"{number}.db"), deadline_s=30)
        assert None not in values
        assert time.monotonic() - began < 30
        trial.saw("scores", len(values))


RUN = """
import sys, time
from random import Random
from harness import Completion, Sample, evaluate
from harness.calls.values import Reply
from harness.components import Call, Usage
from harness.store import Store
from harness.store.calls import CallRecord

chance, real, name = Random(sys.argv[1]), time.time, sys.argv[1]
jump = [chance.uniform(-1e8, 1e8)] * 9 if chance.random() < 0.5 else [0.0, *[-1e8, 1e8] * 9]
time.time = lambda: real() + (jump.pop() if len(jump) > 1 else jump[0])
rows = [Sample(f"s{i}", f"{name} {i}", ("x",)) for i in range(60)]

class Paid:
    batch_size = 20
    def generate(self, samples, *, attempt=0):
        reply = Reply("text", "stop", Usage(1, 2, 0.5), "model", "id", ())
        store.calls.add([CallRecord(s.prompt, "openai", "stop", reply, Call()) for s in samples])
        if any(s.id == "s59" for s in samples):
            raise KeyboardInterrupt
        return [Completion(s, "x") for s in samples]

with Store("s.db") as store:
    evaluate(rows, generator=Paid(), scorers=["match"], store=store, name=name)
"""


def test_paid_calls(trial: Trial, tmp_path: Path) -> None:
    """`gc` removes calls of long ago; those of a run that is to go on stay, whatever the clock."""
    trial("a run that is interrupted after its clock was wrong, or jumped, by years; then `gc`")
    folder = tmp_path / "here"
    folder.mkdir()
    with Lives(folder) as lives:
        for chance in trial.rounds():
            (folder / "s.db").unlink(missing_ok=True)
            name = str(chance.random())
            life = lives.live(RUN, name)
            assert "KeyboardInterrupt" in life.err, life.err
            lives.usual(COMMAND, "gc", "--store", "s.db")
            names = [f"{name} {i}" for i in range(60)]
            with Store(folder / "s.db") as store:
                trial.kept("paid calls", names, store.calls.replies(names))


def test_progress(trial: Trial, jumps: Callable[[], Clock]) -> None:
    """The time left is what the pace says, to within the test's own time."""
    trial("the time left that a run shows, with a clock that jumps")

    jumps()
    for _ in trial.rounds():
        stream = Terminal()
        progress = Progress(stream)
        run = Run("id", "name", "g", {"match": "f"}, 1000, "store")
        progress.harness_run_started(run)
        progress._every = 0.0
        for sample in SAMPLES:
            told = Completion(sample, "x")
            progress.harness_completion_scored(run, "match", told, Score(1.0))
        shown = re.findall(r"(\d+)(?:m|h)(\d+)[sm] left", stream.getvalue())
        assert shown
        assert all(int(minutes) < 5 for minutes, _ in shown)
        trial.saw("lines", len(shown))
