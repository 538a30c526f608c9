"""Conditions under which a comparison fails: `bertscore<0`, `bertscore.low<-0.01`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.comparison.measuring import measure
from harness.comparison.results import ALPHA
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.comparison.results import Comparison, Result

_FORM = re.compile(r"\s*(.+?)\s*([<>])\s*([^\s<>]+)\s*")
_FIGURES = ("low", "high", "mean", "unscored")
EVERY = "*"


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on a scorer's difference, or on all scorers' (`*`).

    Without a `figure` it asks whether the difference is significantly beyond `number`. A figure
    is compared as it is: `low`, `high` and `mean` of the difference, and the share of common
    samples that are `unscored` on the other side.
    """

    scorer: str
    figure: str
    sign: str
    number: float

    def __str__(self) -> str:
        figure = f".{self.figure}" if self.figure else ""
        return f"{self.scorer}{figure}{self.sign}{self.number:g}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a gate for one result: `p_holm` is None where it asks for no significance."""

    gate: Gate
    result: Result
    failed: bool
    told: str
    p_holm: float | None = None


def parse_gate(text: str) -> Gate:
    """A condition such as `bertscore<0`.

    Raises:
        HarnessError: for what is no condition.
    """
    form = _FORM.fullmatch(text)
    number = _number(form[3]) if form else None
    if form is None or number is None:
        raise HarnessError(
            f"--fail-if is {text!r}; write SCORER<NUMBER or SCORER>NUMBER: 'bertscore<0'"
        )
    scorer, _, figure = form[1].rpartition(".")
    if figure not in _FIGURES or not scorer:
        scorer, figure = form[1], ""
    if figure == "unscored" and not 0 <= number <= 1:
        raise HarnessError(f"--fail-if {text!r}: the share of what is unscored lies in 0..1")
    return Gate(scorer, figure, form[2], number)


def check(gates: Sequence[Gate], comparison: Comparison, alpha: float = ALPHA) -> list[Outcome]:
    """What comes of the gates, for every result that they speak of.

    A gate without a figure fails where the difference is beyond its number, with a two-sided p
    below `alpha`, adjusted by Holm's method for all such gates and results. So where nothing got
    worse, one of them fails by chance in `alpha` / 2 of the cases at most.

    Raises:
        HarnessError: for a scorer that was not compared.
    """
    asked = [(gate, result) for gate in gates for result in _meant(gate, comparison)]
    adjusted = _adjusted(asked, comparison)
    return [
        _outcome(gate, result, adjusted.get(i), alpha) for i, (gate, result) in enumerate(asked)
    ]


def _adjusted(asked: Sequence[tuple[Gate, Result]], comparison: Comparison) -> dict[int, float]:
    from harness.significance import holm

    ps = {
        i: p
        for i, (gate, result) in enumerate(asked)
        if not gate.figure and (p := _p(gate, result, comparison)) is not None
    }
    return dict(zip(ps, holm(list(ps.values())), strict=True))


def _p(gate: Gate, result: Result, comparison: Comparison) -> float | None:
    """The two-sided p for a difference of the gate's number; 1 where it lies on the good side."""
    first, other = result.values
    found, beyond = result.difference, result.difference.mean - gate.number
    if gate.number:
        options = comparison.options
        moved = first + gate.number
        found, _ = measure(other, moved, result.clusters, options.method, options.seed)
    if found.p is None:
        return None
    return found.p if (beyond < 0) == (gate.sign == "<") and beyond else 1.0


def _outcome(gate: Gate, result: Result, p_holm: float | None, alpha: float) -> Outcome:
    d = result.difference
    where = f"{result.scorer}, {result.other} − {result.first}"
    if not gate.figure:
        failed = p_holm is not None and p_holm < alpha
        sure = "not known, as of one sample" if p_holm is None else f"p={p_holm:.2g} with Holm"
        return Outcome(gate, result, failed, _told(gate, failed, f"{where}: {d}; {sure}"), p_holm)
    value = _figure(gate.figure, result)
    failed = value is None or (value < gate.number if gate.sign == "<" else value > gate.number)
    shown = "not known" if value is None else f"{value:.4g}"
    return Outcome(gate, result, failed, _told(gate, failed, f"{where}: {gate.figure} is {shown}"))


def _told(gate: Gate, failed: bool, what: str) -> str:
    return f"{'failed' if failed else 'passed'}: fail if {gate} ({what})"


def _figure(name: str, result: Result) -> float | None:
    d = result.difference
    if name == "unscored":
        # Of the common samples: those with a score of both sides, and those without.
        return result.lacking[1] / result.common
    return {"low": d.low, "high": d.high, "mean": d.mean}[name]


def _meant(gate: Gate, comparison: Comparison) -> Iterator[Result]:
    labels = list(dict.fromkeys(result.scorer for result in comparison.results))
    meant = labels if gate.scorer == EVERY else [_label(gate.scorer, labels)]
    return (result for result in comparison.results if result.scorer in meant)


def _label(name: str, labels: Sequence[str]) -> str:
    named = [label for label in labels if label.partition(":")[0] == name]
    if name in labels or len(named) == 1:
        return name if name in labels else named[0]
    near = difflib.get_close_matches(name, labels, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(labels)}"
    raise HarnessError(f"--fail-if: no one scorer {name!r} was compared; {hint}")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
