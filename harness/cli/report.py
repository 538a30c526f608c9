"""`harness report`: a run, or runs compared, as one file for people who were not there."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._types import count

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.store import Store
    from harness.store.schema import RunRecord
    from harness.store.trainings import TrainingRecord


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "report",
        help="write a run as one HTML file",
        description="Write a run, a training, or runs compared with the first of them as one HTML "
        "file that needs no network: figures, tables, and the samples to search in.",
    )
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="the start of an id, a name, `last` or `last~1`")
    add("-o", "--output", required=True, metavar="FILE", help="the file to write")
    add("--store", metavar="URL", help="the store to read")
    add("--samples", type=count, default=10_000, metavar="N", help="N samples at most (10000)")
    add("--anyway", action="store_true", help="compare though scorers or prompts differ")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from harness.cli.view import needing_extra
    from harness.comparison.finding import find_run

    with needing_extra():
        from harness.viewer import report
        from harness.viewer.reading import Reading
    reading = Reading(options.store)
    try:
        if len(options.runs) == 1 and (training := _training(reading.store, options.runs[0])):
            found = report.report_on_training(reading, training)
        else:
            runs: list[RunRecord] = [find_run(reading.store, text) for text in options.runs]
            found = report.report_on_runs(
                reading, runs, samples=options.samples, anyway=options.anyway
            )
        size = report.write_report(Path(options.output), found)
    finally:
        reading.close()
    print(f"wrote {options.output} ({size / 1e6:.1f} MB)")
    return 0


def _training(store: Store, text: str) -> TrainingRecord | None:
    """The training that a text names; None where it may name an evaluation."""
    from harness.store.trainings import TrainingRecord

    if text == "last":
        every = store.everything()
        return every[-1] if every and isinstance(every[-1], TrainingRecord) else None
    if any(_named(run, text) for run in store.runs()):
        return None
    found = [training for training in store.trainings.all() if _named(training, text)]
    return found[-1] if found else None


def _named(record: RunRecord | TrainingRecord, text: str) -> bool:
    return record.id.startswith(text) or text in (record.name, record.name.rpartition("::")[2])
