"""`python -m benchmarks.stdlib_docs train` writes the questions of a split as JSON Lines."""

from __future__ import annotations

import argparse
import json

from .questions import questions

parser = argparse.ArgumentParser(prog="python -m benchmarks.stdlib_docs", description=__doc__)
parser.add_argument("split", choices=("train", "test"))
for sample in questions(parser.parse_args().split):
    answer = {"answer": sample.references[0]}
    print(json.dumps({"id": sample.id, "prompt": sample.prompt, **answer, **sample.metadata}))
