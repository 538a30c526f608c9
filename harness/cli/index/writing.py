"""`harness index upsert` and `remove`: a few datapoints, at once."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.cli.index._opening import add_reference, writable
from harness.errors import DataError

if TYPE_CHECKING:
    from harness.cli._types import Commands


def add_parsers(commands: Commands) -> None:
    """Declare the commands."""
    upsert = commands.add_parser(
        "upsert",
        help="insert or replace datapoints",
        description="Insert the datapoints of standard input, or replace those of the same id: a "
        'JSON object a line, as {"id": "a", "text": "…"} or {"id": "a", "embedding": [0.1, 0.2]}, '
        "with restricts, numeric_restricts, crowding_tag and metadata. All of them or none.",
    )
    add_reference(upsert)
    upsert.add_argument("--json", action="store_true", help="print JSON")
    upsert.set_defaults(command=run_upsert)

    remove = commands.add_parser(
        "remove",
        help="remove datapoints",
        description="Remove datapoints by id; one that is not there is no error.",
    )
    add_reference(remove)
    remove.add_argument("ids", nargs="+", metavar="ID", help="the ids; - reads them, one a line")
    remove.add_argument("--json", action="store_true", help="print JSON")
    remove.set_defaults(command=run_remove)


def run_upsert(options: argparse.Namespace) -> int:
    """Write what standard input has."""
    from harness.cli.index._input import rows
    from harness.retrieval.datapoints import datapoint

    found = [(row, datapoint(row)) for row in rows(sys.stdin)]
    if not found:
        raise DataError("standard input has no datapoints; give a JSON object a line")
    with writable(options.reference) as index:
        index.upsert([point for _, point in found])
    if options.json:
        print_json({"written": len(found)})
    else:
        print(f"{len(found):,} datapoints written")
    return 0


def run_remove(options: argparse.Namespace) -> int:
    """Remove the datapoints, and say how many were there."""
    ids = list(dict.fromkeys(_ids(options)))
    with writable(options.reference) as index:
        there = len(index.read(ids))
        index.remove(ids)
    if options.json:
        print_json({"removed": there, "asked": len(ids)})
    else:
        print(f"removed {there:,} of {len(ids):,}" if there < len(ids) else f"removed {there:,}")
    return 0


def _ids(options: argparse.Namespace) -> Iterator[str]:
    for name in options.ids:
        if name == "-":
            yield from (line.strip() for line in sys.stdin if line.strip())
        else:
            yield name
