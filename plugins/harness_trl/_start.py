"""The model that a training starts from, and the one it leaves behind."""

from __future__ import annotations

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, cast

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness import HarnessError
from harness.models import path_of
from harness.quiet import first_line


class Start(NamedTuple):
    """A causal language model in float32, and its tokenizer, which has an end and a pad token."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def context(self) -> int | None:
        """How many tokens a prompt and its answer may have together; None is no limit."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return limit if isinstance(limit, int) and limit > 0 else None

    @property
    def ends(self) -> frozenset[int]:
        """The tokens that end an answer: the tokenizer's, and those the model's authors name."""
        named = getattr(self.model.generation_config, "eos_token_id", None)
        ends = named if isinstance(named, list) else [named]
        return frozenset(t for t in [*ends, self.tokenizer.eos_token_id] if t is not None)


def load(name: str) -> Start:
    """Load a model by the name of a setting; reads local files only.

    Raises:
        HarnessError: no such model, a damaged or incomplete one, or a tokenizer without an end.
    """
    path = _locate(name)
    folder, source = (path, {}) if path.is_dir() else (path.parent, {"gguf_file": path.name})
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, **source
        )
        # tqdm draws its bar on stderr whatever transformers is told.
        with contextlib.redirect_stderr(io.StringIO()):
            model, missing = _read(folder, source)
    except Exception as error:  # readers of many formats raise all kinds
        raise HarnessError(f"cannot load the model {name}: {first_line(error)}") from error
    if missing:
        some = ", ".join(missing[:3])
        raise HarnessError(f"the model {name} is no whole causal LM: it lacks the weights {some}")
    if tokenizer.eos_token_id is None:
        raise HarnessError(
            f"the tokenizer of {name} has no end token, so no answer would end; set its eos_token"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Start(model, tokenizer)


def grounded(start: Start, folder: Path) -> Start:
    """The same model, saved into a folder and loaded from it.

    TRL takes as the reference what lies where the model's config says it came from. That may be
    nowhere, or hold other weights than those in memory; `folder` holds exactly these.
    """
    write(start.model, start.tokenizer, folder)
    return load(str(folder))


def write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, into: Path) -> None:
    """Write model and tokenizer; `config.json` comes last, so none is half a model."""
    into.mkdir(parents=True, exist_ok=True)
    (into / "config.json").unlink(missing_ok=True)
    with TemporaryDirectory(dir=into, prefix=".saving-") as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        for file in sorted(Path(folder).iterdir(), key=lambda f: f.name == "config.json"):
            shutil.move(file, into / file.name)


def weights_digest(model: PreTrainedModel) -> str:
    """SHA-256 of all parameters and buffers as they are in memory, in order of their names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _read(folder: Path, source: dict[str, str]) -> tuple[PreTrainedModel, list[str]]:
    """Load a model; gives also the names of weights that its files lack."""
    read = cast(
        Callable[..., tuple[PreTrainedModel, dict[str, set[str]]]],
        AutoModelForCausalLM.from_pretrained,
    )
    model, info = read(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        output_loading_info=True,
        trust_remote_code=False,
        **source,
    )
    return (_plain(model) if source else model), sorted(info["missing_keys"])


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """The same weights in a model that does not hold itself for quantized, as one of GGUF does."""
    del model.config.quantization_config
    make = cast(Callable[..., PreTrainedModel], type(model))
    plain = make(model.config)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    return plain


def _locate(name: str) -> Path:
    """Give the directory or GGUF file of a model."""
    path = path_of(name)
    if path.is_file() or (path / "config.json").is_file():
        return path
    files = list(path.glob("*.gguf"))
    if len(files) == 1:
        return files[0]
    raise HarnessError(f"{path} holds no model: no config.json, and no single GGUF file")
