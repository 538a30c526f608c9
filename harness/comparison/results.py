"""What a comparison gives: a result for each suite, pair of sides and scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from harness.comparison.certificate import Certificate
    from harness.comparison.matching import Matched
    from harness.comparison.measuring import Codes, Method, Test
    from harness.comparison.sides import Array, Side
    from harness.stats import Difference
    from harness.store.columns import Texts

ALPHA, POWER = 0.05, 0.8


@dataclass(frozen=True, slots=True)
class Options:
    """How to compare; see `compare`."""

    scorers: tuple[str, ...] = ()
    all_pairs: bool = False
    method: Method = "t"
    moved: int = 3
    seed: int = 0
    allow_different_scorers: bool = False
    allow_different_samples: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """A sample whose score moved: its id, its scores, and the texts where they are recorded."""

    sample: str
    first: float
    other: float
    texts: tuple[Texts | None, Texts | None] = (None, None)


@dataclass(frozen=True, slots=True)
class Result:
    """What one scorer says of two sides, over the samples that it scored on both.

    `difference` is that of the other side less the first, `test` what its p is of, and `p_holm`
    the same adjusted for all results of the comparison. `detectable` is the smallest true
    difference that had been found with 80 % power at 5 % (two-sided). Of the `common` samples
    `lacking` counts those that have no score on the first side, and on the other.
    """

    suite: str
    scorer: str
    first: str
    other: str
    mean_first: float
    mean_other: float
    difference: Difference
    test: Test
    detectable: float | None
    lacking: tuple[int, int]
    moved: tuple[Moved, ...]
    values: tuple[Array, Array] = field(compare=False, repr=False)
    clusters: Codes | None = field(compare=False, repr=False)
    common: int
    p_holm: float | None = None


@dataclass(frozen=True, slots=True)
class Suite:
    """The sides of one suite, by letter; of each pair of letters how its samples were matched."""

    name: str
    sides: Mapping[str, Side]
    matched: Mapping[tuple[str, str], Matched]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Sides compared; each result is of one suite, pair and scorer."""

    suites: tuple[Suite, ...]
    results: tuple[Result, ...]
    certificates: tuple[Certificate, ...]
    notes: tuple[str, ...]
    options: Options

    def as_dict(self) -> dict[str, object]:
        """The comparison as JSON-like values."""
        from harness.comparison.report import as_dict

        return as_dict(self)

    def table(self) -> pd.DataFrame:
        """One row a result."""
        import pandas as pd

        from harness.comparison.report import flat

        return pd.DataFrame([flat(result) for result in self.results])

    def plot(self) -> Figure:
        """Each result's mean difference with its interval, as a Plotly figure.

        Raises:
            HarnessError: if Plotly is not installed.
        """
        from harness.plots import figure, paired_differences

        several = len({result.suite for result in self.results}) > 1
        found = {_name(result, several): result.difference for result in self.results}
        return figure(paired_differences(found))

    def __str__(self) -> str:
        from harness.comparison.report import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from harness.comparison.markdown import as_html

        return as_html(self)


def _name(result: Result, several: bool) -> str:
    """A result in a picture: its scorer and sides, and its suite where there are several."""
    suite = f"{result.suite}: " if several else ""
    return f"{suite}{result.scorer}, {result.other} − {result.first}"
