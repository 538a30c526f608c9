"""`harness runs`: what a store holds."""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.store.schema import RunRecord
    from harness.store.trainings import TrainingRecord


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "runs", help="list runs", description="List the evaluations and trainings of a store."
    )
    parser.add_argument("--store", metavar="URL", help="the store to read")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print a line a run, the latest last."""
    from harness.store import Store

    with Store(options.store, readonly=True) as store:
        found = store.everything()
    if options.json:
        print(json.dumps([_as_dict(r) for r in found], indent=2))
        return 0
    for r in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(r.started))
        print(f"{r.id}  {when}  {r.status:<11} {_what(r)}  {r.name or 'unnamed'}")
    return 0


def _what(record: RunRecord | TrainingRecord) -> str:
    from harness.store.trainings import TrainingRecord

    if isinstance(record, TrainingRecord):
        done = f"{record.steps}/{record.total}" if record.total else "0"
        return f"training   {done:>9} steps  {record.trainer}"
    return f"evaluation {record.total:>9} rows   {record.generator}"


def _as_dict(record: RunRecord | TrainingRecord) -> dict[str, object]:
    from harness.store.trainings import TrainingRecord

    head = {"id": record.id, "name": record.name, "status": record.status}
    times = {"started": record.started, "finished": record.finished}
    if isinstance(record, TrainingRecord):
        own: dict[str, object] = {
            "kind": "training",
            "total": record.total,
            "steps": record.steps,
            "trainer": record.trainer,
            "scorers": list(record.weights),
            "output": record.output,
        }
    else:
        own = {
            "kind": "evaluation",
            "total": record.total,
            "generator": record.generator,
            "scorers": list(record.scorers),
        }
    return {**head, **own, **times}
