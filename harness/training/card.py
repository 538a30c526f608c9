"""`samescore.json`: what a model was trained on and by, beside its weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import cast

from harness.components import TrainingResult
from harness.data.writing import write_text
from harness.errors import DataError, HarnessError
from harness.fingerprint import differences
from harness.store.schema import to_json
from harness.training.plan import TrainingPlan, bare, is_weight

NAME = "samescore.json"
_PARTS = ("trainer", "scorers", "samples", "held_out", "seed", "use")
_OF_CODE = ("fingerprint", "code", "identity", "version", "distribution")


def write(plan: TrainingPlan, result: TrainingResult) -> None:
    """Write the card into the model's folder and into the output folder, each whole or not at all.

    It holds nothing that differs between two trainings that are the same: no time, no speed.
    """
    text = json.dumps(_card(plan, result), indent=2, ensure_ascii=False) + "\n"
    for folder in {result.model.absolute(), plan.output.absolute()}:
        write_text(folder / NAME, text)


def read(folder: Path) -> Mapping[str, object] | None:
    """The card of a folder, None where there is none.

    Raises:
        DataError: if it cannot be read.
    """
    file = folder / NAME
    try:
        found = json.loads(file.read_text("utf-8")) if file.exists() else None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read: {error}; remove it") from error
    if found is not None and not _is_card(found):
        raise DataError(f"{file} is no card of a training; remove it")
    return found


def _is_card(found: object) -> bool:
    """Whether it has what is read of cards, of the right kinds."""
    if not (isinstance(found, dict) and {"training", *_PARTS} <= {*found}):
        return False
    scorers = found["scorers"]
    return (
        all(isinstance(found[part], dict) for part in ("trainer", "scorers", "samples", "held_out"))
        and all({"n", "digest"} <= {*found[part]} for part in ("samples", "held_out"))
        and all(map(_is_scorer, scorers.values()))
    )


def _is_scorer(found: object) -> bool:
    return (
        isinstance(found, dict)
        and all(isinstance(found.get(key), str) for key in ("label", "fingerprint"))
        and is_weight(found.get("weight"))
    )


def refuse_another(plan: TrainingPlan) -> None:
    """Raise if the output folder holds what other settings, scorers, samples or seed gave.

    Raises:
        HarnessError: naming what differs. A change of code or versions alone is no other training.
    """
    found = read(plan.output)
    if found is None:
        return
    planned = json.loads(to_json(plan.config))
    changed = differences(bare(found, *_OF_CODE), bare(planned, *_OF_CODE))
    if changed:
        raise HarnessError(
            f"{plan.output} holds the model of another training ({'; '.join(changed[:3])}); "
            "choose another output, or replace it with resume=False (--no-resume)"
        )


def _card(plan: TrainingPlan, result: TrainingResult) -> dict[str, object]:
    config = cast(dict[str, object], json.loads(to_json(plan.config)))
    inside = result.model.absolute().is_relative_to(plan.output.absolute())
    model = result.model.absolute()
    shown = model.relative_to(plan.output.absolute()) if inside else model
    return {
        "samescore": metadata.version("samescore"),
        "training": plan.id,
        "name": plan.name,
        **config,
        "model": str(shown),
        "use": result.use,
        **({"selected": asdict(result.selected)} if result.selected else {}),
    }
