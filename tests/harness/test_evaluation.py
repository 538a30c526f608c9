"""What an evaluation gives: summaries by name, rows in order, a table, and pass@k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from statsmodels.stats.proportion import proportion_confint

from harness import Completion, Evaluation, HarnessError, Sample, Score, Unscored, evaluate
from harness.evaluation import columns, flat
from harness.store import Store

SAMPLES = [
    Sample("a", "1 + 1", ("2",), {"answer": "2"}),
    Sample("b", "2 + 2", ("4",), {"answer": "five"}),
    Sample("c", "3 + 3", ("6", "six"), {"answer": "six"}),
]


@dataclass(frozen=True)
class Partly:
    """A scorer with parts and a reason, which leaves the second sample unscored."""

    name: str = "partly"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [
            Score.missing(Unscored.BAD_SCHEMA, "no grade")
            if c.sample.id == "b"
            else Score(0.5, {"precision": 0.25, "recall": 1.0}, reason="half right")
            for c in completions
        ]


def result(*scorers: object, **options: object) -> Evaluation:
    given = {"generator": "recorded:field=answer", "max_unscored": 0.5, **options}
    return evaluate(SAMPLES, scorers=list(scorers), **given)  # type: ignore[arg-type]


def test_a_summary_is_found_by_label_or_by_a_name_that_only_one_has() -> None:
    found = result("match:mode=f1", "match:mode=numeric", "x=match", Partly())
    assert found["match:mode=f1"].label == "match:mode=f1"
    assert found["x"].mean == found["x"].mean
    assert found["partly"].n == 2
    with pytest.raises(HarnessError, match=r"called 'match'; there are: match:mode=f1, match:mode"):
        found["match"]
    with pytest.raises(HarnessError, match="no one scorer is called 'bleu'"):
        found["bleu"]
    assert result("match:mode=f1")["match"].label == "match:mode=f1"


def test_rows_give_what_was_asked_answered_and_scored() -> None:
    rows = list(result("match", Partly()).rows())
    assert [r.ordinal for r in rows] == [0, 1, 2]
    assert [r.completion.sample for r in rows] == SAMPLES
    assert [r.completion.text for r in rows] == ["2", "five", "six"]
    assert [r.scores["match"].value for r in rows] == [1.0, 0.0, 1.0]
    assert rows[0].scores["partly"] == Score(
        0.5, {"precision": 0.25, "recall": 1.0}, reason="half right"
    )
    assert rows[1].scores["partly"] == Score.missing(Unscored.BAD_SCHEMA, "no grade")


def test_rows_can_be_left_half_read_and_read_again() -> None:
    found = result("match")
    first = next(iter(found.rows()))
    assert next(iter(found.rows())) == first
    assert len(list(found.rows())) == 3


def test_the_table_has_a_row_a_completion_and_no_zero_for_what_is_unscored() -> None:
    table = result("match", Partly()).table()
    assert list(table["id"]) == ["a", "b", "c"]
    assert list(table["match"]) == [1.0, 0.0, 1.0]
    assert table["partly"].isna().tolist() == [False, True, False]
    assert list(table["partly.unscored"]) == ["", "bad_schema", ""]
    assert table["partly.precision"].isna().tolist() == [False, True, False]
    assert table["references"][2] == ["6", "six"]


def test_columns_are_those_of_all_rows_each_once_the_scorers_last() -> None:
    found = result("m=match", "m.f1=match:mode=f1", Partly())
    labels = list(found.run.scorers)
    names = columns(found.rows(), labels)
    assert len(names) == len(set(names))
    head = ["id", "attempt", "prompt", "references", "completion", "finish", "error"]
    assert names[:7] == head
    assert set(names) == {key for row in found.rows() for key in flat(row, labels)}
    assert "partly.recall" in names


def test_values_are_in_the_order_of_rows() -> None:
    values = result("match", Partly()).values("partly")
    assert [(v.sample_id, v.value, v.unscored) for v in values] == [
        ("a", 0.5, None),
        ("b", None, "bad_schema"),
        ("c", 0.5, None),
    ]


def test_the_mean_has_an_interval_where_one_can_be_had() -> None:
    summary = result("match")["match"]
    assert summary.mean == pytest.approx(2 / 3)
    # Wilson's interval of 2 out of 3, which Student's would leave on both sides.
    expected = proportion_confint(2, 3, method="wilson")
    assert (summary.low, summary.high) == pytest.approx(expected, abs=1e-9)
    one = result("match", limit=1)["match"]
    assert (one.n, one.low, one.high) == (1, None, None)
    assert str(one) == "match 1.0000 (n=1)"


def test_it_shows_itself_as_text_and_as_json_values() -> None:
    found = result("match", Partly())
    assert str(found).splitlines()[0] == f"run {found.run.id} · recorded:field=answer"
    assert str(found).splitlines()[2].endswith("(n=2, 1 unscored)")
    shown = found.as_dict()
    assert shown["run"] == found.run.id
    assert shown["status"] == "finished"
    scorers = shown["scorers"]
    assert isinstance(scorers, dict)
    assert scorers["partly"]["causes"] == {"bad_schema": 1}


class Lucky:
    """A generator that is right at one attempt in four of the first sample, and else always."""

    def identity(self) -> dict[str, str]:
        return {}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [
            Completion(s, s.references[0] if s.id != "a" or attempt == 2 else "?", attempt=attempt)
            for s in samples
        ]


def test_pass_at_k_and_pass_hat_k_are_over_repeats() -> None:
    found = result("match", generator=Lucky(), repeats=4)
    # By hand, of the first sample: 1 of 4 drawn once; 1 - C(3,2)/C(4,2) = 1/2; all of 2: none.
    assert found.pass_at_k("match", 1).mean == pytest.approx((0.25 + 1 + 1) / 3)
    assert found.pass_at_k("match", 2).mean == pytest.approx((0.5 + 1 + 1) / 3)
    assert found.pass_at_k("match", 4).mean == 1.0
    assert found.pass_hat_k("match", 2).mean == pytest.approx(2 / 3)
    with pytest.raises(HarnessError, match="repeats=5 or more"):
        found.pass_at_k("match", 5)


def test_a_run_can_be_read_from_its_store_later_and_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = result("match", Partly(), store="here.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with Store(tmp_path / "here.db", readonly=True) as store:
        again = Evaluation(store.run(found.run.id[:6]), store)
        assert again.as_dict() == found.as_dict()
    assert len(list(found.rows())) == 3
