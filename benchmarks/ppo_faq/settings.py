"""What a study is made with: a size, and the trainings' files with changes on top."""

from __future__ import annotations

import functools
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from harness import DataError, HarnessError
from harness.data.writing import replacing
from harness.settings import build_settings
from harness.training.config import TrainingConfig, read_config

HERE = Path(__file__).parent
SIZES: Mapping[str, Mapping[str, object]] = tomllib.loads(
    HERE.joinpath("sizes.toml").read_text("utf-8")
)
"""The tables of sizes.toml."""

_FILE = "settings.json"
_SECTIONS = ("sft", "ppo", "classifier", "model", "evaluation")


@dataclass(frozen=True, slots=True)
class Shape:
    """The blank model."""

    vocabulary: int = 4000
    """Tokens, the special ones included."""
    layers: int = 4
    """Transformer blocks."""
    width: int = 256
    """Size of a state; a multiple of heads."""
    heads: int = 4
    """Attention heads."""
    context: int = 256
    """Tokens of question and answer together."""
    dropout: float = 0.1
    """Share of states and attention dropped in the warm start."""

    def __post_init__(self) -> None:
        """Raise ValueError for a shape that cannot be built."""
        for name in ("layers", "width", "heads", "context"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.width % self.heads:
            raise ValueError(
                f"width is {self.width}; it must be a multiple of heads ({self.heads})"
            )
        if self.vocabulary < 260:
            raise ValueError(
                f"vocabulary is {self.vocabulary}; 256 bytes and 4 special tokens are in it"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it is a share from 0 to below 1")


@dataclass(frozen=True, slots=True)
class Asking:
    """How held-out rows are asked."""

    attempts: int = 2
    """Answers to each question."""
    rows: int = 0
    """The first rows only; 0: all."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers that ask nothing."""
        if self.attempts < 1 or self.rows < 0:
            raise ValueError(f"attempts is {self.attempts} and rows {self.rows}; 1 and 0 at least")


@dataclass(frozen=True, slots=True)
class Settings:
    """A size with the changes made to it; those of trainings change keys of their files."""

    size: str
    shape: Shape
    asking: Asking
    sft: tuple[str, ...]
    ppo: tuple[str, ...]
    classifier: tuple[str, ...]


def settings(size: str, changes: Sequence[str] = ()) -> Settings:
    """The settings of a size, with changes such as `ppo.trainer.steps=20` or `model.layers=2`.

    Raises:
        HarnessError: for a change that names none of sft, ppo, model, evaluation, or a wrong value.
    """
    chosen = SIZES[size]
    given: dict[str, list[str]] = {section: [] for section in _SECTIONS}
    for change in changes:
        section, _, rest = change.partition(".")
        if section not in given or "=" not in rest:
            raise HarnessError(
                f"--set {change}: write sft.KEY=VALUE, ppo.KEY=VALUE, classifier.KEY=VALUE, "
                "model.KEY=VALUE or evaluation.KEY=VALUE, as ppo.trainer.steps=20"
            )
        given[section].append(rest)
    tables = {
        section: {**cast(Mapping[str, object], chosen[section]), **_pairs(given[section])}
        for section in ("model", "evaluation")
    }
    return Settings(
        size=size,
        shape=build_settings("model", Shape, tables["model"]),
        asking=build_settings("evaluation", Asking, tables["evaluation"]),
        sft=(*cast(Sequence[str], chosen["sft"]), *given["sft"]),
        ppo=(*cast(Sequence[str], chosen["ppo"]), *given["ppo"]),
        classifier=(*cast(Sequence[str], chosen["classifier"]), *given["classifier"]),
    )


def save(chosen: Settings, out: Path) -> None:
    """Write down in `out` what its study is made with."""
    with replacing(out / _FILE) as temporary:
        temporary.write_text(json.dumps(asdict(chosen), indent=2) + "\n", "utf-8")


def load(out: Path) -> Settings:
    """What `save` wrote.

    Raises:
        DataError: if it cannot be read.
    """
    try:
        found = json.loads((out / _FILE).read_text("utf-8"))
        return Settings(
            size=found["size"],
            shape=Shape(**found["shape"]),
            asking=Asking(**found["asking"]),
            sft=tuple(found["sft"]),
            ppo=tuple(found["ppo"]),
            classifier=tuple(found["classifier"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{out / _FILE} cannot be read: {error!r}") from error


def training(file: str, changes: Sequence[str]) -> TrainingConfig:
    """A training's file beside this module, with changes; see `harness train`.

    It is read once: who edits it under way changes the next study.

    Raises:
        HarnessError: for a key or value that cannot be used.
    """
    return _training(file, tuple(changes))


@functools.cache
def _training(file: str, changes: tuple[str, ...]) -> TrainingConfig:
    return read_config(HERE / file, changes)


def _pairs(changes: Sequence[str]) -> dict[str, object]:
    return {key.strip(): value for key, _, value in (c.partition("=") for c in changes)}
