"""Tests of significance against statsmodels, scipy and R's printed examples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from harness.significance import FEW, detectable, holm, mcnemar, sign_flips
from harness.stats import paired

APPROVAL = [[794, 86], [150, 570]]
"""R's help page of mcnemar.test: ratings of a president, after Agresti (1990, page 350)."""


def test_mcnemar_is_that_of_statsmodels_and_r() -> None:
    expected = statsmodels_mcnemar(APPROVAL, exact=True).pvalue
    assert mcnemar(86, 150) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(150, 86) == mcnemar(86, 150)
    assert mcnemar(86, 150) == pytest.approx(3.716e-05, rel=1e-3)  # R: binom.test(86, 236)
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(7, 7) == 1.0


@pytest.mark.parametrize(("wins", "losses"), [(0, 5), (3, 9), (12, 28), (20, 20)])
def test_sign_flips_of_equal_sizes_are_mcnemars_test(wins: int, losses: int) -> None:
    differences = [0.25] * wins + [-0.25] * losses + [0.0] * 50
    assert sign_flips(differences) == pytest.approx(mcnemar(wins, losses), rel=1e-9)


def test_sign_flips_count_every_pattern() -> None:
    differences = np.random.default_rng(0).gamma(1.0, size=11) - 0.5
    observed = abs(differences.sum())
    patterns = itertools.product((1, -1), repeat=11)
    sums = [abs(np.dot(pattern, differences)) for pattern in patterns]
    expected = np.mean([s >= observed - 1e-12 for s in sums])
    assert sign_flips(differences) == pytest.approx(float(expected), rel=1e-9)


def test_sign_flips_take_rounding_for_what_it_is() -> None:
    """0.1 + 0.2 - 0.3 is not 0 for a computer."""
    assert sign_flips([0.1, 0.2, -0.3]) == 1.0
    assert sign_flips([0.0]) == 1.0


def test_sign_flips_refuse_more_than_they_can_count() -> None:
    with pytest.raises(ValueError, match="41 differences are not 0; 40 at most"):
        sign_flips([1.0] * (FEW + 1))


@pytest.mark.parametrize("ps", [[0.01, 0.04, 0.03, 0.005], [0.5, 0.5], [1.0, 1e-9, 0.2], [0.04]])
def test_holm_is_that_of_statsmodels(ps: list[float]) -> None:
    assert holm(ps) == pytest.approx(multipletests(ps, method="holm")[1].tolist(), rel=1e-9)
    assert holm([]) == []


@pytest.mark.parametrize("alpha", [0.05, 0.01])
@pytest.mark.parametrize("n", [2, 3, 20, 500, 1_000_000])
def test_what_is_detectable_has_the_power_that_is_claimed(n: int, alpha: float) -> None:
    effect = detectable(1 / np.sqrt(n), n - 1, power=0.8, alpha=alpha)
    power = TTestPower().power(effect, n, alpha) if n > 3 else _noncentral(effect, n, alpha)
    assert power == pytest.approx(0.8, abs=1e-9)


def _noncentral(effect: float, n: int, alpha: float) -> float:
    """The same by the noncentral F, as statsmodels' t gives NaN for the fewest pairs."""
    critical = stats.t.isf(alpha / 2, n - 1) ** 2
    return float(stats.ncf.sf(critical, 1, n - 1, n * effect**2))


def test_power_needs_what_can_be() -> None:
    with pytest.raises(ValueError, match=r"power=0\.01"):
        detectable(1.0, 10, power=0.01)
    with pytest.raises(ValueError, match="df=0"):
        detectable(1.0, 0)


def test_the_paired_test_is_that_of_r() -> None:
    """R's help page of `sleep`: t = -4.0621, df = 9, p-value = 0.002833."""
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired(first, second)
    assert found.p == pytest.approx(float(stats.ttest_rel(first, second).pvalue), rel=1e-9)
    assert found.p == pytest.approx(0.002833, abs=5e-7)


@pytest.mark.parametrize("clusters", [None, np.repeat(np.arange(20), 3).tolist()])
def test_the_bootstraps_p_is_5_percent_where_its_interval_ends(clusters: list[int] | None) -> None:
    values = np.random.default_rng(3).lognormal(size=60)
    zeros = np.zeros(60)
    whole = paired(values, zeros, clusters=clusters, method="bootstrap")
    assert whole.low is not None
    assert whole.high is not None
    for end in (whole.low, whole.high):
        moved = paired(values - end, zeros, clusters=clusters, method="bootstrap")
        assert moved.p == pytest.approx(0.05, abs=0.001)


def test_the_bootstraps_interval_is_scipys() -> None:
    values = np.random.default_rng(4).gamma(1.0, size=40)
    found = paired(values, np.zeros(40), method="bootstrap", seed=7)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=9_999, method="BCa", rng=np.random.default_rng(7)
    ).confidence_interval
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
