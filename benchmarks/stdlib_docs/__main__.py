"""`python -m benchmarks.stdlib_docs train FILE` writes the questions of a split as JSON Lines."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .questions import questions


def main() -> None:
    """Write a split to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stdlib_docs", description=__doc__)
    parser.add_argument("split", choices=("train", "test"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    with options.file.open("w", encoding="utf-8") as file:
        for sample in questions(options.split):
            row = {"id": sample.id, "question": sample.prompt, "answer": sample.references[0]}
            file.write(json.dumps({**row, **sample.metadata}) + "\n")


if __name__ == "__main__":
    main()
