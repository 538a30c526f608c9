"""Causal language models, GPT-2 and its like: the generator `gpt2` and the trainer `ppo`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from harness import Component, HarnessError, hookimpl
from harness_gpt2.ppo.settings import PpoSettings, SeedNotebookSettings

if TYPE_CHECKING:
    from harness.components import Generator, Trainer

_RANGES = {
    "max_new_tokens": (1, 1_000_000),
    "temperature": (0, 1_000),
    "top_k": (0, 1_000_000_000),
    "top_p": (1e-9, 1),
    "repetition_penalty": (1e-9, 1_000),
    "batch_size": (1, 1_000_000),
    "batch_tokens": (1, 1_000_000_000),
}


@dataclass(frozen=True, slots=True)
class Gpt2Settings:
    """Settings of `gpt2`; of the model's own generation_config only the end tokens are used."""

    model: str = "smollm2"
    """Causal LM: a directory, a GGUF file, a fetched hub model, or a name of `harness models`."""
    template: str = "{prompt}"
    """What the model is asked; {prompt} stands for the sample's prompt, other braces are text."""
    chat: Literal["auto", "on", "off"] = "auto"
    """The tokenizer's chat template around the template: auto (where it has one), on or off."""
    system: str | None = None
    """System message, where there is a chat template; without it that template's default holds."""
    max_new_tokens: int = 128
    """Largest number of tokens of an answer; less where the model's context ends sooner."""
    temperature: float = 0.0
    """Sampling temperature; 0 takes the likeliest token, and then attempts do not differ."""
    top_k: int = 0
    """Sample from the k likeliest tokens only; 0 is off."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that make up this probability; 1 is off."""
    repetition_penalty: float = 1.0
    """Makes tokens of prompt and answer so far less likely, by dividing their logits; 1 is off."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer, beside the model's end token; they are cut off."""
    batch_size: int = field(default=16, metadata={"result": False})
    """Largest number of samples decoded at once."""
    batch_tokens: int = field(default=32_768, metadata={"result": False})
    """Largest number of tokens decoded at once, padding and answers included: bounds the memory."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision; auto is float32 on a CPU and the checkpoint's own on a GPU."""
    device: str = "auto"
    """Torch device; auto is CUDA where there is one, else the CPU."""
    seed: int = 0
    """Seed of sampling; seed, prompt and attempt fix an answer's noise, whatever the batch."""

    def __post_init__(self) -> None:
        """Raise HarnessError for a number out of range or a template without its {prompt}."""
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise HarnessError(f"gpt2: {name} is {value}; it must lie in {low}..{high}")
        if "{prompt}" not in self.template:
            raise HarnessError(f"gpt2: template {self.template!r} has no {{prompt}} in it")
        if self.temperature == 0 and (self.top_k > 0 or self.top_p < 1):
            raise HarnessError(
                "gpt2: top_k and top_p need sampling; set temperature above 0, say 1"
            )
        if "" in self.stop:
            raise HarnessError("gpt2: a stop text is empty; leave it out")


def build(settings: Gpt2Settings) -> Generator:
    """Load the model and give the generator; raises HarnessError for a model that cannot be had."""
    from harness_gpt2._generator import Gpt2Generator

    return Gpt2Generator(settings)


@hookimpl
def harness_generators() -> Iterable[Component[Generator]]:
    """Register `gpt2`."""
    yield Component(
        "gpt2",
        build=build,
        settings=Gpt2Settings,
        summary="any causal language model that transformers loads, GGUF files too",
        requires="samescore[gpt2]",
    )


def build_trainer(settings: PpoSettings) -> Trainer:
    """The trainer that these settings describe; nothing is loaded before it trains."""
    from harness_gpt2.ppo._trainer import PpoTrainer

    return PpoTrainer(settings)


@hookimpl
def harness_trainers() -> Iterable[Component[Trainer]]:
    """Register `ppo`, and `seed-notebook`: the same with the FAQ notebook's settings."""
    yield Component(
        "ppo",
        build=build_trainer,
        settings=PpoSettings,
        summary="Proximal Policy Optimization of a causal language model on any scorers",
        requires="samescore[ppo]",
    )
    yield Component(
        "seed-notebook",
        build=build_trainer,
        settings=SeedNotebookSettings,
        summary="ppo with the settings of the FAQ notebook, degenerate ones included",
        requires="samescore[ppo]",
    )
