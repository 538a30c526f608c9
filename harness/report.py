"""Results as people and programs read them: tables in the terminal, and JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
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


def results_table(results: Iterable[dict[str, object]]) -> str:
    """The same of `Evaluation.as_dict()` values, wide enough for the text or the terminal."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("generator", overflow="fold")
    table.add_column("scorer", overflow="fold")
    for heading in ("mean", "95 % interval", "n", "unscored"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        scorers = result["scorers"]
        for label, s in scorers.items() if isinstance(scorers, dict) else ():
            interval = f"{s['low']:.4f} … {s['high']:.4f}" if s["low"] is not None else "–"
            counts = str(s["n"]), str(s["unscored"])
            table.add_row(str(result["generator"]), label, f"{s['mean']:.4f}", interval, *counts)
    width = max(80, min(shutil.get_terminal_size().columns, 120))
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().splitlines())
