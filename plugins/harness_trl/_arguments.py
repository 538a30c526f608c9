"""TRL's config from the settings, and from the keys of it that no setting stands for."""

from __future__ import annotations

import json
import os
import types
from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar, Union, cast, get_args, get_origin, get_type_hints

import torch
from transformers import TrainingArguments

from harness import HarnessError
from harness.quiet import first_line
from harness_trl import TrlSettings

T = TypeVar("T", bound=TrainingArguments)

# What TRL would turn on, and what costs time where a model is small.
_DEFAULTS = {"gradient_checkpointing": False, "ddp_find_unused_parameters": False}


def arguments(
    kind: type[T], settings: TrlSettings, folder: Path, seed: int, own: Mapping[str, object]
) -> T:
    """TRL's config of this kind; `own` holds what only this trainer sets.

    Raises:
        HarnessError: for a key of `extra` that TRL does not know, that a setting stands for, or
            whose value is of another type; and for what TRL refuses.
    """
    fixed = {**_fixed(settings, folder, seed), **own}
    given = _extra(kind, settings.extra, fixed)
    make = cast(Callable[..., T], kind)
    try:
        return make(**{**_DEFAULTS, **given, **fixed})
    except (ValueError, TypeError, ImportError, RuntimeError) as error:
        raise HarnessError(f"TRL refuses these settings: {first_line(error)}") from error


def processes() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _fixed(settings: TrlSettings, folder: Path, seed: int) -> dict[str, object]:
    on_gpu = settings.device == "auto" and torch.cuda.is_available()
    wanted = {"auto": on_gpu and torch.cuda.is_bf16_supported(), "off": False, "bfloat16": True}
    return {
        "output_dir": str(folder),
        "seed": seed,
        "num_train_epochs": settings.epochs,
        "max_steps": settings.steps or -1,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.schedule,
        "warmup_steps": settings.warmup,
        "bf16": wanted[settings.autocast],
        "use_cpu": not on_gpu,
        "dataloader_pin_memory": on_gpu,
        "remove_unused_columns": False,
        "eval_strategy": "steps" if settings.evaluate_every else "no",
        "eval_steps": settings.evaluate_every or None,
        "save_strategy": "steps" if settings.save_every else "no",
        "save_steps": settings.save_every or 1,
        "save_total_limit": 2,
        "logging_steps": 1,
        "log_level": "error",
        "log_level_replica": "error",
        "disable_tqdm": True,
        "report_to": list(settings.trackers) or "none",
        **_batches(settings),
    }


def _batches(settings: TrlSettings) -> dict[str, object]:
    """Rows a forward pass, and how many passes make up a batch."""
    world = processes()
    each, rest = divmod(settings.batch_size, world)
    micro = settings.microbatch_size or each
    if rest or each % micro:
        raise HarnessError(
            f"batch_size is {settings.batch_size}; {world} processes with microbatch_size {micro} "
            "cannot share it evenly"
        )
    return {
        "per_device_train_batch_size": micro,
        "per_device_eval_batch_size": micro,
        "gradient_accumulation_steps": each // micro,
    }


def _extra(
    kind: type[TrainingArguments], extra: tuple[str, ...], fixed: Mapping[str, object]
) -> dict[str, object]:
    known = {field.name: None for field in fields(kind) if field.init}
    hints = get_type_hints(kind)
    values: dict[str, object] = {}
    for item in extra:
        key, equals, text = item.partition("=")
        if not equals or not key.strip():
            raise HarnessError(f"extra: {item!r} is no setting of TRL; write key=value")
        key = key.strip()
        if key not in known:
            near = get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise HarnessError(f"extra: {kind.__name__} has no key {key!r}{hint}")
        if key in fixed:
            raise HarnessError(f"extra: {key} follows from the trainer's own settings; set those")
        values[key] = _read(f"extra: {key}", text.strip(), hints[key])
    return values


def _read(where: str, text: str, hint: object) -> object:
    """The text as the first of the hint's types that it can be read as, text itself the last."""
    union = get_origin(hint) in (Union, types.UnionType)
    members = get_args(hint) if union else (hint,)
    if type(None) in members and text.lower() in ("none", "null"):
        return None
    kinds = {get_origin(member) or member for member in members}
    for kind in (bool, int, float, dict, list):
        if kind in kinds:
            value = _as(kind, text)
            if value is not None:
                return value
    if kinds & {bool, int, float, dict, list} and str not in kinds:
        names = " or ".join(sorted(getattr(k, "__name__", str(k)) for k in kinds))
        raise HarnessError(f"{where} is {text!r}; it must be {names.replace('NoneType', 'none')}")
    return text


def _as(kind: type, text: str) -> object:
    """The text as a value of this type; None if it is none."""
    try:
        if kind is bool:
            return {"true": True, "false": False}.get(text.lower())
        if kind in (int, float):
            return kind(text)
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, kind) else None
