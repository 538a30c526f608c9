"""`harness store copy`: what arrives is what left, and no score stands beside another text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness import Completion, Sample, TrainingStep, evaluate
from harness.calls.values import Reply
from harness.cli import main
from harness.components import Call, Usage
from harness.store import Store
from harness.store.calls import CallRecord
from harness.store.copying import Copying
from harness.store.measurements import measured
from harness.store.schema import RunRecord
from harness.store.trainings import TrainingRecord

SAMPLES = [Sample(f"s{i}", f"p{i}\0", (str(i),), {"completion": str(i)}) for i in range(1203)]


class Said:
    """Answers with a text that is no setting: as a model does that is not the same everywhere."""

    def __init__(self, text: str) -> None:
        self._text = text

    def identity(self) -> dict[str, str]:
        return {"name": "said"}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(sample, self._text) for sample in samples]


@pytest.fixture
def full(tmp_path: Path) -> str:
    """A store with two runs, a training, a measurement and a call."""
    file = tmp_path / "from.db"
    for samples in (SAMPLES, SAMPLES[:10]):
        evaluate(samples, generator="recorded", scorers=["match"], store=file, name="both")
    with Store(file) as store:
        config = {"trainer": {"label": "ppo"}, "scorers": {"a": {"weight": 1.0}}}
        store.trainings.begin(TrainingRecord("t1", "n", "running", "out", config, {}, 1.0))
        store.trainings.add_step("t1", TrainingStep(1, 1, {"reward": 0.5}, 1.5))
        store.trainings.finish("t1", "finished")
        store.measurements.add(measured("m", "kind", config={}, figures={"y": 0.1}))
        reply = Reply("text\0", "stop", Usage(1, 2, 0.5), "model", "id", ())
        store.calls.add([CallRecord("key", "openai", "stop", reply, Call())] * 2)
    return str(file)


def contents(url: str) -> object:
    with Store(url, readonly=True) as store:
        return (
            [(r, list(store.rows(r))) for r in store.runs()],
            [(replace(t, opened=0), store.trainings.steps(t.id)) for t in store.trainings.all()],
            store.measurements.all(),
            store.calls.replies(["key"]),
            store.calls.spent(),
        )


def test_a_copy_is_the_same_and_made_again_adds_nothing(
    full: str, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["store", "copy", full, store_url, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["copied"]
    assert told["runs"] == 2
    assert (told["completions"], told["scores"], told["run_rows"]) == (1203, 1203, 1213)
    assert (told["trainings"], told["measurements"], told["calls"]) == (1, 1, 2)
    assert contents(store_url) == contents(full)
    assert main(["store", "copy", full, store_url]) == 0
    assert "nothing new\n3 runs are there already" in capsys.readouterr().out
    assert contents(store_url) == contents(full)


def test_and_back_again(full: str, store_url: str, tmp_path: Path) -> None:
    assert main(["store", "copy", full, store_url]) == 0
    assert main(["store", "copy", store_url, str(tmp_path / "back.db")]) == 0
    assert contents(str(tmp_path / "back.db")) == contents(full)


def test_some_runs_only(full: str, store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(full, readonly=True) as store:
        wanted = store.runs()[1]
    assert main(["store", "copy", full, store_url, "--run", wanted.id[:8], "--run", "t1"]) == 0
    with Store(store_url, readonly=True) as store:
        assert store.runs() == [wanted]
        assert len(list(store.rows(wanted))) == 10
        assert [t.id for t in store.trainings.all()] == ["t1"]
        assert store.measurements.all() == []
    capsys.readouterr()
    assert main(["store", "copy", full, store_url, "--run", "nosuch"]) == 2
    assert "no run 'nosuch'" in capsys.readouterr().err


class StopError(Exception):
    """The end of a process, at a place of its work."""


def test_a_copy_that_was_cut_off_is_interrupted_and_goes_on(full: str, store_url: str) -> None:
    def stop(run: str, done: int, total: int) -> None:
        if done < total:
            raise StopError

    with Store(full, readonly=True) as source, Store(store_url) as target:
        with pytest.raises(StopError):
            Copying(source, target, stop).everything()
        (begun,) = target.runs()
        assert begun.status == "interrupted"
        assert 0 < len(list(target.rows(begun))) < begun.total
        again = Copying(source, target)
        again.everything()
        assert 0 < again.counts["completions"] < 1203
    assert contents(store_url) == contents(full)


def test_what_another_store_answered_stands_and_gets_no_score_of_ours(
    tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = SAMPLES[:3]
    ours, theirs = str(tmp_path / "ours.db"), store_url
    right = evaluate(asked, generator=Said("1"), scorers=["match"], store=ours)
    evaluate(asked[:2], generator=Said("2"), scorers=["match:mode=contains"], store=theirs)
    assert main(["store", "copy", ours, theirs]) == 0
    assert "2 answers differ from those there" in capsys.readouterr().out
    with Store(theirs, readonly=True) as store:
        run = store.run(right.run.id)
        rows = list(store.rows(run))
    assert run.status == "interrupted"
    assert [row.completion.text for row in rows] == ["2", "2", "1"]
    # Only the last has a score: it was ours, and so is its answer.
    values = [score.value for row in rows for score in row.scores.values()]
    assert values == [right.values("match")[2].value]
    gone_on = evaluate(asked, generator=Said("3"), scorers=["match"], store=theirs)
    assert (gone_on.run.id, gone_on["match"].n) == (run.id, 3)
    assert [value.value for value in gone_on.values("match")] == [0, 0, 0], "ours were 0, 1, 0"


def test_a_run_under_way_there_is_left_alone(
    full: str, store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(full, readonly=True) as source, Store(store_url) as target:
        target.begin(replace(source.runs()[0], status="running"), {})
        assert main(["store", "copy", full, store_url]) == 0
        assert target.runs()[0].status == "running"
        assert list(target.rows(target.runs()[0])) == []
    assert "1 runs are under way there and were left alone" in capsys.readouterr().out


def test_a_run_that_is_under_way_arrives_as_interrupted(tmp_path: Path) -> None:
    with Store(tmp_path / "from.db") as source, Store(tmp_path / "to.db") as target:
        config = {"generator": {"fingerprint": "g"}, "scorers": {}}
        source.begin(RunRecord("r", "", "running", 3, config, {}, 1.0), {})
        Copying(source, target).everything()
        assert [run.status for run in target.runs()] == ["interrupted"]


def test_a_store_cannot_be_copied_to_itself(full: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "copy", full, f"sqlite:///{full}"]) == 2
    assert "both stores are" in capsys.readouterr().err
