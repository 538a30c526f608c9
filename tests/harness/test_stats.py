"""Intervals against scipy, statsmodels and R; what they promise, by simulation."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from harness.stats import (
    Interval,
    mean_interval,
    paired,
    pass_at_k,
    pass_at_k_interval,
    pass_hat_k,
    pass_hat_k_interval,
)


def bounds(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def test_the_t_interval_is_that_of_r() -> None:
    """R's help page of `sleep`: t.test(Pair(extra.1, extra.2) ~ 1), as R 4 prints it."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]

    interval = mean_interval([a - b for a, b in zip(first, second, strict=True)])

    assert interval.mean == pytest.approx(-1.58)
    assert bounds(interval) == pytest.approx((-2.4598858, -0.7001142), abs=5e-8)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 10_000])
def test_the_t_interval_is_that_of_scipy(n: int, confidence: float) -> None:
    values = np.random.default_rng(n).gamma(2.0, size=n)

    interval = mean_interval(values.tolist(), confidence=confidence)

    expected = stats.t.interval(confidence, n - 1, values.mean(), stats.sem(values))
    assert bounds(interval) == pytest.approx(expected, rel=1e-9)
    assert interval.se == pytest.approx(float(stats.sem(values)), rel=1e-9)


def test_the_clustered_interval_is_that_of_statsmodels() -> None:
    """A mean is a regression on nothing but a constant."""
    rng = np.random.default_rng(1)
    clusters = rng.integers(0, 9, size=200)
    values = rng.normal(size=200) + clusters / 3

    interval = mean_interval(values.tolist(), clusters=[f"doc {c}" for c in clusters])

    fit = sm.OLS(values, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    assert interval.clusters == 9
    assert interval.se == pytest.approx(fit.bse[0], rel=1e-9)
    assert bounds(interval) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


@pytest.mark.parametrize("method", ["t", "bootstrap"])
def test_clusters_of_one_are_no_clusters_and_copies_add_nothing(method: str) -> None:
    values = np.random.default_rng(2).exponential(size=30)

    single = mean_interval(values.tolist(), method=method)  # type: ignore[arg-type]
    ones = mean_interval(values.tolist(), clusters=range(30), method=method)  # type: ignore[arg-type]
    copies = mean_interval(
        np.repeat(values, 7).tolist(),
        clusters=np.repeat(np.arange(30), 7).tolist(),
        method=method,  # type: ignore[arg-type]
    )

    assert bounds(ones) == pytest.approx(bounds(single), rel=1e-9)
    assert bounds(copies) == pytest.approx(bounds(single), rel=1e-9)
    assert (copies.n, copies.clusters) == (210, 30)


def test_a_95_percent_interval_holds_the_mean_95_times_of_100() -> None:
    draws = np.random.default_rng(3).normal(loc=1.0, size=(8_000, 6))

    held = [low <= 1.0 <= high for low, high in (bounds(mean_interval(d)) for d in draws.tolist())]

    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


OUTCOMES = [(0, 2), (1, 2), (2, 2), (0, 5), (3, 30), (29, 30), (50, 100), (999, 1000), (7, 10**5)]


@pytest.mark.parametrize(("successes", "n"), OUTCOMES)
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_a_share_has_the_interval_of_wilson_as_statsmodels_has_it(
    successes: int, n: int, confidence: float
) -> None:
    values = [1.0] * successes + [0.0] * (n - successes)
    interval = mean_interval(values, confidence=confidence, method="score")
    expected = proportion_confint(successes, n, 1 - confidence, method="wilson")
    assert bounds(interval) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert interval.mean == successes / n
    assert interval.se == mean_interval(values).se
    low, high = bounds(interval)
    assert 0 <= low < high <= 1


def test_only_independent_outcomes_are_shares() -> None:
    """Else it is Student's: other values, shared clusters, and what is one value alone."""
    for values in ([0.0, 1.0, 0.5], [0.0, 1.0, -1.0], [0.0, 1.0, 2.0], [1.0]):
        assert mean_interval(values, method="score") == mean_interval(values)
    outcomes, groups = [0.0, 1.0, 1.0, 1.0], ["a", "a", "b", "c"]
    clustered = mean_interval(outcomes, clusters=groups, method="score")
    assert clustered == mean_interval(outcomes, clusters=groups)
    assert mean_interval(outcomes, method="score") != mean_interval(outcomes)


@pytest.mark.parametrize("n", [5, 10, 30, 100])
def test_over_shares_wilson_holds_95_times_of_100_and_student_does_not(n: int) -> None:
    """Coverage exactly, from the binomial distribution, on average over shares of 0 to 1.

    At a single share it goes up and down, as outcomes are whole numbers: no interval can be exact.
    """
    shares = np.linspace(0.0005, 0.9995, 1000)

    def coverage(method: str) -> float:
        held = np.zeros(len(shares))
        for k in range(n + 1):
            values = [1.0] * k + [0.0] * (n - k)
            low, high = bounds(mean_interval(values, method=method))  # type: ignore[arg-type]
            held += binom.pmf(k, n, shares) * ((low <= shares) & (shares <= high))
        return float(held.mean())

    assert coverage("score") == pytest.approx(0.95, abs=0.01)
    assert coverage("t") < coverage("score")


def test_drawn_outcomes_are_within_the_interval_as_often_as_it_says() -> None:
    """10,000 runs of 30 samples, each with a share of its own."""
    rng = np.random.default_rng(11)
    shares = rng.uniform(size=10_000)
    draws = (rng.uniform(size=(10_000, 30)) < shares[:, None]).astype(float)
    found = [bounds(mean_interval(draw, method="score")) for draw in draws.tolist()]
    held = [low <= p <= high for p, (low, high) in zip(shares, found, strict=True)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.01)


def test_with_a_few_large_clusters_only_the_clustered_interval_holds() -> None:
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(8), 25)
    shared = rng.normal(size=(4_000, 8, 1))
    draws = (shared + rng.normal(size=(4_000, 8, 25))).reshape(4_000, 200)
    codes = clusters.tolist()

    def share_held(groups: Sequence[int] | None) -> float:
        found = (bounds(mean_interval(draw, clusters=groups)) for draw in draws.tolist())
        return float(np.mean([low <= 0.0 <= high for low, high in found]))

    assert share_held(codes) == pytest.approx(0.95, abs=0.01)
    assert share_held(None) < 0.5


def test_the_bootstrap_is_bca_and_repeats_with_its_seed() -> None:
    values = np.random.default_rng(5).lognormal(sigma=1.5, size=25)

    interval = mean_interval(values.tolist(), method="bootstrap", seed=1)

    def scipys(method: str) -> tuple[float, float]:
        rng = np.random.default_rng(99)
        found = stats.bootstrap((values,), np.mean, n_resamples=99_999, method=method, rng=rng)
        return tuple(found.confidence_interval)

    low, high = bounds(interval)
    assert (low, high) == pytest.approx(scipys("BCa"), abs=0.05 * (high - low))
    assert high != pytest.approx(scipys("percentile")[1], abs=0.1 * (high - low))
    assert interval == mean_interval(values.tolist(), method="bootstrap", seed=1)
    assert interval != mean_interval(values.tolist(), method="bootstrap", seed=2)


def test_the_bootstrap_of_many_values_agrees_with_t() -> None:
    values = np.random.default_rng(6).random(11_000).tolist()

    low, high = bounds(mean_interval(values, method="bootstrap"))
    t_low, t_high = bounds(mean_interval(values))

    assert (low, high) == pytest.approx((t_low, t_high), abs=0.05 * (t_high - t_low))


@pytest.mark.parametrize("method", ["t", "bootstrap"])
@pytest.mark.parametrize("clusters", [None, [0, 0, 1]])
def test_equal_values_have_an_interval_of_no_width(method: str, clusters: list[int] | None) -> None:
    interval = mean_interval([0.1] * 3, clusters=clusters, method=method)  # type: ignore[arg-type]

    assert bounds(interval) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(("values", "clusters"), [([0.5], None), ([0.0, 1.0], ["a", "a"])])
def test_from_one_value_or_cluster_nothing_is_known(
    values: list[float], clusters: list[str] | None
) -> None:
    interval = mean_interval(values, clusters=clusters)

    assert (interval.mean, interval.low, interval.high, interval.se) == (0.5, None, None, None)
    assert "nan" not in str(interval)
    assert "no interval" in str(interval)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"values": []}, "one value at least"),
        ({"values": [1.0, math.nan]}, "value 1 is nan"),
        ({"values": [None, 1.0]}, "value 0 is None"),
        ({"values": [1.0, 2.0], "clusters": ["a"]}, "1 clusters for 2 values"),
        ({"values": [1.0, 2.0], "confidence": 95}, "between 0 and 1"),
    ],
)
def test_what_has_no_mean_is_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_interval(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("shift", [0.0, 0.1, 3.0])
@pytest.mark.parametrize("n", [2, 30, 1_000])
def test_a_paired_difference_is_that_of_scipy(n: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    first = rng.normal(size=n)
    second = first - shift + rng.normal(scale=0.3, size=n)

    found = paired(first.tolist(), second.tolist(), confidence=0.9)

    expected = stats.ttest_rel(first, second)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    interval = expected.confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert found.mean == pytest.approx((first - second).mean(), rel=1e-9)
    assert (found.wins, found.ties, found.losses) == (
        (first > second).sum(),
        0,
        (first < second).sum(),
    )


def test_a_clustered_paired_difference_is_that_of_statsmodels() -> None:
    rng = np.random.default_rng(5)
    clusters = rng.integers(0, 12, size=150)
    first = rng.normal(size=150) + 0.1
    second = rng.normal(size=150) + np.where(clusters % 2, 0.4, -0.4)

    found = paired(first.tolist(), second.tolist(), clusters=clusters.tolist())

    fit = sm.OLS(first - second, np.ones(150)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    assert (found.n, found.clusters) == (150, 12)
    assert found.p == pytest.approx(fit.pvalues[0], rel=1e-9)
    assert found.se == pytest.approx(fit.bse[0], rel=1e-9)
    assert (found.low, found.high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


def test_swapped_a_paired_difference_turns_its_sign() -> None:
    one, other = [0.5, 0.7, 0.1, 0.3], [0.5, 0.6, 0.2, 0.0]

    ahead, behind = paired(one, other), paired(other, one)

    assert (ahead.wins, ahead.ties, ahead.losses) == (2, 1, 1)
    assert (behind.wins, behind.ties, behind.losses) == (1, 1, 2)
    assert (ahead.mean, ahead.low, ahead.p) == pytest.approx(
        (-behind.mean, -(behind.high or 0.0), behind.p)
    )


def test_where_pairs_do_not_vary_there_is_no_doubt_and_from_one_pair_no_knowing() -> None:
    values = [0.25, 0.5, 1.0]

    assert paired(values, values).p == 1.0
    assert paired([2.0, 3.0], [1.0, 2.0]).p == 0.0
    lone = paired([1.0], [0.0])
    assert (lone.mean, lone.low, lone.high, lone.p, lone.wins) == (1.0, None, None, None, 1)
    assert str(lone) == "+1 (no interval, n=1)"
    assert paired(values, [0.0] * 3, clusters="aaa").p is None


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([1.0, 2.0], [1.0], "2 values and 1; pairs need as many of both"),
        ([], [], "one value at least"),
        ([1.0, 2.0], [1.0, math.nan], "value 1 is nan"),
    ],
)
def test_what_makes_no_pairs_is_refused(
    first: list[float], second: list[float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        paired(first, second)


@pytest.mark.parametrize("n", [1, 2, 6])
def test_pass_at_k_and_pass_hat_k_are_shares_of_all_draws(n: int) -> None:
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))
        assert pass_hat_k(n, c, k) == pytest.approx(sum(map(all, draws)) / len(draws))


def test_pass_at_k_is_the_published_code_and_exact_for_many_repeats() -> None:
    """Chen et al. 2021, figure 3."""
    n, c, k = 2_000, 7, 100

    published = 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1))

    assert pass_at_k(n, c, k) == pytest.approx(published, rel=1e-9)


@pytest.mark.parametrize(("n", "c", "k"), [(3, 4, 1), (3, -1, 1), (3, 1, 0), (3, 1, 4)])
def test_impossible_counts_are_refused(n: int, c: int, k: int) -> None:
    with pytest.raises(ValueError, match="must hold"):
        pass_at_k(n, c, k)
    with pytest.raises(ValueError, match="must hold"):
        pass_hat_k(n, c, k)


def test_over_samples_the_mean_and_its_interval() -> None:
    outcomes: list[list[float]] = [[1, 0, 0], [True, True], [0.0, 0.0]]

    at, hat = pass_at_k_interval(outcomes, 2), pass_hat_k_interval(outcomes, 2)

    assert at == mean_interval([2 / 3, 1.0, 0.0])
    assert hat == mean_interval([0.0, 1.0, 0.0])
    assert pass_at_k_interval(outcomes, 1, clusters=["a", "a", "b"]).clusters == 2


@pytest.mark.parametrize(
    ("outcomes", "message"), [([[1, 0.5]], "0 or 1"), ([[1, 1], [1]], "sample 1")]
)
def test_outcomes_that_give_no_estimate_are_refused(
    outcomes: list[list[float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        pass_at_k_interval(outcomes, 2)


def test_import_is_light() -> None:
    code = "import sys, harness.stats, harness.data.samples; print('numpy' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
