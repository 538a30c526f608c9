"""`harness runs`: what a store holds."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser("runs", help="list runs", description="List the runs of a store.")
    parser.add_argument("--store", metavar="URL", help="the store to read")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print a line a run, the latest last."""
    from harness.store import Store

    with Store(options.store, readonly=True) as store:
        found = store.runs()
    if options.json:
        rows = [
            {
                "id": r.id,
                "name": r.name,
                "status": r.status,
                "total": r.total,
                "generator": r.generator,
                "scorers": list(r.scorers),
                "started": r.started,
                "finished": r.finished,
            }
            for r in found
        ]
        print(json.dumps(rows, indent=2))
        return 0
    for r in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(r.started))
        name = r.name or "unnamed"
        print(f"{r.id}  {when}  {r.status:<11} {r.total:>7}  {r.generator}  {name}")
    return 0
