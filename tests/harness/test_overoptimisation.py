"""Over-optimisation: what is read from steps, and a test that keeps its error rate."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from harness.cli import main
from harness.components import TrainingStep
from harness.errors import HarnessError
from harness.overoptimisation import ALPHA, Overoptimisation, analyse, of_training
from harness.overoptimisation.parting import Series, parting, stretches_of, z_values
from harness.store import Store
from harness.store.trainings import TrainingRecord

Array = NDArray[np.float64]


def series(values: Array) -> Series:
    """Means, variances and counts of rows of values."""
    points, n = values.shape
    counts, df = np.full(points, float(n)), np.full(points, n - 1.0)
    return Series(values.mean(1), values.var(1, ddof=1), counts, df)


def reported(label: str, mean: float, se: float, n: int, kind: str = "score") -> dict[str, float]:
    return {f"{kind}/{label}": mean, f"{kind}_se/{label}": se, f"{kind}_n/{label}": float(n)}


def training(rows: Sequence[Mapping[str, float]]) -> list[TrainingStep]:
    return [TrainingStep(i, len(rows), row) for i, row in enumerate(rows, 1)]


def gamed(points: int = 12) -> list[TrainingStep]:
    """The proxy rises all the time; the watched scorer rises to the fifth point, then falls."""
    return training(
        [
            {
                "kl": float(i) ** 2,
                "response_tokens": 10.0 + i,
                **reported("proxy", 0.1 * i, 0.02, 50),
                **reported("gold", 0.5 + 0.05 * (4 - abs(4 - i)), 0.02, 50),
            }
            for i in range(points)
        ]
    )


WEIGHTS = {"proxy": 1.0, "gold": 0.0}


def test_slopes_are_those_of_least_squares_and_their_errors_of_the_pooled_variance() -> None:
    steps, rng = [10, 20, 40, 50, 60], np.random.default_rng(3)
    values = rng.normal(size=(5, 8)) * np.arange(1, 6)[:, None]
    stretches = stretches_of(steps)
    assert stretches.starts == [0, 1, 2]
    found = z_values(stretches, series(values))
    for row, start in enumerate(stretches.starts):
        x, y = np.array(steps[start:], dtype=float), values[start:].mean(1)
        slope = stats.linregress(x, y).slope
        assert stretches.weights[row] @ values.mean(1) == pytest.approx(slope, abs=1e-12)
        pooled = values[start:].var(1, ddof=1).mean() / 8
        t = slope / math.sqrt(pooled / ((x - x.mean()) ** 2).sum())
        df = 7 * len(x)
        assert stats.norm.sf(found[row]) == pytest.approx(stats.t.sf(t, df), rel=1e-9)


def test_a_single_stretch_by_hand() -> None:
    """Means 0, 1, 2 with errors of 0.5 from 4 values: a slope of 1, its error 0.5 / √2, df 9."""
    rise = Series(np.array([0.0, 1, 2]), np.full(3, 1.0), np.full(3, 4.0), np.full(3, 3.0))
    fall = Series(np.array([3.0, 1, 0]), np.full(3, 1.0), np.full(3, 4.0), np.full(3, 3.0))
    found = parting([1, 2, 3], rise, fall)
    assert found is not None
    assert (found.start, found.proxy_slope, found.slope) == (0, 1.0, -1.5)
    one_sided = stats.t.sf(1 / (0.5 / math.sqrt(2)), 9)  # 0.0098; the fall is surer
    assert found.p == pytest.approx(2 * one_sided, abs=0.0015)
    assert parting([1, 2], rise, fall) is None


def test_no_noise_at_all_is_no_division_by_zero() -> None:
    flat = Series(np.ones(4), np.zeros(4), np.full(4, 8.0), np.full(4, 7.0))
    rise = Series(np.arange(4.0), np.zeros(4), np.full(4, 8.0), np.full(4, 7.0))
    same, sure = parting(range(4), rise, flat), parting(range(4), rise, replaced(rise))
    assert same is not None
    assert same.p == 1.0
    assert sure is not None
    assert sure.p < 0.001


def replaced(rise: Series) -> Series:
    return Series(-rise.means, rise.variances, rise.counts, rise.df)


def errors(draws: int, draw: object, watched: int = 1) -> float:
    """How often a parting is named of `draws` trainings."""
    rng = np.random.default_rng(11)
    named = 0
    for _ in range(draws):
        proxy, golds = draw(rng)  # type: ignore[operator]
        steps = range(1, len(proxy) + 1)
        found = [
            parting(steps, series(proxy), series(gold), share_watched=0.5 / watched)
            for gold in golds
        ]
        named += any(f is not None and f.p <= ALPHA for f in found)
    return named / draws


def rising(rng: np.random.Generator, points: int = 15, n: int = 16) -> Array:
    return rng.normal(size=(points, n)) + np.linspace(0, 3, points)[:, None]


def test_a_watched_scorer_that_stays_is_seldom_said_to_fall() -> None:
    """At most 2.5 % each side; three standard errors of 4,000 draws above that are 3.3 %."""

    def skewed(rng: np.random.Generator) -> tuple[Array, list[Array]]:
        return rising(rng), [rng.gamma(1, size=(15, 16))]

    def saturating(rng: np.random.Generator) -> tuple[Array, list[Array]]:
        """The watched scorer falls for good, and the proxy has stopped rising before."""
        return rng.normal(size=(15, 16)), [-rising(rng)]

    assert errors(4000, skewed) < 0.033
    assert 0.012 < errors(4000, saturating) < 0.033


def test_many_watched_scorers_share_the_error() -> None:
    def draw(rng: np.random.Generator) -> tuple[Array, list[Array]]:
        return rising(rng), [rng.normal(size=(15, 16)) for _ in range(5)]

    assert errors(800, draw, watched=5) < 0.042


def test_a_training_that_is_gamed_is_found_out_near_its_peak() -> None:
    found = analyse(gamed(), WEIGHTS)
    (gold,) = found.watched
    assert (gold.label, gold.peak.step, found.proxy.peak.step) == ("gold", 5, 12)
    assert gold.parting is not None
    assert gold.p is not None
    assert gold.p < 0.001
    assert abs(gold.parting.point.step - 5) <= 1
    assert gold.parting.slope < 0 < gold.parting.proxy_slope
    assert gold.parting.point.kl == (gold.parting.point.step - 1) ** 2
    first = gold.points[0]
    half = stats.t.ppf(0.975, 49) * 0.02
    assert (first.low, first.high) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-12)


def test_a_proxy_that_does_not_rise_is_not_parted_from() -> None:
    steps = [TrainingStep(s.step, s.total, {**s.metrics, "score/proxy": 0.3}) for s in gamed()]
    (gold,) = analyse(steps, WEIGHTS).watched
    assert gold.parting is None


def test_without_errors_the_scatter_tells_how_sure_a_mean_is() -> None:
    rng = np.random.default_rng(2)

    def draw(fall: float) -> list[TrainingStep]:
        means = {"proxy": np.arange(30) * 0.1, "gold": np.arange(30) * fall}
        return training(
            [
                {f"score/{label}": float(m[i] + 0.1 * rng.normal()) for label, m in means.items()}
                for i in range(30)
            ]
        )

    found = analyse(draw(-0.1), WEIGHTS)
    assert (found.source, found.errors) == ("batches", "scatter")
    assert found.watched[0].parting is not None
    assert found.proxy.points[0].se == pytest.approx(0.12, abs=0.05)
    named = sum(analyse(draw(0.0), WEIGHTS).watched[0].parting is not None for _ in range(200))
    assert named <= 11
    few = analyse(draw(-0.1)[:9], WEIGHTS)
    assert few.watched[0].p is None
    assert few.proxy.points[0].low is None
    assert "too few points" in str(few)


def test_held_out_evaluations_go_before_batches() -> None:
    rows = [
        {
            "kl": float(i),
            **reported("proxy", -float(i), 0.01, 9),
            **reported("gold", 0.0, 0.01, 9),
            **(
                {
                    "held_out_kl": i + 0.5,
                    "held_out_tokens": 20.0,
                    **reported("proxy", float(i), 0.01, 9, "held_out"),
                    **reported("gold", 1.0 - i, 0.01, 9, "held_out"),
                }
                if i % 2
                else {}
            ),
        }
        for i in range(8)
    ]
    found = analyse(training(rows), WEIGHTS)
    assert found.source == "held_out"
    assert [(p.step, p.kl, p.mean) for p in found.proxy.points] == [
        (2, 1.5, 1.0), (4, 3.5, 3.0), (6, 5.5, 5.0), (8, 7.5, 7.0),
    ]  # fmt: skip
    assert found.drift[0].name == "tokens a response"
    assert analyse(training(rows[:5]), WEIGHTS).source == "batches"


def test_the_proxy_is_what_the_trainer_says_or_the_weighted_sum() -> None:
    rows = [
        {**reported("a", 0.1 * i, 0.1, 4), **reported("b", 10.0 * i, 2.0, 16)} for i in range(4)
    ]
    weights = {"a": 1.0, "b": -0.5}
    summed = analyse(training(rows), weights).proxy.points[2]
    # The deviations of one value at the first point: 0.1 · 2 and 2 · 4.
    assert summed.mean == pytest.approx(0.2 / 0.2 - 0.5 * 20 / 8)
    assert summed.se == pytest.approx(0.1 / 0.2 + 0.5 * 2 / 8)
    told = training([{**row, "proxy": 7.0, "proxy_se": 0.5, "proxy_n": 3.0} for row in rows])
    point = analyse(told, weights).proxy.points[2]
    assert (point.mean, point.se, point.n) == (7.0, 0.5, 3)


def test_drift_is_the_last_tenth_less_the_first() -> None:
    rows = [{"response_tokens": float(i), "response_tokens_se": 0.3, "score/proxy": 0.0,
             "response_tokens_n": 5.0} for i in range(20)]  # fmt: skip
    (drift,) = analyse(training(rows), WEIGHTS).drift
    assert (drift.first, drift.last, drift.change) == (0.5, 18.5, 18.0)
    assert drift.high is not None
    assert drift.high - drift.change == pytest.approx(1.96 * 0.3)


@pytest.mark.parametrize("weights", [{}, {"gold": 0.0}, {"other": 1.0}])
def test_without_a_proxy_there_is_no_report(weights: dict[str, float]) -> None:
    with pytest.raises(HarnessError, match="no proxy reward"):
        analyse(gamed(), weights)


def test_the_report_is_read_by_people_and_programs() -> None:
    found = analyse(gamed(), WEIGHTS, training="abc", name="n")
    text = str(found)
    assert max(map(len, text.splitlines())) <= 80
    assert found.watched[0].parting is not None
    at = found.watched[0].parting.point
    assert f"gold parts from the proxy at step {at.step} (KL {at.kl:.1f})" in text
    assert "its peak is step 5." in " ".join(text.split())
    told = found.as_dict()
    assert (told["training"], told["source"], told["alpha"]) == ("abc", "batches", 0.05)
    assert len(found.table()) == 24
    assert found.table()["sqrt_kl"].tolist()[:3] == [0.0, 1.0, 2.0]
    html = analyse(gamed(), WEIGHTS)._repr_html_()
    assert html.count("<table>") == 2
    assert len(found.plot().data) == 4


CONFIG = {
    "trainer": {"label": "t", "name": "t", "settings": {}},
    "scorers": {n: {"weight": w, "reference": n} for n, w in WEIGHTS.items()},
    "samples": {"n": 9},
    "held_out": {"n": 3},
    "seed": 0,
}


def recorded(store: Path, steps: Sequence[TrainingStep]) -> Overoptimisation:
    with Store(store) as opened:
        record = TrainingRecord("abcdef", "t", "finished", "o", CONFIG, {}, 1.0)
        opened.trainings.begin(record)
        for step in steps:
            opened.trainings.add_step("abcdef", step)
    return of_training("last", store=store)


def test_a_recorded_training_is_read_from_its_store(own_store: Path) -> None:
    found = recorded(own_store, gamed())
    assert (found.training, found.name) == ("abcdef", "t")
    assert found.watched == analyse(gamed(), WEIGHTS).watched
    assert of_training("abc") == found
    with pytest.raises(HarnessError, match="xyz"):
        of_training("xyz")


def test_show_prints_the_report_and_json_has_it(
    own_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = recorded(own_store, gamed())
    assert main(["show", "last"]) == 0
    shown = capsys.readouterr().out
    assert str(found) in shown
    assert "score_se" not in shown
    assert main(["show", "last", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["overoptimisation"]
    assert told["watched"][0]["parting"]["point"]["step"] == (
        found.watched[0].parting and found.watched[0].parting.point.step
    )
