"""`harness index query`: the nearest datapoints of texts, vectors, or datapoints."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from harness.cli._telling import tell
from harness.cli._types import share
from harness.cli.index._opening import add_reference, searchable
from harness.components import Index
from harness.datapoints import Match, Query
from harness.errors import DataError, HarnessError

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.components import Retriever
    from harness.data.rows import Row

_TOGETHER = 64
_SHOWN = 70
_FILTERS = {
    "--filter": ("NAME=TOKEN,…", "only what has one of these tokens"),
    "--deny": ("NAME=TOKEN,…", "nothing that has one of these tokens"),
    "--where": ("NAME<=NUMBER", "only what has such a number; also < = >= > !="),
}


class Asked(NamedTuple):
    """A query, and what to call it."""

    name: str
    query: Query


def add_parsers(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "query",
        help="find the nearest datapoints",
        description="Find the nearest datapoints of texts, or of what is given on standard input: "
        "a text a line, or a JSON object with text or embedding, and restricts if need be.",
    )
    add_reference(parser)
    add = parser.add_argument
    add("texts", nargs="*", metavar="TEXT", help="what to look for; without it, standard input")
    add("-k", type=_positive, default=10, metavar="N", help="how many to find (10)")
    add("--id", action="append", default=[], help="look for what is near this datapoint")
    for name, (form, text) in _FILTERS.items():
        add(name, action="append", default=[], metavar=form, help=f"{text}; repeatable")
    add("--crowding", type=_positive, metavar="N", help="at most N of one crowding tag")
    add("--approximate-count", type=_positive, metavar="N", help="candidates to rank exactly")
    add("--leaves-fraction", type=share, metavar="SHARE", help="share of the leaves to look at")
    add("--json", action="store_true", help="print a JSON object a query")
    parser.set_defaults(command=run, passes_on=True)


def run(options: argparse.Namespace) -> int:
    """Search, and print what was found as it comes."""
    options.texts += _after_options(options.rest)
    like = _like(options)
    with searchable(options.reference) as index:
        asked = _asked(options, index)
        found = False
        while batch := list(islice(asked, 1 if not options.texts else _TOGETHER)):
            found = True
            queries = [_filtered(one.query, like) for one in batch]
            for one, matches in zip(batch, index.search(queries, k=options.k), strict=True):
                _print(one, matches, options)
        if not found:
            raise DataError("there is nothing to look for; give a text, or one a line as input")
    return 0


def _after_options(rest: Sequence[str]) -> list[str]:
    """Texts that stand behind options, which argparse does not know for such."""
    unknown = [text for text in rest if text.startswith("-")]
    if unknown:
        raise HarnessError(
            f"there is no option {unknown[0].partition('=')[0]}; see harness index query --help "
            "(a text that begins with - goes to standard input)"
        )
    return list(rest)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _like(options: argparse.Namespace) -> Query:
    """The filters and knobs of all queries."""
    from harness.retrieval.filters import restricts, where

    return Query(
        restricts=restricts(options.filter, options.deny),
        numeric_restricts=tuple(where(text) for text in options.where),
        crowding_limit=options.crowding,
        approximate_count=options.approximate_count,
        leaves_fraction=options.leaves_fraction,
    )


def _filtered(query: Query, like: Query) -> Query:
    return replace(
        like,
        text=query.text,
        vector=query.vector,
        restricts=(*query.restricts, *like.restricts),
        numeric_restricts=(*query.numeric_restricts, *like.numeric_restricts),
    )


def _asked(options: argparse.Namespace, index: Retriever) -> Iterator[Asked]:
    for text in options.texts:
        yield Asked(text, Query(text))
    yield from _near(options.id, index)
    if not options.texts and not options.id:
        from harness.cli.index._input import rows

        yield from (_of(row) for row in rows(sys.stdin))


def _near(ids: Sequence[str], index: Retriever) -> Iterator[Asked]:
    if ids and not isinstance(index, Index):
        raise DataError("--id needs an index that can be read; give a text or a vector")
    for name in ids:
        there = index.read([name]) if isinstance(index, Index) else []
        if not there:
            raise DataError(f"there is no datapoint {name!r} in the index")
        yield Asked(name, Query(vector=there[0].vector))


def _of(row: Row) -> Asked:
    """A query from a line of input; its numeric restricts have operators."""
    from harness.retrieval.datapoints import datapoint

    named = any(name in row.values for name in ("id", "_id", "datapoint_id", "datapointId"))
    point = datapoint(row if named else row._replace(values={"id": str(row.number), **row.values}))
    name = point.id if named else (point.text or point.id)
    query = Query(
        point.text or "",
        point.vector,
        restricts=point.restricts,
        numeric_restricts=point.numeric_restricts,
    )
    return Asked(name, query)


def _print(asked: Asked, matches: Sequence[Match], options: argparse.Namespace) -> None:
    if options.json:
        print(
            json.dumps(
                {"query": asked.name, "matches": [_plain(m) for m in matches]}, ensure_ascii=False
            ),
            flush=True,
        )
        return
    if len(options.texts) + len(options.id) != 1:
        tell(f"{asked.name}:")
    width = max((len(match.id) for match in matches), default=0)
    for rank, match in enumerate(matches, 1):
        text = " ".join((match.text or "").split())
        text = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        tell(f"{rank:3}  {match.distance:10.6f}  {match.id:{width}}  {text}".rstrip())
    if not matches:
        print("     nothing that passes the filters")
    sys.stdout.flush()


def _plain(match: Match) -> dict[str, object]:
    told = {
        "id": match.id,
        "distance": match.distance,
        "text": match.text,
        "crowding_tag": match.crowding_tag,
    }
    return {name: value for name, value in told.items() if value is not None}
