"""Finding a record by the start of its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from harness.errors import HarnessError


class Record(Protocol):
    """What has an id."""

    @property
    def id(self) -> str: ...


R = TypeVar("R", bound=Record)


def one_of(every: Sequence[R], prefix: str, *, noun: str, where: str) -> R:
    """The record whose id starts with `prefix`; `last` names the last of them.

    Raises:
        HarnessError: if there is none, or more than one; calls them `noun`, in the store `where`.
    """
    matching = [record for record in every if record.id.startswith(prefix)]
    found = list(every[-1:]) if prefix == "last" else matching
    if len(found) == 1:
        return found[0]
    if found:
        raise HarnessError(f"{len(found)} {noun}s start with {prefix!r}; write more of the id")
    known = ", ".join(record.id for record in every[-3:]) or "none yet"
    raise HarnessError(f"no {noun} {prefix!r} in {where}; the latest: {known} (harness runs)")
