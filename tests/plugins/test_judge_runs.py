"""Judged runs that are killed, interrupted, or run out of budget: nothing paid for is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from harness import HarnessError, Sample, UnscoredError, evaluate, generator
from harness.store import Store
from harness.testing.faults import Exchange, Faults, FaultServer, Request, verdict

COUNT, AT_ONCE = 120, 8
Server = Callable[..., FaultServer]

RUN = """
import sys
from tests.plugins.test_judge_runs import run
run(sys.argv[1], sys.argv[2])
"""


def samples(count: int = COUNT) -> list[Sample]:
    answers = (f"An answer with number {i} in it." for i in range(count))
    return [Sample(str(i), f"Question {i}?", ("Yes.",), {"a": a}) for i, a in enumerate(answers)]


def judge(url: str, **settings: object) -> str:
    told = "".join(f",{key}={value}" for key, value in settings.items())
    return f'verdict=openai:model=small,base_url="{url}",served_as=test,concurrency={AT_ONCE}{told}'


def run(url: str, store: str, count: int = COUNT, **settings: object) -> list[float | None]:
    found = evaluate(
        samples(count),
        generator=generator("recorded:field=a"),
        scorers=[judge(url, **settings)],
        store=store,
        max_unscored=1,
    )
    return [row.value for row in found.values("verdict")]


def child(server: FaultServer, store: Path) -> subprocess.Popen[bytes]:
    root = Path(__file__).parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", RUN, server.openai_url, str(store)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stderr=subprocess.PIPE,
    )


class Counting:
    """Answers as an honest judge does, and says when the n-th question has come."""

    def __init__(self, number: int) -> None:
        self.reached, self._number = threading.Event(), number
        self._lock, self._come = threading.Lock(), 0

    def __call__(self, request: Request) -> Mapping[str, object] | str:
        with self._lock:
            self._come += 1
            if self._come == self._number:
                self.reached.set()
        return verdict(request.body)


def paid(exchanges: tuple[Exchange, ...]) -> Counter[str]:
    """How often each question was answered in full."""
    return Counter(json.dumps(e.body) for e in exchanges if e.outcome == "sent" and e.usage)


def truth(server: FaultServer) -> dict[str, float]:
    found = {}
    for exchange in server.ledger.requests:
        said = json.dumps(exchange.body["messages"])
        for i in range(COUNT):
            if f"Question {i}?" in said:
                given = verdict(exchange.body)
                assert isinstance(given, Mapping)
                found[str(i)] = int(str(given["score"])) / 5
    return found


@pytest.mark.parametrize("number", [3, 50, 110])
def test_a_killed_run_goes_on_and_pays_for_nothing_twice(
    fault_server: Server, tmp_path: Path, number: int
) -> None:
    answers = Counting(number)
    server, store = fault_server(answer=answers, latency=0.02), tmp_path / "store.db"
    process = child(server, store)
    assert answers.reached.wait(60)
    process.kill()
    process.communicate()
    with Store(store, readonly=True) as kept:
        recorded = kept.calls.spent().get("openai", (0,))[0]
    before = len(server.ledger.requests)

    values = run(server.openai_url, str(store))
    again = server.ledger.requests[before:]
    expected = truth(server)
    assert values == [expected[str(i)] for i in range(COUNT)]
    assert len([e for e in again if e.usage]) == COUNT - recorded
    twice = [body for body, times in paid(server.ledger.requests).items() if times > 1]
    assert len(twice) <= 2 * AT_ONCE, "only what was on its way when the process died"


def test_an_interrupt_keeps_every_reply_that_came(fault_server: Server, tmp_path: Path) -> None:
    """The last question hangs: the run does not wait for it."""

    def fault(request: Request) -> str:
        return "hang" if "Question 60?" in request.question else ""

    answers = Counting(90)
    server = fault_server(fault, answer=answers, latency=0.01, hang=600)
    store = tmp_path / "store.db"
    process = child(server, store)
    assert answers.reached.wait(60)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said
    with Store(store, readonly=True) as kept:
        recorded = kept.calls.spent()["openai"][0]
        assert {r.status for r in kept.runs()} == {"interrupted"}
    sent = [e for e in server.ledger.requests if e.outcome == "sent" and e.usage]
    assert recorded == len(sent)


def test_a_budget_ends_a_run_with_all_it_bought_in_the_store(
    fault_server: Server, tmp_path: Path
) -> None:
    server, store = fault_server(latency=0.005), str(tmp_path / "store.db")
    values = run(server.openai_url, store, budget_tokens=30_000)
    scored = [v for v in values if v is not None]
    billed = server.ledger.billed
    assert 5 < len(scored) < COUNT
    assert billed.input_tokens + billed.output_tokens <= 30_000
    with Store(store, readonly=True) as kept:
        count, used = kept.calls.spent()["openai"]
    assert (count, used.input_tokens) == (len(scored), billed.input_tokens)

    rest = run(server.openai_url, store)
    assert all(v is not None for v in rest)
    assert [v for v, w in zip(rest, values, strict=True) if w is not None] == scored
    assert max(paid(server.ledger.requests).values()) == 1


def test_bad_weather_gives_no_wrong_score_and_every_cause(
    fault_server: Server, tmp_path: Path
) -> None:
    server = fault_server(Faults.mix(hang=0.0), retry_after=0.05)
    found = evaluate(
        samples(),
        generator=generator("recorded:field=a"),
        scorers=[judge(server.openai_url)],
        store=tmp_path / "store.db",
        max_unscored=1,
    )
    expected = truth(server)
    rows = list(found.values("verdict"))
    assert all(r.value in (None, expected[r.sample_id]) for r in rows)
    assert {r.unscored for r in rows if r.value is None} <= {"refusal", "bad_schema", "truncated"}
    refused = server.ledger.by_fault["refusal"]
    assert sum(r.unscored == "refusal" for r in rows) == refused
    retried = {e.status for e in server.ledger.requests if e.status >= 400}
    assert retried <= {408, 409, 429, 500, 503, 529}


def test_a_wrong_key_is_one_line_and_few_calls(fault_server: Server, tmp_path: Path) -> None:
    server = fault_server("unauthorized")
    with pytest.raises(HarnessError, match=r"401.*key_env=NAME"):
        run(server.openai_url, str(tmp_path / "store.db"))
    assert len(server.ledger.requests) <= AT_ONCE


def test_too_many_unscored_fail_the_run_with_their_causes(
    fault_server: Server, tmp_path: Path
) -> None:
    server = fault_server(Faults(refusal=0.5))
    with pytest.raises(UnscoredError, match="refusal"):
        evaluate(
            samples(),
            generator=generator("recorded:field=a"),
            scorers=[judge(server.openai_url)],
            store=tmp_path / "store.db",
        )
