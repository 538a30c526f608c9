"""`harness data rephrase`: the prompts of a table in other words."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.cli.data._output import TABLES, refuse_overwriting
from harness.data.plain import printable
from harness.errors import DataError, PluginError

if TYPE_CHECKING:
    from harness.calls import NotAnswered
    from harness.calls.generator import ChatGenerator
    from harness.cli._types import Commands
    from harness.data.rephrasing import Rephrased, Wanted
    from harness.data.rows import Row

_COLUMNS = ("initial_prompt", "prompt", "ground_truth_completion", "classification")
_TOO_MUCH = 11
_SHOWN = 5


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "rephrase",
        help="the prompts of a table in other words, by a model",
        description="Have a model put every prompt in other words, and sort it into classes if "
        "wanted. Writes a table with initial_prompt, prompt, ground_truth_completion, "
        "classification, and the other columns as they were. Rows that cannot be rephrased are "
        "named and left out. Every reply is kept in the store: the same command goes on where it "
        "was stopped, and pays for nothing twice.",
    )
    parser.add_argument("file", metavar="IN", help=f"the table: a {TABLES}")
    parser.add_argument("-o", "--output", required=True, metavar="OUT", help="the file to write")
    parser.add_argument("--force", action="store_true", help="replace OUT if it is there")
    parser.add_argument(
        "--generator", required=True, metavar="REF", help="who rephrases, as openai:model=NAME"
    )
    parser.add_argument(
        "--style", default="student-asking", metavar="STYLE", help="(student-asking)"
    )
    parser.add_argument(
        "--classify", type=_classes, default=(), metavar="A,B,C", help="classes to choose from"
    )
    parser.add_argument("--prompt", default="prompt", metavar="COLUMN", help="(prompt)")
    parser.add_argument("--completion", default="completion", metavar="COLUMN", help="(completion)")
    parser.add_argument(
        "--max-failed",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="write nothing, and exit with 11, if more rows cannot be rephrased (0.1)",
    )
    parser.add_argument("--store", metavar="URL", help="the store to keep replies in")
    parser.add_argument("--json", action="store_true", help="say in JSON what was written")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Rephrase, and write what came of it."""
    from harness.data.rephrasing import Wanted
    from harness.data.tables import read_table
    from harness.data.writing import check_writable, write_table

    check_writable(options.output)
    refuse_overwriting(options.output, force=options.force)
    rows = list(read_table(options.file))
    prompts = [_cell(row, options.prompt) for row in rows]
    for row in rows:
        _cell(row, options.completion)
    found = _rephrased(prompts, options, Wanted(options.style, options.classify))
    failed = _failed(rows, found)
    told = {"rows": len(rows) - failed, "of": len(rows), "left_out": _left_out(rows, found)}
    if failed > options.max_failed * len(rows):
        print(
            f"harness: {failed} of {len(rows)} rows cannot be rephrased, more than a share of "
            f"{options.max_failed:g} (--max-failed); nothing is written",
            file=sys.stderr,
        )
        if options.json:
            print_json({"output": None, **told})
        return _TOO_MUCH
    others = dict.fromkeys(name for row in rows for name in row.values)
    taken = {options.prompt, options.completion, *_COLUMNS}
    names = [*_COLUMNS, *(name for name in others if name not in taken)]
    write_table(options.output, _table(rows, found, options), names)
    if options.json:
        print_json({"output": options.output, **told})
    else:
        print(f"wrote {len(rows) - failed} of {len(rows)} rows to {options.output}")
    return 0


def _rephrased(
    prompts: Sequence[str], options: argparse.Namespace, wanted: Wanted
) -> list[Rephrased | NotAnswered]:
    from rich.console import Console
    from rich.progress import Progress

    from harness.calls import session
    from harness.data.rephrasing import rephrase
    from harness.store import Store

    generator = _generator(options.generator)
    with (
        Store(options.store) as store,
        session(store),
        Progress(console=Console(stderr=True), transient=True) as progress,
    ):
        task = progress.add_task("rephrasing", total=len(prompts))
        return rephrase(prompts, generator, wanted, lambda _: progress.advance(task))


def _generator(reference: str) -> ChatGenerator:
    from harness.api import generator
    from harness.calls.generator import ChatGenerator

    found = generator(reference)
    if not isinstance(found.component, ChatGenerator):
        raise PluginError(
            f"{found.reference} cannot be asked for a reply of a given form; use a generator "
            "that asks a service, as openai:model=NAME or anthropic:model=NAME"
        )
    return found.component


def _cell(row: Row, column: str) -> str:
    from harness.data.samples import no_column, text_in

    if column not in row.values:
        option = "--prompt" if column == "prompt" else "--completion"
        raise DataError(f"{row.where}: {no_column(column, row.values)} ({option})")
    text = text_in(row, column, row.values[column])
    if not text:
        raise DataError(f"{row.where}: the column {column!r} is empty; mend or remove the row")
    return text


def _failed(rows: Sequence[Row], found: Sequence[Rephrased | NotAnswered]) -> int:
    """How many rows have no new prompt; the first are named."""
    failed = [(row, r) for row, r in zip(rows, found, strict=True) if isinstance(r, Exception)]
    for row, error in failed[:_SHOWN]:
        told = f"{row.where}: left out: {error.cause}: {error.reason}"
        print(printable(told), file=sys.stderr)
    if len(failed) > _SHOWN:
        causes = Counter(str(error.cause) for _, error in failed)
        told = ", ".join(f"{n} {cause}" for cause, n in causes.most_common())
        print(f"… {len(failed)} rows in all: {told}", file=sys.stderr)
    return len(failed)


def _left_out(
    rows: Sequence[Row], found: Sequence[Rephrased | NotAnswered]
) -> list[dict[str, object]]:
    return [
        {"row": row.number, "cause": str(error.cause), "reason": error.reason}
        for row, error in zip(rows, found, strict=True)
        if isinstance(error, Exception)
    ]


def _table(
    rows: Sequence[Row], found: Sequence[Rephrased | NotAnswered], options: argparse.Namespace
) -> Iterator[Mapping[str, object]]:
    for row, new in zip(rows, found, strict=True):
        if not isinstance(new, Exception):
            yield {
                **row.values,
                "initial_prompt": row.values[options.prompt],
                "prompt": new.prompt,
                "ground_truth_completion": row.values[options.completion],
                "classification": new.classification,
            }


def _classes(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))
    if len(found) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} are not two classes; write A,B,C")
    return found
