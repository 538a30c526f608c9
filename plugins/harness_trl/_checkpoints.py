"""A training's folder: what it is a training of, whether it is done, and its checkpoints."""

from __future__ import annotations

import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, cast

from safetensors import SafetensorError, safe_open

from harness import HarnessError
from harness.fingerprint import differences
from harness.quiet import first_line

_NAME = "training.json"


class Record(TypedDict):
    """What a folder's training hangs on, and its last metrics once it is done."""

    training: dict[str, object]
    finished: dict[str, float] | None


def read(folder: Path) -> Record | None:
    """The record of a folder; None where there is none. Raises HarnessError for a damaged one."""
    file = folder / _NAME
    try:
        return cast(Record, json.loads(file.read_text("utf-8"))) if file.exists() else None
    except (OSError, ValueError) as error:
        raise HarnessError(f"{file} cannot be read: {first_line(error)}; start over") from error


def write(folder: Path, record: Record) -> None:
    """Write the record, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{_NAME}.tmp"
    temporary.write_text(json.dumps(record, indent=1), "utf-8")
    temporary.replace(folder / _NAME)


def refuse_another(folder: Path, record: Record, training: Mapping[str, object]) -> None:
    """Raise HarnessError if the folder's training is not this one; names what differs."""
    changed = differences(record["training"], json.loads(json.dumps(training)))
    if changed:
        raise HarnessError(
            f"{folder} holds another training ({'; '.join(changed[:3])}); "
            "choose another output, or start over without resume"
        )


def latest(folder: Path) -> Path | None:
    """The latest whole checkpoint; one that is cut off is warned of and passed over."""
    found = [path for path in folder.glob("checkpoint-*") if path.is_dir()]
    for path in sorted(found, key=lambda path: -int(path.name.split("-")[1])):
        problem = _problem(path)
        if not problem:
            return path
        warnings.warn(f"the checkpoint {path} is cut off and passed over: {problem}", stacklevel=2)
    return None


def _problem(checkpoint: Path) -> str:
    """What a checkpoint lacks; its state is the last file that is written."""
    try:
        json.loads((checkpoint / "trainer_state.json").read_text("utf-8"))
        for file in checkpoint.glob("*.safetensors"):
            with safe_open(file, framework="pt"):
                pass
    except (OSError, ValueError, SafetensorError) as error:
        return first_line(error)
    torn = [file.name for file in checkpoint.glob("*.pt*") if not zipfile.is_zipfile(file)]
    return f"{torn[0]} is no whole file" if torn else ""
