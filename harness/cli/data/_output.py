"""What the sub-commands that write a table share: its options, and what they tell of it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DataError

if TYPE_CHECKING:
    from harness.data.converting import Written

TABLES = ".csv, .tsv, .json, .jsonl, .ndjson or .parquet file, or hf:NAME"


def add_output(parser: argparse.ArgumentParser, named: str = "the file to write") -> None:
    """Declare the options about the file to write."""
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="OUT", help=named)
    add(
        "--to",
        choices=("chat", "columns", "as-is"),
        help="write conversations as `messages` (chat), as the columns system_prompt, prompt and "
        "completion (columns), or rows as they are; without it, what suits the file",
    )
    add("--force", action="store_true", help="replace OUT if it is there already")
    add("--json", action="store_true", help="say in JSON what was written")


def refuse_overwriting(path: str | Path, *, force: bool) -> None:
    """Raise DataError if there is such a file, and it is not to be replaced."""
    if not force and Path(path).exists():
        raise DataError(f"{path} is there already; --force replaces it")


def told(written: Written) -> str:
    """What was written, in words, as `3 conversations`."""
    noun = "row" if written.form == "as-is" else "conversation"
    return f"{written.rows} {noun}{'' if written.rows == 1 else 's'}"


def print_whole(written: Written) -> None:
    """Say how many conversations do not fit the three columns."""
    if written.whole:
        print(
            f"{written.whole} of them {'is' if written.whole == 1 else 'are'} more than one system "
            "message, prompt and completion of text: the column messages has all of it"
        )
