"""What commands tell of a run: a row with its scores, and where it came from."""

from __future__ import annotations

from collections.abc import Mapping

from harness.components import Completion, Score


def origin(git: object) -> str:
    """Which commit a run was made with."""
    if not isinstance(git, Mapping):
        return "not in a git repository"
    return f"git {git.get('commit')}{' with uncommitted changes' if git.get('dirty') else ''}"


def print_row(completion: Completion, scores: Mapping[str, Score]) -> None:
    """Print what was asked, expected and answered, and what each scorer says of it."""
    print(f"\n[{completion.sample.id}] {completion.sample.prompt}".rstrip())
    for reference in completion.sample.references:
        print(f"  = {reference}")
    print(f"  → {completion.text or completion.error}")
    for label, score in scores.items():
        shown = f"{score.value:.4f}" if score.value is not None else f"{score.unscored}"
        print(f"  {label}: {shown} {score.reason}".rstrip())
