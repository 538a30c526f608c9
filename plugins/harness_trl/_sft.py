"""The trainer `sft`: a model learns the references, at the speed of its matrix products."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import cast

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import Trainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from harness import TrainingResult, TrainingTask
from harness_trl import SftSettings
from harness_trl._arguments import arguments, processes
from harness_trl._reporting import Reporter
from harness_trl._rows import IGNORED, Rows
from harness_trl._training import Plan, adapters, train, versions


class SftTrainer:
    """Trains a causal language model on the references of the samples."""

    def __init__(self, settings: SftSettings) -> None:
        self._settings = settings

    def identity(self) -> Mapping[str, str]:
        """The versions of TRL and what it stands on."""
        return versions()

    def train(self, task: TrainingTask) -> TrainingResult:
        """Train; what lies in the task's output afterwards loads as any causal LM does.

        Raises:
            HarnessError: for a model or setting that cannot be used, a sample without a
                reference, or an output that holds another training.
            KeyboardInterrupt: when interrupted; the state was saved.
        """
        return train(self._settings, task, lambda plan: self._built(plan, task))

    def _built(self, plan: Plan, task: TrainingTask) -> tuple[Trainer, Reporter]:
        settings, start, trained = self._settings, plan.start, len(task.samples)
        rows = Rows([*task.samples, *task.held_out], start, settings)
        tested = rows.once(range(trained, trained + len(task.held_out)))
        held_out = tested if settings.evaluate_every else []
        planned = rows.plan(range(trained), settings, task.seed)
        ours = {
            "num_train_epochs": 1,
            "max_steps": -1,
            "weight_decay": settings.weight_decay,
            "train_sampling_strategy": "sequential",
            "max_length": None,
            "packing": False,
            "padding_free": False,
            "completion_only_loss": settings.loss == "completion",
            "dataset_kwargs": {"skip_prepare_dataset": True},
            "eval_strategy": "steps" if held_out else "no",
            "prediction_loss_only": True,
        }
        trainer = LeanTrainer(
            model=start.model,
            args=arguments(SFTConfig, settings, plan.folder, task.seed, ours),
            data_collator=rows.collate,
            train_dataset=Dataset.from_list(planned),
            eval_dataset=Dataset.from_list(held_out) if held_out else None,
            processing_class=start.tokenizer,
            peft_config=adapters(settings, start.model),
        )
        epochs = len(planned) / trained

        def metrics(logs: Mapping[str, float], seconds: float) -> dict[str, float]:
            found = {name: logs[name] for name in ("loss", "learning_rate", "grad_norm")}
            pace = trainer.tokens_since_last() * processes() / seconds
            return {**found, "epoch": logs["epoch"] * epochs, "tokens_per_s": pace}

        return trainer, Reporter(task, metrics)


class LeanTrainer(SFTTrainer):
    """TRL's, but without a GPU it computes the logits of what is learnt only, and them once.

    There TRL's own head takes every token, twice, and an entropy beside: of a small model a
    sixth of the time in float32, a third in bfloat16. The loss is the same: the mean over the
    tokens learnt of -ln p, in nats.
    """

    def tokens_since_last(self) -> int:
        """How many tokens this process was trained on since this was asked last."""
        tokens, self._tokens = getattr(self, "_tokens", 0), 0
        return tokens

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """The loss of a batch, in nats a token; of all processes' tokens where they are given."""
        if model.training:
            self._tokens = getattr(self, "_tokens", 0) + int(inputs["attention_mask"].sum())
        if not self._lean(model):
            theirs = cast(Callable[..., Tensor], super().compute_loss)
            return theirs(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs.pop("labels")
        learnt = labels[:, 1:] != IGNORED
        first = int(learnt.any(0).int().argmax())
        kept = torch.arange(first, labels.shape[1] - 1)
        logits = model(**inputs, use_cache=False, logits_to_keep=kept).logits
        chosen = learnt[:, first:]
        total: Tensor = nn.functional.cross_entropy(
            logits[chosen].float(), labels[:, 1 + first :][chosen], reduction="sum"
        )
        tokens = chosen.sum().clamp(min=1)
        if num_items_in_batch is not None:  # of all processes, whose gradients are averaged
            tokens = torch.as_tensor(num_items_in_batch) / self.accelerator.num_processes
        return torch.div(total, tokens)

    def _lean(self, model: nn.Module) -> bool:
        args = cast(SFTConfig, self.args)
        plain = args.loss_type == "nll" and not args.label_smoothing_factor
        takes = inspect.signature(type(self.accelerator.unwrap_model(model)).forward).parameters
        return plain and args.device.type == "cpu" and "logits_to_keep" in takes
