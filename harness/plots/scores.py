"""Pictures of scores: how they are distributed, and how far two models are apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.plots.layout import (
    GREY,
    Plot,
    Trace,
    axis,
    colour,
    faint,
    layout,
    names,
    number,
    panels,
    words,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.stats import Difference

_LEAST, _MOST, _FEW = 5, 60, 12


def score_histograms(
    scores: Mapping[str, Sequence[float | None]],
    *,
    other: Mapping[str, Sequence[float | None]] = MappingProxyType({}),
) -> Plot:
    """A panel a scorer: how many completions have which score; what has none is left out.

    Bins are counted here, so the picture is small however many scores there are. Their width is
    Freedman and Diaconis's (1981), and of at most 12 different values each has a bar of its own.
    `other` has the scores of a second run by the same labels, drawn beside the first.
    """
    labels = list(dict.fromkeys([*scores, *other]))
    data: list[Trace] = []
    titles = []
    for panel, label in enumerate(labels):
        sides = [_known(scores.get(label, ())), _known(other.get(label, ()))]
        centres, counts, width = _bins(sides)
        titles.append(f"{label}, n = {' and '.join(str(len(s)) for s in sides if s) or 0}")
        for place, side in enumerate(counts if other else counts[:1]):
            data.append(_bars(panel, place, label, centres, side, width))
    shared = panels(titles, "score", barmode="overlay" if other else "relative", bargap=0.05)
    return {"data": data, "layout": _own_x(shared, len(labels)) | {"showlegend": bool(other)}}


def paired_differences(differences: Mapping[str, Difference]) -> Plot:
    """A line a scorer: the mean paired difference with its interval, against no difference.

    Those whose interval does not hold 0 are blue or orange, the others grey.
    """
    labels = list(differences)
    found = list(differences.values())
    shades = [_shade(d) for d in found]
    trace: Trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [number(d.mean) for d in found],
        "y": [words(label) for label in labels],
        "marker": {"size": 10, "color": shades},
        "customdata": [words(str(d)) for d in found],
        "hovertemplate": "%{y}: %{customdata}<extra></extra>",
        "showlegend": False,
    }
    bars: list[Trace] = [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [number(d.low), number(d.high)],
            "y": [words(label)] * 2,
            "line": {"color": shade, "width": 3},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        for label, d, shade in zip(labels, found, shades, strict=True)
        if d.low is not None
    ]
    made = layout(
        90 + 36 * max(1, len(labels)),
        xaxis=axis("mean difference, 95 % interval", range=_reach(found)),
        yaxis=axis(
            type="category",
            autorange="reversed",
            categoryorder="array",
            categoryarray=[words(label) for label in labels],
        ),
    )
    zero = {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}
    made["shapes"] = [zero | {"line": {"color": GREY, "width": 1}}]
    return {"data": [*bars, trace], "layout": made}


def _known(values: Sequence[float | None]) -> list[float]:
    return [float(v) for v in values if v is not None and math.isfinite(v)]


def _bins(sides: Sequence[Sequence[float]]) -> tuple[list[float], list[list[int]], float]:
    """Centres, counts of each side, and the width that all bins have."""
    import numpy as np

    every = np.concatenate([np.asarray(side, dtype=np.float64) for side in sides])
    if not len(every):
        return [], [[] for _ in sides], 1.0
    different = np.unique(every)
    if len(different) <= _FEW:
        gaps = np.diff(different)
        width = float(gaps.min()) * 0.8 if len(gaps) else 0.1
        counted = [[int((np.asarray(s) == v).sum()) for v in different] for s in sides]
        return different.tolist(), counted, width
    edges = np.linspace(different[0], different[-1], _bin_count(every) + 1)
    counts = [np.histogram(side, edges)[0].tolist() for side in sides]
    return ((edges[1:] + edges[:-1]) / 2).tolist(), counts, float(edges[1] - edges[0])


def _bin_count(values: NDArray[np.float64]) -> int:
    import numpy as np

    low, high = np.percentile(values, [25, 75])
    spread = float(np.max(values) - np.min(values))
    width = 2 * float(high - low) / len(values) ** (1 / 3)
    return min(_MOST, max(_LEAST, math.ceil(spread / width))) if width else _MOST


def _bars(
    panel: int, place: int, label: str, centres: list[float], counts: list[int], width: float
) -> Trace:
    x, y, shade = f"x{panel + 1}" if panel else "x", names(panel)[1], colour(place)
    return {
        "type": "bar",
        "x": centres,
        "y": counts,
        "width": width,
        "xaxis": x,
        "yaxis": y,
        "name": "first" if place == 0 else "other",
        "legendgroup": str(place),
        "showlegend": panel == 0,
        "marker": {"color": faint(shade, 0.6), "line": {"color": shade, "width": 1}},
        "hovertemplate": f"{words(label)} %{{x:.4g}}: %{{y}}<extra></extra>",
    }


def _own_x(made: dict[str, object], count: int) -> dict[str, object]:
    """Scorers have scales of their own, so each panel gets its own x axis."""
    for panel in range(count):
        name = names(panel)[1]
        place = name[1:]
        own = made["yaxis" + place]
        assert isinstance(own, dict)
        made["yaxis" + place] = own | {"anchor": f"x{place}"}
        title = "score" if panel == count - 1 else ""
        made["xaxis" + place] = axis(title, anchor=name)
    return made


def _reach(differences: Sequence[Difference]) -> list[float]:
    """From the lowest to the highest bound, no difference among them, with some room."""
    bounds = [b for d in differences for b in (d.low, d.mean, d.high) if b is not None]
    low, high = min([0.0, *bounds]), max([0.0, *bounds])
    room = 0.05 * (high - low) or 1.0
    return [low - room, high + room]


def _shade(difference: Difference) -> str:
    if difference.low is None or difference.high is None:
        return GREY
    return colour(0) if difference.low > 0 else colour(1) if difference.high < 0 else GREY
