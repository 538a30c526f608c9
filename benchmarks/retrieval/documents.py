"""The questions of `stdlib_docs` as a data set for retrieval: which sentence answers which?"""

from __future__ import annotations

from benchmarks.stdlib_docs.questions import questions
from harness.retrieval import BeirData


def stdlib_docs(queries: int | None = None, passages: int | None = None) -> BeirData:
    """Questions of the test split, and the first sentences of docstrings without their names.

    A question has one passage that answers it. The passages are those of the test split and then
    those of the training split; `passages` of them are taken, of which there must be as many as
    there are queries. None takes all.
    """
    asked = questions("test")[:queries]
    every = [*questions("test"), *questions("train")][:passages]
    return BeirData(
        corpus={sample.id: sample.references[0] for sample in every},
        queries={f"question:{sample.id}": sample.prompt for sample in asked},
        qrels={f"question:{sample.id}": {sample.id: 1} for sample in asked},
    )
