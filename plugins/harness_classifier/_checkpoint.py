"""What a training leaves on disk: the model of the best epoch, and where it stands."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict, cast

import torch
from torch import Tensor

from harness import HarnessError
from harness.fingerprint import differences
from harness.quiet import quiet
from harness_classifier._loading import Loaded

CHECKPOINT, MODEL = "checkpoint.pt", "model"


class Weights(TypedDict):
    """What the next step needs; all else follows from the seed and the number of the step."""

    model: dict[str, Tensor]
    optimizer: dict[str, object]


@dataclass(slots=True)
class State:
    """How far a training has come: steps done, the metrics of the epoch kept, the last of all.

    `weights` is None once the training is complete.
    """

    step: int = 0
    kept: Mapping[str, float] = field(default_factory=dict)
    weights: Weights | None = None


def save_state(folder: Path, plan: Mapping[str, object], state: State) -> None:
    """Write the state, whole or not at all."""
    partial = folder / f"{CHECKPOINT}.partial"
    content = {"plan": dict(plan), "step": state.step, "kept": dict(state.kept)}
    try:
        torch.save({**content, "weights": state.weights}, partial)
        partial.replace(folder / CHECKPOINT)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
        raise HarnessError(f"classifier: cannot write {partial}: {error}") from error


def load_state(folder: Path, plan: Mapping[str, object]) -> State | None:
    """The state of the same training, None if there is none.

    Raises:
        HarnessError: if another training lies there, or what lies there cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        found = State(content["step"], content["kept"], cast("Weights | None", content["weights"]))
        other = differences(content["plan"], plan)
    except Exception as error:  # zipfile, pickle and torch each raise their own
        raise HarnessError(
            f"classifier: {path} is cut off or no checkpoint; delete it to begin anew"
        ) from error
    if other:
        raise HarnessError(
            f"classifier: {folder} holds another training ({'; '.join(other[:3])}); "
            "name another output, or begin anew without resume"
        )
    return found


def save_model(folder: Path, loaded: Loaded) -> Path:
    """Write the model and its tokenizer in place of an older one."""
    new, old, final = (folder / f"{MODEL}{ending}" for ending in (".new", ".old", ""))
    for left in (new, old):
        shutil.rmtree(left, ignore_errors=True)
    try:
        with quiet():
            loaded.model.save_pretrained(new)
            loaded.tokenizer.save_pretrained(new)
        if final.exists():
            final.rename(old)
        new.rename(final)
    except (OSError, RuntimeError) as error:
        raise HarnessError(f"classifier: cannot write {new}: {error}") from error
    shutil.rmtree(old, ignore_errors=True)
    return final
