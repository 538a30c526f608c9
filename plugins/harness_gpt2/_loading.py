"""Loading a model and its tokenizer from a directory, a GGUF file or a name."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
import transformers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness.errors import HarnessError
from harness.fingerprint import digest
from harness.models import path_of
from harness.quiet import first_line, quiet
from harness_gpt2._gguf import converted

_NO_RESULT = ("_name_or_path", "transformers_version")


@dataclass(frozen=True)
class Loaded:
    """A causal language model in evaluation mode, and its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @cached_property
    def end_tokens(self) -> frozenset[int]:
        """The tokens that end an answer: the tokenizer's, and those the model's authors name."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        ends = named if isinstance(named, list) else [named]
        return frozenset(t for t in [*ends, self.tokenizer.eos_token_id] if t is not None)

    @cached_property
    def context(self) -> int | None:
        """How many tokens a prompt and its answer may have together; None is no limit."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return limit if isinstance(limit, int) and limit > 0 else None

    @cached_property
    def identity(self) -> dict[str, str]:
        """Digests of weights, configuration and tokenizer, versions, device and precision."""
        config = self.model.config.to_dict()
        return {
            "weights": weights_digest(self.model),
            "tokenizer": tokenizer_digest(self.tokenizer),
            "config": digest({k: v for k, v in config.items() if k not in _NO_RESULT}),
            "ends": ",".join(map(str, sorted(self.end_tokens))),
            "torch": str(torch.__version__),
            "transformers": transformers.__version__,
            "device": self.model.device.type,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }


def load(name: str, *, dtype: str = "auto", device: str = "auto") -> Loaded:
    """Load a causal LM by the name of a setting; reads local files only.

    Raises HarnessError: no such model, a damaged or incomplete one, no such device.
    """
    where = _device(device)
    precision = "float32" if dtype == "auto" and where.type == "cpu" else dtype
    folder = _locate(name)
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # readers of many formats raise all kinds
        raise HarnessError(
            f"cannot load the tokenizer of the model {name}: {first_line(error)}"
        ) from error
    try:
        with quiet():
            model, missing = _model(folder, precision, where)
    except Exception as error:
        raise HarnessError(f"cannot load the model {name}: {first_line(error)}") from error
    if missing:
        some = ", ".join(missing[:3])
        raise HarnessError(f"the model {name} is no whole causal LM: it lacks the weights {some}")
    if "past_key_values" not in inspect.signature(model.forward).parameters:
        raise HarnessError(f"the model {name} ({model.config.model_type}) has no key-value cache")
    return Loaded(model, tokenizer)


def _model(folder: Path, dtype: str, device: torch.device) -> tuple[PreTrainedModel, list[str]]:
    """Load a model; gives also the names of weights that its files lack."""
    read = cast(
        Callable[..., tuple[PreTrainedModel, dict[str, set[str]]]],
        AutoModelForCausalLM.from_pretrained,
    )
    model, info = read(
        folder,
        dtype=dtype,
        device_map=device,
        local_files_only=True,
        output_loading_info=True,
        trust_remote_code=False,
    )
    return model, sorted(info["missing_keys"])


def _locate(name: str) -> Path:
    """Give the directory of a model; that of a GGUF file is made from it."""
    path = path_of(name)
    if path.is_file():
        return converted(path)
    if (path / "config.json").is_file():
        return path
    files = list(path.glob("*.gguf"))
    if len(files) == 1:
        return converted(files[0])
    raise HarnessError(
        f"{path} holds no model: no config.json, and {len(files)} GGUF files, not one"
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise HarnessError(f"gpt2: device {name!r} cannot be used: {first_line(error)}") from error
    return device


def weights_digest(model: PreTrainedModel) -> str:
    """SHA-256 of all parameters and buffers as they are in memory, in order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 of the tokenizer's pipeline (or vocabulary), special tokens and chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    pipeline = backend.to_str() if backend else sorted(tokenizer.get_vocab().items())
    parts = (pipeline, tokenizer.chat_template, sorted(tokenizer.special_tokens_map.items()))
    return hashlib.sha256(repr(parts).encode()).hexdigest()
