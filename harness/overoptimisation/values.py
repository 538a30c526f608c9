"""What an over-optimisation report holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

ALPHA = 0.05
"""The chance, at most, that a report names a parting where there is none."""


@dataclass(frozen=True, slots=True)
class Point:
    """A mean at a step, with its 95 % interval, and the KL to the reference there.

    `se`, `low` and `high` are None where the trainer reported too little to know them, `n` where
    it did not say how many values there were, `kl` where it reported none.
    """

    step: int
    kl: float | None
    mean: float
    se: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class Parting:
    """Where the proxy goes on rising while a watched scorer falls.

    `point` is the watched scorer's point from which, to the end of the training, the proxy rises
    by `proxy_slope` a step and the scorer falls by `slope` (below 0) a step: the slopes of least
    squares over that stretch as a whole, of which parts may be level.
    """

    point: Point
    slope: float
    proxy_slope: float


@dataclass(frozen=True, slots=True)
class Curve:
    """A scorer over a training. `weight` is None for the proxy, the weighted sum of scorers.

    `peak` is its highest point, the first of several. `p` is the parting's, adjusted for every
    place where it could be and for every watched scorer; None where it could not be tested.
    `parting` is there if p is at most `ALPHA`.
    """

    label: str
    weight: float | None
    points: tuple[Point, ...]
    peak: Point
    p: float | None = None
    parting: Parting | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """How a figure of the answers moved: over the first and the last tenth of the points.

    `low` and `high` bound the change at 95 %, None where its error is not known.
    """

    name: str
    first: float
    last: float
    low: float | None = None
    high: float | None = None

    @property
    def change(self) -> float:
        """Last less first."""
        return self.last - self.first


@dataclass(frozen=True, slots=True)
class Overoptimisation:
    """A training's proxy reward and watched scorers, with what became of the answers.

    `source` says which points these are: `held_out` evaluations, or means over the `batches` that
    were trained on. `errors` says where intervals come from: the trainer's standard errors
    (`reported`), or the scatter from each point to the next (`scatter`).
    """

    training: str
    name: str
    source: Literal["held_out", "batches"]
    errors: Literal["reported", "scatter"]
    proxy: Curve
    watched: tuple[Curve, ...]
    drift: tuple[Drift, ...]

    def as_dict(self) -> dict[str, object]:
        """The report as JSON-like values."""
        from harness.overoptimisation.report import as_dict

        return as_dict(self)

    def table(self) -> pd.DataFrame:
        """One row a point of a curve."""
        import pandas as pd

        from harness.overoptimisation.report import flat

        return pd.DataFrame(flat(self))

    def plot(self) -> Figure:
        """Each curve against √KL, with its intervals, as a Plotly figure.

        Raises:
            HarnessError: if Plotly is not installed.
        """
        from harness.plots import figure, overoptimisation_curves

        return figure(overoptimisation_curves(self))

    def __str__(self) -> str:
        from harness.overoptimisation.report import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from harness.overoptimisation.report import as_html

        return as_html(self)
