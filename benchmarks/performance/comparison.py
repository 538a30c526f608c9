"""What `harness compare` promises, by simulation: coverage, errors of its gate, power.

    python benchmarks/performance/comparison.py                   # 2,000 draws a case
    python benchmarks/performance/comparison.py --draws 10000

Each case draws pairs of scores whose true difference is known, and compares them as the command
does. `held` is how often the 95 % interval holds the true difference. `gate` is how often
`--fail-if 'x<0'` fails though there is none: 2.5 % at most, as it looks to one side. `found` is how
often a true difference of the size that is called detectable has p < 0.05: 80 %.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.comparison import Comparison, Side, check, compare, parse_gate
from harness.comparison.sides import Scored
from harness.significance import detectable

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[Array, Array]]
"""Pairs of scores whose true means are the same."""


@dataclass(frozen=True)
class Case:
    """Scores of one kind; `clusters` has the group of each pair, `se` the true standard error."""

    name: str
    draw: Draw
    clusters: Sequence[str] = ()
    scorers: int = 1
    se: float = math.nan
    df: float = math.nan


def sides(
    pairs: Sequence[tuple[Array, Array]], clusters: Sequence[str], shift: float
) -> list[Side]:
    """Two sides with these scores, the second moved by `shift`."""
    ids = [str(i) for i in range(len(pairs[0][0]))]
    found = []
    for place, by in ((0, 0.0), (1, shift)):
        scored = {f"x{i}": Scored(pair[place] + by, {}) for i, pair in enumerate(pairs)}
        found.append(Side(str(place), str(place), "", ids, scored, len(ids), clusters))
    return found


def compared(case: Case, rng: np.random.Generator, shift: float) -> Comparison:
    """One draw of a case."""
    pairs = [case.draw(rng) for _ in range(case.scorers)]
    return compare(*sides(pairs, case.clusters, shift), moved=0)


def rates(case: Case, draws: int) -> tuple[float, float, float]:
    """How often the interval holds, the gate fails by chance, and what is detectable is found."""
    rng = np.random.default_rng(20261122)
    gates = [parse_gate("*<0")]
    held = failed = found = 0
    shift = detectable(case.se, case.df) if case.se == case.se else 0.0
    for _ in range(draws):
        comparison = compared(case, rng, 0.0)
        d = comparison.results[0].difference
        held += d.low is not None and d.high is not None and d.low <= 0 <= d.high
        failed += any(outcome.failed for outcome in check(gates, comparison))
        if shift:
            p = compared(case, rng, shift).results[0].difference.p
            found += p is not None and p < 0.05
    return held / draws, failed / draws, found / draws if shift else math.nan


def skewed(n: int) -> Draw:
    """Scores of two models that answer alike, and are seldom far apart."""

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        ease = rng.beta(5, 2, n)
        return ease + 0.05 * rng.gamma(1, size=n), ease + 0.05 * rng.gamma(1, size=n)

    return draw


def levels(n: int, moving: float) -> Draw:
    """Scores in steps of a quarter, most of which tie."""

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        first = rng.integers(1, 4, n) / 4
        step = rng.choice([-0.25, 0.25], n) * (rng.random(n) < moving)
        return first, first + step

    return draw


def grades(n: int, differing: float) -> Draw:
    """Right or wrong."""

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        first = (rng.random(n) < 0.5).astype(np.float64)
        flips = rng.random(n) < differing
        return first, np.where(flips, 1 - first, first)

    return draw


def grouped(sizes: Sequence[int], shared: float) -> Draw:
    """Scores that move together within a group."""
    group = np.repeat(np.arange(len(sizes)), sizes)

    def draw(rng: np.random.Generator) -> tuple[Array, Array]:
        together = shared * rng.normal(size=len(sizes))[group]
        first = rng.normal(size=len(group))
        return first, first + together + rng.normal(size=len(group))

    return draw


def cases() -> list[Case]:
    """The kinds of scores that a comparison meets."""
    unequal = [3, 5, 8, 2, 9, 4, 6, 7] * 5
    few = [10] * 12
    names = [f"g{g}" for g, size in enumerate(unequal) for _ in range(size)]
    even = [f"g{g}" for g, size in enumerate(few) for _ in range(size)]
    skewed_se = 0.05 * math.sqrt(2 / 100)
    return [
        Case("100 skewed pairs", skewed(100), se=skewed_se, df=99),
        Case("20 skewed pairs", skewed(20), se=0.05 * math.sqrt(2 / 20), df=19),
        Case("five scorers, Holm", skewed(100), scorers=5),
        Case("40 clusters of 2 to 9", grouped(unequal, 1.0), names),
        Case("12 clusters of 10", grouped(few, 1.0), even, se=math.sqrt(1.1 / 12), df=11),
        Case("80 of 100 tie", levels(100, 0.2)),
        Case("280 of 400 tie", levels(400, 0.3)),
        Case("200 grades, 60 differ", grades(200, 0.3)),
        Case("1,000 grades, 300 differ", grades(1000, 0.3)),
    ]


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    noise = 196 * math.sqrt(0.025 * 0.975 / draws)
    print(f"{draws} draws a case; ± {noise:.1f} points of chance in the gate's errors\n")
    print(f"{'case':<26}{'held %':>8}{'gate %':>8}{'found %':>9}")
    for case in cases():
        held, failed, found = rates(case, draws)
        shown = f"{100 * found:9.1f}" if found == found else f"{'':>9}"
        print(f"{case.name:<26}{100 * held:8.1f}{100 * failed:8.1f}{shown}", flush=True)


if __name__ == "__main__":
    main()
