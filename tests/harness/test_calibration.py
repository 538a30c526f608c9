"""Agreement against published figures and other implementations; what intervals promise."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import krippendorff
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.inter_rater import cohens_kappa

from harness import Completion, Score, Unscored
from harness.calibration import Columns, Labels, calibrate, read_labels
from harness.calibration.agreement import (
    krippendorff_alpha,
    mean_of,
    partial_spearman,
    quadratic_kappa,
    remembering,
    share_within,
    spearman,
)
from harness.calibration.bias import LengthBias, length_bias
from harness.calibration.report import as_text
from harness.calibration.resampling import Resampler, Statistic
from harness.calibration.scale import find_scale, parse_scale
from harness.calibration.shares import share
from harness.calibration.verdicts import Verdicts
from harness.cli import main
from harness.errors import HarnessError, UnscoredError
from harness.stats import wilson

Array = NDArray[np.float64]
GAP = math.nan

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C.
FOUR_RATERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, GAP, GAP, GAP],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, GAP, 3],
        [GAP, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, GAP],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, GAP],
    ]
)
# The data set `anxiety` of R's package irr, raters 1 and 2.
ANXIETY = (
    np.array([3, 3, 3, 4, 5, 5, 2, 3, 5, 2, 2, 6, 1, 5, 2, 2, 1, 2, 4, 3.0]),
    np.array([3, 6, 4, 6, 2, 4, 2, 4, 3, 3, 2, 3, 3, 3, 2, 2, 1, 3, 3, 4.0]),
)


def of_all(statistic: Statistic, items: int) -> float:
    return float(statistic(np.ones((1, items)))[0])


def two_raters(rng: np.random.Generator, n: int, noise: float = 0.8) -> tuple[Array, Array]:
    """Labels from 0 to 5 of two who see the same thing, each with an error."""
    truth = rng.normal(2.5, 1.5, n)
    one, other = (np.clip(np.round(truth + noise * rng.normal(size=n)), 0, 5) for _ in range(2))
    return one, other


def test_alpha_is_that_of_krippendorffs_own_example() -> None:
    assert of_all(krippendorff_alpha(list(FOUR_RATERS)), 12) == pytest.approx(0.849, abs=5e-4)
    ordinal = krippendorff_alpha(list(FOUR_RATERS), ordinal=True)
    assert of_all(ordinal, 12) == pytest.approx(0.815, abs=5e-4)


def test_quadratic_kappa_is_that_of_r() -> None:
    """kappa2(anxiety[, 1:2], "squared") of irr prints Kappa = 0.297."""
    assert of_all(quadratic_kappa(*ANXIETY), 20) == pytest.approx(0.297, abs=5e-4)


@pytest.mark.parametrize("seed", range(3))
def test_the_measures_are_those_of_other_packages(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = two_raters(rng, 80)
    table = np.zeros((6, 6))
    np.add.at(table, (one.astype(int), other.astype(int)), 1)
    third = np.where(rng.random(80) < 0.4, GAP, two_raters(rng, 80)[0])
    three = [np.where(rng.random(80) < 0.2, GAP, one), other, third]

    assert of_all(quadratic_kappa(one, other), 80) == pytest.approx(
        cohens_kappa(table, wt="quadratic").kappa
    )
    assert of_all(spearman(one, other), 80) == pytest.approx(stats.spearmanr(one, other).statistic)
    assert of_all(krippendorff_alpha(three), 80) == pytest.approx(
        krippendorff.alpha(three, level_of_measurement="interval")
    )
    assert of_all(krippendorff_alpha(three, ordinal=True), 80) == pytest.approx(
        krippendorff.alpha(three, level_of_measurement="ordinal")
    )


def test_a_level_that_nobody_used_keeps_its_distance() -> None:
    """From 1 to 5 is four steps, though nobody said 2, 3 or 4."""
    one, other = np.array([0, 1, 5, 5.0]), np.array([0, 1, 1, 5.0])
    table = np.zeros((6, 6))
    np.add.at(table, (one.astype(int), other.astype(int)), 1)

    kappa = of_all(quadratic_kappa(one, other), 4)

    assert kappa == pytest.approx(cohens_kappa(table, wt="quadratic").kappa)
    assert kappa != pytest.approx(
        of_all(quadratic_kappa(*(np.minimum(x, 2) for x in (one, other))), 4)
    )


def test_partial_spearman_is_the_correlation_of_what_the_third_leaves_over() -> None:
    rng = np.random.default_rng(3)
    third, noise = rng.normal(size=60), rng.normal(size=(2, 60))
    one, other = third + noise[0], third + noise[0] + noise[1]
    ranks = [stats.rankdata(x) for x in (one, other, third)]
    rest = [r - np.polyval(np.polyfit(ranks[2], r, 1), ranks[2]) for r in ranks[:2]]

    found = of_all(partial_spearman(one, other, third), 60)

    assert found == pytest.approx(np.corrcoef(*rest)[0, 1])


MEASURES: dict[str, Callable[[Array, Array, Array], Statistic]] = {
    "kappa": lambda a, b, c: quadratic_kappa(a, b),
    "alpha": lambda a, b, c: krippendorff_alpha([a, b, c]),
    "ordinal alpha": lambda a, b, c: krippendorff_alpha([a, b, c], ordinal=True),
    "spearman": lambda a, b, c: spearman(a, b),
    "partial": partial_spearman,
    "within 1": lambda a, b, c: share_within(a, b, 1),
    "mean": lambda a, b, c: mean_of([quadratic_kappa(a, b), quadratic_kappa(b, c)]),
}


@pytest.mark.parametrize("measure", MEASURES)
def test_a_weight_stands_for_as_many_items(measure: str) -> None:
    rng = np.random.default_rng(4)
    raters = [*two_raters(rng, 30), two_raters(rng, 30)[0]]
    raters = [np.where(rng.random(30) < 0.15, GAP, labels) for labels in raters]
    counts = rng.integers(0, 4, 30)

    weighted = MEASURES[measure](*raters)(counts[None, :].astype(float))[0]

    repeated = [np.repeat(labels, counts) for labels in raters]
    assert weighted == pytest.approx(of_all(MEASURES[measure](*repeated), counts.sum()))


def test_the_interval_is_the_bca_of_scipy() -> None:
    """Of few who agree well, so that it is far from the percentile interval."""
    one, other = two_raters(np.random.default_rng(1), 20, noise=0.5)
    drawn = np.random.default_rng(2)

    def kappa(a: Array, b: Array) -> float:
        return of_all(quadratic_kappa(a, b), len(a))

    def theirs(method: Literal["BCa", "percentile"]) -> tuple[float, float]:
        found = stats.bootstrap(
            (one, other),
            kappa,
            paired=True,
            vectorized=False,
            n_resamples=5_000,
            method=method,
            rng=drawn,
        )
        return found.confidence_interval.low, found.confidence_interval.high

    ours = Resampler(range(20), draws=20_000).estimates({"k": quadratic_kappa(one, other)})["k"]

    assert (ours.low, ours.high) == pytest.approx(theirs("BCa"), abs=0.01)
    assert (ours.low, ours.high) != pytest.approx(theirs("percentile"), abs=0.02)


def test_what_is_remembered_is_of_the_same_weights() -> None:
    one, other = two_raters(np.random.default_rng(1), 20)
    plain = quadratic_kappa(one, other)
    remembered = remembering(plain)
    for weights in (np.ones((1, 20)), np.arange(20.0)[None, :]):
        for _ in range(2):
            assert remembered(weights) == pytest.approx(plain(weights))


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """200 times 60 items: 95 % of the intervals hold it; the bounds here are 4 errors wide."""
    rng = np.random.default_rng(6)
    many = two_raters(rng, 200_000)
    truth = {
        name: of_all(of(*many), 200_000) for name, of in (("k", quadratic_kappa), ("s", spearman))
    }
    held = {"k": 0, "s": 0}
    for _ in range(200):
        pair = two_raters(rng, 60)
        measures = {"k": quadratic_kappa(*pair), "s": spearman(*pair)}
        for name, found in Resampler(range(60), draws=500).estimates(measures).items():
            assert found.low is not None
            assert found.high is not None
            held[name] += found.low <= truth[name] <= found.high
    assert all(0.88 <= count / 200 <= 1 for count in held.values()), held


def test_clusters_are_resampled_whole() -> None:
    """Every item ten times over is no more to go by than once."""
    rng = np.random.default_rng(7)
    one, other = two_raters(rng, 40)
    alone = Resampler(range(40)).estimates({"k": quadratic_kappa(one, other)})["k"]
    ten = quadratic_kappa(np.repeat(one, 10), np.repeat(other, 10))

    clustered = Resampler([i // 10 for i in range(400)]).estimates({"k": ten})["k"]

    assert (clustered.low, clustered.high) == pytest.approx((alone.low, alone.high))


def test_an_undefined_resample_is_left_out_and_counted() -> None:
    """A resample without the one item that differs has no kappa: (29/30)^30 = 36 % of them."""
    people, judge = np.array([*[0.0] * 29, 5.0]), np.array([*[0.0] * 29, 4.0])

    found = Resampler(range(30)).estimates({"k": quadratic_kappa(judge, people)})["k"]

    assert found.value is not None
    assert found.value > 0.9
    assert found.undefined / 2000 == pytest.approx((29 / 30) ** 30, abs=0.05)
    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize("constant", [0.0, 3.3])
def test_what_is_undefined_is_none(constant: float) -> None:
    same = np.full(10, constant)
    measures = {
        "k": quadratic_kappa(same, same),
        "a": krippendorff_alpha([same, same]),
        "o": krippendorff_alpha([same, same], ordinal=True),
        "s": spearman(same, np.arange(10.0)),
    }
    assert {e.value for e in Resampler(range(10)).estimates(measures).values()} == {None}


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_is_that_of_newcombe(successes: int, n: int, low: float, high: float) -> None:
    """Newcombe 1998, table I, method 3."""
    assert wilson(successes / n, n) == pytest.approx((low, high), abs=5e-5)


def test_a_share_of_clustered_outcomes_is_less_sure() -> None:
    outcomes = [True, True, False, False] * 10
    alone = share(outcomes, range(40))
    paired = share(outcomes, [i // 2 for i in range(40)])

    assert (alone.low, alone.high) == pytest.approx(wilson(0.5, 40), abs=0.01)
    assert (paired.low, paired.high) == pytest.approx(wilson(0.5, 20), abs=0.01)
    assert share([True] * 40, [0] * 40).low == pytest.approx(wilson(1, 1)[0])


def test_scales() -> None:
    assert str(find_scale([1, 5, 3])) == "1 … 5 in steps of 1"
    assert find_scale([0, 0.5, 2]).step == 0.5
    assert find_scale([0, 1 / 3, 2]).step == 0
    scale = parse_scale("0:5")
    places = scale.places(np.array([0.1, 0.3, 0.5, 0.7, 1.0, GAP]), 0, 1)
    assert scale.levels(places).tolist()[:5] == [1, 2, 3, 4, 5]
    assert math.isnan(scale.levels(places)[5])
    assert parse_scale("1:5").levels(np.array([2.4, 4.9])).tolist() == [2, 5]
    with pytest.raises(HarnessError, match=r"from -0.2 to 1, outside 0:1; say with --value-range"):
        scale.places(np.array([-0.2, 1.0]), 0, 1)


class Told:
    """A judge that says what a function says of the text and the attempt."""

    name = "told"

    def __init__(self, say: Callable[[str, int], Score | float]) -> None:
        self._say = say
        self.asked: list[Completion] = []

    def identity(self) -> dict[str, str]:
        return {"of": "a test"}

    async def judge(self, completion: Completion) -> Score:
        self.asked.append(completion)
        said = self._say(completion.text, completion.attempt)
        return said if isinstance(said, Score) else Score(said)


def labelled(
    tmp_path: Path, rows: Sequence[Sequence[object]], raters: str = "h", cluster: str | None = None
) -> Labels:
    """Rows of an answer and labels, through a file."""
    names = raters.split()
    with (tmp_path / "l.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", *names], *rows])
    columns = Columns(completion="a", labels=tuple(names), cluster=cluster)
    return read_labels(tmp_path / "l.csv", columns, scale=parse_scale("0:5"))


def by_number(text: str, attempt: int) -> float:
    """An answer of a number is worth a fifth of it."""
    return float(text.split()[0]) / 5


def test_what_was_not_scored_is_counted_and_in_no_measure(tmp_path: Path) -> None:
    rows = [(i % 6, (i + i % 3) % 6) for i in range(40)]

    def mostly(text: str, attempt: int) -> Score:
        if text.startswith("bad"):
            return Score.missing(Unscored.REFUSAL, "no")
        return Score(by_number(text, attempt))

    found = calibrate(
        labelled(tmp_path, [*rows, ("bad 0", 5), ("bad 1", 0)]), Told(mostly), store="sqlite://"
    )

    assert found.causes == {"refusal": 2}
    assert "n_unscored=2 of 42 (2 refusal)" in as_text(found)
    expected = of_all(quadratic_kappa(*np.array(rows, dtype=float).T), 40)
    assert found.agreement.judge["kappa"].value == pytest.approx(expected)
    assert found.agreement.judge["kappa"].n == 40
    with pytest.raises(UnscoredError, match="left 2 of 42 unscored"):
        calibrate(
            labelled(tmp_path, [*rows, ("bad 0", 5), ("bad 1", 0)]),
            Told(mostly),
            store="sqlite://",
            max_unscored=0.01,
        )


def test_a_judge_sees_no_label_and_rows_without_one_are_not_judged(tmp_path: Path) -> None:
    judge = Told(by_number)
    found = calibrate(labelled(tmp_path, [(0, 1), (3, ""), (5, 4)]), judge, store="sqlite://")

    assert [c.text for c in judge.asked] == ["0", "5"]
    assert found.unlabelled == 1
    for completion in judge.asked:
        assert dict(completion.sample.metadata) == {"a": completion.text}
        assert completion.sample.references == ()


def test_more_repeats_ask_only_for_what_is_missing(tmp_path: Path, own_store: Path) -> None:
    labels = labelled(tmp_path, [(i % 6, i % 6) for i in range(6)])
    calibrate(labels, Told(by_number), repeats=2)
    again = Told(by_number)
    calibrate(labels, again, repeats=3)

    assert [c.attempt for c in again.asked] == [2] * 6


def test_people_who_agree_less_than_the_judge_are_the_ceiling(tmp_path: Path) -> None:
    """Labels are missing here and there; each measure of people is of whom they have."""
    rng = np.random.default_rng(8)
    truth = rng.integers(0, 6, 60)
    labels = [np.clip(truth + rng.integers(-1, 2, 60), 0, 5).astype(float) for _ in range(3)]
    labels = [np.where(rng.random(60) < 0.2, GAP, one) for one in labels]
    rows = [
        (f"{t} {i}", *("" if math.isnan(x) else int(x) for x in own))
        for i, (t, *own) in enumerate(zip(truth, *labels, strict=True))
    ]

    found = calibrate(
        labelled(tmp_path, rows, "x y z"), Told(by_number), repeats=2, store="sqlite://"
    )

    level = truth.astype(float)
    judge, people = found.agreement.judge, found.agreement.people
    assert people
    kappas = [of_all(quadratic_kappa(level, one), 60) for one in labels]
    assert judge["kappa"].value == pytest.approx(np.mean(kappas))
    assert found.agreement.raters["y"]["kappa"].value == pytest.approx(kappas[1])
    pairs = [quadratic_kappa(labels[i], labels[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert people["kappa"].value == pytest.approx(np.mean([of_all(p, 60) for p in pairs]))
    assert people["alpha"].value == pytest.approx(
        krippendorff.alpha(labels, level_of_measurement="interval")
    )
    assert people["kappa"].value is not None
    assert min(kappas) > people["kappa"].value
    assert people["kappa"].n == sum(np.isfinite(labels).sum(0) >= 2)


def test_repeats_tell_how_consistent_a_judge_is(tmp_path: Path) -> None:
    """Three of four answers keep their level, the fourth moves by one at the second attempt."""
    rows = [(f"{i % 5} {i}", i % 5) for i in range(40)]

    def unsteady(text: str, attempt: int) -> float:
        moves = int(text.split()[1]) % 4 == 0 and attempt == 1
        return by_number(text, attempt) + moves / 5

    found = calibrate(labelled(tmp_path, rows), Told(unsteady), repeats=2, store="sqlite://")

    assert found.consistency
    assert found.consistency.identical.value == 0.75
    assert found.consistency.sd.value == pytest.approx(math.sqrt(0.5 / 4))
    first = np.array([i % 5 for i in range(40)], dtype=float)
    second = first + (np.arange(40) % 4 == 0)
    assert found.consistency.alpha.value == pytest.approx(
        krippendorff.alpha([first, second], level_of_measurement="interval")
    )
    assert found.bias.mean == pytest.approx(0.125)
    assert "deterministic" not in as_text(found)
    steady = calibrate(labelled(tmp_path, rows), Told(by_number), repeats=2, store="sqlite://")
    assert "deterministic" in as_text(steady)


def lengths(weight: float, seed: int) -> LengthBias:
    """60 answers of 2 to 30 words, judged by one to whom a word is worth `weight` points."""
    rng = np.random.default_rng(seed)
    truth, words = rng.uniform(1, 4, 60), rng.integers(2, 31, 60).astype(float)
    seen = truth + weight * (words - 16) + rng.normal(0, 0.5, 60)
    names = [str(i) for i in range(60)]
    scale = parse_scale("0:5")
    return length_bias(
        Verdicts(scale, seen.clip(0, 5)[:, None], np.round(truth)[None, :], words, names, {})
    )


def test_a_liking_for_long_answers_is_found_and_none_is_made_up() -> None:
    biased = lengths(0.05, 0)
    for found, p in (
        (biased.difference, biased.difference_p),
        (biased.partial, biased.partial_p),
    ):
        assert found.low is not None
        assert found.low > 0
        assert p is not None
        assert p < 0.01
    unbiased = [lengths(0, seed) for seed in range(30)]
    assert sum((f.difference_p or 0) < 0.05 for f in unbiased) <= 5
    assert sum((f.partial_p or 0) < 0.05 for f in unbiased) <= 5


def test_length_is_that_of_the_answers_text(tmp_path: Path) -> None:
    """The judge gives a point a word, the label is always about the same."""
    rows = [(f"{i % 6}{' w' * (i % 6)} {'' if i < 6 else 'x'}", 2 + i % 2) for i in range(12)]

    found = calibrate(labelled(tmp_path, rows), Told(by_number), store="sqlite://")

    assert found.length.partial.value is not None
    assert found.length.partial.value > 0.9


@pytest.mark.parametrize(
    ("first", "second", "flips", "wins"),
    [(0.9, 0.1, 1.0, 1.0), (0.2, 0.8, 1.0, 0.0), (0.8, 0.8, 0.0, 0.5)],
    ids=["likes the first place", "likes the last", "fair"],
)
def test_position_bias(
    tmp_path: Path, first: float, second: float, flips: float, wins: float
) -> None:
    parts = {"flipped": float((first > 0.5) != (second > 0.5)), "first": first, "second": second}
    rows = [(f"{i % 6} {i}", i % 6) for i in range(30)]

    def pairwise(text: str, attempt: int) -> Score:
        return Score((first + second) / 2, parts=parts)

    found = calibrate(labelled(tmp_path, rows), Told(pairwise), store="sqlite://")

    assert found.position
    assert (found.position.flips.value, found.position.first.value) == (flips, wins)
    assert (found.position.flips.low, found.position.flips.high) == pytest.approx(wilson(flips, 30))
    assert "same level: no measure of agreement means much" in " ".join(as_text(found).split())
    plain = calibrate(labelled(tmp_path, rows), Told(by_number), store="sqlite://")
    assert "position bias: does not apply" in as_text(plain)


def test_a_part_is_on_the_labels_own_scale(tmp_path: Path) -> None:
    def raw(text: str, attempt: int) -> Score:
        return Score(0.0, parts={"raw": float(text)})

    labels = labelled(tmp_path, [(i % 6, i % 6) for i in range(12)])

    assert calibrate(labels, Told(raw), part="raw", store="sqlite://").bias.mean == 0
    with pytest.raises(HarnessError, match="no score of told has a part 'rawe'; it has raw"):
        calibrate(labels, Told(raw), part="rawe", store="sqlite://")


def test_rows_of_the_same_content_are_resampled_together(tmp_path: Path) -> None:
    rows = [(i % 6, (i * 5) % 6) for i in range(24)]
    assert calibrate(labelled(tmp_path, rows), Told(by_number), store="sqlite://").clusters == 6


ANSWERS = """id,answer,truth,anna,ben,word
1,the old river bank,the old river bank,5,4,good
2,a blue sky,the old river bank,0,1,bad
3,the river,the old river bank,3,,ok
4,old bank,the old river bank,,2,ok
5,the old bank of it,the old river bank,3,4,ok
6,no,the old river bank,0,0,bad
"""
COMMAND = "calibrate --judge match:mode=f1 --labels l.csv --completion answer --reference truth"


@pytest.fixture
def command(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`harness calibrate` on some answers, with more arguments."""
    (here / "l.csv").write_text(ANSWERS)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main([*COMMAND.split(), *arguments])
        return code, *capsys.readouterr()

    return run


Command = Callable[..., tuple[int, str, str]]


def test_the_command_tells_it_in_80_columns(command: Command) -> None:
    code, out, _ = command("--label", "anna", "--label", "ben", "--repeats", "2", "--ordinal")

    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert "judged 6 answers 2 times: n_unscored=0 of 12" in out
    for line in ("human–human", "quadratic kappa", "Krippendorff α (ordinal)", "within 1 step"):
        assert line in out
    assert "the scale is what the labels span" in out


def test_the_command_gives_the_same_as_json(command: Command) -> None:
    code, out, _ = command("--label", "anna", "--scale", "0:5", "--json", "--fail-if", "n<10")

    found = json.loads(out)
    assert code == 10
    assert found["gates"] == [{"fail_if": "n<10", "failed": True}]
    assert (found["n"], found["n_unscored"], found["unlabelled"]) == (5, 0, 1)
    assert 0 < found["judge_human"]["kappa"]["value"] <= 1
    assert found["human_human"] is None
    assert found["consistency"] is None


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("kappa<0.5", 0),
        ("kappa >= 0.5", 10),
        ("kappa.low<0.999", 10),
        ("flips>0.5", 10),
        ("bias>4", 0),
        ("unscored>0", 0),
    ],
)
def test_a_gate_fails_where_it_holds_or_cannot_be_known(
    command: Command, condition: str, code: int
) -> None:
    """`match` judges no two orders, so its flip rate is not known: that is no pass."""
    done, out, _ = command("--label", "anna", "--scale", "0:5", "--fail-if", condition)

    assert done == code
    last = out.splitlines()[-1]
    assert last.startswith("failed" if code else "passed")
    assert "n_unscored=0" in last


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--label humna", "row 1 (line 2): there is no column 'humna'"),
        ("--label anna --label anna", "--label anna is given twice"),
        ("--label word", "has 'good', no number; leave it empty"),
        ("--label word --choices bad,good", "row 3 (line 4): column 'word' has 'ok', none of bad"),
        ("--label word --choices bad", "name two or more, each once"),
        ("--label anna --scale 1:5", "the label 0 is not on the scale 1 … 5 in steps of 1"),
        ("--label anna --scale 5:0", "write LOW:HIGH or LOW:HIGH:STEP"),
        ("--label anna --scale 0:5:2", "steps of 2 from 0 do not end at 5"),
        ("--label anna --limit 1", "5 is the label of the one row; agreement needs a difference"),
        ("--label anna --part precison", "has a part 'precison'; it has precision, recall"),
        ("--label anna --value-range 0.2:0.3", "outside 0.2:0.3; say with --value-range"),
        ("--label anna --value-range 1", "--value-range is '1'; write LOW:HIGH"),
        ("--label anna --repeats 0", "repeats is 0; it must be at least 1"),
        ("--label anna --fail-if kapa<1", "no figure 'kapa'; did you mean 'kappa'?"),
        ("--label anna --fail-if kappa<low", "write NAME<NUMBER"),
    ],
)
def test_what_the_user_can_mend_is_one_line(command: Command, arguments: str, told: str) -> None:
    code, out, err = command(*arguments.split())

    assert (code, out) == (2, "")
    assert told in err.splitlines()[-1]


def test_words_are_labels_in_the_order_they_are_named(command: Command) -> None:
    code, out, _ = command("--label", "word", "--choices", "bad,ok,good")

    assert code == 0
    assert "scale bad, ok, good" in out


def test_a_judge_that_scores_nothing_is_an_error(here: Path, command: Command) -> None:
    (here / "l.csv").write_text("answer,truth,anna\nyes,,1\nno,,0\n")

    code, out, err = command("--label", "anna")

    assert (code, out) == (2, "")
    assert "left 2 of 2 unscored (2 no_reference" in err
