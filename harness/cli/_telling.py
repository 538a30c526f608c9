"""What commands tell of a run: a row with its scores, and where it came from; and JSON."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

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


def print_json(document: object) -> None:
    """Print one JSON document; numbers that JSON lacks are null."""
    print(json.dumps(plain(document), indent=2, ensure_ascii=False))


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
