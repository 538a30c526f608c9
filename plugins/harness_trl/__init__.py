"""TRL's trainers on the harness's scorers: `grpo` and `rloo`, and `sft` for the warm start.

    harness.train(samples, trainer="grpo:model=runs/sft", scorers=["match"], output="runs/grpo")

For a TRL script of your own, `harness.adapters.as_reward_func` makes a scorer a reward function.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from harness import Component, hookimpl

if TYPE_CHECKING:
    from harness.components import Trainer

_AT_LEAST = {
    "batch_size": 1,
    "microbatch_size": 0,
    "num_generations": 2,
    "max_new_tokens": 1,
    "max_tokens": 1,
    "epochs": 0,
    "steps": 0,
    "beta": 0,
    "learning_rate": 0,
    "warmup": 0,
    "weight_decay": 0,
    "lora_rank": 0,
    "evaluate_every": 0,
    "save_every": 0,
    "examples": 0,
}


@dataclass(frozen=True, slots=True)
class TrlSettings:
    """What all trainers of TRL have in common."""

    model: str = "smollm2"
    """Causal LM to start from: a directory, a GGUF file, a fetched hub model, or a name."""
    template: str = "{prompt}"
    """What the model is asked; {prompt} stands for the sample's prompt, other braces are text."""
    chat: Literal["auto", "on", "off"] = "auto"
    """The tokenizer's chat template around the template: auto (where it has one), on or off."""
    system: str | None = None
    """System message, where there is a chat template; without it that template's default holds."""
    batch_size: int = 16
    """Rows of one optimizer step, over all processes."""
    microbatch_size: int = 0
    """Rows in one forward pass of a process, whose gradients add up; 0: all of its batch."""
    epochs: float = 1.0
    """Passes over the samples, where steps is 0."""
    steps: int = 0
    """Optimizer steps, whatever the epochs; 0: as many as the epochs take."""
    learning_rate: float = 1e-6
    """Learning rate of AdamW at its highest."""
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Learning rate over the steps: falling to 0, falling as a cosine, or the same."""
    warmup: float = 0.0
    """Steps over which the learning rate rises to its highest; below 1 a share of all steps."""
    lora_rank: int = 0
    """Train low-rank adapters (LoRA) of this rank only, merged at the end; 0 is off."""
    lora_alpha: float = 16.0
    """Scale of the adapters, over their rank."""
    device: Literal["auto", "cpu"] = "auto"
    """auto is a GPU where there is one."""
    autocast: Literal["auto", "off", "bfloat16"] = "auto"
    """Arithmetic over float32 weights. Auto: bfloat16 on CUDA, off on a CPU."""
    extra: tuple[str, ...] = ()
    """More keys of TRL's config as key=value, such as ["loss_type=grpo","num_iterations=2"]."""
    evaluate_every: int = field(default=0, metadata={"result": False})
    """Steps between evaluations on the held-out rows; 0 is never."""
    save_every: int = field(default=100, metadata={"result": False})
    """Steps between checkpoints; 0 saves only at the end and when interrupted."""
    trackers: tuple[str, ...] = field(default=(), metadata={"result": False})
    """Also log TRL's own metrics to these: tensorboard, wandb, trackio, mlflow."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range, or a template without its {prompt}."""
        for name, least in _AT_LEAST.items():
            value = getattr(self, name, None)
            if value is not None and not value >= least:
                raise ValueError(f"{name} is {value}; it is at least {least}")
        if "{prompt}" not in self.template:
            raise ValueError(f"template {self.template!r} has no {{prompt}} in it")
        if not self.steps and not self.epochs:
            raise ValueError("epochs and steps are both 0; set one of them")
        if self.microbatch_size and self.batch_size % self.microbatch_size:
            raise ValueError(
                f"batch_size is {self.batch_size}; it must be a multiple of microbatch_size, "
                f"which is {self.microbatch_size}"
            )


@dataclass(frozen=True, slots=True)
class GrpoSettings(TrlSettings):
    """Settings of `grpo`: Group Relative Policy Optimization."""

    num_generations: int = 8
    """Completions sampled of each prompt, compared with each other; it divides batch_size."""
    max_new_tokens: int = 64
    """Largest number of tokens of a completion."""
    temperature: float = 1.0
    """Sampling temperature, and that of the policy that is trained."""
    beta: float = 0.0
    """Weight of the KL divergence from the starting model; 0 keeps no reference."""
    examples: int = field(default=2, metadata={"result": False})
    """Completions of a step that are kept with its metrics."""

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant."""
        TrlSettings.__post_init__(self)
        if not self.temperature > 0:
            raise ValueError(f"temperature is {self.temperature}; it is above 0")
        if self.batch_size % self.num_generations:
            raise ValueError(
                f"batch_size is {self.batch_size}; it must be a multiple of num_generations, "
                f"which is {self.num_generations}"
            )


@dataclass(frozen=True, slots=True)
class RlooSettings(GrpoSettings):
    """Settings of `rloo`: REINFORCE with a leave-one-out baseline."""

    beta: float = 0.05
    """Weight of the KL divergence from the starting model; 0 keeps no reference."""


@dataclass(frozen=True, slots=True)
class SftSettings(TrlSettings):
    """Settings of `sft`: a model learns the references, with dropout as its config says."""

    completion: str = " {reference}"
    """What the model should answer; {reference} stands for a reference, drawn where several are."""
    prefixes: tuple[str, ...] = ()
    """Texts of which one is drawn for a row each epoch and put before the template, as "[good]"."""
    loss: Literal["completion", "all"] = "completion"
    """Which tokens are learnt: those of the completion, or those of the prompt as well."""
    max_tokens: int | None = None
    """Largest number of tokens of a row; a longer completion is cut. None: the model's context."""
    epochs: float = 3.0
    """Passes over the samples, where steps is 0."""
    learning_rate: float = 5e-5
    """Learning rate of AdamW at its highest; small models from scratch take about 1e-3."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    group_by_length: bool = True
    """Put rows of like length into a batch, which saves padding; batches come in random order."""

    def __post_init__(self) -> None:
        """Raise ValueError for what cannot be meant."""
        TrlSettings.__post_init__(self)
        if "{reference}" not in self.completion:
            raise ValueError(f"completion {self.completion!r} has no {{reference}} in it")


def build_grpo(settings: GrpoSettings) -> Trainer:
    """The trainer that these settings describe; nothing is loaded before it trains."""
    from harness_trl._policy import PolicyTrainer

    return PolicyTrainer(settings)


def build_rloo(settings: RlooSettings) -> Trainer:
    """The trainer that these settings describe; nothing is loaded before it trains."""
    from harness_trl._policy import PolicyTrainer

    return PolicyTrainer(settings)


def build_sft(settings: SftSettings) -> Trainer:
    """The trainer that these settings describe; nothing is loaded before it trains."""
    from harness_trl._sft import SftTrainer

    return SftTrainer(settings)


@hookimpl
def harness_trainers() -> Iterable[Component[Trainer]]:
    """Register `grpo`, `rloo` and `sft`."""
    yield Component(
        "grpo",
        build=build_grpo,
        settings=GrpoSettings,
        summary="TRL's GRPO of a causal language model on any scorers",
        requires="samescore[trl]",
    )
    yield Component(
        "rloo",
        build=build_rloo,
        settings=RlooSettings,
        summary="TRL's RLOO of a causal language model on any scorers",
        requires="samescore[trl]",
    )
    yield Component(
        "sft",
        build=build_sft,
        settings=SftSettings,
        summary="TRL's supervised fine-tuning on the references, fast on a CPU too",
        requires="samescore[trl]",
    )
