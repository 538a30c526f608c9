"""`harness gc`: what no run refers to goes, and nothing that a run has or may still use."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from harness import Sample, TrainingStep, evaluate
from harness.calls.values import Reply
from harness.cli import main
from harness.components import Call
from harness.store import Store
from harness.store.calls import CallRecord, calls
from harness.store.cleaning import cleaned
from harness.store.schema import completions, run_rows, runs, samples, scores
from harness.store.trainings import TrainingRecord

SAMPLES = [Sample(f"s{i}", f"p{i}", (str(i),), {"completion": str(i)}) for i in range(600)]
DAY = 86_400.0


def run(url: str, count: int = 10, scorer: str = "match", start: int = 0) -> str:
    asked = SAMPLES[start : start + count]
    return evaluate(asked, generator="recorded", scorers=[scorer], store=url).run.id


def counts(url: str) -> Mapping[str, int]:
    tables = (runs, run_rows, completions, samples, scores)
    with Store(url, readonly=True) as store, store.database.reading() as connection:
        return {
            t.name: connection.execute(sa.select(sa.func.count()).select_from(t)).scalar_one()
            for t in tables
        }


def change(url: str, statement: sa.Update | sa.Delete) -> None:
    with Store(url) as store, store.database.writing() as connection:
        connection.execute(statement)


def forget(url: str, name: str) -> None:
    """Take a run out, and nothing of what it made."""
    change(url, sa.delete(run_rows).where(run_rows.c.run == name))
    change(url, sa.delete(runs).where(runs.c.id == name))


def ended(url: str, name: str, days: float) -> None:
    then = time.time() - days * DAY
    change(url, sa.update(runs).where(runs.c.id == name).values(opened=then, finished=then))


def collected(
    capsys: pytest.CaptureFixture[str], url: str, *options: str
) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """What the command says it removed of the tables that it removed something of, and what is."""
    capsys.readouterr()
    assert main(["gc", "--store", url, "--json", *options]) == 0
    told = json.loads(capsys.readouterr().out)["removed"]
    return {name: n for name, n in told.items() if n}, counts(url)


def test_what_runs_refer_to_stays(store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(store_url)
    run(store_url, scorer="match:mode=contains")
    before = counts(store_url)
    assert collected(capsys, store_url) == ({}, before)
    assert main(["gc", "--store", store_url]) == 0
    assert capsys.readouterr().out == "nothing to remove\n"


def test_what_only_a_run_that_is_gone_had_goes(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    kept, other = run(store_url, 10), run(store_url, 600, start=5)
    before = counts(store_url)
    forget(store_url, other)
    gone = {"completions": 590, "samples": 590, "scores": 590}
    assert collected(capsys, store_url, "--dry-run")[0] == gone
    assert counts(store_url)["scores"] == before["scores"], "a dry run removes nothing"
    left = {"runs": 1, "run_rows": 10, "completions": 10, "samples": 10, "scores": 10}
    assert collected(capsys, store_url) == (gone, left)
    with Store(store_url, readonly=True) as store:
        assert len([row for row in store.rows(store.run(kept)) if row.scores]) == 10


def test_scores_of_a_scorer_that_no_run_names_go(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(store_url)
    forget(store_url, run(store_url, scorer="match:mode=contains"))
    removed, left = collected(capsys, store_url)
    assert removed == {"scores": 10}
    assert left["scores"] == 10


def test_old_runs_go_when_that_is_asked_for_and_confirmed(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    old, young = run(store_url, 10), run(store_url, 10, start=5)
    ended(store_url, old, 31)
    ended(store_url, young, 29)
    assert main(["gc", "--store", store_url, "--older-than", "30"]) == 2
    assert "add --yes" in capsys.readouterr().err
    gone = {"runs": 1, "run_rows": 10, "completions": 5, "samples": 5, "scores": 5}
    assert collected(capsys, store_url, "--older-than", "30", "--dry-run")[0] == gone
    removed, left = collected(capsys, store_url, "--older-than", "30", "--yes")
    assert removed == gone
    assert (left["runs"], left["scores"]) == (1, 10)


def test_an_old_training_goes_with_its_steps(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Store(store_url) as store:
        config = {"trainer": {"label": "ppo"}, "scorers": {}}
        for name, started in (("old", 1.0), ("running", 2.0)):
            store.trainings.begin(TrainingRecord(name, "", "running", "o", config, {}, started))
            store.trainings.add_step(name, TrainingStep(1, 1, {"reward": 0.5}, 1.5))
        store.trainings.finish("old", "finished")
        assert collected(capsys, store_url, "--older-than", "30", "--yes")[0] == {}
        with store.database.writing() as connection:
            connection.execute(sa.text("UPDATE trainings SET finished = 1 WHERE id = 'old'"))
        removed, _ = collected(capsys, store_url, "--older-than", "30", "--yes")
        assert removed == {"trainings": 1, "training_steps": 1}
        assert [t.id for t in store.trainings.all()] == ["running"]


def test_a_run_under_way_keeps_all_that_it_may_use(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is about to place completions of its generator that another run made."""
    forget(store_url, run(store_url, 20))
    name = run(store_url, 10, start=5)
    with Store(store_url) as store:
        store.begin(replace(store.run(name), status="running", started=1.0), {})
        assert collected(capsys, store_url, "--older-than", "1", "--yes")[0] == {}
        store.finish(name, "finished")
    assert collected(capsys, store_url)[0] == {"completions": 10, "samples": 10, "scores": 10}


def test_cleaning_while_runs_are_made_loses_nothing(store_url: str) -> None:
    def three_runs() -> list[str]:
        return [run(store_url, 600, start=n) for n in range(3)]

    for name in three_runs():
        forget(store_url, name)  # what they made is there to be used, or to be taken away
    with ThreadPoolExecutor(1) as thread, Store(store_url) as store:
        made = thread.submit(three_runs)
        for _ in range(5):
            cleaned(store)
        found = [list(store.rows(store.run(name))) for name in made.result()]
    assert [len([row for row in rows if row.scores]) for rows in found] == [600, 599, 598]


def test_calls_go_when_they_are_old_and_of_no_run(
    store_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    name = run(store_url)
    span = {"started": now - 20 * DAY, "opened": now - 20 * DAY, "finished": now - 19 * DAY}
    change(store_url, sa.update(runs).where(runs.c.id == name).values(**span))
    with Store(store_url) as store:
        for key, days in (("before", 21.0), ("during", 19.5), ("after", 18.0), ("lately", 6.0)):
            store.calls.add([CallRecord(key, "p", "stop", Reply("t", "stop"), Call())])
            made = now - days * DAY
            change(store_url, sa.update(calls).where(calls.c.key == key).values(created=made))
        assert collected(capsys, store_url)[0] == {"calls": 2}
        assert set(store.calls.replies(["before", "during", "after", "lately"])) == {
            "during",
            "lately",
        }


def test_a_sqlite_file_gets_smaller(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "s.db"
    run(str(file), 10)
    forget(str(file), run(str(file), 600))
    before = file.stat().st_size
    collected(capsys, str(file))
    assert file.stat().st_size < before / 2


def test_a_store_that_is_not_there_is_not_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["gc", "--store", str(tmp_path / "no.db")]) == 2
    assert "there is no store at" in capsys.readouterr().err
    assert not (tmp_path / "no.db").exists()
