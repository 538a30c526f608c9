"""Runs: what is scored, what is not, what a mean is over, and what ends a run."""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from harness import (
    Completion,
    DataError,
    Evaluation,
    HarnessError,
    Rewarder,
    Run,
    Sample,
    Score,
    Unscored,
    UnscoredError,
    evaluate,
    hookimpl,
)
from harness.guards import GuardedGenerator, GuardedScorer
from harness.report import evaluation_table
from harness.store import Store
from harness.testing import installed

SAMPLES = [Sample(f"s{i:02}", f"prompt {i}", (f"prompt {i % 2}",)) for i in range(20)]


class Echo:
    """A generator that repeats the prompt, a few samples at a time."""

    def __init__(self, batch_size: int = 4, interrupted_at: int = 99) -> None:
        self.batch_size, self.interrupted_at = batch_size, interrupted_at
        self.asked: list[tuple[str, int]] = []

    def identity(self) -> dict[str, str]:
        return {"echo": "1"}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        if len(self.asked) >= self.interrupted_at:
            raise KeyboardInterrupt
        self.asked += [(s.id, attempt) for s in samples]
        return [Completion(s, s.prompt, attempt=attempt) for s in samples]


class Scoring:
    """A scorer of one verdict a completion."""

    def __init__(self, verdict: Callable[[Completion], Score], name: str = "scoring") -> None:
        self.verdict, self.name = verdict, name
        self.asked: list[str] = []

    def identity(self) -> dict[str, str]:
        return {"scoring": self.name}

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.asked += [c.sample.id for c in completions]
        return [self.verdict(c) for c in completions]


def refusing(*places: int) -> Callable[[Completion], Score]:
    """A verdict of 0.5, and none of the samples at these places."""
    ids = {SAMPLES[place].id for place in places}

    def verdict(completion: Completion) -> Score:
        if completion.sample.id in ids:
            return Score.missing(Unscored.REFUSAL, "the judge declined")
        return Score(0.5)

    return verdict


def last_run(store: Path) -> tuple[str, Evaluation]:
    """How the latest run ended, and what is in the store of it."""
    opened = Store(store)
    record = opened.run("last")
    return record.status, Evaluation(record, opened)


def test_completions_and_scores_are_in_the_order_of_the_samples() -> None:
    result = evaluate(SAMPLES, generator=Echo(), scorers=["match"])
    assert [row.completion.sample for row in result.rows()] == SAMPLES
    expected = [1.0, 1.0] + [0.0] * 18
    assert [row.scores["match"].value for row in result.rows()] == expected
    assert result["match"].mean == sum(expected) / 20
    assert result.run.status == "finished"


def test_unscored_are_left_out_of_the_mean_and_counted(own_store: Path) -> None:
    scorer = Scoring(refusing(3, 17))
    result = evaluate(SAMPLES, generator=Echo(), scorers=[scorer], max_unscored=0.1)
    summary = result["scoring"]
    assert (summary.mean, summary.n, summary.unscored) == (0.5, 18, 2)
    assert summary.causes == {"refusal": 2}
    assert str(summary) == "scoring 0.5000 [0.5000, 0.5000] (n=18, 2 unscored)"


def test_more_unscored_than_allowed_fails_and_what_there_is_stays(own_store: Path) -> None:
    scorer = Scoring(refusing(3, 5, 17))
    with pytest.raises(UnscoredError) as caught:
        evaluate(SAMPLES, generator=Echo(), scorers=[scorer, "match"], max_unscored=0.1)
    told = str(caught.value)
    assert "scoring left 3 of 20 unscored (3 refusal; the first: the judge declined)" in told
    status, kept = last_run(own_store)
    assert status == "failed"
    assert f"harness show {kept.run.id}" in told
    assert (kept["scoring"].n, kept["match"].n) == (17, 20)


def test_a_run_that_must_fail_fails_early(own_store: Path) -> None:
    echo, scorer = Echo(batch_size=2), Scoring(refusing(*range(6)))
    with pytest.raises(UnscoredError):
        evaluate(SAMPLES, generator=echo, scorers=[scorer], max_unscored=0.1)
    assert len(echo.asked) < len(SAMPLES)
    assert last_run(own_store)[0] == "failed"


def test_all_unscored_is_an_error_whatever_share_is_allowed(own_store: Path) -> None:
    scorer = Scoring(refusing(*range(20)))
    with pytest.raises(UnscoredError, match=r"20 of 20 unscored.*nothing was scored"):
        evaluate(SAMPLES, generator=Echo(), scorers=[scorer], max_unscored=1.0)
    status, kept = last_run(own_store)
    assert status == "failed"
    assert kept["scoring"].n == 0
    assert kept["scoring"].causes == {"refusal": 20}
    assert "–" in evaluation_table([kept])
    assert [row.scores["scoring"].unscored for row in kept.rows()] == [Unscored.REFUSAL] * 20


def test_the_share_is_one_of_rows_where_samples_have_the_same_content() -> None:
    same = [Sample(f"same{i}", "same") for i in range(5)]
    other = [Sample(f"other{i}", f"other {i}") for i in range(5)]

    def verdict(completion: Completion) -> Score:
        same = completion.text == "same"
        return Score.missing(Unscored.REFUSAL) if same else Score(1.0)

    with pytest.raises(UnscoredError, match="left 5 of 10 unscored"):
        evaluate([*same, *other], generator=Echo(10), scorers=[Scoring(verdict)])


def test_a_scorer_that_breaks_takes_no_other_with_it(own_store: Path) -> None:
    def explode(completion: Completion) -> Score:
        raise RuntimeError(completion.sample.id)

    with pytest.raises(UnscoredError, match=r"broken left .* RuntimeError"):
        evaluate(SAMPLES, generator=Echo(20), scorers=[Scoring(explode, "broken"), "match"])
    status, kept = last_run(own_store)
    assert status == "failed"
    assert kept["match"].n == 20
    reasons = [row.scores["broken"].reason for row in kept.rows()]
    assert reasons == [f"RuntimeError: {s.id}" for s in SAMPLES]


def test_a_failed_completion_is_unscored_by_every_scorer() -> None:
    @dataclass(frozen=True)
    class Sometimes:
        """A generator that fails on one sample."""

        def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
            if any(s.id == "s07" for s in samples):
                raise RuntimeError("no memory")
            return [Completion(s, s.prompt, attempt=attempt) for s in samples]

    scorer = Scoring(lambda c: Score(1.0))
    result = evaluate(SAMPLES, generator=Sometimes(), scorers=["match", scorer])
    row = list(result.rows())[7]
    assert (row.completion.finish, row.completion.error) == ("error", "RuntimeError: no memory")
    assert {s.unscored for s in row.scores.values()} == {Unscored.NO_COMPLETION}
    assert [result[name].n for name in ("match", "scoring")] == [19, 19]
    assert "s07" not in scorer.asked


def test_what_the_user_must_mend_ends_the_run_and_keeps_the_other_scorers(
    own_store: Path,
) -> None:
    def refuse(_: Completion) -> Score:
        raise HarnessError("the key is wrong")

    scorers: list[str | Rewarder] = [Scoring(refuse, "keyless"), "match"]
    with pytest.raises(HarnessError, match="the key is wrong"):
        evaluate(SAMPLES, generator=Echo(20), scorers=scorers)
    status, kept = last_run(own_store)
    assert status == "interrupted"
    assert kept["match"].n == 20


def test_an_interrupt_of_the_generator_keeps_what_scorers_are_busy_with(own_store: Path) -> None:
    scorer = Scoring(lambda c: Score(1.0))
    with pytest.raises(KeyboardInterrupt):
        evaluate(SAMPLES, generator=Echo(interrupted_at=8), scorers=[scorer])
    status, kept = last_run(own_store)
    assert status == "interrupted"
    assert kept["scoring"].n == len(scorer.asked)
    echo, again = Echo(), Scoring(lambda c: Score(1.0))
    assert evaluate(SAMPLES, generator=echo, scorers=[again])["scoring"].n == 20
    assert [name for name, _ in echo.asked] == [s.id for s in SAMPLES[8:]]
    assert again.asked == [s.id for s in SAMPLES[len(scorer.asked) :]]


def test_an_interrupt_while_a_score_is_waited_for_loses_none(own_store: Path) -> None:
    class Interrupting(Scoring):
        """A scorer during whose work somebody presses Ctrl-C, and which then ends well."""

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            while not main_thread_is_in("_await_any", "wait"):
                threading.Event().wait(0.001)
            _thread.interrupt_main()
            return super().score(completions)

    scorers = [Interrupting(lambda c: Score(1.0), "one"), Scoring(lambda c: Score(1.0), "two")]
    with pytest.raises(KeyboardInterrupt):
        evaluate(SAMPLES, generator=Echo(20), scorers=scorers)
    status, kept = last_run(own_store)
    assert status == "interrupted"
    assert {name: summary.n for name, summary in kept.summaries.items()} == {"one": 20, "two": 20}


def main_thread_is_in(*functions: str) -> bool:
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    names = set()
    while frame:
        names.add(frame.f_code.co_name)
        frame = frame.f_back
    return names >= set(functions)


def test_scorers_work_at_the_same_time_and_each_alone() -> None:
    both = threading.Barrier(2, timeout=30)
    busy: dict[str, int] = {"one": 0, "two": 0}

    class Meeting(Scoring):
        """A scorer that waits for the other one."""

        def score(self, completions: Sequence[Completion]) -> list[Score]:
            busy[self.name] += 1
            assert busy[self.name] == 1, "never called twice at a time"
            both.wait()
            busy[self.name] -= 1
            return super().score(completions)

    scorers = [Meeting(lambda c: Score(1.0), name) for name in ("one", "two")]
    result = evaluate(SAMPLES, generator=Echo(), scorers=scorers)
    assert [result[name].n for name in ("one", "two")] == [20, 20]


def test_rows_are_chosen_by_pattern_and_limit() -> None:
    def ids(**options: object) -> list[str]:
        result = evaluate(SAMPLES, generator=Echo(), scorers=["match"], **options)  # type: ignore[arg-type]
        return [row.completion.sample.id for row in result.rows()]

    assert ids(rows="s0[12]") == ["s01", "s02"]
    assert ids(rows=["s19", "s00"]) == ["s00", "s19"]
    assert ids(rows="s1*", limit=2) == ["s10", "s11"]
    assert ids(limit=99) == [s.id for s in SAMPLES]


@pytest.mark.parametrize(
    ("samples", "options", "told"),
    [
        (SAMPLES, {"rows": "x*"}, r"no samples are left of 20 \(rows=x\*.*ids: s00, s01, s02"),
        (SAMPLES, {"limit": 0}, "no samples are left"),
        (SAMPLES, {"limit": -1}, "no samples are left"),
        ([], {}, "no samples are left of 0"),
        ([SAMPLES[0], SAMPLES[0]], {}, "two samples have the id 's00'; ids must be unique"),
        (SAMPLES, {"cluster": "topic"}, "sample 's00' has no 'topic' to cluster by"),
        ([Sample("a", "\ud800")], {}, "sample 'a' has half a surrogate pair"),
    ],
    ids=["rows", "limit", "negative", "none", "twice", "cluster", "surrogate"],
)
def test_samples_that_cannot_be_run_are_refused(
    samples: list[Sample], options: dict[str, object], told: str, own_store: Path
) -> None:
    with pytest.raises(DataError, match=told):
        evaluate(samples, generator=Echo(), scorers=["match"], **options)  # type: ignore[arg-type]


def test_plans_that_cannot_be_run_are_refused() -> None:
    with pytest.raises(HarnessError, match="repeats is 0; it must be at least 1"):
        evaluate(SAMPLES, generator=Echo(), scorers=["match"], repeats=0)
    with pytest.raises(HarnessError, match="two scorers are called 'match'; write one as LABEL="):
        evaluate(SAMPLES, generator=Echo(), scorers=["match", "match"])


def test_half_a_surrogate_pair_in_metadata_is_kept() -> None:
    sample = Sample("a", "p", ("p",), metadata={"k": "\ud800"})
    result = evaluate([sample], generator=Echo(), scorers=["match"])
    assert [row.completion.sample.metadata for row in result.rows()] == [{"k": "\ud800"}]


def test_the_same_scorer_may_have_two_labels() -> None:
    result = evaluate(SAMPLES, generator=Echo(), scorers=["a=match", "b=match:mode=contains"])
    assert list(result.summaries) == ["a", "b"]


def test_repeats_are_asked_for_one_by_one_and_cluster_by_sample() -> None:
    echo = Echo(batch_size=8)
    result = evaluate(SAMPLES[:3], generator=echo, scorers=["match"], repeats=3)
    assert echo.asked == [(s.id, attempt) for attempt in range(3) for s in SAMPLES[:3]]
    found = [(row.completion.sample.id, row.completion.attempt) for row in result.rows()]
    assert found == [(s.id, attempt) for s in SAMPLES[:3] for attempt in range(3)]
    assert result["match"].n == 9
    clusters = [value.cluster for value in result.values("match")]
    assert clusters == [s.id for s in SAMPLES[:3] for _ in range(3)]


def test_a_cluster_widens_the_interval() -> None:
    grouped = [replace(s, metadata={"topic": i // 10}) for i, s in enumerate(SAMPLES)]
    scorer = Scoring(lambda c: Score(float(str(c.sample.metadata["topic"]))))
    alone = evaluate(grouped, generator=Echo(), scorers=[scorer])["scoring"]
    together = evaluate(grouped, generator=Echo(), scorers=[scorer], cluster="topic")["scoring"]
    assert alone.mean == together.mean == 0.5
    assert alone.high is not None
    assert together.high is not None
    assert together.high > alone.high


def test_the_same_plan_is_the_same_run_and_another_is_another() -> None:
    def run(**changed: object) -> str:
        plan: dict[str, object] = {"generator": Echo(), "scorers": ["match"], "samples": SAMPLES}
        plan.update(changed)
        return evaluate(plan.pop("samples"), **plan).run.id  # type: ignore[arg-type]

    first = run()
    assert run() == first
    assert run(generator=Echo(batch_size=7)) == first, "how it is cut into batches is no content"
    others = [
        run(generator="recorded:field=x", samples=[replace(SAMPLES[0], metadata={"x": "y"})]),
        run(scorers=["match:mode=contains"]),
        run(scorers=["m=match"]),
        run(scorers=["match", "f=match:mode=f1"]),
        run(samples=SAMPLES[:10]),
        run(samples=SAMPLES[::-1]),
        run(samples=[replace(SAMPLES[0], id="z"), *SAMPLES[1:]]),
        run(samples=[replace(SAMPLES[0], references=("q",)), *SAMPLES[1:]]),
        run(repeats=2),
        run(name="named"),
        run(resume=False),
        run(resume=False),
    ]
    assert len({first, *others}) == len(others) + 1


def test_a_run_says_what_changed_since_the_run_of_its_name(own_store: Path) -> None:
    seen: list[Run] = []

    class Watching:
        """An observer that keeps runs."""

        @hookimpl
        def harness_run_started(self, run: Run) -> None:
            seen.append(run)

    given = [replace(s, metadata={"x": s.prompt, "y": "no"}) for s in SAMPLES]
    with installed(Watching()):
        for generator, repeats in [("recorded:field=x", 1), ("recorded:field=x", 1)]:
            evaluate(given, generator=generator, scorers=["match"], name="faq", repeats=repeats)
        evaluate(given, generator="recorded:field=y", scorers=["match"], name="faq", repeats=2)
        evaluate(given, generator="recorded:field=y", scorers=["match"], name="other")
    assert [bool(run.changes) for run in seen] == [False, False, True, False]
    changed = {change.partition(":")[0] for change in seen[2].changes}
    assert {"generator.settings.field", "repeats"} <= changed
    assert not any(key.startswith("scorers") for key in changed)


def test_a_tuple_among_the_settings_is_no_change_by_being_stored() -> None:
    seen: list[Run] = []

    class Watching:
        """An observer that keeps runs."""

        @hookimpl
        def harness_run_started(self, run: Run) -> None:
            seen.append(run)

    @dataclass(frozen=True)
    class Stopping:
        """A generator with a tuple among its settings."""

        stop: tuple[str, ...] = ("a", "b")

        def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
            return [Completion(s, s.prompt, attempt=attempt) for s in samples]

    with installed(Watching()):
        for repeats in (1, 2):
            evaluate(SAMPLES, generator=Stopping(), scorers=["match"], name="faq", repeats=repeats)
    assert seen[1].changes == ("repeats: 1 → 2",)


def test_nothing_is_kept_of_a_store_in_memory(own_store: Path) -> None:
    result = evaluate(SAMPLES, generator=Echo(), scorers=["match"], store="sqlite://")
    assert len(list(result.rows())) == 20
    assert not own_store.exists()


def test_one_object_under_two_labels_has_one_thread() -> None:
    threads: set[int] = set()

    def verdict(completion: Completion) -> Score:
        threads.add(threading.get_ident())
        return Score(1.0)

    component = Scoring(verdict)
    two = [GuardedScorer(label, component, {"name": label}) for label in "ab"]
    result = evaluate(SAMPLES, generator=Echo(), scorers=two)
    assert result["a"].n == result["b"].n == 20
    assert len(threads) == 1


def test_a_share_is_not_missed_by_rounding() -> None:
    def verdict(completion: Completion) -> Score:
        few = int(completion.sample.id) < 29
        return Score.missing(Unscored.REFUSAL) if few else Score(1.0)

    samples = [Sample(str(i), str(i)) for i in range(100)]
    found = evaluate(samples, generator=Echo(), scorers=[Scoring(verdict)], max_unscored=0.29)
    assert found["scoring"].unscored == 29


def test_what_another_process_recorded_first_stands() -> None:
    """A run that makes what the store has by then scores what the store has."""
    asked: list[str] = []

    class Slow(Echo):
        """While it answers, another run with the same generator answers and records."""

        def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
            asked.append("again")
            mine = f"answer {len(asked)}"
            if len(asked) == 1:
                evaluate(samples, generator=slow, scorers=["match"], name="other")
            return [Completion(s, mine, attempt=attempt) for s in samples]

    slow = GuardedGenerator("slow", Slow(), {"name": "slow"})
    samples = [Sample("a", "p", ("answer 2",))]
    result = evaluate(samples, generator=slow, scorers=["match"])
    assert asked == ["again", "again"]
    assert [row.completion.text for row in result.rows()] == ["answer 2"]
    assert result["match"].mean == 1.0


def test_what_is_no_sample_or_no_list_of_scorers_is_told() -> None:
    with pytest.raises(HarnessError, match=r"no harness\.Sample"):
        evaluate([{"prompt": "p"}], generator=Echo(), scorers=["match"])  # type: ignore[list-item]
    with pytest.raises(HarnessError, match="give a list"):
        evaluate(SAMPLES, generator=Echo(), scorers="match")
    with pytest.raises(HarnessError, match="at least one scorer"):
        evaluate(SAMPLES, generator=Echo(), scorers=[])
    with pytest.raises(TypeError, match="a tuple of texts"):
        Sample("a", "p", "Paris")  # type: ignore[arg-type]


def test_clusters_need_a_name_for_each_sample() -> None:
    samples = [Sample("a", "p", metadata={"doc": "x"}), Sample("b", "q", metadata={"doc": ""})]
    with pytest.raises(HarnessError, match="'b' has no 'doc'"):
        evaluate(samples, generator=Echo(), scorers=["match"], cluster="doc")
