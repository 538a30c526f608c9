"""The promise of the project: one scorer, the same scores through every door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness import Completion, Sample, evaluate, load_samples, scorer
from harness.testing import check_rewarder

ANSWERS = [
    ("What is a list?", "A mutable sequence of items.", "A list is a mutable sequence."),
    ("What is a tuple?", "An immutable sequence.", "a sequence that cannot change, 不変, 🙂"),
    ("What is a set?", "An unordered collection without duplicates.", ""),
    ("What is a dict?", "A mapping of keys to values.", "A mapping of keys to values."),
    ("What is None?", "The absence of a value.", "word " * 700),
]
LENGTH = """
import datasets
import evaluate


class Length(evaluate.Metric):
    def _info(self):
        features = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        return evaluate.MetricInfo(
            description="", citation="", inputs_description="", features=datasets.Features(features)
        )

    def _compute(self, predictions, references):
        values = [len(p) / max(len(r), 1) for p, r in zip(predictions, references)]
        return {"length": values}
"""
BUILT_IN = [
    "match:mode=exact",
    "match:mode=contains",
    "match:mode=f1",
    "bertscore:model=minilm",
    "bertscore:model=minilm,credit=true",
    "evaluate:metric=METRIC",
]


@pytest.fixture
def reference(request: pytest.FixtureRequest, tmp_path: Path, minilm: str) -> str:
    """The reference of a built-in scorer, its metric module written where it needs one."""
    module = tmp_path / "length" / "length.py"
    module.parent.mkdir()
    module.write_text(LENGTH)
    return str(request.param).replace("METRIC", str(module.parent))


@pytest.mark.parametrize("reference", BUILT_IN, indirect=True)
def test_evaluation_and_a_direct_call_give_the_same_bits(reference: str, tmp_path: Path) -> None:
    """In the same batch nothing differs; with a warm cache and in any other batching 1e-6."""
    samples = [
        Sample(str(i), q, (truth,), {"completion": answer})
        for i, (q, truth, answer) in enumerate(ANSWERS)
    ]
    completions = [Completion(s, str(s.metadata["completion"])) for s in samples]
    direct = check_rewarder(reference, completions)
    result = evaluate(samples, generator="recorded", scorers=[reference], store=tmp_path / "one.db")
    stored = [row.scores[reference] for row in result.rows()]
    assert stored == direct
    again = evaluate(samples, generator="recorded", scorers=[reference], store=tmp_path / "two.db")
    assert [row.scores[reference] for row in again.rows()] == direct
    assert result.run.scorers[reference] == scorer(reference).fingerprint


def test_another_process_gives_the_same_bits(tmp_path: Path, minilm: str) -> None:
    """The command line, in a process of its own, writes what a call here gives."""
    table = tmp_path / "answers.jsonl"
    source = "\n".join(
        f'{{"q": "{q}", "truth": "{truth}", "answer": "{answer}"}}' for q, truth, answer in ANSWERS
    )
    table.write_text(source + "\n", "utf-8")
    arguments = "--completion answer --reference truth --prompt q --scorer f=bertscore:model=minilm"
    out = tmp_path / "scored.jsonl"
    command = [
        sys.executable,
        "-m",
        "harness",
        "score",
        str(table),
        *arguments.split(),
        "-o",
        str(out),
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    samples = load_samples(table, prompt="q", references="truth", metadata=["answer"])
    scored = load_samples(out, prompt="q", references="truth", metadata=["f"])
    here = scorer("bertscore:model=minilm").score(
        [Completion(s, str(s.metadata["answer"])) for s in samples]
    )
    assert [s.metadata["f"] for s in scored] == [s.value for s in here]
