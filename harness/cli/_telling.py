"""What commands tell of a run: a row with its scores, and where it came from; and JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from typing import TextIO

from harness.components import Completion, Score
from harness.data.plain import plain, printable

_WIDTH = 80
_ITEMS = 5


@contextmanager
def unlogged() -> Iterator[None]:
    """Keep what is logged of broken plugins from where it is printed anyway."""
    logger = logging.getLogger("harness")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


_results: TextIO | None = None


@contextmanager
def results_alone() -> Iterator[None]:
    """Have `print_json` alone print to standard output: what plugins print goes to standard error.

    So does what programs print that they start, where this process has a standard output.
    """
    global _results
    kept, _results = _results, sys.stdout
    with redirect_stdout(sys.stderr), _own_number() as stream:
        _results = stream or _results
        try:
            yield
        finally:
            _results.flush()
            _results = kept


@contextmanager
def _own_number() -> Iterator[TextIO | None]:
    """Standard output under another number, while its own one leads to standard error."""
    try:
        real = sys.__stdout__ is not None and _results is sys.__stdout__ and os.fstat(2)
    except OSError:
        real = False
    if not real or _results is None:
        yield None
        return
    _results.flush()
    number = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(number), "w", errors="backslashreplace") as stream:
            yield stream
    finally:
        os.dup2(number, 1)
        os.close(number)


def print_json(document: object) -> None:
    """Print one JSON document; numbers that JSON lacks are null."""
    print(json.dumps(plain(document), indent=2, ensure_ascii=False), file=_results)


def origin(git: object) -> str:
    """Which commit a run was made with."""
    if not isinstance(git, Mapping):
        return "not in a git repository"
    return f"git {git.get('commit')}{' with uncommitted changes' if git.get('dirty') else ''}"


def tell(text: str) -> None:
    """Print a text that names and models have a part in."""
    print(printable(text))


def print_row(completion: Completion, scores: Mapping[str, Score]) -> None:
    """Print what was asked, expected and answered, and what each scorer says of it."""
    tell(f"\n{_row(completion, scores)}")


def _row(completion: Completion, scores: Mapping[str, Score]) -> str:
    lines = [f"[{completion.sample.id}] {completion.sample.prompt}"]
    lines += [f"  = {reference}" for reference in completion.sample.references]
    lines.append(f"  → {completion.text or completion.error}")
    for label, score in scores.items():
        shown = f"{score.value:.4f}" if score.value is not None else f"{score.unscored}"
        lines.append(f"  {label}: {shown} {score.reason}")
    return "\n".join(line.rstrip() for line in [*lines, *_account(completion.details)])


def row_as_dict(completion: Completion, scores: Mapping[str, Score]) -> dict[str, object]:
    """A completion with its scores as JSON values."""
    return {
        "id": completion.sample.id,
        "attempt": completion.attempt,
        "prompt": completion.sample.prompt,
        "references": list(completion.sample.references),
        "completion": completion.text,
        "finish": completion.finish,
        "error": completion.error,
        "details": completion.details,
        "scores": {label: _score_as_dict(score) for label, score in scores.items()},
    }


def _score_as_dict(score: Score) -> dict[str, object]:
    return {
        "value": score.value,
        "unscored": score.unscored,
        "reason": score.reason,
        "parts": dict(score.parts),
        "usage": asdict(score.usage) if score.usage else None,
    }


def _account(details: Mapping[str, object]) -> Iterator[str]:
    """What a generator says of its answer, a short line an item."""
    for name, value in details.items():
        items = (value or ["none"]) if isinstance(value, list) else [value]
        for item in items[:_ITEMS]:
            line = f"  {name}: {_in_line(item)}"
            yield line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1]}…"
        if len(items) > _ITEMS:
            yield f"  {name}: … {len(items)} in all (--json)"


def _in_line(value: object) -> str:
    if isinstance(value, Mapping):
        return " · ".join(f"{key} {_in_line(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return " ".join(text.split())
