"""What all pictures have in common: colours, a ground, and panels one below the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from harness.errors import HarnessError

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

Plot: TypeAlias = dict[str, object]
"""`data` and `layout`, as plotly.js takes them."""
Trace: TypeAlias = dict[str, object]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito (2008), less black and yellow: each is seen on white and on black."""
DASHES = ("solid", "dash", "dot", "dashdot")
GREY = "#7a7a7a"
"""Text and axes: a contrast of 4.3 on white and 4.9 on black."""
_GRID = "rgba(128,128,128,0.25)"
_GAP, _PANEL, _MARGIN = 46, 150, 90


def figure(plot: Mapping[str, object]) -> Figure:
    """The picture as a Plotly figure, to show in a notebook or to write to a file.

    Raises:
        HarnessError: if Plotly is not installed.
    """
    try:
        from plotly.graph_objects import Figure
    except ImportError as error:
        raise HarnessError(
            "a figure needs plotly; install it: pip install 'samescore[view]'"
        ) from error
    return Figure(plot)


def colour(place: int) -> str:
    """The colour of a series."""
    return COLOURS[place % len(COLOURS)]


def dash(place: int) -> str:
    """The stroke of a series: another one where the colours begin again."""
    return DASHES[place // len(COLOURS) % len(DASHES)]


def faint(hexadecimal: str, share: float) -> str:
    """A colour of `COLOURS` that lets the ground through."""
    red, green, blue = (int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{share:g})"


def layout(height: int, **more: object) -> dict[str, object]:
    """A layout with a clear ground and grey text."""
    return {
        "height": height,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": GREY, "size": 12},
        "colorway": list(COLOURS),
        "margin": {"l": 64, "r": 16, "t": 34, "b": 48},
        "hovermode": "closest",
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
        **more,
    }


def axis(title: str = "", **more: object) -> dict[str, object]:
    """An axis with a faint grid."""
    return {
        "title": {"text": title},
        "gridcolor": _GRID,
        "linecolor": _GRID,
        "zerolinecolor": _GRID,
        "automargin": True,
        **more,
    }


def panels(titles: Sequence[str], x: str, **more: object) -> dict[str, object]:
    """A layout of panels one below the other that share their x axis, each with its title.

    Panel i has the axes `names(i)`.
    """
    count = max(1, len(titles))
    inner = count * _PANEL + (count - 1) * _GAP
    found = layout(inner + _MARGIN, **more)
    annotations = []
    for i, title in enumerate(titles):
        top = 1 - i * (_PANEL + _GAP) / inner
        bottom = top - _PANEL / inner
        _, y = names(i)
        key = "yaxis" + y[1:]
        domain = [max(0.0, bottom), min(1.0, top)]
        found[key] = axis(domain=domain, anchor="x")
        annotations.append(_heading(title, top))
    lowest = names(count - 1)[1]
    found["xaxis"] = axis(x, anchor=lowest)
    found["annotations"] = annotations
    return found


def names(panel: int) -> tuple[str, str]:
    """The axes of a panel, as a trace names them."""
    return "x", "y" if panel == 0 else f"y{panel + 1}"


def number(value: object) -> float | None:
    """A number that JSON has; None for one that is not finite."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else None  # type: ignore[arg-type]


def numbers(values: Sequence[object]) -> list[float | None]:
    """Numbers that JSON has, in order."""
    return [number(value) for value in values]


def words(text: str) -> str:
    """Text as Plotly shows it literally: it reads a few HTML tags."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _heading(text: str, top: float) -> dict[str, object]:
    return {
        "text": words(text),
        "x": 0,
        "y": top,
        "xref": "paper",
        "yref": "paper",
        "xanchor": "left",
        "yanchor": "bottom",
        "showarrow": False,
        "font": {"size": 13},
    }
