"""Results as people and programs read them: tables in the terminal, and JSON."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.evaluation import Evaluation
from harness.hookspecs import hookimpl


class JsonReport:
    """Writes the report of a `harness run` to a file, whole or not at all."""

    def __init__(self, file: str) -> None:
        self._file = Path(file)

    @hookimpl
    def harness_report(self, report: Mapping[str, object]) -> None:
        """Write the report."""
        partial = self._file.with_name(self._file.name + ".partial")
        partial.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", "utf-8")
        partial.replace(self._file)


def evaluation_table(evaluations: Iterable[Evaluation]) -> str:
    """A line a generator and scorer: mean, 95 % interval, n, unscored."""
    return results_table([e.as_dict() for e in evaluations])


def results_table(results: Sequence[Mapping[str, object]]) -> str:
    """The same of `Evaluation.as_dict()` values, wide enough for the text or the terminal."""
    from rich.console import Console
    from rich.table import Table

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
            table.add_row(*names, mean, interval, *counts)
    # A terminal is wide enough or the names fold; a pipe or a file has no width.
    width = max(80, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 1000
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def _benchmark(result: Mapping[str, object]) -> str:
    """The function that a run is named after, without its file and its parameters."""
    return str(result["name"]).partition("[")[0].rpartition("::")[2]
