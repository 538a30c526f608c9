"""The judge adapter: many at once but not more, in order, and every failure a cause."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from harness import Completion, Score, Unscored, scorer
from harness.errors import HarnessError, PluginError
from harness.judging import JudgeScorer
from harness.testing import check_rewarder, completion

BATCH = [completion(f"text {i}", id=str(i)) for i in range(20)]


@dataclass
class Gate:
    """A judge that lets nobody through before `concurrency` of them stand at the gate."""

    concurrency: int
    inside: int = 0
    most: int = 0
    waiting: list[asyncio.Event] = field(default_factory=list)

    async def judge(self, completion: Completion) -> Score:
        self.inside += 1
        self.most = max(self.most, self.inside)
        mine = asyncio.Event()
        self.waiting.append(mine)
        if self.inside == self.concurrency:
            for event in self.waiting:
                event.set()
            self.waiting.clear()
        await mine.wait()
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(5)))
        self.inside -= 1
        return Score(float(completion.sample.id))


@dataclass
class Judging:
    """A judge that does as the test says."""

    function: Callable[[Completion], Awaitable[object]]
    concurrency: int = 4
    asked: list[str] = field(default_factory=list)

    async def judge(self, completion: Completion) -> Score:
        self.asked.append(completion.sample.id)
        return await self.function(completion)  # type: ignore[return-value]


@pytest.mark.parametrize("bound", [1, 4, 10])
def test_as_many_run_at_once_as_were_allowed_and_not_one_more(bound: int) -> None:
    gate = Gate(bound)
    scores = scorer(gate).score(BATCH)  # without `bound` of them at once this would never end
    assert gate.most == bound
    assert [s.value for s in scores] == [float(i) for i in range(20)]


def test_scores_are_in_order_although_judgements_end_in_another() -> None:
    done = [asyncio.Event() for _ in BATCH]

    async def backwards(completion: Completion) -> Score:
        place = int(completion.sample.id)
        if place + 1 < len(BATCH):
            await done[place + 1].wait()
        done[place].set()
        return Score(float(place))

    scores = scorer(Judging(backwards, concurrency=len(BATCH))).score(BATCH)
    assert [s.value for s in scores] == [float(i) for i in range(20)]


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (TimeoutError("30 s"), Unscored.TIMEOUT, "30 s"),
        (RuntimeError("gone"), Unscored.SCORER_ERROR, "RuntimeError: gone"),
        (KeyError("grade"), Unscored.SCORER_ERROR, "KeyError: 'grade'"),
    ],
)
def test_an_exception_is_the_cause_of_its_own_completion(
    error: Exception, cause: Unscored, reason: str
) -> None:
    async def sometimes(completion: Completion) -> Score:
        if completion.sample.id == "7":
            raise error
        return Score(1.0)

    judging = Judging(sometimes)
    scores = scorer(judging).score(BATCH)
    assert scores[7] == Score.missing(cause, reason)
    assert [s.value for i, s in enumerate(scores) if i != 7] == [1.0] * 19
    assert sorted(judging.asked) == sorted(c.sample.id for c in BATCH), "each is asked once"


def test_a_timeout_of_the_judge_itself_is_a_timeout() -> None:
    async def slow(_: Completion) -> Score:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
        return Score(1.0)

    assert scorer(Judging(slow)).score(BATCH[:2])[1].unscored is Unscored.TIMEOUT


@pytest.mark.parametrize("answer", [None, 0.5, "good"])
def test_what_is_no_score_is_paid_for_once_and_unscored(answer: object) -> None:
    async def wrong(completion: Completion) -> object:
        return answer if completion.sample.id == "3" else Score(1.0)

    judging = Judging(wrong)
    scores = scorer(judging).score(BATCH)
    assert scores[3].unscored is Unscored.SCORER_ERROR
    assert repr(answer) in scores[3].reason
    assert len(judging.asked) == len(BATCH)


def test_what_the_user_must_mend_ends_the_batch_and_asks_no_more() -> None:
    async def refuse(_: Completion) -> Score:
        await asyncio.sleep(0)
        raise HarnessError("no API key")

    judging = Judging(refuse, concurrency=1)
    with pytest.raises(HarnessError, match="no API key"):
        scorer(judging).score(BATCH)
    assert len(judging.asked) < len(BATCH)


def test_it_works_from_inside_a_running_loop_and_from_threads() -> None:
    async def right(completion: Completion) -> Score:
        await asyncio.sleep(0)
        return Score(float(completion.sample.id))

    judge = scorer(Judging(right))

    async def inside() -> list[Score]:
        return judge.score(BATCH)

    expected = judge.score(BATCH)
    assert asyncio.run(inside()) == expected
    found: list[list[Score]] = []
    threads = [threading.Thread(target=lambda: found.append(judge.score(BATCH))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


def test_a_judge_keeps_the_promises_of_a_scorer() -> None:
    async def length(completion: Completion) -> Score:
        return Score(len(completion.text) / 10)

    check_rewarder(Judging(length), BATCH)


def test_a_concurrency_of_nothing_is_refused_and_does_not_hang() -> None:
    async def right(_: Completion) -> Score:
        return Score(1.0)

    with pytest.raises(PluginError, match="concurrency is 0"):
        scorer(Judging(right, concurrency=0))


def test_all_judges_share_one_event_loop() -> None:
    loops: set[int] = set()
    barrier = threading.Barrier(8)

    class Looking:
        async def judge(self, completion: Completion) -> Score:
            loops.add(id(asyncio.get_running_loop()))
            return Score(1.0)

    def judge() -> None:
        barrier.wait()
        JudgeScorer(Looking()).score([completion("x")])

    threads = [threading.Thread(target=judge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loops) == 1
