"""`harness score`: score answers that already exist, in any table."""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.cli._types import count, share
from harness.components import Sample
from harness.errors import DataError
from harness.references import Reference, parse

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.data.tables import Row
    from harness.evaluation import Evaluation
    from harness.store.schema import ScoredRow


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "score",
        help="score answers in a file",
        description="Score answers that already exist: a .csv, .tsv, .json, .jsonl or .parquet "
        "file, or hf:NAME. Prints means with intervals; -o writes the table with the scores.",
    )
    parser.add_argument("file", metavar="FILE", help="the table with the answers")
    add = parser.add_argument
    add("--scorer", action="extend", nargs="+", required=True, metavar="REF", help="scorers")
    add("--completion", required=True, metavar="COLUMN", help="the column with the answers")
    add("--reference", action="append", default=[], metavar="COLUMN", help="references; repeatable")
    add("--prompt", metavar="COLUMN", help="the column with the questions")
    add("--id", metavar="COLUMN", help="the column with the ids (row numbers)")
    add("-o", "--output", metavar="OUT", help="write the table with the scores to this file")
    add("--store", metavar="URL", help="a file or database URL to record in")
    add("--limit", type=count, metavar="N", help="take only the first N rows")
    add("--max-unscored", type=share, default=0.1, metavar="SHARE", help="share allowed (0.1)")
    add("--json", action="store_true", help="print JSON")
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
    rows = list(itertools.islice(read_table(options.file), options.limit))
    samples = [_sample(row, options) for row in rows]
    _refuse_overwriting(rows, options)
    # Not as one text: the names of files and columns may hold anything.
    field = json.dumps(options.completion, ensure_ascii=False)
    answers = Reference("recorded", {"field": field}, Path(options.file).name)
    with shown():
        evaluation = evaluate(
            samples,
            generator=generator(answers),
            scorers=options.scorer,
            store=options.store,
            max_unscored=options.max_unscored,
            name=f"score {Path(options.file).name}",
        )
    if options.output:
        columns, table = _with_scores(rows, evaluation, options.completion)
        write_table(options.output, table, columns)
    if options.json:
        print_json({**evaluation.as_dict(), "output": options.output})
        return 0
    print(evaluation_table([evaluation]))
    if options.output:
        print(f"wrote {len(rows)} rows to {options.output}")
    return 0


def _sample(row: Row, options: argparse.Namespace) -> Sample:
    from harness.data.samples import kept, references_in, required, text_in

    for column in (options.completion, options.prompt, *options.reference):
        if column is not None:
            _check_column(row, column)
    prompt = text_in(row, options.prompt, row.values[options.prompt]) if options.prompt else None
    answer = text_in(row, options.completion, row.values[options.completion])
    return Sample(
        id=required(row, options.id) if options.id else str(row.number),
        prompt=prompt or "",
        references=tuple(r for column in options.reference for r in references_in(row, column)),
        metadata={options.completion: kept(row, options.completion, answer)},
    )


def _refuse_overwriting(rows: Sequence[Row], options: argparse.Namespace) -> None:
    """A column of the user's own is not replaced; scores of an earlier time are."""
    labels = [parse(reference).label for reference in options.scorer]
    columns = {column for row in rows for column in row.values}
    taken = [n for n in labels if n in columns and f"{n}.unscored" not in columns]
    if options.output and taken:
        raise DataError(
            f"{options.file}: the scores would replace the column {taken[0]!r}; "
            "give the scorer another label: LABEL=REFERENCE"
        )


def _check_column(row: Row, column: str) -> None:
    from harness.data.samples import no_column

    if column not in row.values:
        raise DataError(f"{row.where}: {no_column(column, row.values)}")


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
