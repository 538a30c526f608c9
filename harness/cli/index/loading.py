"""`harness index load`: tables of datapoints into an index, in batches."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from harness.cli._telling import print_json
from harness.cli.index._opening import add_reference, writable
from harness.cli.index.whole import add_specification, report, specification, tell
from harness.data.plain import printable
from harness.errors import DataError, HarnessError, PluginError

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.components import Index
    from harness.data.rows import Row
    from harness.datapoints import Datapoint

    Placed: TypeAlias = tuple[Row, Datapoint]

_VECTORS, _TEXTS = 1000, 250
_SEVERAL = {
    "--restrict": "a column to filter by",
    "--number": "a column of numbers to filter by, COLUMN:int for integers",
    "--metadata": "a column to keep as metadata",
}


def add_parsers(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "load",
        help="load tables of datapoints",
        description="Load datapoints from .csv, .tsv, .json, .jsonl or .parquet files, or hf:NAME. "
        "The columns are those of Vertex AI's files (id, embedding, restricts, numeric_restricts, "
        "crowding_tag, embedding_metadata), and text, which the index's encoder turns into a "
        "vector; or name your own. What is in the index already, as the file has it, is not "
        "written again, so that the same command goes on after an interruption.",
    )
    add_reference(parser)
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="the tables")
    add("--create", action="store_true", help="make the index first, if it is not there:")
    add_specification(parser)
    add("--json", action="store_true", help="print JSON")
    add("--id", metavar="COLUMN", help="the column with the ids")
    add("--text", metavar="COLUMN", help="the column with the texts")
    add("--embedding", metavar="COLUMN", help="the column with the vectors")
    add("--crowding-tag", metavar="COLUMN", help="the column with the crowding tags")
    for name, text in _SEVERAL.items():
        add(name, action="append", default=[], metavar="COLUMN", help=f"{text}; repeatable")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Load all files; what is there already stays as it is."""
    done = Done()
    batches = _batches(_rows(options, done))
    with writable(options.reference) as index, _told(done) as advance:
        first = next(batches)
        if options.create:
            _create(index, options, first[0][1])
        fresh = index.describe().count == 0
        for batch in chain([first], batches):
            _write(index, batch, done, fresh=fresh)
            advance()
        if callable(prepare := getattr(index, "prepare", None)):
            prepare()  # what the first search would have to wait for
    if options.json:
        print_json({"written": done.written, "there": done.there, "unused": list(done.unused)})
        return 0
    print(printable(str(done)))
    if done.unused:
        print(printable(f"columns that were not used: {', '.join(done.unused)}"))
    return 0


@dataclass(slots=True)
class Done:
    """How far a load has come."""

    written: int = 0
    there: int = 0
    unused: dict[str, None] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many datapoints of the files are in the index for certain."""
        return self.written + self.there

    def __str__(self) -> str:
        already = f", {self.there:,} were there already" if self.there else ""
        return f"{self.written:,} datapoints written{already}"


@contextmanager
def _told(done: Done) -> Iterator[Callable[[], None]]:
    """A counter while it goes on, and how far it came if it ends too early."""
    from rich.console import Console
    from rich.progress import Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), TimeElapsedColumn()
    console = Console(stderr=True)
    hidden = not console.is_terminal
    try:
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            task = progress.add_task("loading")
            yield lambda: progress.update(task, description=f"{done}")
    except (HarnessError, KeyboardInterrupt):
        if done.rows:
            tell(f"{done} before this; what is there stays, and the same command goes on from it")
        raise


def _rows(options: argparse.Namespace, done: Done) -> Iterator[Placed]:
    from harness.retrieval.datapoints import Columns, read_datapoints, unused

    columns = Columns(
        id=options.id,
        text=options.text,
        embedding=options.embedding,
        crowding_tag=options.crowding_tag,
        restricts=tuple(options.restrict),
        numbers=tuple(options.number),
        metadata=tuple(options.metadata),
    )
    seen: dict[str, Row] = {}
    for file in options.files:
        for row, point in read_datapoints(file, columns):
            done.unused.update(dict.fromkeys(unused(row, columns)))
            earlier = seen.setdefault(point.id, row)
            if earlier is not row:
                raise DataError(f"{row.where}: the id {point.id!r} is that of {earlier.where}")
            yield row, point


def _batches(rows: Iterator[Placed]) -> Iterator[list[Placed]]:
    """Rows together; fewer of texts, as encoding a thousand of them takes a while."""
    batch: list[Placed] = []
    for row, point in rows:
        batch.append((row, point))
        if len(batch) >= (_VECTORS if len(point.vector) else _TEXTS):
            yield batch
            batch = []
    if batch:
        yield batch


def _create(index: Index, options: argparse.Namespace, first: Datapoint) -> None:
    from harness.indexing import ManagedIndex

    if not isinstance(index, ManagedIndex):
        raise PluginError(f"{options.reference} is no index that can be made from here")
    index.create(specification(options, first), report=report)
    index.serve(report=report)


def _write(index: Index, batch: Sequence[Placed], done: Done, *, fresh: bool) -> None:
    """Write what the index does not have as it is here."""
    from harness.retrieval.datapoints import same

    points = [point for _, point in batch]
    stored = {} if fresh else {p.id: p for p in index.read([point.id for point in points])}
    new = [
        (row, point)
        for row, point in batch
        if point.id not in stored or not same(point, stored[point.id])
    ]
    try:
        if new:
            index.upsert([point for _, point in new])
    except HarnessError as error:
        done.written += len(getattr(error, "applied", ()))
        if where := _where(error, new):
            raise DataError(f"{where}: {error}") from error
        raise
    done.written += len(new)
    done.there += len(batch) - len(new)


def _where(error: HarnessError, batch: Sequence[Placed]) -> str:
    """The row that an index's error is about; empty if it does not say."""
    place, name = getattr(error, "position", None), getattr(error, "id", "")
    if isinstance(place, int) and place < len(batch):
        return batch[place][0].where
    return next((row.where for row, point in batch if point.id == name), "")
