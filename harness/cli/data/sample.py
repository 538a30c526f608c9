"""`harness data sample`: rows of a table, drawn at random."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.cli.data._output import TABLES, add_output, print_whole, refuse_overwriting, told

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.data.converting import Written


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "sample",
        help="rows of a table, drawn at random",
        description="Draw rows at random, without replacement, each as likely as any other. The "
        "same seed draws the same rows, in any kind of file, and with a larger N the same and "
        "more. They keep their order. What is written is as `harness data convert` would write "
        "it: conversations become columns in CSV, and stay as they are in JSON Lines.",
    )
    parser.add_argument("file", metavar="IN", help=f"the table: a {TABLES}")
    parser.add_argument(
        "-n",
        type=positive_count,
        required=True,
        metavar="N",
        help="how many; all if there are fewer",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the seed (0)")
    parser.add_argument("--shuffle", action="store_true", help="put them in random order")
    add_output(
        parser,
        "the file to write; {n} in its name stands for the number of rows that are written, "
        "{time} for the local time",
    )
    parser.set_defaults(command=run)


def positive_count(text: str) -> int:
    """A number of things, from 1."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def run(options: argparse.Namespace) -> int:
    """Draw the rows and write them."""
    from harness.data.converting import write_rows
    from harness.data.sampling import draw
    from harness.data.tables import read_table
    from harness.data.writing import check_writable

    named = options.output.replace("{time}", time.strftime("%Y-%m-%d_%H-%M-%S"))
    check_writable(named)
    refuse_overwriting(named, force=options.force)
    drawn = draw(read_table(options.file), options.n, seed=options.seed, shuffle=options.shuffle)
    output = named.replace("{n}", str(len(drawn.rows)))
    refuse_overwriting(output, force=options.force)
    written = write_rows(lambda: drawn.rows, output, options.to)
    if options.json:
        of = {"of": drawn.total, "seed": options.seed}
        print_json({"output": output, **written._asdict(), **of})
        return 0
    print(f"wrote {_share(written, drawn.total, options)} to {output}")
    print_whole(written)
    return 0


def _share(written: Written, total: int, options: argparse.Namespace) -> str:
    if options.n > total:
        return f"all {told(written)} of {options.file} ({options.n} were asked for)"
    return f"{told(written)} of {total} (seed {options.seed})"
