"""Checkpoints: all that a training needs to go on exactly, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness import HarnessError
from harness.fingerprint import differences
from harness.training.selecting import Best, Moment
from harness_gpt2.ppo._rewards import Moments

_KEPT = 2
_STATE = "state.json"


class Checkpoint(NamedTuple):
    """A training after `step` steps: trained tensors, the optimizer's state, and the rest.

    `moments` are what each scorer's rewards are scaled by, `best` is the evaluation whose
    checkpoint is to be kept, where one is selected.
    """

    step: int
    tensors: dict[str, Tensor]
    optimizer: dict[str, object]
    kl_coef: float
    moments: dict[str, Moments]
    best: Best = Best()


class Checkpoints:
    """The checkpoints of one training, in a folder; the latest two are kept, and their best ones.

    `training` says what is trained on what: a folder that holds another training is refused.
    """

    def __init__(self, folder: Path, training: Mapping[str, object]) -> None:
        self._folder = folder
        self._training = json.loads(json.dumps(training))

    def save(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint beside the others; it counts once its folder has its name."""
        target = self._folder / _name(checkpoint.step)
        new = self._folder / f".{target.name}"
        shutil.rmtree(new, ignore_errors=True)
        try:
            self._write(new, checkpoint)
            shutil.rmtree(target, ignore_errors=True)
            new.rename(target)
        finally:
            shutil.rmtree(new, ignore_errors=True)  # half of it would keep a full disk full
        _flush(self._folder)
        self._forget()

    def _write(self, new: Path, checkpoint: Checkpoint) -> None:
        new.mkdir(parents=True)
        save_file(checkpoint.tensors, new / "policy.safetensors")
        torch.save(checkpoint.optimizer, new / "optimizer.pt")
        digests = {file.name: _digest(file) for file in sorted(new.iterdir())}
        state = {
            "training": self._training,
            "digests": digests,
            "kl_coef": checkpoint.kl_coef,
            "moments": {label: asdict(m) for label, m in checkpoint.moments.items()},
            "best": asdict(checkpoint.best),
        }
        (new / _STATE).write_text(json.dumps(state, indent=1), "utf-8")
        for file in new.iterdir():
            _flush(file)

    def latest(self) -> Checkpoint | None:
        """The latest whole checkpoint; None where there is none.

        A damaged one is warned of and passed over.

        Raises:
            HarnessError: if it is of another training; names what differs.
        """
        for folder in reversed(self._all()):
            try:
                return self._read(folder)
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                why = f"{type(error).__name__}: {error}"
                warnings.warn(
                    f"the checkpoint {folder} is damaged and passed over ({why})", stacklevel=2
                )
        return None

    def tensors_of(self, step: int) -> dict[str, Tensor]:
        """The trained tensors of the checkpoint after a step.

        Raises:
            HarnessError: if it is not there, or damaged.
        """
        folder = self._folder / _name(step)
        try:
            return self._read(folder).tensors
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise HarnessError(
                f"{folder}, the selected checkpoint, cannot be read ({error}); start over without "
                "resume (--no-resume)"
            ) from error

    def clear(self) -> None:
        """Remove all checkpoints."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))

    def _forget(self) -> None:
        """Remove all but the latest, and what they say is best."""
        latest = self._all()[-_KEPT:]
        kept = {folder.name for folder in latest}
        for folder in latest:
            with contextlib.suppress(OSError, ValueError, KeyError):
                kept.add(_name(json.loads((folder / _STATE).read_text("utf-8"))["best"]["step"]))
        for folder in self._all():
            if folder.name not in kept:
                shutil.rmtree(folder)

    def _read(self, folder: Path) -> Checkpoint:
        state = json.loads((folder / _STATE).read_text("utf-8"))
        changed = differences(state.pop("training"), self._training)
        if changed:
            raise HarnessError(
                f"{folder.parent} holds another training ({'; '.join(changed[:3])}); "
                "choose another output, or start over without resume"
            )
        for name, digest in state.pop("digests").items():
            if _digest(folder / name) != digest:
                raise ValueError(f"{name} is not as it was written")
        optimizer = torch.load(folder / "optimizer.pt", weights_only=True)
        tensors = load_file(folder / "policy.safetensors")
        step = int(folder.name.removeprefix("step-"))
        moments = {label: Moments(**m) for label, m in state["moments"].items()}
        best = _best(state["best"]) if "best" in state else Best()
        return Checkpoint(step, tensors, optimizer, state["kl_coef"], moments, best)


def _name(step: int) -> str:
    return f"step-{step:06d}"


def _best(found: dict[str, Any]) -> Best:
    first = {label: Moment(**moment) for label, moment in found["first"].items()}
    return Best(**found | {"first": first})


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Make what was written survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
