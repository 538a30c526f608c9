"""The seed notebook's PPO loop on TRL 0.11.4, the last release with the old trainer.

As in the notebook: one sample at a time, `top_k` 1, repetition penalty 10, as many new tokens as
the question and the answer have words and one more, EOS off, `forward_batch_size` 16. Unlike it,
the prompt is cut off the response, which is then what the other loops train on.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.performance.ppo_baselines.common import Clock, Row, Task, arguments, reward

trl = importlib.import_module("trl")
transformers = importlib.import_module("transformers")


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    task, out = arguments()
    torch.manual_seed(0)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=f"{task.model}/tokenizer.json",
        eos_token="<|endoftext|>",
        pad_token="<|pad|>",
    )
    trainer, score, clock = make_trainer(task, tokenizer), reward(task), Clock()
    for rows in task.slices():
        clock.tick()
        queries = [
            torch.tensor(tokenizer(row.prompt, truncation=True)["input_ids"]) for row in rows
        ]
        with clock.phase("generation"):
            responses = generate(trainer, tokenizer, queries, rows)
        with clock.phase("reward"):
            texts = [tokenizer.decode(r, skip_special_tokens=True) for r in responses]
            scores = [torch.tensor(s) for s in score(texts, [row.answer for row in rows])]
        trainer.step(queries, responses, scores)
        clock.tokens.append(sum(map(len, responses)) / len(rows))
    clock.tick()
    clock.finish(task, out)


def make_trainer(task: Task, tokenizer: Any) -> Any:
    config = trl.PPOConfig(
        batch_size=task.batch_size,
        forward_batch_size=task.minibatch_size,
        ppo_epochs=task.epochs,
        learning_rate=task.learning_rate,
        remove_unused_columns=False,
    )
    kind = trl.AutoModelForCausalLMWithValueHead
    policy, reference = kind.from_pretrained(task.model), kind.from_pretrained(task.model)
    return trl.PPOTrainer(config, policy, reference, tokenizer)


def generate(
    trainer: Any, tokenizer: Any, queries: Sequence[torch.Tensor], rows: Sequence[Row]
) -> list[torch.Tensor]:
    responses = []
    for query, row in zip(queries, rows, strict=True):
        response = trainer.generate(
            query,
            do_sample=True,
            top_k=1,
            min_new_tokens=row.budget,
            max_new_tokens=row.budget,
            repetition_penalty=10.0,
            length_penalty=-0.1,
            pad_token_id=tokenizer.eos_token_id,
            eos_token_id=-1,
            top_p=1.0,
        )
        responses.append(response.squeeze()[len(query) :])
    return responses


if __name__ == "__main__":
    main()
