"""How the figures of a comparison are written: no more digits than they are sure of."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.comparison.results import Result

MINUS, NONE = "−", "–"


class Written(NamedTuple):
    """A result as text: the cells of its tables."""

    scorer: str
    first: str
    other: str
    difference: str
    interval: str
    p: str
    p_holm: str
    n: str
    better: str
    same: str
    worse: str
    detectable: str
    test: str


def written(result: Result) -> Written:
    """A result's cells."""
    d, digits = result.difference, _digits(result)
    known = d.low is not None and d.high is not None
    low, high = (_signed(v, digits) if v is not None else "" for v in (d.low, d.high))
    units = f"{d.n}" if d.clusters is None else f"{d.n}/{d.clusters}"
    return Written(
        scorer=result.scorer,
        first=_plain(result.mean_first, digits),
        other=_plain(result.mean_other, digits),
        difference=_signed(d.mean, digits),
        interval=f"{low} … {high}" if known else NONE,
        p=p_text(d.p),
        p_holm=p_text(result.p_holm),
        n=units,
        better=str(d.wins),
        same=str(d.ties),
        worse=str(d.losses),
        detectable=NONE if result.detectable is None else _plain(result.detectable, digits),
        test=result.test,
    )


def p_text(p: float | None) -> str:
    """A p value: two digits, or its power of ten."""
    if p is None:
        return NONE
    if p < 5e-4:
        return "<1e-99" if p < 1e-99 else f"{p:.0e}".replace("e-0", "e-")
    return f"{p:.3f}" if p < 0.0995 else f"{p:.2f}"


def unscored_text(causes: Mapping[str, int]) -> str:
    """How many have no score, and why: `5 (3 timeout, 2 empty)`."""
    total = sum(causes.values())
    most = sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    told = ", ".join(f"{count} {cause}" for cause, count in most)
    return f"{total} ({told})" if total else "0"


def brief(text: str, width: int) -> str:
    """Text in one line, cut in its middle where it is longer than `width`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(line) <= width:
        return line or NONE
    head = (width - 1) * 2 // 3
    return f"{line[:head]}…{line[len(line) - (width - 1 - head) :]}"


def score_text(value: float) -> str:
    """One sample's score."""
    return f"{value:.4g}".replace("-", MINUS)


def _digits(result: Result) -> int:
    """Decimals: two digits of half the interval, and three at least of the difference itself."""
    d = result.difference
    half = (d.high - d.low) / 2 if d.high is not None and d.low is not None else 0.0
    scale = half or abs(d.mean) / 10 or abs(result.mean_first) / 1000
    return max(0, min(8, 1 - math.floor(math.log10(scale)))) if scale else 1


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}" if abs(value) < 1e7 else f"{value:.4g}"
    return text.replace("-", MINUS)


def _signed(value: float, digits: int) -> str:
    text = f"{value:+.{digits}f}" if abs(value) < 1e7 else f"{value:+.4g}"
    zero = not any(c in "123456789" for c in text)
    return (text[1:] if zero else text).replace("-", MINUS)


def of_suites(results: tuple[Result, ...]) -> Iterator[tuple[str, str, str, list[Result]]]:
    """The results of each suite and pair of sides together, in order."""
    found: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.suite, result.first, result.other), []).append(result)
    for (suite, first, other), some in found.items():
        yield suite, first, other, some
