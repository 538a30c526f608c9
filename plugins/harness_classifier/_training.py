"""The trainer `classifier`: fits a sequence classifier to labelled rows."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from harness import HarnessError, TrainingResult, TrainingTask
from harness.components import TrainingStep
from harness.fingerprint import deciding, digest, file_digest, samples_digest
from harness_classifier._checkpoint import (
    CHECKPOINT,
    MODEL,
    State,
    load_state,
    save_model,
    save_state,
)
from harness_classifier._examples import Examples, epoch_batches, examples, find_labels
from harness_classifier._loading import Loaded, locate, versions
from harness_classifier._metrics import metrics
from harness_classifier._reader import Reader, padded
from harness_classifier._starting import start

if TYPE_CHECKING:
    from harness_classifier import ClassifierTraining

WARMUP = 0.1
"""Share of the steps in which the learning rate rises."""
MAX_NORM = 1.0
FINE_TUNING, FROM_NOTHING = 5e-5, 1e-3
"""Learning rates where none is set."""


class ClassifierTrainer:
    """The trainer `classifier`: a sample's prompt is a text, its one reference the label.

    Cross-entropy, AdamW, a learning rate that warms up and decays linearly. After each epoch the
    held-out rows are read: `held_out/accuracy`, `macro_f1`, `auc` and `loss`; the best epoch so far
    is the model in `output/model`. Other metrics of a step: loss, learning_rate, grad_norm, epoch.
    On a CPU a training is the same each time, and after a resume, which goes on from the last epoch
    or interruption, as if it had not stopped.
    """

    def __init__(self, settings: ClassifierTraining) -> None:
        self._settings = settings
        self._folder = None if settings.model == "new" else locate(settings.model)

    def identity(self) -> Mapping[str, str]:
        """A digest of the files of the model to start from, versions of libraries."""
        return {"start": self._start(), **versions()}

    def _start(self) -> str:
        files = sorted(p for p in self._folder.iterdir() if p.is_file()) if self._folder else []
        return digest([(p.name, file_digest(p)) for p in files])

    def train(self, task: TrainingTask) -> TrainingResult:
        """Train, and give the folder of the best epoch's model with that epoch's metrics.

        Raises:
            HarnessError: for rows without labels, scorers (none is used), a model that cannot be
                trained, or an output that holds another training.
            KeyboardInterrupt: soon after `task.interrupted()`; all is saved.
        """
        if task.rewards.weights:
            raise HarnessError("classifier: it is trained on labels; leave the scorers out")
        labels = find_labels(task.samples, self._settings.labels)
        rows, held_out = examples(task.samples, labels), examples(task.held_out, labels)
        self._check_keep(held_out)
        task.output.mkdir(parents=True, exist_ok=True)
        plan = self._plan(task)
        state = _begun(task, plan)
        if state.weights or not state.step:
            begun = start(self._settings, self._folder, rows.texts, labels, task.seed)
            run = _Run(self._settings, task, begun, rows, held_out, plan, state)
            run.train()
        model = task.output / MODEL
        return TrainingResult(model, state.kept, use=f"classifier:model={model}")

    def _check_keep(self, held_out: Examples) -> None:
        if self._settings.keep == "auc" and len(set(held_out.classes)) == 1:
            raise HarnessError(
                "classifier: all held-out rows have one label, so there is no AUC to choose the "
                "epoch by; hold out others, or set keep=loss"
            )

    def _plan(self, task: TrainingTask) -> Mapping[str, object]:
        """What is asked: an output holds the same training if this is equal.

        Versions of libraries are left out: an upgrade is no reason to lose what was done.
        """
        return {
            "settings": {k: str(v) for k, v in deciding(self._settings).items()},
            "samples": samples_digest(task.samples),
            "held_out": samples_digest(task.held_out),
            "seed": task.seed,
            "start": self._start(),
        }


def _begun(task: TrainingTask, plan: Mapping[str, object]) -> State:
    """Where the same training stopped, or the beginning; without its model it is lost."""
    state = load_state(task.output, plan) if task.resume else None
    if state is None or (state.kept and not (task.output / MODEL).is_dir()):
        (task.output / CHECKPOINT).unlink(missing_ok=True)
        return State()
    return state


@dataclass
class _Run:
    """One training under way; `state` is kept up to date."""

    settings: ClassifierTraining
    task: TrainingTask
    loaded: Loaded
    rows: Examples
    held_out: Examples
    plan: Mapping[str, object]
    state: State

    def __post_init__(self) -> None:
        self.model: nn.Module = self.loaded.model
        self.reader = Reader(self.loaded)
        self.ids = self.reader.ids(self.rows.texts)
        self.classes = torch.tensor(self.rows.classes)
        weights = self.rows.weights() if self.settings.balanced else [1.0] * len(self.rows.labels)
        self.weights = torch.tensor(weights, device=self.loaded.model.device)
        self.per_epoch = -(-len(self.ids) // self.settings.batch_size)
        self.total = self.per_epoch * self.settings.epochs
        self.optimizer = torch.optim.AdamW(self._groups(), lr=self.rate(0))
        if self.state.weights:
            self.model.load_state_dict(self.state.weights["model"])
            self.optimizer.load_state_dict(self.state.weights["optimizer"])
            self.state.weights = None

    def train(self) -> None:
        """Take the steps that are left; raises KeyboardInterrupt, all saved, if it must stop."""
        for batch in self.batches():
            began = time.perf_counter()
            found = {"epoch": 1 + self.state.step // self.per_epoch, **self.step(batch)}
            self.state.step += 1
            at_end = self.state.step % self.per_epoch == 0
            if at_end:
                found |= self.evaluate()
                self.keep(found)
            step, seconds = self.state.step, time.perf_counter() - began
            interrupted = self.task.interrupted() and step < self.total
            if at_end or interrupted:
                self.save()
            self.task.report(TrainingStep(step, self.total, found, seconds))
            if interrupted:
                raise KeyboardInterrupt

    def batches(self) -> Iterator[list[int]]:
        """The rows of each step that is left."""
        lengths = [len(ids) for ids in self.ids]
        for epoch in range(self.state.step // self.per_epoch, self.settings.epochs):
            done = self.state.step - epoch * self.per_epoch
            size, seed = self.settings.batch_size, self.task.seed
            yield from epoch_batches(lengths, size, seed, epoch)[done:]

    def step(self, batch: list[int]) -> dict[str, float]:
        """One update; dropout's noise hangs on the seed and the step's number alone."""
        rate = self.rate(self.state.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        with torch.random.fork_rng():
            torch.manual_seed(int(digest((self.task.seed, self.state.step))[:15], 16))
            loss = self.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), MAX_NORM)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.model.eval()
        return {"loss": loss.item(), "learning_rate": rate, "grad_norm": norm.item()}

    def loss(self, batch: list[int]) -> Tensor:
        """The weighted mean cross-entropy of rows."""
        ids, mask = padded([self.ids[i] for i in batch], self.loaded)
        logits: Tensor = self.model(input_ids=ids, attention_mask=mask).logits
        wanted = self.classes[batch].to(logits.device)
        return functional.cross_entropy(logits, wanted, weight=self.weights)

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        default = FROM_NOTHING if self.settings.model == "new" else FINE_TUNING
        warmup = max(1, round(WARMUP * self.total))
        rise, fall = (step + 1) / warmup, (self.total - step) / max(1, self.total - warmup)
        return (self.settings.learning_rate or default) * min(rise, fall, 1.0)

    def evaluate(self) -> dict[str, float]:
        """The metrics of the held-out rows, by their names."""
        if not self.held_out.texts:
            return {}
        chances = self.reader.logits(self.held_out.texts).softmax(-1).tolist()
        found = metrics(chances, self.held_out.classes)
        return {f"held_out/{name}": value for name, value in found.items()}

    def keep(self, found: Mapping[str, float]) -> None:
        """Save the model if this epoch is the best so far; the earlier one if two are equal."""
        name = f"held_out/{self.settings.keep}"
        sign = -1 if self.settings.keep == "loss" else 1
        best = self.state.kept.get(name)
        if best is None or name not in found or sign * found[name] > sign * best:
            save_model(self.task.output, self.loaded)
            self.state.kept = dict(found)

    def save(self) -> None:
        """Write where the training stands; of a complete one no weights, which the model has."""
        state = State(self.state.step, self.state.kept)
        if self.state.step < self.total:
            state.weights = {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
            }
        save_state(self.task.output, self.plan, state)

    def _groups(self) -> list[dict[str, object]]:
        """Matrices decay, biases and norms do not."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        decay = self.settings.weight_decay
        return [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
