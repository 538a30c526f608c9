"""Where a training starts and ends: the model it loads, and the one it leaves behind."""

from __future__ import annotations

import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel

from harness import HarnessError, TrainingTask
from harness.fingerprint import deciding, samples_digest
from harness.quiet import quiet
from harness.references import Reference
from harness_gpt2._loading import Loaded, load
from harness_gpt2.ppo._policy import Policy
from harness_gpt2.ppo.settings import PpoSettings

if TYPE_CHECKING:
    from peft import PeftModel


class Start(NamedTuple):
    """A policy ready to be trained; `wrapper` is the adapters around its model, where it has any.

    `autocast` is the arithmetic of the update, None for float32.
    """

    loaded: Loaded
    policy: Policy
    wrapper: PeftModel | None
    autocast: torch.dtype | None


def started(settings: PpoSettings, task: TrainingTask) -> Start:
    """Load the model that the settings name, and choose what of it is trained.

    Raises:
        HarnessError: for a model that cannot be had or used, or settings that do not fit it.
    """
    _check(settings, task)
    loaded = load(settings.model, dtype="float32", device=settings.device)
    if settings.length == "free" and not loaded.end_tokens:
        raise HarnessError(
            f"ppo: the tokenizer of {settings.model} has no end token, so no response would end; "
            "set length=fixed"
        )
    torch.manual_seed(task.seed)
    _tune(loaded.model)
    wrapper = _adapted(loaded.model, settings) if settings.lora_rank else None
    policy = Policy(loaded.model, settings.temperature, _controls(settings, loaded))
    if settings.bad_trains == "control" and not policy.has_controls:
        raise HarnessError(
            "ppo: bad_trains=control needs a control_rate other than 1, and good and bad that are "
            f"special tokens of {settings.model}'s tokenizer"
        )
    if settings.train_layers:
        _freeze_lower(policy, settings.train_layers)
    return Start(loaded, policy, wrapper, _precision(settings, loaded.model.device))


def training_of(settings: PpoSettings, task: TrainingTask, loaded: Loaded) -> dict[str, object]:
    """What decides a training's result; another one cannot go on from its checkpoints."""
    selected = {
        "by": list(task.select.labels) if task.select else [],
        "held_out": samples_digest(task.held_out),
        "evaluate_every": settings.evaluate_every,
    }
    return {
        "settings": deciding(settings),
        "model": loaded.identity["weights"],
        "samples": samples_digest(task.samples),
        "weights": dict(task.rewards.weights),
        "seed": task.seed,
        **({"select": selected} if task.select else {}),
    }


def save(start: Start, output: Path) -> None:
    """Write model, tokenizer and value head; `config.json` comes last, so none is half a model."""
    start.policy.merge_controls()
    model: PreTrainedModel = start.policy.model
    if start.wrapper is not None:
        model = cast(PreTrainedModel, start.wrapper.merge_and_unload())
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=output, prefix=".saving-") as folder, quiet():
        new = Path(folder)
        model.save_pretrained(new)
        start.loaded.tokenizer.save_pretrained(new)
        save_file(start.policy.value_head.state_dict(), new / "value_head.safetensors")
        for file in sorted(new.iterdir(), key=lambda f: f.name == "config.json"):
            file.replace(output / file.name)


def use_of(settings: PpoSettings, output: Path) -> str:
    """The reference of the generator that asks the trained model as it was asked in training."""
    asked = {"template": settings.good + settings.template, "chat": settings.chat}
    if settings.system is not None:
        asked["system"] = settings.system
    asked["max_new_tokens"] = str(settings.max_new_tokens)
    asked["temperature"] = str(settings.temperature)
    return str(Reference("gpt2", {"model": str(output), **asked}))


def _tune(model: PreTrainedModel) -> None:
    """Switch dropout off, and use faster kernels for the same numbers.

    GPT-2's own GELU is five passes over memory. On a CPU, attention over sequences as short as
    these takes a third of the time without the flash kernel's backward pass.
    """
    for module in list(model.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name, child in module.named_children():
            if type(child).__name__ == "NewGELUActivation":
                setattr(module, name, nn.GELU(approximate="tanh"))
    if model.device.type == "cpu":
        model.set_attn_implementation("eager")


def _check(settings: PpoSettings, task: TrainingTask) -> None:
    labels = task.rewards.weights
    if not any(labels.values()):
        raise HarnessError("ppo: no scorer has a weight other than 0, so there is no reward")
    for label in settings.guards:
        if label not in labels:
            raise HarnessError(
                f"ppo: guards names {label!r}, which is no scorer here; there are: "
                f"{', '.join(labels)}"
            )
    if task.select and not 0 < settings.evaluate_every <= settings.steps:
        raise HarnessError(
            f"ppo: evaluate_every is {settings.evaluate_every}, so no checkpoint is evaluated to "
            f"select one; set it to a number of steps from 1 to {settings.steps}"
        )
    if task.output.resolve() == Path(settings.model).expanduser().resolve():
        raise HarnessError(f"ppo: output and model are both {task.output}; choose another output")
    warps = settings.degenerate()
    if warps:
        warnings.warn(
            f"ppo: {', '.join(warps)}: responses come from another distribution than the policy "
            "that is trained, so ratios and KL are biased"
            + ("; top_k=1 explores nothing" if settings.top_k == 1 else "")
            + ". Sample with temperature alone unless you reproduce something",
            stacklevel=2,
        )
    if settings.length == "reference":
        warnings.warn(
            "ppo: length=reference: no response ends by itself, and each is told the length of "
            "its reference",
            stacklevel=2,
        )


def _controls(settings: PpoSettings, loaded: Loaded) -> list[int]:
    """The control texts that are a special token each, where they learn at a rate of their own."""
    if settings.control_rate == 1:
        return []
    tokens = loaded.tokenizer.get_added_vocab()
    return [tokens[text] for text in (settings.good, settings.bad) if text in tokens]


def _precision(settings: PpoSettings, device: torch.device) -> torch.dtype | None:
    wanted = settings.autocast == "bfloat16"
    if settings.autocast == "auto":
        wanted = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if wanted else None


def _freeze_lower(policy: Policy, layers: int) -> None:
    """Leave gradients to the top layers, the last norm and the value head alone."""
    stacks = [m for m in policy.model.base_model.modules() if isinstance(m, nn.ModuleList)]
    blocks = max(stacks, key=len, default=nn.ModuleList())
    if not 0 < layers <= len(blocks):
        raise HarnessError(f"ppo: train_layers is {layers}, and the model has {len(blocks)} layers")
    policy.model.requires_grad_(False)
    for block in list(blocks)[-layers:]:
        block.requires_grad_(True)
    norms = [m for m in policy.model.base_model.children() if "Norm" in type(m).__name__]
    for norm in norms[-1:]:
        norm.requires_grad_(True)


def _adapted(model: PreTrainedModel, settings: PpoSettings) -> PeftModel:
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError as error:
        raise HarnessError(
            "ppo: lora_rank needs peft; install it: pip install 'samescore[ppo]'"
        ) from error
    config = LoraConfig(r=settings.lora_rank, lora_alpha=settings.lora_alpha, task_type="CAUSAL_LM")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft says which of its defaults it changed
        try:
            return cast("PeftModel", get_peft_model(model, config))
        except ValueError as error:
            raise HarnessError(f"ppo: no adapters for {settings.model}: {error}") from error
