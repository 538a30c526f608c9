"""`harness store`: copy runs between stores, and bring a store to the current schema."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.errors import StoreError

if TYPE_CHECKING:
    from harness.cli._types import Commands

_TOLD = ("runs", "run_rows", "completions", "scores", "trainings", "measurements", "calls")
_NOUNS = {"runs": "evaluations", "run_rows": "rows"}


def add_parser(commands: Commands) -> None:
    """Declare the command and its sub-commands."""
    parser = commands.add_parser(
        "store",
        help="copy a store, or upgrade it",
        description="Copy runs from one store to another, or bring a store to the schema that "
        "this version uses. A store is a file or a database URL.",
    )
    subcommands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    copy = subcommands.add_parser(
        "copy",
        help="copy runs to another store",
        description="Copy all runs, trainings, measurements and calls to another store, or with "
        "--run some runs. What is there stays as it is, so a copy can be made again.",
    )
    copy.add_argument("source", metavar="FROM", help="the store to read")
    copy.add_argument("target", metavar="TO", help="the store to write; made if it is not there")
    copy.add_argument(
        "--run", action="append", metavar="ID", help="the start of an id, or `last`; repeatable"
    )
    copy.add_argument("--json", action="store_true", help="print JSON")
    copy.set_defaults(command=run_copy)
    upgrade = subcommands.add_parser(
        "upgrade",
        help="bring a store to the current schema",
        description="Bring a store to the schema that this version uses. A SQLite file is copied "
        "first; of a PostgreSQL database make a dump. Older versions cannot use it any more.",
    )
    upgrade.add_argument("--store", metavar="URL", help="the store to upgrade")
    upgrade.add_argument("--json", action="store_true", help="print JSON")
    upgrade.set_defaults(command=run_upgrade)


def run_copy(options: argparse.Namespace) -> int:
    """Copy, and say how much was new there."""
    from harness.store import Store
    from harness.store.copying import Copying

    told = _show if sys.stderr.isatty() else None
    with Store(options.source, readonly=True) as source:
        chosen = [source.find_any(name) for name in options.run or ()]
        with Store(options.target) as target:
            copying = Copying(source, target, told)
            if options.run:
                copying.records(chosen)
            else:
                copying.everything()
            place = target.shown
    if told:
        print(file=sys.stderr)
    counts = {name: copying.counts[name] for name in _TOLD}
    others = {name: n for name, n in copying.counts.items() if n and name not in _TOLD}
    if options.json:
        print_json({"to": place, "copied": counts, **others})
    else:
        print(f"copied to {place}: {_listed(counts) or 'nothing new'}{_notes(copying.counts)}")
    return 0


def run_upgrade(options: argparse.Namespace) -> int:
    """Upgrade, after a copy of a file."""
    from harness.store.database import Database
    from harness.store.migrations import backup, has_path, upgraded
    from harness.store.schema import SCHEMA_VERSION
    from harness.store.store import Store, schema_version

    Database(options.store, readonly=True).close()  # a store that is not there is not made
    database = Database(options.store)
    try:
        version, copy = schema_version(database), None
        if has_path(version):
            assert version is not None
            copy = backup(database, version)
            upgraded(database, version)
        elif version is None:
            raise StoreError(f"{database.shown} is no store yet; `harness run` makes one")
        Store(options.store, readonly=True).close()  # says what is wrong with any other schema
    finally:
        database.close()
    if options.json:
        print_json({"from": version, "to": SCHEMA_VERSION, "copy": str(copy) if copy else None})
    elif version == SCHEMA_VERSION:
        print(f"{database.shown} has schema {version}, which is the current one")
    else:
        kept = f"; as it was: {copy}" if copy else ""
        print(f"brought {database.shown} from schema {version} to {SCHEMA_VERSION}{kept}")
    return 0


def _show(run: str, done: int, total: int) -> None:
    print(f"\r{run}: {done:,} of {total:,} rows\x1b[K", end="", file=sys.stderr, flush=True)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n:,} {_NOUNS.get(name, name)}" for name, n in counts.items() if n)


def _notes(counts: Mapping[str, int]) -> str:
    """What was not copied, and why."""
    there = counts["runs_there"] + counts["trainings_there"]
    going = counts["runs_under_way_there"] + counts["trainings_under_way_there"]
    differ = counts["answers_that_differ"]
    notes = [
        f"\n{there:,} runs are there already" if there else "",
        f"\n{going:,} runs are under way there and were left alone" if going else "",
        f"\n{differ:,} answers differ from those there, which stay without our scores: their runs "
        "are interrupted there, and the same command goes on from what is there"
        if differ
        else "",
    ]
    return "".join(notes)
