"""`harness export`: a run's rows as a table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "export",
        help="write a run's rows to a file",
        description="Write a run's rows to a .csv, .json, .jsonl or .parquet file.",
    )
    parser.add_argument("run", metavar="RUN", help="the start of a run's id, or `last`")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--store", metavar="URL", help="the store to read")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Write one record a completion."""
    from harness.data.tables import write_table
    from harness.evaluation import columns, flat
    from harness.store import Store

    with Store(options.store, readonly=True) as store:
        record = store.run(options.run)
        names = columns(store.rows(record), list(record.scorers))
        write_table(
            options.output, (flat(r, list(record.scorers)) for r in store.rows(record)), names
        )
    print(f"wrote run {record.id} to {options.output}")
    return 0
