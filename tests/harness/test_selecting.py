"""Which checkpoint is kept: what `select` may be, and which evaluation is the best."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import (
    Completion,
    HarnessError,
    PluginError,
    Sample,
    Score,
    TrainingResult,
    TrainingTask,
    Unscored,
    train,
)
from harness.components import Selected, Selection
from harness.training.selecting import Best, Moment, moments

SAMPLES = [Sample(f"s{i}", f"Question {i}", ("x",)) for i in range(2)]
HELD_OUT = [Sample("t", "Other", ("x",))]


def after(*evaluations: Mapping[str, tuple[float, float]]) -> Best:
    best = Best()
    for step, found in enumerate(evaluations, 1):
        best = best.seen(step, {label: Moment(*moment) for label, moment in found.items()})
    return best


def test_each_scorer_counts_by_its_own_spread_at_the_first_evaluation() -> None:
    """Step 2 gains 0.1 of 0.1 and loses 5 of 10: a half in the mean; step 3 gains and loses 1."""
    found = after(
        {"small": (0.5, 0.1), "large": (50.0, 10.0)},
        {"small": (0.6, 9.0), "large": (45.0, 9.0)},
        {"small": (0.4, 9.0), "large": (60.0, 9.0)},
    )
    assert found.step == 2
    assert found.height == pytest.approx(0.25)
    assert found.selected(Selection("watched", ("small", "large"))) == Selected(
        "watched", 2, {"small": 0.6, "large": 45.0}
    )


def test_of_equals_the_first_is_kept_and_no_spread_counts_as_one() -> None:
    assert after({"a": (0.0, 0.0)}, {"a": (1.0, 0.0)}, {"a": (1.0, 0.0)}).step == 2
    assert after({"a": (1.0, 0.5)}, {"a": (0.5, 0.5)}).step == 1
    assert Best().step == 0


def test_moments_leave_out_what_has_no_score() -> None:
    scores = {
        "a": [Score(1.0), Score.missing(Unscored.TIMEOUT), Score(3.0)],
        "b": [Score.missing(Unscored.TIMEOUT)],
        "c": [Score(2.0)],
    }
    assert moments(scores, ["a", "c"]) == {"a": Moment(2.0, 2**0.5), "c": Moment(2.0, 0.0)}
    assert moments(scores, ["a", "b"]) is None


@dataclass(frozen=True, slots=True)
class Chooser:
    """A trainer that selects, and says what it was asked for."""

    says: bool = True
    name: str = "chooser"

    @property
    def selects(self) -> bool:
        return True

    def train(self, task: TrainingTask) -> TrainingResult:
        assert task.select is not None
        task.rewards.score([Completion(SAMPLES[0], "x")])
        means = dict.fromkeys(task.select.labels, 0.5)
        selected = Selected(task.select.by, 3, means) if self.says else None
        return TrainingResult(task.output, {}, "", selected)


SCORERS = {"e=match": 1.0, "f=match:mode=f1": 0.0, "g=match:mode=contains": 0.0}


def run(output: Path, select: str, **changed: object) -> TrainingResult:
    given = {"trainer": Chooser(), "scorers": SCORERS, "held_out": HELD_OUT, **changed}
    return train(SAMPLES, output=output, select=select, **given)  # type: ignore[arg-type]


@pytest.mark.usefixtures("own_store")
@pytest.mark.parametrize(("select", "labels"), [("watched", ["f", "g"]), ("e", ["e"])])
def test_what_was_selected_is_in_the_result_and_in_the_card(
    tmp_path: Path, select: str, labels: list[str]
) -> None:
    means = dict.fromkeys(labels, 0.5)
    assert run(tmp_path, select).selected == Selected(select, 3, means)
    card = json.loads((tmp_path / "samescore.json").read_text())
    assert card["select"] == {"by": select, "labels": labels}
    assert card["selected"] == {"by": select, "step": 3, "scores": means}
    with pytest.raises(HarnessError, match=r"another training .*select"):
        run(tmp_path, "g")


@pytest.mark.parametrize(
    ("select", "changed", "told"),
    [
        ("wached", {}, "select is 'wached'; did you mean 'watched'? It may be: watched, e, f, g"),
        ("watched", {"scorers": {"e=match": 1.0}}, "needs a scorer that is watched"),
        ("watched", {"scorers": ()}, "needs a scorer that is watched"),
        ("watched", {"held_out": ()}, "select=watched needs held-out rows"),
        ("f", {"held_out": ()}, "select=f needs held-out rows"),
        ("watched", {"trainer": "toy"}, "the trainer toy cannot select a checkpoint"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_what_cannot_be_selected_by_is_told_before_anything_is_written(
    tmp_path: Path, own_store: Path, select: str, changed: dict[str, object], told: str
) -> None:
    with pytest.raises(HarnessError) as error:
        run(tmp_path / "o", select, **changed)
    assert told in str(error.value)
    assert not own_store.exists()
    assert not (tmp_path / "o").exists()


@pytest.mark.usefixtures("own_store")
def test_a_trainer_must_say_what_it_selected(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="chooser does not say which step it selected"):
        run(tmp_path, "watched", trainer=Chooser(says=False))
