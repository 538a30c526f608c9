"""Write a model, its tokenizer, and the rows that every loop trains on.

    python -m benchmarks.performance.ppo_baselines.task tiny DIRECTORY --rows 64

A row is a question of `stdlib_docs` with the answers of four put together, so that prompts and
responses are about as long as those of the seed notebook's FAQ: 41 tokens, the words of question
and answer and one more, after a prompt of some 20.

`tiny` learns from the questions for a minute, and then answers in words; `small` keeps its random
weights and answers in pieces of words, of which a reward's encoder reads more than twice as many.
"""

from __future__ import annotations

import argparse
import json
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from benchmarks.performance.ppo_baselines.common import Row
from benchmarks.stdlib_docs.questions import questions

LAYERS_WIDTH_HEADS = {"tiny": (4, 256, 4), "small": (12, 768, 12)}
VOCABULARY = {"tiny": 5_000, "small": 50_257}
LEARNING_STEPS = {"tiny": 120, "small": 0}
TOGETHER = 4
SPECIAL = ["<|endoftext|>", "<|pad|>"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("size", choices=VOCABULARY)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--rows", type=int, default=64)
    options = parser.parse_args()
    options.directory.mkdir(parents=True, exist_ok=True)
    write_model(options.size, options.directory)
    rows = [asdict(row) for row in make_rows(options.rows)]
    (options.directory / "rows.json").write_text(json.dumps(rows), encoding="utf-8")


def write_model(size: str, directory: Path) -> None:
    if (directory / "model.safetensors").exists():
        return
    tokenizer = make_tokenizer(VOCABULARY[size])
    layers, width, heads = LAYERS_WIDTH_HEADS[size]
    torch.manual_seed(0)
    config = GPT2Config(
        n_layer=layers,
        n_embd=width,
        n_head=heads,
        vocab_size=VOCABULARY[size],
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    model = GPT2LMHeadModel(config)
    learn(model, tokenizer, LEARNING_STEPS[size])
    tokenizer.save_pretrained(directory)
    model.save_pretrained(directory)


def make_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte pairs of the standard library's source: text enough for GPT-2's 50,257."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=SPECIAL,
        show_progress=False,
    )
    backend.train_from_iterator(sources(), trainer)
    if backend.get_vocab_size() != vocabulary:
        raise SystemExit(
            f"the sources give {backend.get_vocab_size():,} tokens, not {vocabulary:,}"
        )
    special = {"bos_token": SPECIAL[0], "eos_token": SPECIAL[0], "pad_token": SPECIAL[1]}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)  # type: ignore[no-untyped-call]


def sources() -> Iterator[str]:
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
        if "site-packages" not in path.parts:
            yield path.read_text(encoding="utf-8", errors="replace")


def learn(model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, steps: int) -> None:
    """Some steps of language modelling on the questions and answers, 16 x 128 tokens each."""
    texts = [f"question: {s.prompt}\nanswer: {s.references[0]}" for s in questions("train")]
    tokens = torch.tensor(tokenizer(SPECIAL[0].join(texts))["input_ids"])
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(steps):
        starts = torch.randint(len(tokens) - 128, (16,))
        batch = torch.stack([tokens[i : i + 128] for i in starts.tolist()])
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def make_rows(count: int) -> list[Row]:
    """The first `count` rows: any number of them are a fair sample."""
    samples = questions("train")[: TOGETHER * count]
    rows = []
    for i in range(0, len(samples), TOGETHER):
        question = samples[i].prompt
        answer = " ".join(sample.references[0] for sample in samples[i : i + TOGETHER])
        budget = len(question.split()) + len(answer.split()) + 1
        rows.append(Row(question, answer, budget))
    return rows


if __name__ == "__main__":
    main()
