"""The experimental PPO of TRL 1.12, the last release that has it, with a function for a reward.

Its API forces: one length for all responses (the mean of the rows' own), plain sampling (no top-k,
no repetition penalty), a separate value network, and a reward that looks like a sequence classifier
and sees token ids. `per_device_train_batch_size` is the whole batch, because only then does
`num_mini_batches` do what it says: eight optimizer steps a batch, as in the other loops.
"""

from __future__ import annotations

import importlib
import tempfile
import warnings
from types import SimpleNamespace
from typing import Any

import torch
from transformers import TrainerCallback

from benchmarks.performance.ppo_baselines.common import Clock, Reward, Task, arguments, reward

ppo = importlib.import_module("trl.experimental.ppo")
internals = importlib.import_module("trl.experimental.ppo.ppo_trainer")
transformers = importlib.import_module("transformers")
datasets = importlib.import_module("datasets")


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    task, out = arguments()
    torch.manual_seed(0)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=f"{task.model}/tokenizer.json",
        eos_token="<|endoftext|>",
        pad_token="<|pad|>",
        padding_side="left",
    )
    clock = Clock()
    time_generation(clock)
    with tempfile.TemporaryDirectory() as scratch:
        make_trainer(task, tokenizer, clock, scratch).train()
    clock.finish(task, out)


def make_trainer(task: Task, tokenizer: Any, clock: Clock, scratch: str) -> Any:
    causal = transformers.AutoModelForCausalLM
    value = transformers.AutoModelForSequenceClassification.from_pretrained(
        task.model, num_labels=1, pad_token_id=tokenizer.pad_token_id
    )
    ids = [tokenizer(row.prompt)["input_ids"] for row in task.rows]
    references = {tuple(prompt): row.answer for prompt, row in zip(ids, task.rows, strict=True)}
    return ppo.PPOTrainer(
        args=settings(task, scratch),
        processing_class=tokenizer,
        model=causal.from_pretrained(task.model),
        ref_model=causal.from_pretrained(task.model),
        value_model=value,
        reward_model=DressedReward(task, tokenizer, reward(task), references, clock),
        train_dataset=datasets.Dataset.from_dict({"input_ids": ids}),
        eval_dataset=datasets.Dataset.from_dict({"input_ids": ids[: task.batch_size]}),
        callbacks=[Ticking(clock)],
    )


def settings(task: Task, scratch: str) -> Any:
    return ppo.PPOConfig(
        output_dir=scratch,
        per_device_train_batch_size=task.batch_size,
        gradient_accumulation_steps=1,
        num_mini_batches=task.batch_size // task.minibatch_size,
        num_ppo_epochs=task.epochs,
        learning_rate=task.learning_rate,
        total_episodes=len(task.rows),
        response_length=task.mean_budget,
        local_rollout_forward_batch_size=task.batch_size,
        temperature=1.0,
        num_sample_generations=0,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=True,
    )


def time_generation(clock: Clock) -> None:
    generation = internals.batch_generation

    def timed(*inputs: Any, **named: Any) -> Any:
        with clock.phase("generation"):
            return generation(*inputs, **named)

    internals.batch_generation = timed  # type: ignore[attr-defined]


class Ticking(TrainerCallback):
    """Ends a batch where the trainer does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def on_train_begin(self, *_: object, **__: object) -> None:
        self._clock.tick()

    def on_step_end(self, *_: object, **__: object) -> None:
        self._clock.tick()


class DressedReward(torch.nn.Module):
    """A function of texts in the clothes of a sequence classifier."""

    base_model_prefix = "backbone"

    def __init__(
        self,
        task: Task,
        tokenizer: Any,
        reward: Reward,
        references: dict[tuple[int, ...], str],
        clock: Clock,
    ) -> None:
        super().__init__()
        self.backbone = self.forward
        self.length, self.pad = task.mean_budget, tokenizer.pad_token_id
        self.tokenizer, self.reward, self.references = tokenizer, reward, references
        self.clock = clock

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: object
    ) -> SimpleNamespace:
        with self.clock.phase("reward"):
            prompts, responses = input_ids[:, : -self.length], input_ids[:, -self.length :]
            mask = attention_mask[:, : -self.length].bool()
            answers = [
                self.references[tuple(p[m].tolist())] for p, m in zip(prompts, mask, strict=True)
            ]
            texts = self.tokenizer.batch_decode(responses, skip_special_tokens=True)
            scores = torch.tensor(self.reward(texts, answers))
        self.clock.tokens.append(float(self.length))
        return SimpleNamespace(hidden_states=[scores[:, None, None].expand(*input_ids.shape, 1)])

    def score(self, hidden: torch.Tensor) -> torch.Tensor:
        return hidden


if __name__ == "__main__":
    main()
