"""`harness gc`: take out of a store what no run refers to."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.cli._types import positive
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.store.cleaning import Cleaned

_NOUNS = {
    "runs": "evaluations",
    "trainings": "trainings",
    "completions": "completions",
    "samples": "samples",
    "scores": "scores",
    "calls": "calls",
}


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "gc",
        help="remove what no run refers to",
        description="Remove completions, samples and scores that no evaluation of a store refers "
        "to, and calls that were made more than 7 days ago and outside of every run. What a run "
        "under way may use stays.",
    )
    parser.add_argument("--store", metavar="URL", help="the store to clean")
    parser.add_argument(
        "--older-than",
        type=positive,
        metavar="DAYS",
        help="remove evaluations and trainings that ended so long ago, too (needs --yes)",
    )
    parser.add_argument("--yes", action="store_true", help="do remove them")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Clean a store, and say how much was removed."""
    from harness.store import Store
    from harness.store.cleaning import cleaned
    from harness.store.database import Database

    if options.older_than is not None and not (options.yes or options.dry_run):
        raise HarnessError(
            "--older-than removes runs for good: see which with --dry-run, then add --yes"
        )
    Database(options.store, readonly=True).close()  # a store that is not there is not made
    with Store(options.store) as store:
        found = cleaned(store, older_than=options.older_than, dry_run=options.dry_run)
    if options.json:
        told = {"removed": found.rows, "characters": found.characters}
        print_json({**told, "under_way": found.under_way, "dry_run": options.dry_run})
    else:
        print(_line(found, options.dry_run))
    return 0


def _line(found: Cleaned, dry_run: bool) -> str:
    parts = [f"{n:,} {_NOUNS[t]}" for t, n in found.rows.items() if n and t in _NOUNS]
    did = "would remove" if dry_run else "removed"
    told = f"{did} {', '.join(parts)}" if parts else "nothing to remove"
    size = f" ({found.characters / 1e6:,.1f} million characters)" if found.characters else ""
    left = f"; what {found.under_way} under way may use stays" if found.under_way else ""
    return f"{told}{size}{left}"
