"""A small store that has something in each of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness import Completion, Credit, Sample, Score, Unscored, Usage, evaluate
from harness.calls import Reply, Token
from harness.components import Call, TrainingStep
from harness.store import Store
from harness.store.calls import CallRecord
from harness.store.measurements import MeasurementRecord
from harness.store.trainings import TrainingRecord

TRAINING, MEASUREMENT = "beef00000001", "feed00000001"
ROWS = 6


class Words:
    """Gives credit, parts and calls; and no score to the first row."""

    name = "words"

    def identity(self) -> dict[str, str]:
        return {"version": "1"}

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [self._score(completion) for completion in completions]

    def _score(self, completion: Completion) -> Score:
        if completion.sample.id == "q0":
            return Score.missing(Unscored.REFUSAL, "it would not say")
        credit = (Credit(0, 1, 0.5), Credit(1, 2, -0.25))
        usage = Usage(1, 2, 0.5)
        return Score(0.5, {"half": 0.25}, "because", credit=credit, usage=usage)


def full_store(file: Path) -> Path:
    """Two runs of some rows, a training, a measurement, and a call that was paid for."""
    for name, wrong in (("t.py::towns[old]", 2), ("t.py::towns[new]", 3)):
        rows = [
            Sample(f"q{i}", f"Where is 50%_of {i}?", (f"it is {i}",),
                   {"answer": f"it is {i if i % wrong else 'elsewhere'}"})
            for i in range(ROWS)
        ]  # fmt: skip
        evaluate(rows, generator="recorded:field=answer", scorers=["match", Words()],
                 store=file, name=name, max_unscored=1.0)  # fmt: skip
    with Store(file) as store:
        _train(store)
        points = [{"label": f"leaves {n}", "recall": 1 - 1 / n, "latency_us": 9.0} for n in (2, 4)]
        store.measurements.add(
            MeasurementRecord(
                MEASUREMENT, "index", "retrieval", 1e9, {"vectors": 9}, {"points": points}
            )
        )
        reply = Reply("said", usage=Usage(3, 4, 0.1), tokens=(Token("a", -0.5, (("a", -0.5),)),))
        store.calls.add([CallRecord("key", "judge", "stop", reply, Call(latency_s=0.1))])
    return file


def _train(store: Store) -> None:
    scorer = {"label": "match", "name": "match", "fingerprint": "f", "weight": 1.0}
    config = {
        "trainer": {"label": "ppo", "name": "ppo"},
        "scorers": {"match": scorer, "judge": {**scorer, "weight": 0.0}},
        "samples": {"n": 1, "digest": "d"},
        "held_out": {"n": 0, "digest": ""},
    }
    store.trainings.begin(TrainingRecord(TRAINING, "t", "running", "/out", config, {}, 1e9))
    for i in range(1, 4):
        metrics = {"reward": i / 30, "score/match": i / 30, "score/judge": 0.5, "kl": i / 10}
        said = Completion(Sample("q", "Where?", ("here",)), f"said at {i}")
        examples = [(said, {"match": Score(0.5, reason="half of it")})]
        store.trainings.add_step(TRAINING, TrainingStep(i, 3, metrics, 1.0, examples))
    store.trainings.finish(TRAINING, "finished")
