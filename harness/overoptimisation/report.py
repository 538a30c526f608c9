"""An over-optimisation report as people and programs read it."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from harness.overoptimisation.values import ALPHA, Curve, Drift, Overoptimisation, Point

_ROWS, _SCORERS, _SCORERS_WITH_INTERVAL = 8, 5, 3
_WIDTH = 80
NONE = "–"


def as_text(found: Overoptimisation) -> str:
    """The report in 80 columns: what became of each scorer, of the answers, and the curve."""
    parts = [_head(found), _scorers(found), _verdicts(found)]
    parts += [_drifts(found.drift)] if found.drift else []
    return "\n\n".join([*parts, _curve(found)])


def as_html(found: Overoptimisation) -> str:
    """The same in a notebook."""
    from html import escape

    from harness.report import html_table

    tables = [html_table(_SCORER_HEADS, _scorer_rows(found), _head(found))]
    tables.append(f"<p>{escape(_verdicts(found))}</p>")
    if found.drift:
        tables.append(html_table(_DRIFT_HEADS, map(_drift_row, found.drift), "answers"))
    return "".join(tables)


def as_dict(found: Overoptimisation) -> dict[str, object]:
    """The report as JSON-like values."""
    return {
        "training": found.training,
        "name": found.name,
        "source": found.source,
        "errors": found.errors,
        "alpha": ALPHA,
        "proxy": asdict(found.proxy),
        "watched": [asdict(curve) for curve in found.watched],
        "drift": [{**asdict(drift), "change": drift.change} for drift in found.drift],
    }


def flat(found: Overoptimisation) -> list[dict[str, object]]:
    """One record a point of a curve."""
    return [
        {
            "scorer": curve.label,
            "weight": curve.weight,
            **asdict(point),
            "sqrt_kl": None if point.kl is None else math.sqrt(max(point.kl, 0.0)),
        }
        for curve in (found.proxy, *found.watched)
        for point in curve.points
    ]


_SCORER_HEADS = ["scorer", "first", "peak", "last", "±", "peak at", "KL", "p of parting"]
_DRIFT_HEADS = ["answers", "first", "last", "change", "95 % interval"]


def _head(found: Overoptimisation) -> str:
    where = "held-out rows" if found.source == "held_out" else "batches trained on"
    n = len(found.proxy.points)
    return f"over-optimisation, by {n} means over the {where}"


def _scorers(found: Overoptimisation) -> str:
    from harness.report import plain_table

    return plain_table(_SCORER_HEADS, _scorer_rows(found), width=_WIDTH)


def _scorer_rows(found: Overoptimisation) -> Iterator[list[str]]:
    for curve in (found.proxy, *found.watched):
        first, peak, last = curve.points[0], curve.peak, curve.points[-1]
        p = NONE if curve.p is None else p_text(curve.p)
        digits = _digits(last)
        means = [number(point.mean, digits) for point in (first, peak, last)]
        at = [str(peak.step), number(peak.kl, 1)]
        yield [_brief(curve.label, 24), *means, _half(last), *at, p]


def _verdicts(found: Overoptimisation) -> str:
    lines = [_verdict(curve) for curve in found.watched]
    if not lines:
        lines = ["No scorer is watched: give one a weight of 0 to see whether the proxy is gamed."]
    return "\n".join(
        textwrap.fill(line, _WIDTH, subsequent_indent="  ", break_long_words=False)
        for line in lines
    )


def _verdict(curve: Curve) -> str:
    parted, peak = curve.parting, curve.peak
    if parted is not None:
        at = parted.point
        far = "" if at.kl is None else f" (KL {number(at.kl, 1)})"
        return (
            f"{curve.label} parts from the proxy at step {at.step}{far}: from there on the proxy "
            f"rises and {curve.label} falls, p = {p_text(curve.p)}; its peak is step {peak.step}."
        )
    if curve.p is None:
        return f"{curve.label}: too few points to tell whether it parts from the proxy."
    return f"{curve.label}: no sign that it falls where the proxy rises (p = {p_text(curve.p)})."


def _drifts(drifts: Sequence[Drift]) -> str:
    from harness.report import plain_table

    return plain_table(_DRIFT_HEADS, map(_drift_row, drifts), width=_WIDTH)


def _drift_row(drift: Drift) -> list[str]:
    bounds = NONE
    if drift.low is not None and drift.high is not None:
        bounds = f"{number(drift.low, sign=True)} … {number(drift.high, sign=True)}"
    change = number(drift.change, sign=True)
    return [drift.name, number(drift.first), number(drift.last), change, bounds]


def _curve(found: Overoptimisation) -> str:
    """The means of steps at even distances; as many scorers as fit."""
    from harness.report import plain_table

    shown = [found.proxy, *found.watched][:_SCORERS]
    told = _mean if len(shown) <= _SCORERS_WITH_INTERVAL else _bare
    points = found.proxy.points
    reach = min(_ROWS, len(points)) - 1
    chosen = [points[round(i * (len(points) - 1) / max(reach, 1))] for i in range(reach + 1)]
    columns = [{p.step: p for p in curve.points} for curve in shown]
    rows = [
        [
            str(point.step),
            number(point.kl, 1),
            number(None if point.kl is None else math.sqrt(max(point.kl, 0.0)), 2),
            *(told(column.get(point.step)) for column in columns),
        ]
        for point in chosen
    ]
    heads = ["step", "KL", "√KL", *(_brief(curve.label, 15) for curve in shown)]
    return plain_table(heads, rows, width=_WIDTH)


def _mean(point: Point | None) -> str:
    """A mean with half of its interval."""
    return (
        _bare(point) if point is None or point.high is None else f"{_bare(point)} ±{_half(point)}"
    )


def _bare(point: Point | None) -> str:
    return NONE if point is None else number(point.mean, _digits(point))


def _half(point: Point) -> str:
    return NONE if point.high is None else number(point.high - point.mean, _digits(point))


def _digits(point: Point) -> int:
    """Decimals: two digits of half the interval, or three."""
    half = 0.0 if point.high is None else point.high - point.mean
    return max(0, min(6, 1 - math.floor(math.log10(half)))) if half else 3


def number(value: float | None, digits: int = 3, *, sign: bool = False) -> str:
    """A number of so many decimals."""
    if value is None:
        return NONE
    text = f"{value:{'+' if sign else ''}.{digits}f}" if abs(value) < 1e6 else f"{value:.3g}"
    zero = not any(c in "123456789" for c in text)
    return (text.lstrip("+-") if zero else text).replace("-", "−")


def p_text(p: float | None) -> str:
    """A p: the smallest that draws can give is a bound."""
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def _brief(label: str, width: int) -> str:
    return label if len(label) <= width else f"{label[: width - 1]}…"
