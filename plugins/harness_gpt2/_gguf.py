"""GGUF files, converted once: transformers takes many seconds to read one, and a second its own."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
from pathlib import Path

import torch
import transformers
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_model
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from harness.errors import HarnessError
from harness.fingerprint import file_digest
from harness.models import cache_folder
from harness.quiet import first_line, quiet

_log = logging.getLogger(__name__)


def converted(file: Path) -> Path:
    """Give the directory with the float32 model and the tokenizer of a GGUF file.

    It lies in the cache (`SAMESCORE_CACHE`, or the user's), by the file's SHA-256 and the version
    of transformers. Raises HarnessError for a file that is no GGUF or damaged.
    """
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise HarnessError(f"{file} is no GGUF file; give a GGUF file or a model's directory")
    digest = file_digest(file)
    home = cache_folder() / "gguf" / f"{digest[:32]}-transformers-{transformers.__version__}"
    if home.is_dir():
        return home
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_room(file, home.parent, error) from error
    with FileLock(home.with_name(f"{home.name}.lock")):
        if not home.is_dir():
            _publish(file, home)
    return home


def _publish(file: Path, home: Path) -> None:
    """Convert beside `home` and rename, so that a kill leaves no half model."""
    _log.info("converting %s, once", file)
    try:
        model, tokenizer = _read(file)
    except Exception as error:  # the readers of a damaged file raise all kinds
        raise HarnessError(f"{file} cannot be read as a model: {first_line(error)}") from error
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _write(model, tokenizer, partial)
        partial.rename(home)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise _no_room(file, home.parent, error) from error


def _read(file: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    # tqdm draws its bar on stderr whatever transformers is told.
    with quiet(), contextlib.redirect_stderr(io.StringIO()):
        source = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **source)
    return model, tokenizer


def _write(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, into: Path) -> None:
    into.mkdir()
    tokenizer.save_pretrained(into)
    # save_pretrained refuses a quantized model, which this no longer is.
    del model.config.quantization_config
    model.config.save_pretrained(into)
    save_model(model, str(into / "model.safetensors"), metadata={"format": "pt"})


def _no_room(file: Path, folder: Path, error: Exception) -> HarnessError:
    return HarnessError(
        f"cannot keep the converted {file.name} in {folder}: {first_line(error)}; "
        "make room, or set SAMESCORE_CACHE to another directory"
    )
