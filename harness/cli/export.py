"""`harness export`: a run's rows as a table."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from harness.cli._telling import print_json
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.store import Store
    from harness.store.schema import RunRecord

Table: TypeAlias = tuple[Iterator[Mapping[str, object]], Sequence[str]]
"""Rows, and the columns to write of them."""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "export",
        help="write a run's rows to a file",
        description="Write a run's rows to a .csv, .tsv, .json, .jsonl or .parquet file: every "
        "scorer's verdicts, or with --columns llm-evaluation the 16 columns of the class "
        "LLMEvaluation, with one scorer's. There Score is the level that a judge gave on its own "
        "scale (the part `score`), or the value of a scorer that has none, and a cell of what the "
        "run does not have is empty.",
    )
    parser.add_argument("run", metavar="RUN", help="the start of a run's id, or `last`")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--store", metavar="URL", help="the store to read")
    parser.add_argument(
        "--columns", choices=("llm-evaluation",), help="which columns; without it, all there are"
    )
    parser.add_argument(
        "--scorer",
        metavar="LABEL",
        help="whose scores llm-evaluation has: by default the only scorer's, or the only judge's",
    )
    parser.add_argument("--json", action="store_true", help="say in JSON what was written")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Write one record a completion."""
    from harness.data.tables import write_table
    from harness.store import Store

    if options.scorer is not None and options.columns is None:
        raise HarnessError("--scorer goes with --columns llm-evaluation; all scorers are written")
    with Store(options.store, readonly=True) as store:
        record = store.run(options.run)
        rows, names = (_class_table if options.columns else _all_columns)(store, record, options)
        count = write_table(options.output, rows, names)
    if options.json:
        told = {"run": record.id, "output": options.output, "rows": count, "columns": names}
        print_json(told)
    else:
        print(f"wrote run {record.id} to {options.output}")
    return 0


def _all_columns(store: Store, record: RunRecord, options: argparse.Namespace) -> Table:
    from harness.evaluation import columns, flat

    labels = list(record.scorers)
    return (flat(row, labels) for row in store.rows(record)), columns(store.rows(record), labels)


def _class_table(store: Store, record: RunRecord, options: argparse.Namespace) -> Table:
    from harness.llm_evaluation import COLUMNS, llm_evaluation_table

    return llm_evaluation_table(record, store.rows(record), options.scorer), COLUMNS
