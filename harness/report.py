"""Results as people and programs read them: tables in the terminal, and JSON."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from harness.data.plain import plain, printable
from harness.data.writing import write_text
from harness.hookspecs import hookimpl

if TYPE_CHECKING:
    from rich.table import Table

    from harness.evaluation import Evaluation

_NARROWEST = 8


class JsonReport:
    """Writes the report of a `harness run` to a file, whole or not at all."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)

    @hookimpl
    def harness_report(self, report: Mapping[str, object]) -> None:
        """Write the report."""
        write_text(self._file, _document(report))


class JsonStream:
    """Writes the report of a `harness run` to an open file, known by its number."""

    def __init__(self, number: int) -> None:
        self._number = number

    @hookimpl
    def harness_report(self, report: Mapping[str, object]) -> None:
        """Write the report."""
        with os.fdopen(self._number, "w", encoding="utf-8") as stream:
            stream.write(_document(report))


def _document(report: Mapping[str, object]) -> str:
    return json.dumps(plain(report), indent=2, ensure_ascii=False) + "\n"


def evaluation_table(evaluations: Iterable[Evaluation]) -> str:
    """A line a generator and scorer: mean, 95 % interval, n, unscored."""
    return results_table([e.as_dict() for e in evaluations])


def results_table(results: Sequence[Mapping[str, object]]) -> str:
    """The same of `Evaluation.as_dict()` values, wide enough for the text or the terminal."""
    from rich.table import Table
    from rich.text import Text

    several = len({_benchmark(result) for result in results}) > 1
    table = Table(box=None, pad_edge=False)
    for heading in (["benchmark"] if several else []) + ["generator", "scorer"]:
        table.add_column(heading, overflow="fold")
    for heading in ("mean", "95 % interval", "n", "unscored"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        scorers = result["scorers"]
        for label, s in scorers.items() if isinstance(scorers, Mapping) else ():
            interval = f"{s['low']:.4f} … {s['high']:.4f}" if s["low"] is not None else "–"
            head = [_benchmark(result)] if several else []
            counts = str(s["n"]), str(s["unscored"])
            names = *head, str(result["generator"]), label
            mean = "–" if s["mean"] is None else f"{s['mean']:.4f}"
            table.add_row(*map(Text, names), mean, interval, *counts)
    return _rendered(table, table_width())


def listing(rows: Iterable[Sequence[str]], *, folded: Sequence[int] = ()) -> str:
    """A table without headings; where it is too wide the `folded` columns fold.

    It needs no library, as rich would take longer than all else that lists.
    """
    every = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    over = sum(widths) + 2 * (len(widths) - 1) - table_width()
    for _ in range(over):
        widest = max(folded, key=lambda place: widths[place])
        widths[widest] = max(widths[widest] - 1, _NARROWEST)
    lines = []
    for row in every:
        cells = [textwrap.wrap(c, w) or [""] for c, w in zip(row, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            aligned = (part.ljust(width) for part, width in zip(parts, widths, strict=True))
            lines.append("  ".join(aligned).rstrip())
    return printable("\n".join(lines))


def plain_table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1, width: int = 80
) -> str:
    """A table of text, its first `left` columns to the left and folded where they are too wide."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for place, heading in enumerate(heads):
        if place < left:
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return _rendered(table, width)


def html_table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A table as HTML, whatever stands in its cells; the first column is to the left."""
    from html import escape

    def line(cells: Sequence[str], tag: str) -> str:
        aligned = ("left", *("right" for _ in cells[1:]))
        pairs = zip(cells, aligned, strict=True)
        return "".join(f'<{tag} style="text-align:{a}">{escape(c)}</{tag}>' for c, a in pairs)

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f"<table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{line(heads, 'th')}</tr></thead><tbody>{body}</tbody></table>"
    )


def table_width() -> int:
    """A terminal is wide enough or names fold; a pipe or a file has no width."""
    return max(80, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 1000


def _rendered(table: Table, width: int) -> str:
    from rich.console import Console

    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return printable("\n".join(line.rstrip() for line in capture.get().split("\n"))).rstrip("\n")


def _benchmark(result: Mapping[str, object]) -> str:
    """The function that a run is named after, without its file and its parameters."""
    return str(result["name"]).partition("[")[0].rpartition("::")[2]
