"""GGUF files, converted once: transformers takes many seconds to read one, and a second its own."""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import shutil
from pathlib import Path

import torch
import transformers
from filelock import FileLock
from platformdirs import user_cache_path
from safetensors.torch import save_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import HarnessError

_log = logging.getLogger(__name__)


def converted(file: Path) -> Path:
    """Give the directory with the float32 model and the tokenizer of a GGUF file.

    It lies in the cache (`SAMESCORE_CACHE`, or the user's), by the file's SHA-256 and the version
    of transformers. Raises HarnessError for a file that is no GGUF or damaged.
    """
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise HarnessError(f"{file} is no GGUF file; give a GGUF file or a model's directory")
        opened.seek(0)
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    home = _cache() / "gguf" / f"{digest[:32]}-transformers-{transformers.__version__}"
    if home.is_dir():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(home.with_name(f"{home.name}.lock")):
        if not home.is_dir():
            _publish(file, home)
    return home


def _publish(file: Path, home: Path) -> None:
    """Convert beside `home` and rename, so that a kill leaves no half model."""
    partial = home.with_name(f"{home.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    _log.info("converting %s, once", file)
    try:
        _convert(file, partial)
    except Exception as error:  # the readers of a damaged file raise all kinds
        shutil.rmtree(partial, ignore_errors=True)
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise HarnessError(f"{file} cannot be read as a model: {reason}") from error
    partial.rename(home)


def _convert(file: Path, into: Path) -> None:
    # tqdm draws its bar on stderr whatever transformers is told.
    with contextlib.redirect_stderr(io.StringIO()):
        source = {"gguf_file": file.name, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **source)
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype=torch.float32, **source)
    into.mkdir(parents=True)
    tokenizer.save_pretrained(into)
    # save_pretrained refuses a quantized model, which this no longer is.
    del model.config.quantization_config
    model.config.save_pretrained(into)
    save_model(model, str(into / "model.safetensors"), metadata={"format": "pt"})


def _cache() -> Path:
    chosen = os.environ.get("SAMESCORE_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else user_cache_path("samescore")
