"""The scale that labels are on, and where a judge's number falls on it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.calibration.resampling import Array

_STEPS = (1.0, 0.5, 0.25, 0.2, 0.1)
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Scale:
    """From `low` to `high` in steps of `step`; with a step of 0 there are no levels.

    `found` says that it was taken from the labels, not given. `choices` are the names of its
    levels, where they are named.
    """

    low: float
    high: float
    step: float = 1.0
    found: bool = False
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return ", ".join(self.choices)
        steps = f"in steps of {self.step:g}" if self.step else "without steps"
        return f"{self.low:g} … {self.high:g} {steps}"

    def has(self, number: float) -> bool:
        """Whether this is a level of the scale, or lies on it where there are no levels."""
        if not self.low - _ROUNDING <= number <= self.high + _ROUNDING:
            return False
        steps = (number - self.low) / self.step if self.step else 0.0
        return abs(steps - round(steps)) < 1e-6

    def places(self, numbers: Array, low: float, high: float) -> Array:
        """Where numbers from `low` to `high` fall when that range is laid on the scale.

        Raises:
            HarnessError: if a number lies outside it by more than rounding.
        """
        import numpy as np

        known = numbers[np.isfinite(numbers)]
        least, most = float(known.min(initial=high)), float(known.max(initial=low))
        slack = 1e-5 * (high - low)
        if least < low - slack or most > high + slack:
            raise HarnessError(
                f"the scorer's numbers go from {least:.4g} to {most:.4g}, outside "
                f"{low:g}:{high:g}; say with --value-range LOW:HIGH what to lay on the scale"
            )
        shares = (np.clip(numbers, low, high) - low) / (high - low)
        return np.asarray(self.low + shares * (self.high - self.low))

    def levels(self, places: Array) -> Array:
        """The nearest level to each place, the upper one of two that are as near."""
        import numpy as np

        if not self.step:
            return places
        steps = np.floor((places - self.low) / self.step + 0.5 + _ROUNDING)
        return np.asarray(np.minimum(self.low + steps * self.step, self.high))


def parse_range(text: str, option: str) -> tuple[float, float]:
    """`LOW:HIGH` as numbers.

    Raises:
        HarnessError: if it is not that, or has no length.
    """
    numbers = _numbers(text)
    if numbers is None or len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise HarnessError(f"{option} is {text!r}; write LOW:HIGH, such as 0:5")
    return numbers[0], numbers[1]


def parse_scale(text: str) -> Scale:
    """A scale from `LOW:HIGH` (steps of 1) or `LOW:HIGH:STEP` (0 for no steps).

    Raises:
        HarnessError: if it is not that, or its steps do not end at HIGH.
    """
    numbers = _numbers(text)
    if numbers is None or len(numbers) not in (2, 3) or not numbers[0] < numbers[1]:
        raise HarnessError(f"--scale is {text!r}; write LOW:HIGH or LOW:HIGH:STEP, such as 0:5")
    scale = Scale(numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else 1.0)
    if scale.step < 0 or not scale.has(scale.high):
        raise HarnessError(
            f"--scale is {text!r}: steps of {scale.step:g} from {scale.low:g} do not end at "
            f"{scale.high:g}; write LOW:HIGH:STEP, with a STEP of 0 for none"
        )
    return scale


def find_scale(labels: Iterable[float]) -> Scale:
    """From the lowest label to the highest, in the largest usual step that fits them all."""
    values = sorted(set(labels))
    for step in _STEPS:
        scale = Scale(values[0], values[-1], step, found=True)
        if all(scale.has(value) for value in values):
            return scale
    return Scale(values[0], values[-1], 0.0, found=True)


def _numbers(text: str) -> list[float] | None:
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
