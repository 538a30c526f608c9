"""Work behind a page: done once, answered when it is there, made anew when it is out of date."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from harness.errors import DataError
from harness.viewer.jobs import Answer, Jobs, Memory


@pytest.fixture
def jobs() -> Iterator[Jobs]:
    made = Jobs(patience=60)
    yield made
    made.close()


def test_work_is_done_once_for_a_version(jobs: Jobs) -> None:
    done: list[int] = []

    def work() -> int:
        done.append(1)
        return len(done)

    assert [jobs.answer("a", 1, work).value for _ in range(3)] == [1, 1, 1]
    assert jobs.answer("b", 1, work) == Answer(2, pending=False)


def test_a_page_does_not_wait_and_sees_what_there_is(jobs: Jobs) -> None:
    go = threading.Event()

    def work() -> list[int]:
        go.wait(60)
        return [1, 2]

    first = jobs.answer("a", 1, work, partial=[1], patience=0)
    assert first == Answer([1], pending=True)
    go.set()
    assert jobs.answer("a", 1, work) == Answer([1, 2], pending=False)


def test_the_old_value_stands_until_the_new_one_is_there(jobs: Jobs) -> None:
    go = threading.Event()

    def slow() -> str:
        go.wait(60)
        return "new"

    assert jobs.answer("a", 1, lambda: "old").value == "old"
    answers = (jobs.answer("a", 2, slow, patience=0) for _ in range(100_000))
    pending = next(answer for answer in answers if answer.pending)
    assert pending.value == "old"
    go.set()
    answers = (jobs.answer("a", 2, slow) for _ in range(100_000))
    assert next(answer for answer in answers if not answer.pending).value == "new"


def test_what_goes_wrong_is_told_to_whoever_asks(jobs: Jobs) -> None:
    def wrong() -> int:
        raise DataError("no rows")

    for _ in range(2):
        with pytest.raises(DataError, match="no rows"):
            jobs.answer("a", 1, wrong)


def test_memory_keeps_the_latest() -> None:
    memory: Memory[int] = Memory(2)
    assert [memory.get(key, lambda key=key: key) for key in (1, 2, 3)] == [1, 2, 3]  # type: ignore[misc]
    assert [memory.peek(key) for key in (1, 2, 3)] == [None, 2, 3]
