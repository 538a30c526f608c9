"""Pictures of a training: its metrics over the steps, and reward against distance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from harness.plots.layout import GREY, Plot, Trace, colour, faint, names, number, panels, words

if TYPE_CHECKING:
    from harness.components import TrainingStep
    from harness.overoptimisation.values import Curve, Overoptimisation, Point

_TOLD = {
    "reward": "reward",
    "loss": "loss",
    "kl": "KL to the reference, nats a response",
    "entropy": "entropy, nats a token",
    "response_tokens": "tokens a response",
}
_FEW = 30
_AXES = {"sqrt_kl": "√KL to the reference", "kl": "KL to the reference, nats", "step": "step"}


def training_curves(
    steps: Sequence[TrainingStep], weights: Mapping[str, float] | None = None, *, window: int = 5
) -> Plot:
    """A panel a metric: reward, KL, entropy, length, then each scorer; whichever were reported.

    Thin lines are the values as reported, thick ones the mean of `window` neighbours; points are
    held-out means. `weights` by label say which scorers are only watched.
    """
    shown = [(name, title) for name, title in _TOLD.items() if _reported(steps, name)]
    labels = _labels(steps)
    data: list[Trace] = []
    for panel, (name, _) in enumerate(shown):
        data += _lines(steps, panel, name, colour(0), window)
    for panel, label in enumerate(labels, len(shown)):
        data += _lines(steps, panel, f"score/{label}", colour(0), window)
        data += _lines(steps, panel, f"score_bad/{label}", colour(1), window)
        data += _held_out(steps, panel, label)
    titles = [title for _, title in shown] + [_scorer(label, weights or {}) for label in labels]
    return {"data": data, "layout": panels(titles, "step", showlegend=False)}


def overoptimisation_curves(
    found: Overoptimisation, *, x: Literal["sqrt_kl", "kl", "step"] = "sqrt_kl"
) -> Plot:
    """A panel for the proxy reward and one for each watched scorer, against KL, with intervals.

    √KL is the distance d of Gao et al. 2022 (arXiv 2210.10760). A dotted line says where proxy and
    watched scorer part, a ring where the scorer peaks. Points without KL are left out but by step.
    """
    data: list[Trace] = []
    titles, shapes = [], []
    for panel, curve in enumerate([found.proxy, *found.watched]):
        data += _curve(curve, panel, x)
        titles.append(curve.label + ("" if panel == 0 else ", watched"))
        if curve.parting is not None:
            titles[-1] += f": falls from step {curve.parting.point.step}"
            shapes += _mark(_place(curve.parting.point, x), panel)
    made = panels(titles, _AXES[x], showlegend=False)
    return {"data": data, "layout": made | {"shapes": shapes}}


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Each value as the mean of itself and its neighbours, as many on either side."""
    half = max(0, window // 2)
    reaches = [min(half, i, len(values) - 1 - i) for i in range(len(values))]
    parts = [values[i - reach : i + reach + 1] for i, reach in enumerate(reaches)]
    return [math.fsum(part) / len(part) for part in parts]


def _reported(steps: Sequence[TrainingStep], name: str) -> bool:
    return any(number(step.metrics.get(name)) is not None for step in steps)


def _labels(steps: Sequence[TrainingStep]) -> list[str]:
    """The scorers that some step reports, in order."""
    kinds = ("score/", "score_bad/", "held_out/")
    told = (name for step in steps for name in step.metrics if name.startswith(kinds))
    return list(dict.fromkeys(name.partition("/")[2] for name in told))


def _scorer(label: str, weights: Mapping[str, float]) -> str:
    if label not in weights:
        return label
    return f"{label}, weight {weights[label]:g}" if weights[label] else f"{label}, watched"


def _points(steps: Sequence[TrainingStep], name: str) -> tuple[list[int], list[float]]:
    known = [(s.step, number(s.metrics.get(name))) for s in steps]
    kept = [(step, value) for step, value in known if value is not None]
    return [step for step, _ in kept], [value for _, value in kept]


def _lines(
    steps: Sequence[TrainingStep], panel: int, name: str, shade: str, window: int
) -> list[Trace]:
    """The values as they are and smoothed."""
    x, y = _points(steps, name)
    if not x:
        return []
    told = "%{x}: %{y:.4g}<extra>" + words(name) + "</extra>"
    raw = _trace(panel, x, y, name=words(name), line={"color": faint(shade, 0.35), "width": 1})
    thick = _trace(panel, x, smoothed(y, window), name=f"{words(name)}, smoothed")
    thick |= {"line": {"color": shade, "width": 2}, "hoverinfo": "skip"}
    return [raw | {"hovertemplate": told}, thick]


def _held_out(steps: Sequence[TrainingStep], panel: int, label: str) -> list[Trace]:
    x, y = _points(steps, f"held_out/{label}")
    if not x:
        return []
    errors = dict(zip(*_points(steps, f"held_out_se/{label}"), strict=True))
    bars = {"array": [1.96 * errors.get(step, 0.0) for step in x], "thickness": 1}
    trace = _trace(panel, x, y, name=f"{words(label)}, held out", mode="lines+markers")
    trace |= {"line": {"color": colour(2), "dash": "dot"}, "marker": {"size": 7}}
    return [trace | ({"error_y": bars | {"color": colour(2)}} if errors else {})]


def _curve(curve: Curve, panel: int, x: str) -> list[Trace]:
    points = [p for p in curve.points if number(_place(p, x)) is not None]
    shade, many = colour(0) if panel == 0 else colour(1), len(points) > _FEW
    bars = {
        "array": [p.high - p.mean if p.high is not None else 0.0 for p in points],
        "arrayminus": [p.mean - p.low if p.low is not None else 0.0 for p in points],
        "symmetric": False,
        "thickness": 1,
        "width": 0 if many else 4,
        "color": faint(shade, 0.25 if many else 0.6),
    }
    line = _trace(panel, [_place(p, x) for p in points], [p.mean for p in points])
    line |= {"name": words(curve.label), "mode": "markers" if many else "lines+markers"}
    line |= {"line": {"color": shade}, "error_y": bars}
    line |= {"marker": {"size": 4 if many else 6, "color": faint(shade, 0.5) if many else shade}}
    line |= {"customdata": [p.step for p in points]}
    line["hovertemplate"] = "step %{customdata}: %{y:.4g}<extra>%{fullData.name}</extra>"
    peak = curve.peak
    ring = _trace(panel, [_place(peak, x)], [peak.mean], mode="markers", name="peak")
    ring["marker"] = {"size": 14, "symbol": "circle-open", "color": shade, "line": {"width": 2}}
    ring["hovertemplate"] = f"peak: step {peak.step}<extra></extra>"
    rings = [ring] if number(_place(peak, x)) is not None else []
    return [line, *([_trend(points, panel, x, shade)] if many else []), *rings]


def _trend(points: Sequence[Point], panel: int, x: str, shade: str) -> Trace:
    """Many points smoothed in the order of their places: KL goes to and fro."""
    placed = sorted((_place(p, x) or 0.0, p.mean) for p in points)
    window = len(placed) // 8
    across = smoothed([place for place, _ in placed], window)
    made = _trace(panel, across, smoothed([mean for _, mean in placed], window))
    return made | {"line": {"color": shade, "width": 2}, "hoverinfo": "skip"}


def _place(point: Point, x: str) -> float | None:
    if x == "step":
        return point.step
    if point.kl is None or x == "kl":
        return point.kl
    return math.sqrt(max(point.kl, 0.0))


def _mark(place: float | None, panel: int) -> list[dict[str, object]]:
    if number(place) is None:
        return []
    y = names(panel)[1]
    line = {"color": GREY, "dash": "dot", "width": 1}
    across = {"xref": "x", "yref": f"{y} domain", "y0": 0, "y1": 1}
    return [{"type": "line", "x0": place, "x1": place, **across, "line": line}]


def _trace(panel: int, x: Sequence[object], y: Sequence[float], **more: object) -> Trace:
    across, up = names(panel)
    made = {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y)}
    return {**made, "xaxis": across, "yaxis": up, **more}
