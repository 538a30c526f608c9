"""Comparing sides: matching, the choice of a test, gates, baselines, certificates, reports."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from harness import Completion, DataError, HarnessError, Rewarder, Sample, Score, Unscored, evaluate
from harness.comparison import (
    Comparison,
    ScoreColumns,
    Side,
    check,
    compare,
    compare_suites,
    parse_gate,
    read_scores,
    stored,
)
from harness.comparison.baseline import read_baseline, write_baseline
from harness.comparison.finding import find_run
from harness.comparison.junit import write_junit
from harness.comparison.markdown import as_markdown
from harness.comparison.sides import NOT_RECORDED, Scored
from harness.comparison.stored import split
from harness.evaluation import Evaluation
from harness.store import Store
from harness.store.schema import RunRecord
from harness.store.trainings import TrainingRecord

QUESTIONS = [Sample(f"q{i}", f"What is {i}?", (str(i),), {"doc": f"d{i // 2}"}) for i in range(8)]
SEVEN = {"fingerprint": "7", "name": "x", "settings": {"layer": 7}}
EIGHT = {"fingerprint": "8", "name": "x", "settings": {"layer": 8}}


def side(
    values: Sequence[float | None],
    *,
    ids: Sequence[str] | None = None,
    clusters: Sequence[str] = (),
    name: str = "one",
    label: str = "x",
    description: Mapping[str, object] | None = None,
) -> Side:
    """A side with one scorer."""
    array = np.array(values, dtype=np.float64)
    missing = int(np.isnan(array).sum())
    causes = {"timeout": missing} if missing else {}
    scored = {label: Scored(array, causes, description or {})}
    names = list(ids) if ids else [f"s{i}" for i in range(len(array))]
    return Side(name, name, "", names, scored, len(array), clusters)


@dataclass(frozen=True)
class Chatty:
    """A generator whose answer and length hang on the sample and the attempt."""

    letter: str

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, self.letter * (int(s.id[1:]) + attempt), "stop") for s in samples]


@dataclass(frozen=True)
class Length:
    """Scores a tenth of the length; nothing for what is in `but`, of this letter."""

    name: str = "length"
    but: tuple[str, ...] = ()
    letter: str = ""
    scale: float = 10.0

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [
            Score.missing(Unscored.TIMEOUT)
            if c.sample.id in self.but and c.text.startswith(self.letter)
            else Score(len(c.text) / self.scale)
            for c in completions
        ]


def run(letter: str, scorer: Rewarder = Length(), **options: object) -> Evaluation:
    given = {"samples": QUESTIONS, "max_unscored": 0.9, **options}
    return evaluate(generator=Chatty(letter), scorers=[scorer], **given)  # type: ignore[arg-type]


def test_the_difference_is_scipys_paired_t() -> None:
    rng = np.random.default_rng(0)
    first, other = rng.random(30), rng.random(30)
    (result,) = compare(side(first.tolist()), side(other.tolist(), name="two")).results
    expected = stats.ttest_rel(other, first)
    bounds = expected.confidence_interval()
    assert result.test == "t"
    assert result.difference.p == pytest.approx(float(expected.pvalue), rel=1e-9)
    assert result.difference.low == pytest.approx(float(bounds.low), rel=1e-9)
    assert result.difference.high == pytest.approx(float(bounds.high), rel=1e-9)
    assert result.mean_other - result.mean_first == pytest.approx(result.difference.mean)


def test_the_clustered_difference_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(1)
    groups = rng.integers(0, 12, 90)
    first = rng.random(90)
    other = first + rng.normal(size=90) + groups / 10
    names = [f"g{g}" for g in groups]
    found = compare(side(first.tolist(), clusters=names), side(other.tolist(), name="two"))
    fit = sm.OLS(other - first, np.ones(90)).fit(
        cov_type="cluster", cov_kwds={"groups": groups}, use_t=True
    )
    d = found.results[0].difference
    assert d.clusters == 12
    assert d.p == pytest.approx(float(fit.pvalues[0]), rel=1e-9)
    assert (d.low, d.high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)
    assert any("12 clusters are few" in note for note in found.notes)


def test_grades_have_mcnemars_p_and_few_moves_that_of_their_signs() -> None:
    first = [1.0] * 10 + [0.0] * 50
    other = [0.0] * 2 + [1.0] * 8 + [1.0] * 9 + [0.0] * 41
    grades = compare(side(first), side(other, name="two")).results[0]
    assert grades.test == "McNemar"
    assert grades.difference.p == pytest.approx(float(stats.binomtest(2, 11).pvalue), rel=1e-9)
    halves = compare(side([v / 2 for v in first]), side([v / 2 for v in other], name="two"))
    assert halves.results[0].test == "signs"
    assert halves.results[0].difference.p == pytest.approx(float(grades.difference.p or 0))


def test_a_constant_shift_of_three_samples_is_no_proof() -> None:
    """Student's t has no doubt of it: all differences are equal."""
    sides = side([0.1, 0.2, 0.3]), side([0.2, 0.3, 0.4], name="two")
    assert compare(*sides).results[0].difference.p == 0.25
    assert compare(*sides, method="bootstrap").results[0].difference.p == 0.25


def test_holm_counts_all_results_and_the_bootstrap_can_be_chosen() -> None:
    rng = np.random.default_rng(2)
    first = side(rng.random(40).tolist())
    others = [side(rng.random(40).tolist(), name=str(i)) for i in range(3)]
    found = compare(first, *others)
    ps = [r.difference.p or 0 for r in found.results]
    assert max(r.p_holm or 0 for r in found.results) >= max(ps)
    assert min(r.p_holm or 0 for r in found.results) == pytest.approx(min(1, 3 * min(ps)))
    assert len(compare(first, *others, all_pairs=True).results) == 6
    assert compare(first, others[0], method="bootstrap").results[0].test == "bootstrap"
    suites = compare_suites([[first, others[0]], [first, others[1]]])
    assert {s.name for s in suites.suites} == {"0", "1"}
    assert suites.results[0].p_holm == pytest.approx(min(1, 2 * min(ps[:2])), abs=max(ps))


def test_samples_are_matched_by_id_and_what_is_left_out_is_counted() -> None:
    first = side([0.1, 0.2, None, 0.4, 0.9], ids=["a", "b", "c", "d", "only"])
    other = side([0.5, None, 0.3, 0.2], ids=["d", "c", "b", "a"], name="two")
    found = compare(first, other)
    result = found.results[0]
    assert (result.difference.n, result.common, result.lacking) == (3, 4, (1, 1))
    assert result.difference.mean == pytest.approx(0.1)
    assert (result.difference.wins, result.difference.losses) == (3, 0)
    assert any("1 only in A, left out" in note for note in found.notes)
    assert "unscored: x 1 (1 timeout)" in str(found)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (side([0.1], ids=["z"], name="two"), "no sample in common (ids s0, s1 and z)"),
        (side([0.1, 0.2], label="y", name="two"), r"one (x) and two (y) have no scorer in common"),
        (side([None, None], name="two"), "of 2 common ones, 0 and 2 have no score"),
        (side([0.1, 0.2]), "one is named twice"),
        (side([0.1, 0.2], name="two", description=EIGHT), "settings.layer: 7 → 8; --allow-diff"),
    ],
)
def test_what_cannot_be_compared_is_said(other: Side, told: str) -> None:
    first = side([0.5, 0.6], description=SEVEN)
    with pytest.raises(HarnessError) as error:
        compare(first, other)
    assert told in str(error.value)


def test_different_scorers_are_compared_where_that_is_allowed_and_said() -> None:
    sides = side([0.5, 0.6], description=SEVEN), side([0.1, 0.2], name="two", description=EIGHT)
    found = compare(*sides, allow_different_scorers=True)
    assert "x is not the same scorer in A and B: settings.layer: 7 → 8" in found.notes
    same = replace(sides[1], scored={"renamed": replace(sides[1].scored["x"], description=SEVEN)})
    assert compare(sides[0], same).results[0].scorer == "x"


def test_runs_are_compared_by_sample_with_the_texts_that_moved_most() -> None:
    partly = Length(but=("q7",), letter="b")
    found = compare(run("a", partly), run("b", partly, repeats=3))
    result = found.results[0]
    assert (result.difference.n, result.lacking) == (7, (0, 1))
    assert result.difference.mean == pytest.approx(0.1)  # the mean of attempts 0, 1 and 2
    assert result.clusters is None
    moved = result.moved[0]
    assert moved.texts[0] is not None
    assert moved.texts[0].prompt == f"What is {moved.sample[1:]}?"
    assert "24 rows, 8 samples" in str(found)
    assert "unscored: length 3 (3 timeout)" in str(found)
    clustered = compare(run("a", cluster="doc"), run("b")).results[0]
    assert clustered.clusters is not None
    assert clustered.difference.clusters == 4


def test_a_sample_that_changed_is_left_out_and_another_data_set_refused() -> None:
    changed = [replace(s, prompt="Other?") if s.id in ("q1", "q2") else s for s in QUESTIONS]
    found = compare(run("a"), run("b", samples=changed))
    assert found.results[0].difference.n == 6
    assert any("2 ids stand for another prompt" in note for note in found.notes)
    assert "left out" in str(found)
    other = [replace(s, prompt="Other?") for s in QUESTIONS]
    with pytest.raises(DataError, match="8 of 8 common ids stand for another prompt"):
        compare(run("a"), run("b", samples=other))
    kept = compare(run("a"), run("b", samples=other), allow_different_samples=True)
    assert kept.results[0].difference.n == 8
    answers = [replace(s, metadata={"answer": "x"}) for s in QUESTIONS]
    assert not compare(run("a"), run("b", samples=answers)).notes


def test_what_a_scorer_did_not_get_to_is_counted(own_store: Path) -> None:
    evaluation = run("a")
    with Store(own_store) as store:
        broken = replace(evaluation.run, status="interrupted", total=10)
        assert stored(store, broken).notes == (
            f"run {broken.id} is interrupted: 8 of 10 rows are recorded",
        )
        import sqlalchemy as sa

        with store._database.writing() as connection:
            connection.execute(sa.text("delete from scores where value > 0.55"))
        found = stored(store, evaluation.run)
    assert found.scored["length"].unscored == {NOT_RECORDED: 2}
    assert np.isnan(found.scored["length"].values).sum() == 2


def test_a_run_of_several_models_is_split() -> None:
    rows = [
        Sample(f"q{i}-{model}", f"What is {i}?", (), {"model": model, "n": i})
        for i in range(4)
        for model in ("old", "new")
    ]

    @dataclass(frozen=True)
    class Says:
        def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
            return [Completion(s, s.metadata["model"] + "!" * 2, "stop") for s in samples]  # type: ignore[operator]

    evaluation = evaluate(rows, generator=Says(), scorers=[Length()])
    with evaluation.reading() as store:
        for match in (None, "n"):
            sides = split(store, evaluation.run, "model", match)
            assert [s.name for s in sides] == ["old", "new"]
            assert compare(*sides).results[0].difference.n == 4
        with pytest.raises(DataError, match="no 'modle' in its metadata; it has: model, n"):
            split(store, evaluation.run, "modle", None)


def test_runs_are_found_by_name_place_and_id(own_store: Path) -> None:
    first, second = run("a", name="f.py::bench_x[1]"), run("b", name="f.py::bench_x[2]")
    with Store(own_store, readonly=True) as store:
        assert find_run(store, "last").id == second.run.id
        assert find_run(store, "last~1").id == first.run.id
        assert find_run(store, "bench_x[1]").id == first.run.id
        assert find_run(store, first.run.id[:9]).id == first.run.id
        with pytest.raises(HarnessError, match=r"did you mean 'bench_x\[2\]'"):
            find_run(store, "bench_x2]")
        with pytest.raises(HarnessError, match="has 2 evaluations"):
            find_run(store, "last~2")


def comparison(first: Sequence[float | None], other: Sequence[float | None]) -> Comparison:
    return compare(side(first), side(other, name="two"))


WORSE = comparison(np.linspace(0.5, 1, 20).tolist(), (np.linspace(0.5, 1, 20) ** 1.3).tolist())
NOISE = comparison(
    np.random.default_rng(3).random(30).tolist(), np.random.default_rng(4).random(30).tolist()
)


@pytest.mark.parametrize(
    ("found", "gate", "failed"),
    [
        (WORSE, "x<0", True),
        (WORSE, "*<0", True),
        (WORSE, "x>0", False),
        (WORSE, "x<-0.5", False),  # it is worse, but not by as much
        (WORSE, "x<-0.01", True),
        (WORSE, "x.low<-0.5", False),
        (WORSE, "x.mean<0", True),
        (NOISE, "x<0", False),
        (NOISE, "x>0", False),
        (NOISE, "x.low<0", True),  # not shown to be no worse
        (comparison([0.1, 0.2, 0.3], [0.2, 0.3, None]), "x.unscored>0.3", True),
        (comparison([0.1], [0.0]), "x<0", False),
    ],
)
def test_a_gate_fails_for_what_is_significant(found: Comparison, gate: str, failed: bool) -> None:
    (outcome,) = check([parse_gate(gate)], found)
    assert outcome.failed is failed
    assert outcome.told.startswith("failed" if failed else "passed")


def test_gates_are_adjusted_for_each_other() -> None:
    alone = check([parse_gate("x<0")], WORSE)[0]
    both = check([parse_gate("x<0"), parse_gate("x<-0.01")], WORSE)
    assert alone.p_holm == WORSE.results[0].difference.p
    assert both[0].p_holm == pytest.approx(2 * (alone.p_holm or 0))


@pytest.mark.parametrize("text", ["x", "x=3", "x<a", "<0", "x<nan", "x.unscored>2", "x<=0"])
def test_what_is_no_gate_is_refused(text: str) -> None:
    with pytest.raises(HarnessError, match="--fail-if"):
        check([parse_gate(text)], WORSE)


def test_a_baseline_gives_the_values_back(tmp_path: Path) -> None:
    file = tmp_path / "base.json"
    partly = Length(but=("q3",), letter="a")
    first, other = run("a", partly), run("b", partly)
    with first.reading() as store:
        write_baseline(file, [stored(store, first.run)])
    (saved,) = read_baseline(file).values()
    direct, through = compare(first, other), compare(saved, other)
    assert through.results[0].difference == direct.results[0].difference
    assert saved.scored["length"].unscored == {"timeout": 1}
    changed = [replace(s, prompt="Other?") for s in QUESTIONS]
    with pytest.raises(DataError, match="different versions of the data set"):
        compare(saved, run("c", partly, samples=changed))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"samescore_baseline": 1, "suites": [{}]}'])
def test_what_is_no_baseline_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "base.json"
    file.write_text(text)
    with pytest.raises(DataError, match="is no baseline"):
        read_baseline(file)


def test_scores_of_another_tool_have_attempts_causes_and_clusters(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "id,attempt,f1,f1.unscored,doc\n1,0,0.5,,d\n1,1,1,,d\n2,0,,timeout,d\n3,0,NaN,,e\n"
    )
    (found,) = read_scores(file, ScoreColumns(("f1",), cluster="doc"))
    assert found.ids == ["1", "2", "3"]
    np.testing.assert_equal(found.scored["f1"].values, [0.75, np.nan, np.nan])
    assert found.scored["f1"].unscored == {"timeout": 1, "empty": 1}
    assert list(found.clusters) == ["d", "d", "e"]
    parts = read_scores(file, ScoreColumns(("f1",), id="attempt", by="id"))
    assert [part.name for part in parts] == ["1", "2", "3"]


def test_the_certificate_says_what_the_policy_was_trained_with(
    own_store: Path, tmp_path: Path
) -> None:
    """By the store's record of the training, or else by the card beside the model."""
    evaluation = run("a")
    scorer = dict(evaluation.run.config["scorers"]["length"])  # type: ignore[index]
    older = {**scorer, "settings": {"scale": 5.0}, "fingerprint": "old", "label": "short"}
    config = {
        "trainer": {"label": "ppo", "settings": {"model": "base"}},
        "scorers": {
            "length": {**scorer, "weight": 2.0},
            "extra": {**older, "name": "y", "weight": 1.0},
        },
        "samples": {"n": 8, "digest": evaluation.run.config["samples"]},
        "held_out": {"n": 0, "digest": ""},
        "seed": 0,
        "use": "",
    }
    model = tmp_path / "model"
    policy = {**evaluation.run.config, "generator": {"label": "p", "settings": {"m": str(model)}}}
    with Store(own_store) as store:
        store.trainings.begin(
            TrainingRecord("t1", "", "finished", str(model), config, {}, time.time() - 1e6)
        )
        trained = stored(store, replace(evaluation.run, config=policy))
        by_store = compare(trained, run("b"))
    (certificate,) = by_store.certificates
    assert certificate.side == "A"
    assert [(c.scorer, c.state) for c in certificate.claims] == [("length", "trained on")]
    assert certificate.ungraded == ("extra",)
    assert certificate.rows == "the rows that it was trained on"
    assert "the very scorers of its reward: length (weight 2)" in str(by_store)

    other = {**config, "training": "t2", "scorers": {"short": {**older, "weight": 1.0}}}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "samescore.json").write_text(json.dumps(other))
    moved = {**policy, "generator": {"label": "p", "settings": {"m": str(elsewhere)}}}
    by_card = compare(_run_with(own_store, evaluation, moved), run("b"))
    (claim,) = by_card.certificates[0].claims
    assert claim.state == "other version"
    assert "settings.scale: 5.0 → 10.0" in claim.detail


def _run_with(store: Path, evaluation: Evaluation, config: Mapping[str, object]) -> Side:
    record: RunRecord = replace(evaluation.run, config=config, started=time.time() + 60)
    with Store(store, readonly=True) as opened:
        return stored(opened, record)


def test_reports_hold_what_was_found_and_run_nothing(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script> [x](http://a.b) @all `c` | d\n# e \x00\x1b[31m"
    found = compare(
        side([0.1, 0.5, 0.6], ids=[evil, "b", "c"], label="a|b"),
        side([0.9, 0.4, 0.3], ids=[evil, "b", "c"], label="a|b", name="two"),
    )
    outcomes = check([parse_gate("a|b.mean>0")], found)
    text = as_markdown(found, outcomes)
    assert "<script>" not in text
    assert "](http" not in text
    assert "@all" not in text
    table = [line for line in text.splitlines() if line.startswith("| a&#124;b")]
    assert table[0].count("|") == 14
    assert "1 of 1 gates failed" in text
    assert "<script>" not in found._repr_html_()
    file = tmp_path / "j.xml"
    write_junit(file, found, outcomes)
    suite = ElementTree.parse(file).getroot()[0]
    assert suite.attrib["failures"] == "1"
    assert suite[0].find("failure") is not None
    assert "\x1b" not in str(found)
    assert (
        json.loads(json.dumps(found.as_dict()))["results"][0]["p"] == found.results[0].difference.p
    )
    assert found.table()["difference"].tolist() == [found.results[0].difference.mean]


def test_the_report_fits_80_columns() -> None:
    label = "bertscore:model=some/long-model-name,layer=9,dtype=bfloat16"
    rng = np.random.default_rng(5)
    first = side(
        rng.random(1000).tolist(), label=label, clusters=[f"g{i % 50}" for i in range(1000)]
    )
    other = side(rng.random(1000).tolist(), label=label, name="b" * 60)
    assert max(map(len, str(compare(first, other)).splitlines())) <= 80


def test_an_evaluation_shows_in_a_notebook() -> None:
    html = run("<b>")._repr_html_()
    assert "95 % interval" in html
    assert "<b>" not in html
