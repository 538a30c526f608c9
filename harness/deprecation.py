"""What will go: it works as before, and says once what to use in its place.

Example:
    @deprecated(since="0.2", gone_in="0.4", instead="harness.evaluate")
    def run_all(samples: Sequence[Sample]) -> Evaluation: ...
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def deprecated(
    *, since: str, gone_in: str, instead: str
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function; its first call in a process gives a DeprecationWarning at the caller's line.

    Args:
        since: The release that deprecates it.
        gone_in: The release that will not have it: at least one minor release later.
        instead: What to use in its place.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        told = False
        text = (
            f"{function.__module__}.{function.__qualname__} is deprecated since samescore {since} "
            f"and gone in {gone_in}; use {instead}"
        )

        @functools.wraps(function)
        def marked(*arguments: P.args, **keywords: P.kwargs) -> R:
            nonlocal told
            if not told:
                warnings.warn(text, DeprecationWarning, stacklevel=2)
                told = True  # only now: where warnings are errors, each call is one
            return function(*arguments, **keywords)

        return marked

    return mark
