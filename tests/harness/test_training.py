"""Training: the scorers of evaluation, every step recorded, nothing lost, nothing leaked."""

from __future__ import annotations

import io
import json
import logging
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import harness
from harness import (
    Completion,
    Component,
    DataError,
    HarnessError,
    PluginError,
    Rewarder,
    Run,
    Sample,
    Score,
    TrainingResult,
    TrainingStep,
    TrainingTask,
    Unscored,
    evaluate,
    hookimpl,
    progress,
    train,
)
from harness.data.split import Overlap, normalised, split
from harness.progress import shown
from harness.store import Store
from harness.store.trainings import TrainingRecord
from harness.testing import installed

SAMPLES = [Sample(f"s{i}", f"Question {i}", ("xxx",)) for i in range(4)]
HELD_OUT = [Sample("t0", "Other", ("xxx",))]


class Counting:
    """A scorer of lengths that leaves every second sample unscored, and says who is in it."""

    def __init__(self) -> None:
        self.inside, self.together = 0, 0

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.inside += 1
        self.together = max(self.together, self.inside)
        found = [
            Score.missing(Unscored.REFUSAL, "odd") if int(c.sample.id[1:]) % 2 else Score(1.0)
            for c in completions
        ]
        self.inside -= 1
        return found


@dataclass(frozen=True, slots=True)
class Failing:
    """A scorer that cannot work, and says so to the user."""

    name: str = "failing"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        raise HarnessError("the key has run out; get another")


class Scorers:
    """A plugin with a scorer."""

    @hookimpl
    def harness_rewarders(self) -> Iterator[Component[Rewarder]]:
        yield Component("counting", build=lambda settings: Counting())


@pytest.fixture(autouse=True)
def scorers() -> Iterator[None]:
    with installed(Scorers()):
        yield


def recorded(store: Path) -> tuple[TrainingRecord, list[TrainingStep]]:
    with Store(store, readonly=True) as opened:
        (found,) = opened.trainings.all()
        return found, opened.trainings.steps(found.id)


@pytest.mark.usefixtures("toy")
def test_a_training_is_recorded_and_its_model_says_what_it_was_trained_by(
    tmp_path: Path, own_store: Path
) -> None:
    output = tmp_path / "runs" / "toy"
    scorers = {"match": 1.0, "f=match:mode=f1": 0.0}
    result = train(SAMPLES, trainer="toy:steps=3", scorers=scorers, output=output, seed=7, name="n")
    assert (result.model, result.metrics) == (output, {"reward": 3.0})
    record, steps = recorded(own_store)
    assert (record.name, record.status, record.trainer) == ("n", "finished", "toy:steps=3")
    assert record.weights == {"match": 1.0, "f": 0.0}
    assert (record.output, record.steps, record.total) == (str(output), 3, 3)
    assert [step.step for step in steps] == [1, 2, 3]
    assert [step.metrics["reward"] for step in steps] == [1.0, 2.0, 3.0]
    completion, scores = steps[2].examples[0]
    assert completion == Completion(SAMPLES[0], "xxx")
    assert scores == {"match": Score(1.0), "f": Score(1.0, {"precision": 1.0, "recall": 1.0})}
    card = json.loads((output / "samescore.json").read_text())
    assert (card["training"], card["seed"], card["use"]) == (record.id, 7, result.use)
    assert card["trainer"]["settings"]["steps"] == 3
    assert card["scorers"]["f"]["weight"] == 0.0
    evaluation = evaluate(SAMPLES, generator=result.use, scorers=list(scorers))
    assert {s: v["fingerprint"] for s, v in card["scorers"].items()} == evaluation.run.scorers


@pytest.mark.usefixtures("toy")
def test_what_broke_goes_on_and_the_steps_it_repeats_are_replaced(
    tmp_path: Path, own_store: Path
) -> None:
    def go_on(trainer: str) -> None:
        train(SAMPLES, trainer=trainer, scorers=(), output=tmp_path / "o")

    with pytest.raises(RuntimeError, match="out of memory"):
        go_on("toy:steps=6,fail_at=5")
    before, steps = recorded(own_store)
    assert (before.status, len(steps)) == ("failed", 5)
    with sqlite3.connect(own_store) as connection:
        connection.execute("update training_steps set seconds = 99")
    go_on("t=toy:steps=6")
    after, steps = recorded(own_store)
    assert (after.id, after.status, after.started) == (before.id, "finished", before.started)
    assert [(s.step, s.seconds) for s in steps] == [
        (1, 99), (2, 99), (3, 99), (4, 99), (5, 0.25), (6, 0.25),
    ]  # fmt: skip


@pytest.mark.usefixtures("toy")
def test_without_resume_a_training_starts_over(tmp_path: Path, own_store: Path) -> None:
    for resume in (True, False):
        train(SAMPLES, trainer="toy", scorers=(), output=tmp_path / "o", resume=resume)
        _, steps = recorded(own_store)
        assert [step.step for step in steps] == [1, 2, 3, 4, 5]
        with sqlite3.connect(own_store) as connection:
            assert connection.execute("select max(seconds) from training_steps").fetchone() == (
                0.25,
            )
            connection.execute("update training_steps set seconds = 99")


@pytest.mark.usefixtures("toy")
def test_the_model_of_another_training_is_not_replaced_unasked(tmp_path: Path) -> None:
    output = tmp_path / "o"
    train(SAMPLES, trainer="toy", scorers={"match": 1.0}, output=output)
    train(SAMPLES, trainer="t=toy:steps=5", scorers={"match": 1.0}, output=output)
    model = (output / "model.json").read_text()
    with pytest.raises(HarnessError) as error:
        train(SAMPLES, trainer="toy:letter=y", scorers={"match": 0.5}, output=output)
    assert "scorers.match.weight: 1.0 → 0.5; trainer.settings.letter: x → y" in str(error.value)
    assert "--no-resume" in str(error.value)
    assert (output / "model.json").read_text() == model
    train(SAMPLES, trainer="toy:letter=y", scorers=(), output=output, resume=False)
    assert (output / "model.json").read_text() != model


@pytest.mark.usefixtures("toy")
def test_an_evaluation_after_a_training_sees_the_new_weights(tmp_path: Path) -> None:
    answers = []
    for letter in "xy":
        trainer = f"toy:letter={letter}"
        kept = harness.scorer("counting").component
        result = train(
            SAMPLES, trainer=trainer, scorers=["counting"], output=tmp_path, resume=False
        )
        found = evaluate(SAMPLES, generator=result.use, scorers=["match:mode=f1"])
        answers.append(next(found.rows()).completion.text)
        assert harness.scorer("counting").component is kept
    assert answers == ["xxxxx", "yyyyy"]


@pytest.mark.parametrize("told", ["question 1", "  QUESTION\n 1 "])
@pytest.mark.usefixtures("toy")
def test_a_held_out_prompt_is_not_trained_on(
    tmp_path: Path, own_store: Path, caplog: pytest.LogCaptureFixture, told: str
) -> None:
    held_out = [*HELD_OUT, Sample("t1", told)]

    def run(overlap: Overlap) -> None:
        train(
            SAMPLES, trainer="toy", scorers=(), output=tmp_path, held_out=held_out, overlap=overlap
        )

    with pytest.raises(DataError) as error:
        run("refuse")
    assert "1 of 2 held-out rows have a prompt that is trained on (ids 't1'" in str(error.value)
    assert "overlap='drop'" in str(error.value)
    assert not own_store.exists()
    with caplog.at_level(logging.WARNING, "harness"):
        run("drop")
    assert "1 of 4 rows are left out of training" in caplog.text
    assert recorded(own_store)[0].config["samples"]["n"] == 3  # type: ignore[index]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"samples": []}, "there are no samples to train on"),
        (
            {"samples": [SAMPLES[0], SAMPLES[0]]},
            "samples to train on: two samples have the id 's0'",
        ),
        ({"held_out": [HELD_OUT[0]] * 2}, "samples to hold out: two samples have the id 't0'"),
        ({"held_out": SAMPLES, "overlap": "drop"}, "all 4 rows to train on have a prompt that is"),
        ({"overlap": "keep"}, "overlap is 'keep'; choose refuse or drop"),
        ({"scorers": "match"}, "scorers is 'match'; give a list"),
        ({"scorers": {"match": float("nan")}}, "the weight of match is nan"),
        ({"scorers": {"match": "high"}}, "the weight of match is 'high'"),
        ({"scorers": ["match", ("match", 2.0)]}, "two scorers are called 'match'"),
        ({"scorers": ["mathc"]}, "did you mean 'match'?"),
        ({"trainer": "tooy"}, "did you mean 'toy'?"),
        ({"trainer": "toy:step=3"}, "did you mean 'steps'?"),
        ({"trainer": object()}, "is no trainer: it has no `train`"),
        ({"output": __file__}, "cannot make the folder"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_what_cannot_be_used_is_told_before_anything_is_written(
    tmp_path: Path, own_store: Path, change: dict[str, object], told: str
) -> None:
    given = {"samples": SAMPLES, "trainer": "toy", "scorers": (), "output": tmp_path / "o"} | change
    with pytest.raises(HarnessError) as error:
        train(**given)  # type: ignore[arg-type]
    assert told in str(error.value)
    assert not own_store.exists()
    assert not (tmp_path / "o").exists()


class Asking:
    """A trainer that does what the test wants with its task."""

    name = "asking"

    def __init__(self, do: Callable[[TrainingTask], object]) -> None:
        self.do = do

    def identity(self) -> dict[str, str]:
        return {}

    def train(self, task: TrainingTask) -> TrainingResult:
        found = self.do(task)
        return found if isinstance(found, TrainingResult) else TrainingResult(task.output)


def asks(tmp_path: Path, do: Callable[[TrainingTask], object], scorers: object = ()) -> None:
    train(SAMPLES, trainer=Asking(do), scorers=scorers, output=tmp_path)  # type: ignore[arg-type]


@pytest.mark.usefixtures("toy")
def test_no_score_is_never_zero(tmp_path: Path) -> None:
    def do(task: TrainingTask) -> None:
        scores = task.rewards.score([Completion(s, "xxx") for s in task.samples])
        assert task.rewards.weights == {"match": 1.0, "counting": -0.5}
        assert [s.value for s in scores["match"]] == [1.0] * 4
        assert [s.value for s in scores["counting"]] == [1.0, None, 1.0, None]
        assert scores["counting"][1].unscored is Unscored.REFUSAL
        failed = task.rewards.score([Completion(SAMPLES[0], "", "error", error="e")])
        assert [s[0].unscored for s in failed.values()] == [Unscored.NO_COMPLETION] * 2
        assert task.rewards.score([]) == {"match": [], "counting": []}

    asks(tmp_path, do, {"match": 1, "counting": -0.5})


def test_scorers_work_at_the_same_time(tmp_path: Path) -> None:
    met = threading.Barrier(2, timeout=20)

    class Meeting:
        def __init__(self, name: str) -> None:
            self.name = name

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            met.wait()
            return [Score(1.0) for _ in completions]

    def do(task: TrainingTask) -> None:
        scores = task.rewards.score([Completion(SAMPLES[0], "x")])
        assert scores == {"one": [Score(1.0)], "two": [Score(1.0)]}

    asks(tmp_path, do, [(Meeting("one"), 1.0), (Meeting("two"), 0.0)])


@pytest.mark.usefixtures("toy")
def test_one_scorer_is_never_called_twice_at_a_time(tmp_path: Path) -> None:
    def do(task: TrainingTask) -> None:
        threads = [
            threading.Thread(target=task.rewards.score, args=([Completion(s, "x")] * 99,))
            for s in SAMPLES
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    asks(tmp_path, do, ["one=counting", "two=counting"])
    component = harness.scorer("counting").component
    assert isinstance(component, Counting)
    assert component.together == 1


def test_what_a_scorer_has_to_say_to_the_user_ends_the_training(
    tmp_path: Path, own_store: Path
) -> None:
    with pytest.raises(HarnessError, match="the key has run out"):
        asks(
            tmp_path, lambda t: t.rewards.score([Completion(SAMPLES[0], "")]), ["match", Failing()]
        )
    assert recorded(own_store)[0].status == "failed"


@pytest.mark.parametrize(
    ("do", "told"),
    [
        (lambda task: TrainingResult(task.output / "no"), "the trainer asking left no folder at"),
        (lambda task: task.report(TrainingStep(1, 1, {"a": "b"})), "the trainer asking reported"),  # type: ignore[dict-item]
    ],
    ids=["no model", "no number"],
)
def test_a_trainer_that_breaks_its_promise_is_named(
    tmp_path: Path, do: Callable[[TrainingTask], object], told: str
) -> None:
    with pytest.raises(PluginError, match=told):
        asks(tmp_path, do)


def test_a_metric_that_is_not_finite_is_kept(tmp_path: Path, own_store: Path) -> None:
    step = TrainingStep(1, 1, {"kl": float("nan"), "reward": 1})
    asks(tmp_path, lambda task: task.report(step))
    assert str(recorded(own_store)[1][0].metrics) == "{'kl': nan, 'reward': 1.0}"


def test_one_interrupt_is_a_wish_and_the_second_an_order(tmp_path: Path, own_store: Path) -> None:
    before = signal.getsignal(signal.SIGINT)

    def twice(task: TrainingTask) -> None:
        assert not task.interrupted()
        signal.raise_signal(signal.SIGINT)
        assert task.interrupted()
        task.report(TrainingStep(1, 2, {"reward": 1.0}))
        signal.raise_signal(signal.SIGINT)
        pytest.fail("this is not reached")

    with pytest.raises(KeyboardInterrupt):
        asks(tmp_path, twice)
    assert signal.getsignal(signal.SIGINT) is before
    record, steps = recorded(own_store)
    assert (record.status, len(steps)) == ("interrupted", 1)


def test_a_training_in_a_thread_leaves_interrupts_alone(tmp_path: Path) -> None:
    handlers = []

    def do(task: TrainingTask) -> None:
        handlers.append(signal.getsignal(signal.SIGINT))
        assert not task.interrupted()

    thread = threading.Thread(target=asks, args=(tmp_path, do))
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


@pytest.mark.usefixtures("toy")
def test_of_several_processes_the_first_alone_records(
    tmp_path: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    told: list[str] = []

    class Watching:
        @hookimpl
        def harness_run_started(self, run: Run) -> None:
            told.append(run.kind)

    with installed(Watching()):
        monkeypatch.setenv("RANK", "1")
        result = train(SAMPLES, trainer="toy", scorers=["match"], output=tmp_path / "o")
        assert result.metrics == {"reward": 5.0}
        assert (told, own_store.exists()) == ([], False)
        assert not (tmp_path / "o" / "samescore.json").exists()
        monkeypatch.setenv("RANK", "0")
        train(SAMPLES, trainer="toy", scorers=["match"], output=tmp_path / "p")
    assert told == ["training"]
    assert recorded(own_store)[0].status == "finished"


@pytest.mark.usefixtures("toy")
def test_trainings_and_evaluations_stand_in_one_store(tmp_path: Path, own_store: Path) -> None:
    evaluate(HELD_OUT, generator=Asked(), scorers=["match"])
    train(SAMPLES, trainer="toy", scorers=(), output=tmp_path / "o")
    with Store(own_store, readonly=True) as store:
        assert store.everything() == [*store.runs(), *store.trainings.all()]
        assert isinstance(store.find("last"), TrainingRecord)
        assert store.find(store.runs()[0].id) == store.runs()[0]


@dataclass(frozen=True, slots=True)
class Asked:
    """A generator that repeats the prompt."""

    name: str = "asked"

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, s.prompt, attempt=attempt) for s in samples]


class Terminal(io.StringIO):
    """Text that is written to a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()], ids=["terminal", "log"])
@pytest.mark.usefixtures("toy")
def test_progress_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: io.StringIO
) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", {True: 0.0, False: 0.0})
    with shown(stream):
        train(SAMPLES, trainer="toy:steps=2", scorers=["counting"], output=tmp_path)
    first, last = [line for line in stream.getvalue().replace("\r\x1b[K", "\n").split("\n") if line]
    start = "toy:steps=2  1/2  reward 1.0000  kl 0.500  1,234 tokens/s  2 unscored  0m0"
    assert first.startswith(start)
    assert first.endswith(" left")
    assert last == "toy:steps=2  2/2  reward 2.0000  kl 0.500  1,234 tokens/s  2 unscored"


@pytest.mark.usefixtures("toy")
def test_a_log_tells_the_first_and_the_last_step_and_what_changed(tmp_path: Path) -> None:
    stream = io.StringIO()
    with shown(stream):
        train(SAMPLES, trainer="t=toy", scorers=(), output=tmp_path / "a", name="n")
        train(SAMPLES, trainer="t=toy:steps=6", scorers=(), output=tmp_path / "b", name="n")
    lines = [line.partition("  reward")[0] for line in stream.getvalue().splitlines()]
    changed = "n: not as in the run before: trainer.settings.steps: 5 → 6"
    assert lines == ["t  1/5", "t  5/5", changed, "t  1/6", "t  6/6"]


def test_a_split_keeps_a_prompt_on_one_side_whatever_rows_come_and_go() -> None:
    rows = [
        Sample(str(i), f"Prompt {i // 2}" if i % 2 else f" prompt   {i // 2}\n")
        for i in range(2000)
    ]
    kept, held_out = split(rows, 0.3)
    assert [int(s.id) for s in kept] == sorted(int(s.id) for s in kept)
    assert sorted([*kept, *held_out], key=lambda s: int(s.id)) == rows
    assert not {normalised(s.prompt) for s in kept} & {normalised(s.prompt) for s in held_out}
    assert 0.25 < len(held_out) / len(rows) < 0.35
    assert split(rows[500:], 0.3)[1] == [s for s in held_out if int(s.id) >= 500]
    assert split(rows, 0.3, seed=1)[1] != held_out
    assert {s.id for s in held_out} < {s.id for s in split(rows, 0.5)[1]}
    assert split(rows, 0.0) == (rows, [])
