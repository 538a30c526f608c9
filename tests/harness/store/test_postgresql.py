"""PostgreSQL as a store: any text, any number of rows in little memory, several writers at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness import Completion, Sample, StoreError, TrainingStep, evaluate
from harness.store import Store
from harness.store.measurements import measured
from harness.store.schema import Placed, RunRecord, samples
from harness.store.trainings import TrainingRecord
from harness.testing.postgresql import PostgresServer

ROOT = Path(__file__).parents[3]
WRITERS = ROOT / "benchmarks" / "performance" / "store_writers.py"


@pytest.fixture(scope="module")
def shared(postgres: PostgresServer) -> str:
    return postgres.new_database()


AWKWARD = st.sampled_from('\0\x1a01"\\{},')
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), AWKWARD))


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(TEXT, min_size=1, max_size=4, unique=True))
def test_every_text_comes_back_as_it_was(shared: str, texts: list[str]) -> None:
    """NUL too, which PostgreSQL refuses, and what an array or an escape is written with."""
    asked = [Sample(text, text, (text,), {"completion": text, text: text}) for text in texts]
    found = evaluate(asked, generator="recorded", scorers=["match"], store=shared)
    assert [row.completion.sample for row in found.rows()] == asked
    assert [row.completion.text for row in found.rows()] == texts
    with Store(shared, readonly=True) as store:
        (cells,) = store.columns.scores(found.run, list(found.run.scorers.values()))
        assert list(cells.sample_ids) == texts


def test_numbers_that_json_lacks_come_back(postgres: PostgresServer) -> None:
    with Store(postgres.new_database()) as store:
        run = RunRecord("r", "", "running", 3, {"generator": {}, "scorers": {}}, {}, 0.0)
        store.begin(run, {})
        times = [float("inf"), 1e-300, 0.1 + 0.2]
        answers = [Completion(Sample(str(t), "p"), "a", latency_s=t) for t in times]
        placed = [Placed(str(n), n, "s", "d", "", answer) for n, answer in enumerate(answers)]
        assert store.add_completions("r", "g", placed, {"0", "1", "2"})
        assert [row.completion.latency_s for row in store.rows(run)] == times


def test_half_a_surrogate_pair_is_one_clear_line(postgres: PostgresServer) -> None:
    with Store(postgres.new_database()) as store:
        record = RunRecord("r", "\ud800", "running", 1, {}, {}, 0.0)
        with pytest.raises(StoreError, match=r"cannot write to the store .*surrogates not allowed"):
            store.begin(record, {})


def test_trainings_and_measurements_come_back(postgres: PostgresServer) -> None:
    with Store(postgres.new_database()) as store:
        config = {"trainer": {"label": "ppo"}, "scorers": {"a": {"weight": 1.0}}}
        store.trainings.begin(TrainingRecord("t", "n\0", "running", "out", config, {}, 1.0))
        for number in (1, 2, 3, 2):
            store.trainings.add_step("t", TrainingStep(number, 3, {"reward": 0.5}, 1.5))
        store.trainings.finish("t", "finished")
        (found,) = store.trainings.all()
        assert (found.name, found.status, found.steps, found.total) == ("n\0", "finished", 2, 3)
        assert [step.step for step in store.trainings.steps("t")] == [1, 2]
        record = measured("m", "kind", config={"x": "\0"}, figures={"y": 0.1})
        store.measurements.add(record)
        store.measurements.add(record)
        assert store.measurements.all() == [record]


def test_reading_by_column_holds_some_thousand_rows_in_memory(postgres: PostgresServer) -> None:
    many = [Sample(f"{i:06}", str(i), (str(i),), {"completion": str(i)}) for i in range(9_000)]
    url = postgres.new_database()
    run = evaluate(many, generator="recorded", scorers=["match"], store=url).run
    with Store(url, readonly=True) as store:
        parts = [len(part.values) for part in store.columns.scores(run, list(run.scorers.values()))]
    assert sum(parts) == 9_000
    assert max(parts) == 4_000


def test_a_store_to_read_is_not_written(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    with pytest.raises(StoreError, match="has schema None"):
        Store(url, readonly=True)
    Store(url).close()
    with Store(url, readonly=True) as store, pytest.raises(StoreError, match="read-only"):
        store.measurements.add(measured("m", "k", config={}, figures={}))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:secret@127.0.0.1:1/none", "refused"),
        ("postgres://me:secret@/none?host=/nowhere", "No such file"),
        ("postgresql://{user}:secret@/nosuch?host={folder}", '"nosuch" does not exist'),
        ("postgresql://nobody2:secret@/postgres?host={folder}", '"nobody2" does not exist'),
    ],
)
def test_a_server_that_cannot_be_used_is_one_clear_line(
    url: str, told: str, postgres: PostgresServer
) -> None:
    user = postgres.url().partition("//")[2].partition("@")[0]
    with pytest.raises(StoreError) as caught:
        Store(url.format(user=user, folder=postgres.folder))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_missing_driver_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "harness.store.postgresql", raising=False)
    with pytest.raises(StoreError, match=r"needs psycopg: pip install 'samescore\[postgresql\]'"):
        Store("postgresql://me:secret@h/db")


@pytest.mark.slow
def test_eight_writers_lose_and_double_nothing(postgres: PostgresServer) -> None:
    url = postgres.new_database()
    command = [sys.executable, str(WRITERS), "--store", url, "--samples", "60", "--shared", "300"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["recorded"], told["completions"], told["run_rows"]) == (780, 780, 780)
    with Store(url, readonly=True) as store:
        assert {run.status for run in store.runs()} == {"finished"}


def test_a_young_table_is_read_by_key(postgres: PostgresServer) -> None:
    """Without statistics the planner would read all scores for each row of a run."""
    with Store(postgres.new_database()) as store, store.database.reading() as connection:
        query = f"EXPLAIN SELECT * FROM {samples.name} WHERE digest = 'x'"
        plan = " ".join(connection.exec_driver_sql(query).scalars())
    assert "Index Scan" in plan
