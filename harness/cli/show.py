"""`harness show`: a run's results, and rows that have no score; a training; or a measurement."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.cli._measurement import show_measurement
from harness.cli._telling import origin, print_json, print_row, row_as_dict, tell
from harness.cli._training import show_training
from harness.cli._types import count

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.evaluation import Evaluation
    from harness.store.schema import ScoredRow


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "show", help="show a run", description="Show one evaluation, training or measurement."
    )
    parser.add_argument("run", metavar="RUN", help="the start of a run's id, or `last`")
    parser.add_argument("--store", metavar="URL", help="the store to read")
    parser.add_argument("--rows", type=count, default=3, metavar="N", help="show N rows (3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print a run's results, where it came from, and some of its rows."""
    from harness.evaluation import Evaluation
    from harness.report import evaluation_table
    from harness.store import Store
    from harness.store.measurements import MeasurementRecord
    from harness.store.trainings import TrainingRecord

    with Store(options.store, readonly=True) as store:
        record = store.find_any(options.run)
        if isinstance(record, MeasurementRecord):
            return show_measurement(record, as_json=options.json)
        if isinstance(record, TrainingRecord):
            return show_training(record, store, options.rows, as_json=options.json)
        evaluation = Evaluation(record, store)
        if options.json:
            shown = _telling(store.rows(record), options.rows, _any_unscored(evaluation))
            extra = {
                "config": record.config,
                "provenance": record.provenance,
                "rows": [row_as_dict(row.completion, row.scores) for row in shown],
            }
            print_json({**evaluation.as_dict(), **extra})
            return 0
        tell(f"run {record.id} · {record.name or 'unnamed'} · {record.status}")
        tell(evaluation_table([evaluation]))
        for label, summary in evaluation.summaries.items():
            causes = ", ".join(f"{n} {cause}" for cause, n in summary.causes.items())
            if causes:
                tell(f"{label} unscored: {causes}")
        tell(origin(record.provenance.get("git")))
        for row in _telling(store.rows(record), options.rows, _any_unscored(evaluation)):
            print_row(row.completion, row.scores)
    return 0


def _any_unscored(evaluation: Evaluation) -> bool:
    """Whether a scorer has left a completion unscored."""
    return any(summary.unscored for summary in evaluation.summaries.values())


def _telling(rows: Iterator[ScoredRow], count: int, unscored: bool) -> Iterator[ScoredRow]:
    """The first rows, those without a score where there are any."""
    wanted = (row for row in rows if not unscored or any(s.unscored for s in row.scores.values()))
    return itertools.islice(wanted, count)
