"""The promise of the project: one scorer, the same scores through every door."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from harness import Completion, Sample, Score, evaluate, hookimpl, load_samples, scorer, train
from harness.adapters import as_reward_func
from harness.testing import check_rewarder, installed

from .plugins.test_gpt2 import save

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
    "evaluate:metric=FOLDER/length",
    "classifier:model=FOLDER/classifier",
    'contrast:of="bertscore:model=minilm,credit=true",pool=FOLDER/pool.csv,prompt=q,reference=a,k=2',
    "length:target=5",
    "repetition:n=2",
    "copy:n=2",
]


@pytest.fixture
def reference(request: pytest.FixtureRequest, tmp_path: Path, minilm: str) -> str:
    """The reference of a built-in scorer, the files that it names written where it needs any."""
    named = str(request.param)
    if "length" in named:
        (tmp_path / "length").mkdir()
        (tmp_path / "length" / "length.py").write_text(LENGTH)
    if "pool" in named:
        rows = "".join(f"{question},other {answer}\n" for question, answer, _ in ANSWERS)
        (tmp_path / "pool.csv").write_text(f"q,a\n{rows}", "utf-8")
    if "classifier" in named:
        config = BertConfig(
            hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        )
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(tmp_path / "classifier")
        AutoTokenizer.from_pretrained(minilm).save_pretrained(tmp_path / "classifier")
    return named.replace("FOLDER", str(tmp_path))


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


@pytest.mark.parametrize("reference", BUILT_IN, indirect=True)
def test_training_scores_as_a_direct_call_does(reference: str, tmp_path: Path) -> None:
    """PPO's own rollouts: what observers are told of them is what the scorer gives, bit for bit.

    The same through the reward function for TRL, which has None where there is no score.
    """
    model = save("gpt2", tmp_path / "policy", eos_token="<eos>")
    told: list[tuple[Completion, Score]] = []

    class Listening:
        @hookimpl
        def harness_completion_scored(self, completion: Completion, score: Score) -> None:
            told.append((completion, score))

    samples = [Sample(str(i), q, (truth,)) for i, (q, truth, _) in enumerate(ANSWERS[:4])]
    settings = "batch_size=4,minibatch_size=4,epochs=1,steps=1,max_new_tokens=12"
    trainer = f"ppo:model={model},autocast=bfloat16,normalize_batches=1,{settings}"
    with installed(Listening()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="ppo: in step 1 all 4 responses have one reward")
        train(samples, trainer=trainer, scorers=[reference], output=tmp_path / "out")
    completions, scores = map(list, zip(*told, strict=True))
    assert len(told) == 4
    assert scorer(reference).score(completions) == scores
    rewards = as_reward_func(reference)(
        prompts=[c.sample.prompt for c in completions],
        completions=[c.text for c in completions],
        completion_ids=[[] for _ in completions],
        reference=[list(c.sample.references) for c in completions],
    )
    assert rewards == [score.value for score in scores]


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
