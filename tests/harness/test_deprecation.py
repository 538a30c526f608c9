"""A deprecated function works, and tells once, at the line that calls it, what to use instead."""

from __future__ import annotations

import inspect
import warnings

import pytest

from harness.deprecation import deprecated


def old() -> int:
    """Adds as ever."""

    @deprecated(since="0.2", gone_in="0.4", instead="sum")
    def add(a: int, b: int = 1) -> int:
        """Adds two numbers."""
        return a + b

    assert (add.__name__, add.__doc__) == ("add", "Adds two numbers.")
    assert list(inspect.signature(add).parameters) == ["a", "b"]
    return add(1, b=2) + add(3)


def test_it_works_and_warns_once_where_it_is_called() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert old() == 7
    (warning,) = caught
    assert warning.category is DeprecationWarning
    assert warning.filename == __file__
    assert str(warning.message).endswith(
        "add is deprecated since samescore 0.2 and gone in 0.4; use sum"
    )


def test_where_warnings_are_errors_every_call_is_one() -> None:
    """The first must not use the warning up: tests that run later would pass by chance."""

    @deprecated(since="0.2", gone_in="0.4", instead="sum")
    def add(a: int) -> int:
        return a

    for _ in range(2):
        with pytest.raises(DeprecationWarning, match="use sum"):
            add(1)
