"""Finding the run that a text names: an id, its start, a name, or its place from the end."""

from __future__ import annotations

import difflib
import re

from harness.errors import HarnessError
from harness.store import Store
from harness.store.schema import RunRecord

_LAST = re.compile(r"last(?:~(\d+))?")


def find_run(store: Store, text: str) -> RunRecord:
    """The evaluation of this name or id.

    `last` is the latest and `last~1` the one before. A name stands for the latest run of it, and
    may leave out the file in front of its `::`. Otherwise it is the start of an id.

    Raises:
        HarnessError: if there is none, or more than one; says what comes near.
    """
    runs = store.runs()
    last = _LAST.fullmatch(text)
    if last:
        back = int(last[1] or 0)
        if back >= len(runs):
            raise HarnessError(f"there is no {text}: {store.shown} has {len(runs)} evaluations")
        return runs[-1 - back]
    named = [run for run in runs if text in (run.name, _short(run.name))]
    names = {run.name for run in named if run.name != text} if text else set()
    if named and (len(names) < 2 or any(run.name == text for run in named)):
        exact = [run for run in named if run.name == text]
        return (exact or named)[-1]
    if names:
        raise HarnessError(f"{text!r} may be {' or '.join(sorted(names))}; write the whole name")
    return _by_id(store, runs, text)


def _by_id(store: Store, runs: list[RunRecord], text: str) -> RunRecord:
    found = [run for run in runs if text and run.id.startswith(text)]
    if len(found) == 1:
        return found[0]
    if found:
        raise HarnessError(f"{len(found)} runs start with {text!r}; write more of the id")
    if text and any(t.id.startswith(text) or t.name == text for t in store.trainings.all()):
        raise HarnessError(f"{text!r} is a training; compare evaluations of what it trained")
    known = {key: run.id for run in runs for key in (run.id, run.name, _short(run.name)) if key}
    near = difflib.get_close_matches(text, known, 1)
    latest = ", ".join(f"{run.id} {_short(run.name)}".strip() for run in runs[-3:]) or "none yet"
    hint = f"did you mean {near[0]!r}?" if near else f"the latest: {latest} (harness runs)"
    raise HarnessError(f"no run {text!r} in {store.shown}; {hint}")


def _short(name: str) -> str:
    return name.rpartition("::")[2]
