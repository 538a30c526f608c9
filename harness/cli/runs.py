"""`harness runs`: what a store holds."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, TypeAlias

from harness.cli._telling import print_json

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.store.measurements import MeasurementRecord
    from harness.store.schema import RunRecord
    from harness.store.trainings import TrainingRecord

    Record: TypeAlias = RunRecord | TrainingRecord | MeasurementRecord


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "runs",
        help="list runs",
        description="List the evaluations, trainings and measurements of a store.",
    )
    parser.add_argument("--store", metavar="URL", help="the store to read")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print a line a run, the latest last."""
    from harness.report import listing
    from harness.store import Store

    with Store(options.store, readonly=True) as store:
        found = store.everything_measured()
    if options.json:
        print_json([_as_dict(r) for r in found])
    elif found:
        print(listing([_line(r) for r in found], folded=(4, 5)))
    return 0


def _line(record: Record) -> list[str]:
    """Id, time, kind, state, who worked on how much, and name."""
    from harness.store.measurements import MeasurementRecord
    from harness.store.trainings import TrainingRecord

    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.opened))
    name = record.name or "unnamed"
    if isinstance(record, MeasurementRecord):
        return [record.id, when, "measurement", "finished", record.kind, name]
    if isinstance(record, TrainingRecord):
        done = f"{record.steps}/{record.total}" if record.total else "0"
        work, kind = f"{record.trainer}, {done} steps", "training"
    else:
        work, kind = f"{record.generator}, {record.total} rows", "evaluation"
    return [record.id, when, kind, record.status, work, name]


def _as_dict(record: Record) -> dict[str, object]:
    from harness.store.measurements import MeasurementRecord
    from harness.store.trainings import TrainingRecord

    head: dict[str, object] = {"id": record.id, "name": record.name}
    if isinstance(record, MeasurementRecord):
        times = {"started": record.opened, "finished": record.opened}
        return {**head, "status": "finished", "kind": "measurement", "of": record.kind, **times}
    own: dict[str, object] = {"status": record.status, "total": record.total}
    if isinstance(record, TrainingRecord):
        own |= {
            "kind": "training",
            "steps": record.steps,
            "trainer": record.trainer,
            "scorers": list(record.weights),
            "output": record.output,
        }
    else:
        own |= {
            "kind": "evaluation",
            "generator": record.generator,
            "scorers": list(record.scorers),
        }
    return {**head, **own, "started": record.started, "finished": record.finished}
