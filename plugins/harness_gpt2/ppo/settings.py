"""The settings of `ppo`, and the notebook's as another preset."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from harness import HarnessError

_AT_LEAST = {
    "batch_size": 1,
    "minibatch_size": 1,
    "microbatch_size": 0,
    "epochs": 1,
    "steps": 1,
    "max_new_tokens": 1,
    "top_k": 0,
    "kl_coef": 0,
    "kl_target": 0,
    "kl_horizon": 1,
    "learning_rate": 0,
    "warmup": 0,
    "max_grad_norm": 0,
    "missing_end_penalty": 0,
    "train_layers": 0,
    "lora_rank": 0,
    "evaluate_every": 0,
    "save_every": 0,
    "examples": 0,
}
_POSITIVE = (
    "temperature",
    "repetition_penalty",
    "clip_ratio",
    "clip_value",
    "ratio_limit",
    "control_rate",
)
_SHARES = ("gamma", "lam", "top_p", "momentum", "bad_share")


@dataclass(frozen=True, slots=True)
class PpoSettings:
    """Settings of `ppo`: the policy, its rollouts, the reward, the update, and what is kept."""

    model: str = "smollm2"
    """Causal LM to start from: a directory, a GGUF file, a fetched hub model, or a name."""
    template: str = "{prompt}"
    """What the model is asked; {prompt} stands for the sample's prompt, other braces are text."""
    chat: Literal["auto", "on", "off"] = "auto"
    """The tokenizer's chat template around the template: auto (where it has one), on or off."""
    system: str | None = None
    """System message, where there is a chat template; without it that template's default holds."""
    good: str = ""
    """Control text put before the template of rows whose reward counts as it is, as [good]."""
    bad: str = ""
    """Control text of rows whose reward counts with its sign flipped, as [bad]."""
    bad_share: float = 0.5
    """Share of the rows that have the flipping control, where there are both."""
    control_rate: float = 1.0
    """Learning rate of control texts that are one special token, as a multiple of the others'."""
    bad_trains: Literal["all", "control"] = "all"
    """What rows with the flipping control train: all, or that token's embedding alone."""
    device: str = "auto"
    """Torch device; auto is CUDA where there is one, else the CPU."""
    autocast: Literal["auto", "off", "bfloat16"] = "auto"
    """Arithmetic of the update; weights stay float32. Auto: bfloat16 on CUDA, off on a CPU."""

    batch_size: int = 64
    """Responses sampled in one step, over all processes."""
    max_new_tokens: int = 64
    """Largest number of tokens of a response."""
    length: Literal["free", "fixed", "reference"] = "free"
    """What ends a response: its end token, max_new_tokens, or the words of question and answer."""
    temperature: float = 1.0
    """Temperature of sampling, and of the policy that is trained and compared."""
    top_k: int = 0
    """Sample from the k likeliest tokens only; 0 is off. Warps the policy: see the warning."""
    top_p: float = 1.0
    """Sample from the likeliest tokens that make up this probability; 1 is off. Warps too."""
    repetition_penalty: float = 1.0
    """Divides the logits of tokens that were there already; 1 is off. Warps too."""

    normalize: Literal["initial", "running", "off"] = "initial"
    """Scale rewards to mean 0, deviation 1: by the first batches, by all so far, or not."""
    normalize_batches: int = 4
    """Batches that `normalize=initial` measures; they are trained on as well."""
    reward_scale: float = 1.0
    """Factor on the reward after that; against it the KL penalty is weighed."""
    reward_clip: float = 0.0
    """Largest absolute reward of a response or a word, before the scale; 0 is no limit."""
    credit: Literal["auto", "off"] = "auto"
    """Reward words by a scorer's credit: auto, where it gives any. Then set gamma below 1."""
    guards: tuple[str, ...] = ()
    """Labels of scorers that count as they are, for good and bad rows alike, such as length."""
    missing_end_penalty: float = 0.0
    """Taken from the reward of a response that ran into its limit."""

    kl_coef: float = 0.1
    """Coefficient of the KL penalty (k1) at the start."""
    kl_target: float | None = 6.0
    """Nats a response that the coefficient is steered to; none keeps the coefficient."""
    kl_horizon: int = 10_000
    """Responses over which the steering acts."""
    gamma: float = 1.0
    """Discount of later rewards."""
    lam: float = 0.95
    """Lambda of generalised advantage estimation."""
    whiten: bool = True
    """Scale the advantages of a batch to mean 0 and deviation 1."""
    clip_ratio: float = 0.2
    """How far the probability ratio may move a loss."""
    clip_value: float = 0.2
    """How far a value may move from its old one."""
    value_coef: float = 0.1
    """Weight of the value loss."""
    entropy_coef: float = 0.0
    """Weight of an entropy bonus."""
    ratio_limit: float = 10.0
    """A minibatch whose mean ratio is above this is skipped, as in TRL."""

    steps: int = 100
    """Batches of responses."""
    epochs: int = 4
    """Passes over each batch."""
    minibatch_size: int = 16
    """Responses in one optimizer step."""
    microbatch_size: int = 0
    """Responses in one forward pass, whose gradients add up; 0: a minibatch."""
    learning_rate: float = 1e-5
    """Learning rate of Adam at its highest."""
    momentum: float = 0.9
    """First beta of Adam; 0.98 averages noisy gradients over more minibatches."""
    schedule: Literal["linear", "constant"] = "linear"
    """Learning rate over the steps: falling to 0, or the same."""
    warmup: int = 0
    """Steps over which the learning rate rises to its highest."""
    max_grad_norm: float = 1.0
    """Largest norm of the gradient of a minibatch; 0 is no limit."""
    train_layers: int = 0
    """Train only so many of the top layers; the reference shares the others. 0 trains all."""
    lora_rank: int = 0
    """Train low-rank adapters (LoRA) of this rank only, merged at the end; 0 is off."""
    lora_alpha: int = 16
    """Scale of the adapters, over their rank."""

    evaluate_every: int = field(default=0, metadata={"result": False})
    """Steps between evaluations on the held-out rows; 0 is never."""
    save_every: int = field(default=25, metadata={"result": False})
    """Steps between checkpoints; 0 saves only at the end and when interrupted."""
    examples: int = field(default=2, metadata={"result": False})
    """Responses of a step that are kept with its metrics."""
    trackers: tuple[str, ...] = field(default=(), metadata={"result": False})
    """Also log to these: tensorboard, wandb, trackio, mlflow."""

    def __post_init__(self) -> None:
        """Raise HarnessError for a number out of range, or settings that exclude each other."""
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise HarnessError(f"ppo: {name} is {value}; it is at least {least}")
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise HarnessError(f"ppo: {name} is {getattr(self, name)}; it is above 0")
        for name in _SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise HarnessError(f"ppo: {name} is {getattr(self, name)}; it lies in 0..1")
        if "{prompt}" not in self.template:
            raise HarnessError(f"ppo: template {self.template!r} has no {{prompt}} in it")
        if self.lora_rank and self.train_layers:
            raise HarnessError("ppo: give lora_rank or train_layers, not both")
        if self.good == self.bad != "":
            raise HarnessError(f"ppo: good and bad are both {self.good!r}; they must differ")

    def degenerate(self) -> list[str]:
        """What makes the sampler another distribution than the policy that is trained."""
        warps = {"top_k": 0, "top_p": 1, "repetition_penalty": 1}
        return [f"{n}={getattr(self, n):g}" for n, off in warps.items() if getattr(self, n) != off]


@dataclass(frozen=True, slots=True)
class SeedNotebookSettings(PpoSettings):
    """Settings of `seed-notebook`: those of `ppo`, with the defaults of the FAQ notebook."""

    template: str = "question: {prompt}\nanswer:"
    """What the model is asked; {prompt} stands for the sample's prompt, other braces are text."""
    chat: Literal["auto", "on", "off"] = "off"
    """The tokenizer's chat template around the template: auto (where it has one), on or off."""
    good: str = "[good]"
    """Control text put before the template of rows whose reward counts as it is."""
    bad: str = "[bad]"
    """Control text of rows whose reward counts with its sign flipped."""
    batch_size: int = 32
    """Responses sampled in one step, over all processes."""
    max_new_tokens: int = 128
    """Largest number of tokens of a response."""
    length: Literal["free", "fixed", "reference"] = "reference"
    """What ends a response: its end token, max_new_tokens, or the words of question and answer."""
    top_k: int = 1
    """Sample from the k likeliest tokens only; 1 takes the likeliest: nothing is explored."""
    repetition_penalty: float = 10.0
    """Divides the logits of tokens that were there already."""
    normalize: Literal["initial", "running", "off"] = "off"
    """Scale rewards to mean 0, deviation 1: by the first batches, by all so far, or not."""
    credit: Literal["auto", "off"] = "off"
    """Reward words by a scorer's credit: auto, where it gives any. Then set gamma below 1."""
    kl_coef: float = 0.2
    """Coefficient of the KL penalty (k1) at the start."""
    steps: int = 21
    """Batches of responses; 21 of 32 are one pass over the notebook's 681 rows."""
    learning_rate: float = 1.41e-6
    """Learning rate of Adam at its highest."""
    schedule: Literal["linear", "constant"] = "constant"
    """Learning rate over the steps: falling to 0, or the same."""
    max_grad_norm: float = 0.0
    """Largest norm of the gradient of a minibatch; 0 is no limit."""
