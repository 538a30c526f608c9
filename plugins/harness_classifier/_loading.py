"""Loading a sequence classifier and its tokenizer, and saying what was loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import tokenizers
import torch
import transformers
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness import HarnessError
from harness.fingerprint import digest
from harness.models import path_of
from harness.quiet import first_line, quiet

_NO_RESULT = ("_name_or_path", "transformers_version")
_UNLIMITED = 10**6
UNKNOWN_LIMIT = 512
"""Tokens for a model with relative positions whose tokenizer names no limit."""


@dataclass(frozen=True)
class Loaded:
    """A sequence classifier in evaluation mode, and its tokenizer.

    `limit` is the most tokens of a text that are read, special ones included.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    limit: int

    @property
    def labels(self) -> list[str]:
        """The names of the classes, in the order of the logits."""
        named = self.model.config.id2label or {}
        return [str(name) for _, name in sorted(named.items())]

    def identity(self) -> dict[str, str]:
        """Digests of weights, configuration and tokenizer, versions, device and precision."""
        config = self.model.config.to_dict()
        return {
            "weights": _weights_digest(self.model),
            "config": digest({k: v for k, v in config.items() if k not in _NO_RESULT}),
            "tokenizer": _tokenizer_digest(self.tokenizer),
            "max_length": str(self.limit),
            "device": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            **versions(),
        }


def versions() -> Mapping[str, str]:
    """The versions of the libraries that compute."""
    return {
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
        "tokenizers": tokenizers.__version__,
    }


def load(name: str, *, dtype: str, device: str, max_length: int) -> Loaded:
    """Load a classifier that is whole; reads local files only.

    Raises:
        HarnessError: no such model, one that was not trained to classify, no such device, or a
            `max_length` that the model does not take.
    """
    folder = locate(name)
    tokenizer = load_tokenizer(folder, name)
    model, fresh = load_model(folder, name, dtype=getattr(torch, dtype))
    if fresh:
        raise HarnessError(
            f"classifier: {name} is no trained classifier: it lacks {fresh[0]}. "
            "Train one on labelled rows: harness train, with the trainer classifier"
        )
    module: nn.Module = model
    module.eval().requires_grad_(False).to(torch_device(device))
    return Loaded(model, tokenizer, limit(model, tokenizer, max_length, name))


def load_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder, which pads on the right."""
    try:
        with quiet():
            read = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # readers of many formats raise all kinds
        raise HarnessError(
            f"classifier: cannot load the tokenizer of {name}: {first_line(error)}"
        ) from error
    tokenizer = cast(PreTrainedTokenizerBase, read)
    tokenizer.padding_side = "right"
    return tokenizer


def load_model(folder: Path, name: str, **more: object) -> tuple[PreTrainedModel, list[str]]:
    """A classifier, and the names of weights that its files lack and that are random now."""
    read = cast(
        Callable[..., tuple[PreTrainedModel, dict[str, set[str]]]],
        AutoModelForSequenceClassification.from_pretrained,
    )
    try:
        with quiet():
            model, info = read(
                folder,
                local_files_only=True,
                output_loading_info=True,
                trust_remote_code=False,
                **more,
            )
    except Exception as error:
        raise HarnessError(f"classifier: cannot load {name}: {first_line(error)}") from error
    changed = [str(key[0]) for key in info.get("mismatched_keys", ())]
    return model, sorted({*info["missing_keys"], *changed})


def limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: int, name: str) -> int:
    """The tokens that are read: those asked for (0: all) if model and tokenizer take them."""
    named = tokenizer.model_max_length
    known = [n for n in (named if named < _UNLIMITED else None, _positions(model)) if n is not None]
    most = min(known, default=None)
    if most is not None and asked > most:
        raise HarnessError(f"classifier: max_length={asked}, but {name} takes {most}")
    return asked or most or UNKNOWN_LIMIT


def _positions(model: PreTrainedModel) -> int | None:
    """How many tokens have a position; RoBERTa's begin after their padding's id."""
    count = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if not isinstance(count, int) or count < 1:
        return None
    tables = [m for n, m in model.named_modules() if n.endswith("embeddings.position_embeddings")]
    padding = getattr(tables[0], "padding_idx", None) if tables else None
    return count - (0 if padding is None else int(padding) + 1)


def torch_device(name: str) -> torch.device:
    """The device of a setting; raises HarnessError if it cannot be used."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise HarnessError(
            f"classifier: device={name} cannot be used: {first_line(error)}"
        ) from error
    return device


def locate(name: str) -> Path:
    """The folder of a model; raises HarnessError, with the remedy, if it cannot be had."""
    try:
        path = path_of(name)
    except HarnessError as error:
        raise HarnessError(f"classifier: {error}") from error
    if path.is_file():
        raise HarnessError(f"classifier: {path} is a file; name the folder of a model")
    if not (path / "config.json").is_file():
        raise HarnessError(f"classifier: {path} holds no model: it has no config.json")
    return path


def _weights_digest(model: PreTrainedModel) -> str:
    total = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return total.hexdigest()


def _tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Truncation and padding are set at each call, and are no part of the vocabulary.
    pipeline = _pipeline(backend.to_str()) if backend else sorted(tokenizer.get_vocab().items())
    return digest((pipeline, sorted(tokenizer.special_tokens_map.items())))


def _pipeline(text: str) -> object:
    return {k: v for k, v in json.loads(text).items() if k not in ("truncation", "padding")}
