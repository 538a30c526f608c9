"""What the over-optimisation report promises, by simulation: how often it names a parting.

    python benchmarks/performance/overoptimisation.py                   # 2,000 draws a case
    python benchmarks/performance/overoptimisation.py --draws 10000

Each case draws trainings: values of the proxy and of watched scorers at a number of points. `named`
is how often a parting is named. Where there is none it is 2.5 % at most if one side's hypothesis
holds everywhere, and 5 % at most whatever holds where. Where there is one it is the test's power,
and `off` is by how many points the place that is named lies from the true one, in the median.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.components import TrainingStep
from harness.overoptimisation import Overoptimisation, analyse

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator], tuple[Array, list[Array]]]
"""Values [points, n] of the proxy, and of each watched scorer."""


@dataclass(frozen=True)
class Case:
    """Trainings of one kind; `parts` is the point at which they part, None where they do not.

    `told` says whether the trainer reports standard errors.
    """

    name: str
    draw: Draw
    parts: int | None = None
    told: bool = True


def report(proxy: Array, watched: Sequence[Array], *, told: bool) -> Overoptimisation:
    """The report of one draw."""
    labels = {"proxy": proxy, **{f"w{i}": values for i, values in enumerate(watched)}}
    steps = []
    for i in range(len(proxy)):
        metrics = {"kl": float(i)}
        for label, values in labels.items():
            n = values.shape[1]
            metrics[f"score/{label}"] = float(values[i].mean())
            if told:
                metrics[f"score_se/{label}"] = float(values[i].std(ddof=1)) / math.sqrt(n)
                metrics[f"score_n/{label}"] = float(n)
        steps.append(TrainingStep(i, len(proxy), metrics))
    return analyse(steps, {label: float(label == "proxy") for label in labels})


def rates(case: Case, draws: int) -> tuple[float, float]:
    """How often a parting is named, and how far off in the median."""
    rng = np.random.default_rng(20221019)
    named, off = 0, list[int]()
    for _ in range(draws):
        proxy, watched = case.draw(rng)
        found = report(proxy, watched, told=case.told)
        partings = [curve.parting for curve in found.watched if curve.parting is not None]
        named += bool(partings)
        if case.parts is not None:
            off += [abs(parting.point.step - case.parts) for parting in partings]
    return named / draws, statistics.median(off) if off else math.nan


def path(*corners: tuple[int, float]) -> Array:
    """A mean that goes straight from corner to corner, each a point and a height."""
    x, y = zip(*corners, strict=True)
    found: Array = np.interp(np.arange(x[0], x[-1] + 1), x, y)
    return found


def normal(mean: Array, n: int, spread: Array | float = 1.0) -> Callable[..., Array]:
    """Normal values around a mean."""

    def draw(rng: np.random.Generator) -> Array:
        noise: Array = rng.normal(size=(len(mean), n))
        return np.asarray(mean[:, None] + noise * np.reshape(spread, (-1, 1)), dtype=np.float64)

    return draw


def skewed(points: int, n: int) -> Callable[..., Array]:
    """Skewed values, in the mean always the same."""

    def draw(rng: np.random.Generator) -> Array:
        return rng.gamma(1, size=(points, n))

    return draw


def grades(mean: Array, n: int) -> Callable[..., Array]:
    """Right or wrong."""

    def draw(rng: np.random.Generator) -> Array:
        return (rng.random((len(mean), n)) < mean[:, None]).astype(np.float64)

    return draw


def same_rows(points: int, n: int) -> Callable[..., Array]:
    """Held-out rows, the same at each point, of which some are easy and some are hard."""

    def draw(rng: np.random.Generator) -> Array:
        found: Array = rng.normal(size=n) + 0.5 * rng.normal(size=(points, n))
        return found

    return draw


def case(
    name: str,
    proxy: Callable[..., Array],
    *watched: Callable[..., Array],
    parts: int | None = None,
    told: bool = True,
) -> Case:
    """A case whose scorers vary independently."""
    return Case(name, lambda rng: (proxy(rng), [draw(rng) for draw in watched]), parts, told)


def cases() -> list[Case]:
    """The kinds of trainings that a report meets."""
    up, long = path((0, 0), (14, 3)), path((0, 0), (99, 3))
    flat, down = np.zeros(15), path((0, 3), (14, 0))
    peak = path((0, 0), (5, 0.8), (14, -0.6))
    rise = normal(up, 32)
    return [
        case("watched stays, 15 points of 32", rise, normal(flat, 32)),
        case("watched stays, 100 points of 16", normal(long, 16), normal(np.zeros(100), 16)),
        case("watched stays, skewed", rise, skewed(15, 32)),
        case("watched stays, 5 points of 12, skewed", normal(up[::3], 12), skewed(5, 12)),
        case("watched stays, its spread x 4", rise, normal(flat, 32, np.linspace(1, 4, 15))),
        case("watched stays, grades of 5 %", rise, grades(flat + 0.05, 32)),
        case("watched stays, same held-out rows", rise, same_rows(15, 32)),
        case("watched rises a little", rise, normal(up / 30, 32)),
        case("five watched stay", rise, *[normal(flat, 32) for _ in range(5)]),
        case("watched falls, proxy stays", normal(flat, 32), normal(down, 32)),
        case("no errors told, 15 points", rise, normal(flat, 32), told=False),
        case("no errors told, 100", normal(long, 16), normal(np.zeros(100), 16), told=False),
        case("gamed from point 5", rise, normal(peak, 32), parts=5),
        case("gamed, grades", rise, grades(0.6 + peak / 4, 32), parts=5),
        case("gamed, no errors told", rise, normal(peak, 32), parts=5, told=False),
    ]


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    noise = 196 * math.sqrt(0.025 * 0.975 / draws)
    print(f"{draws} draws a case; ± {noise:.1f} points of chance in an error of 2.5 %\n")
    print(f"{'case':<40}{'named %':>9}{'off':>6}")
    for each in cases():
        named, off = rates(each, draws)
        shown = f"{off:6.1f}" if off == off else ""
        print(f"{each.name:<40}{100 * named:9.1f}{shown}", flush=True)


if __name__ == "__main__":
    main()
