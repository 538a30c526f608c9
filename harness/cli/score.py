"""`harness score`: score answers that already exist, in any table."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.run import Commands
from harness.components import Sample
from harness.errors import DataError
from harness.references import Reference

if TYPE_CHECKING:
    from harness.data.tables import Row
    from harness.evaluation import Evaluation
    from harness.store.schema import ScoredRow


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "score",
        help="score answers in a file",
        description="Score answers that already exist: a .csv, .tsv, .json, .jsonl or .parquet "
        "file, or hf:NAME. Prints means with intervals; -o writes the table with the scores.",
    )
    parser.add_argument("file", metavar="FILE", help="the table with the answers")
    add = parser.add_argument
    add("--scorer", action="append", required=True, metavar="REF", help="a scorer; repeatable")
    add("--completion", required=True, metavar="COLUMN", help="the column with the answers")
    add("--reference", action="append", default=[], metavar="COLUMN", help="references; repeatable")
    add("--prompt", metavar="COLUMN", help="the column with the questions")
    add("--id", metavar="COLUMN", help="the column with the ids (row numbers)")
    add("-o", "--output", metavar="OUT", help="write the table with the scores to this file")
    add("--store", metavar="URL", help="a file or database URL to record in")
    add("--limit", type=int, metavar="N", help="take only the first N rows")
    add("--max-unscored", type=float, default=0.1, metavar="SHARE", help="share allowed (0.1)")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Score every row; the same rows and scorers again are read from the store."""
    from harness.api import generator
    from harness.data.tables import read_table, write_table
    from harness.data.writing import check_writable
    from harness.engine import evaluate
    from harness.progress import shown
    from harness.report import evaluation_table

    if options.output:
        check_writable(options.output)
    limit = None if options.limit is None else max(options.limit, 0)
    rows = list(itertools.islice(read_table(options.file), limit))
    samples = [_sample(row, options) for row in rows]
    # Not as text: the names of files and columns may hold anything.
    answers = Reference("recorded", {"field": options.completion}, Path(options.file).name)
    with shown():
        evaluation = evaluate(
            samples,
            generator=generator(answers),
            scorers=options.scorer,
            store=options.store,
            max_unscored=options.max_unscored,
            name=f"score {Path(options.file).name}",
        )
    print(evaluation_table([evaluation]))
    if options.output:
        columns, table = _with_scores(rows, evaluation, options.completion)
        write_table(options.output, table, columns)
        print(f"wrote {len(rows)} rows to {options.output}")
    return 0


def _sample(row: Row, options: argparse.Namespace) -> Sample:
    prompt = _cell(row, options.prompt) if options.prompt else None
    references = [_cell(row, column) for column in options.reference]
    each = [r for given in references for r in (given if isinstance(given, list) else [given])]
    return Sample(
        id=str(_cell(row, options.id)) if options.id else str(row.number),
        prompt="" if prompt is None else str(prompt),
        references=tuple(str(r) for r in each if r is not None),
        metadata={options.completion: _answer(row, options.completion)},
    )


def _answer(row: Row, column: str) -> object:
    """An answer; an empty cell of a CSV file is an empty answer, a null elsewhere is none."""
    value = _cell(row, column)
    separated = row.file.lower().endswith((".csv", ".tsv"))
    return "" if value is None and separated else value


def _cell(row: Row, column: str) -> object:
    if column not in row.values:
        there = ", ".join(row.values)
        raise DataError(f"{row.where}: there is no column {column!r}; it has: {there}")
    return row.values[column]


def _with_scores(
    rows: Sequence[Row], evaluation: Evaluation, completion: str
) -> tuple[list[str], Iterator[Mapping[str, object]]]:
    """The table's own columns, with each answer as it was scored, then those of each scorer."""
    from harness.evaluation import belongs, columns, flat

    labels = list(evaluation.run.scorers)
    scored = columns(evaluation.rows(), labels)
    added = [name for name in scored if belongs(name, labels)]
    own = list(dict.fromkeys(name for row in rows for name in row.values))

    def merged(row: Row, found: ScoredRow) -> Mapping[str, object]:
        failed = found.completion.finish == "error"
        answer = {} if failed else {completion: found.completion.text}
        verdicts = {n: value for n, value in flat(found, labels).items() if n in added}
        return {**row.values, **answer, **verdicts}

    table = (merged(row, found) for row, found in zip(rows, evaluation.rows(), strict=True))
    return own + [name for name in added if name not in own], table
