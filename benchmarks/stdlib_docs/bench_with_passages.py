from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness import Datapoint, Evaluation, Index, Sample, generator, retriever
from harness.guards import GuardedGenerator
from harness.indexing import IndexSpec, ManagedIndex
from harness.references import Reference
from harness.stats import Difference, paired

from .bench_stdlib_docs import SCORERS, SMOLLM2
from .questions import questions

_FEW = 30
_PASSAGES = 300
_DIMENSIONS = 384
_INNER = r'gpt2:model=smollm2,chat=off,max_new_tokens=32,stop=["\n"]'
# The example is that of the model alone, in the same form.
_TEMPLATE = (
    "Documentation:\n{passages}\n\n"
    "Q: What does `numpy.arange` do?\nA: Return evenly spaced values within a given interval.\n"
    "Q: {prompt}\nA:"
)


def bench_with_passages(
    evaluate: Callable[..., Evaluation], pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    """With the documentation at hand the same model answers better than without."""
    if not pytestconfig.getoption("with_passages", False):
        pytest.skip("--with-passages asks SmolLM2 with retrieved passages, and compares")
    asked = questions("test")[: pytestconfig.getoption("samescore_limit", None) or _FEW]
    built = documentation(tmp_path / "index", max(_PASSAGES, len(asked)))
    alone = evaluate(asked, generator=SMOLLM2, scorers=SCORERS, cluster="module", name="alone")
    helped = evaluate(
        asked, generator=with_passages(built), scorers=SCORERS, cluster="module", name="passages"
    )
    for scorer in ("bertscore", "f1"):
        difference = compare(helped, alone, scorer, asked)
        assert difference.low is not None, scorer
        assert difference.low > 0, f"{scorer}: {difference}"


def documentation(folder: Path, passages: int) -> Path:
    """An index of what the names do, the ones that are asked for among them."""
    index = retriever(f"local:path={folder}")
    assert isinstance(index, ManagedIndex)
    index.create(IndexSpec(_DIMENSIONS))
    fill(index, questions("test")[:passages])
    return folder


def fill(index: Index, known: Sequence[Sample]) -> None:
    """Write a passage for each, in which the name stands before what it does."""
    texts = [f"`{sample.id}`: {sample.references[0]}" for sample in known]
    index.upsert([Datapoint(s.id, text=text) for s, text in zip(known, texts, strict=True)])


def with_passages(folder: Path) -> GuardedGenerator:
    """SmolLM2 with the three passages that are nearest to the question."""
    settings = {"of": _INNER, "retriever": f"local:path={folder}", "template": _TEMPLATE}
    return generator(Reference("rag", {**settings, "separator": "\n"}, "smollm2-with-passages"))


def compare(one: Evaluation, other: Evaluation, scorer: str, asked: Sequence[Sample]) -> Difference:
    """How much better the first is, over the questions that both have a score of."""
    ours, theirs = (
        {v.sample_id: v.value for v in found.values(scorer) if v.value is not None}
        for found in (one, other)
    )
    both = [sample for sample in asked if sample.id in ours and sample.id in theirs]
    return paired([ours[s.id] for s in both], [theirs[s.id] for s in both])
