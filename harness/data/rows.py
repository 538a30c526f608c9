"""A row of a table, which remembers where it stands."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One row of a table: its values by column, and where it stands.

    `number` counts the rows of data from 1; `line` is the line of the file that the row
    begins on, where the file has lines.
    """

    values: dict[str, object]
    file: str
    number: int
    line: int | None = None

    @property
    def where(self) -> str:
        """The place, for a message: `faq.csv, row 3 (line 7)`."""
        return place(self.file, self.number, self.line)


def place(file: str | Path, number: int, line: int | None = None) -> str:
    """A row's place, as messages give it."""
    return f"{file}, row {number}" + (f" (line {line})" if line is not None else "")
