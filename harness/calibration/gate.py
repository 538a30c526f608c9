"""Conditions under which a calibration fails: `kappa<0.6`, `kappa.low<0.5`, `unscored>0.02`."""

from __future__ import annotations

import difflib
import math
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.calibration.run import Calibration

_MEASURES = ("kappa", "alpha", "spearman", "exact", "within_1")
_WITH_BOUNDS = (
    *_MEASURES, "bias", "length", "length_partial", "identical", "sd", "repeat_alpha",
    "flips", "first",
)  # fmt: skip
NAMES = (
    *_WITH_BOUNDS,
    "n",
    "unscored",
    *(f"{name}.{end}" for name in _WITH_BOUNDS for end in ("low", "high")),
)
_COMPARE = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*([\w.]+)\s*(<=|>=|<|>)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """Fails a calibration if it holds, or if the figure is not known: that is no reason to pass."""

    name: str
    sign: str
    number: float

    def __str__(self) -> str:
        return f"{self.name}{self.sign}{self.number:g}"

    def fails(self, calibration: Calibration) -> bool:
        """Whether it fails this one."""
        value = figure(calibration, self.name)
        return value is None or bool(_COMPARE[self.sign](value, self.number))

    def told(self, calibration: Calibration) -> str:
        """What came of it, in a line, with what has no score."""
        value = figure(calibration, self.name)
        verdict = "failed" if self.fails(calibration) else "passed"
        shown = f"{self.name} is {'not known' if value is None else f'{value:.4g}'}"
        return f"{verdict}: fail if {self} ({shown}; n_unscored={calibration.unscored})"


def parse_condition(text: str) -> Condition:
    """A condition such as `kappa<0.6`.

    Raises:
        HarnessError: for what is no condition, and a figure that there is not.
    """
    form = _FORM.fullmatch(text)
    number = _number(form[3]) if form else None
    if form is None or number is None:
        raise HarnessError(f"--fail-if is {text!r}; write NAME<NUMBER or NAME>NUMBER: 'kappa<0.6'")
    if form[1] not in NAMES:
        near = difflib.get_close_matches(form[1], NAMES, 1)
        plain = ", ".join(name for name in NAMES if "." not in name)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {plain}; and .low, .high of it"
        raise HarnessError(f"--fail-if {text!r}: there is no figure {form[1]!r}; {hint}")
    return Condition(form[1], form[2], number)


def figure(calibration: Calibration, name: str) -> float | None:
    """A figure of a calibration by its name; None where it is not known."""
    c = calibration
    if name in ("n", "unscored"):
        return float(c.items) if name == "n" else c.unscored / c.verdicts
    whole, _, end = name.partition(".")
    if whole == "bias":
        return {"": c.bias.mean, "low": c.bias.low, "high": c.bias.high}[end]
    found = {
        **c.agreement.judge,
        "length": c.length.difference,
        "length_partial": c.length.partial,
    }
    if c.consistency:
        found["identical"], found["sd"] = c.consistency.identical, c.consistency.sd
        found["repeat_alpha"] = c.consistency.alpha
    if c.position:
        found["flips"], found["first"] = c.position.flips, c.position.first
    estimate = found.get(whole)
    if estimate is None:
        return None
    return {"": estimate.value, "low": estimate.low, "high": estimate.high}[end]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
