"""Standard input as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TextIO

from harness.data.rows import Row, place
from harness.errors import DataError

_NAME = "standard input"


def rows(stream: TextIO) -> Iterator[Row]:
    """One row a line that is not blank: a JSON object, or else a text by itself.

    Raises:
        DataError: for a line that begins as JSON and is none.
    """
    number = 0
    for line, text in enumerate(stream, 1):
        if not text.strip():
            continue
        number += 1
        values = _values(text.strip(), place(_NAME, number, line))
        yield Row(values, _NAME, number, line)


def _values(text: str, where: str) -> dict[str, object]:
    if not text.startswith("{"):
        return {"text": text}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: no JSON: {error}; a line is one whole object") from None
    assert isinstance(found, dict)  # it begins with a brace
    return found
