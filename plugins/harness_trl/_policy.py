"""The trainers `grpo` and `rloo`: TRL samples and updates, the task's scorers reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from datasets import Dataset
from transformers import Trainer, TrainingArguments
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_config import RLOOConfig
from trl.trainer.rloo_trainer import RLOOTrainer

from harness import HarnessError, Sample, TrainingResult, TrainingTask
from harness_trl import GrpoSettings, RlooSettings
from harness_trl._arguments import arguments
from harness_trl._prompts import Prompter, check
from harness_trl._reporting import Reporter
from harness_trl._rewards import Batch, SharedRewards
from harness_trl._training import Plan, adapters, train, versions

_NAMES = {
    "entropy": "entropy",
    "loss": "loss/policy",
    "clip_ratio/region_mean": "clip_fraction",
    "learning_rate": "learning_rate",
    "grad_norm": "grad_norm",
}


class PolicyTrainer:
    """Trains a causal language model by sampling and scoring: GRPO, or RLOO by its settings."""

    def __init__(self, settings: GrpoSettings) -> None:
        self._settings = settings

    def identity(self) -> Mapping[str, str]:
        """The versions of TRL and what it stands on."""
        return versions()

    def train(self, task: TrainingTask) -> TrainingResult:
        """Train; what lies in the task's output afterwards loads as any causal LM does.

        Raises:
            HarnessError: for a model, prompt or setting that cannot be used, no scorer that
                counts, a batch of which nothing was scored, or an output of another training.
            KeyboardInterrupt: when interrupted; the state was saved.
        """
        settings = self._settings
        against = settings.beta > 0 and not settings.lora_rank
        return train(settings, task, lambda plan: self._built(plan, task), reference=against)

    def _built(self, plan: Plan, task: TrainingTask) -> tuple[Trainer, Reporter]:
        settings, start = self._settings, plan.start
        samples = [*task.samples, *task.held_out]
        prompter = Prompter(start.tokenizer, settings)
        room = None if start.context is None else start.context - settings.max_new_tokens
        check(samples, prompter.tokens([sample.prompt for sample in samples]), room)
        self._check_enough(task.samples)
        rewards = SharedRewards(task.rewards, samples, len(task.samples), start.ends)
        rows = [
            {"prompt": prompter.asked(sample.prompt), "row": i} for i, sample in enumerate(samples)
        ]
        held_out = rows[len(task.samples) :] if settings.evaluate_every else []
        ours = {
            "max_completion_length": settings.max_new_tokens,
            "num_generations": settings.num_generations,
            "num_generations_eval": 1,
            "temperature": settings.temperature,
            "beta": settings.beta,
            "disable_dropout": True,
            "reward_weights": list(task.rewards.weights.values()),
            "eval_strategy": "steps" if held_out else "no",
        }
        rloo = isinstance(settings, RlooSettings)
        config: type[TrainingArguments] = RLOOConfig if rloo else GRPOConfig
        make = cast(Callable[..., Trainer], RLOOTrainer if rloo else GRPOTrainer)
        trainer = make(
            model=start.model,
            reward_funcs=rewards.functions,
            args=arguments(config, settings, plan.folder, task.seed, ours),
            train_dataset=Dataset.from_list(rows[: len(task.samples)]),
            eval_dataset=Dataset.from_list(held_out) if held_out else None,
            processing_class=start.tokenizer,
            peft_config=adapters(settings, start.model),
        )
        reporter = Reporter(
            task,
            lambda logs, seconds: self._metrics(rewards.latest, logs, seconds),
            lambda: rewards.latest.examples(settings.examples),
        )
        return trainer, reporter

    def _check_enough(self, samples: Sequence[Sample]) -> None:
        needed = self._settings.batch_size // self._settings.num_generations
        if len(samples) < needed:
            raise HarnessError(
                f"batch_size {self._settings.batch_size} takes {needed} prompts of "
                f"{self._settings.num_generations} completions, and there are {len(samples)}; "
                "set a smaller batch_size, or more num_generations"
            )

    def _metrics(self, batch: Batch, logs: Mapping[str, float], seconds: float) -> dict[str, float]:
        """TRL's metrics by the harness's names; KL in nats a completion, of RLOO by k1."""
        told = batch.metrics()
        found = {new: logs[old] for old, new in _NAMES.items() if old in logs}
        if "kl" in logs:
            name = "kl_k1" if isinstance(self._settings, RlooSettings) else "kl"
            found |= {name: logs["kl"] * told["response_tokens"], "kl_coef": self._settings.beta}
        pace = told["response_tokens"] * self._settings.batch_size / seconds
        return {**told, **found, "tokens_per_s": pace}
