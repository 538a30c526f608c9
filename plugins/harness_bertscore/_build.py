"""From settings to a scorer: chooses the encoder, its layer and its tables, and loads them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from harness import HarnessError
from harness.models import resolve
from harness_bertscore import BertScoreSettings
from harness_bertscore._cache import Cache
from harness_bertscore._encoder import (
    TOKENIZER,
    WEIGHTS,
    Source,
    depth,
    load_model,
    load_tokenizer,
    make_encoder,
    open_source,
)
from harness_bertscore._idf import frozen, uniform
from harness_bertscore._scorer import BertScore, Named, Rules
from harness_bertscore._tables import (
    Triple,
    default_layer,
    default_model,
    packaged_baseline,
    read_baseline,
)
from harness_bertscore._tokens import Tokenizer

CHUNK_BYTES = 24 * 2**20
"""States that are alive at once, beside the cache."""


def build_scorer(settings: BertScoreSettings) -> BertScore:
    """Load what the settings name; raises HarnessError that says what cannot be had."""
    chosen = settings.model or default_model(settings.lang)
    hint = "" if settings.model else f", bert-score's choice for lang={settings.lang}"
    source = open_source(resolve(chosen), hint)
    source = source._replace(names=(chosen, *source.names))
    layer = _layer(settings, source)
    device = _device(settings.device)
    model = load_model(source, layer, getattr(torch, settings.dtype), device)
    tokenizer = load_tokenizer(source, model, settings.max_length)
    _check_credit(settings, tokenizer)
    weights, idf = _weights(settings, source, tokenizer)
    baseline = _baseline(settings, source, layer)
    identity = _identity(source, layer, tokenizer.limit, baseline, idf)
    padding = tokenizer.backend.pad_token_id or 0
    return BertScore(
        make_encoder(source, model, padding, settings.batch_tokens),
        tokenizer,
        weights,
        Rules(baseline, settings.clip, settings.credit),
        Cache(settings.cache_mb * 2**20),
        max(1, CHUNK_BYTES // (4 * int(source.config.hidden_size))),
        Named(identity, _signature(chosen, settings, identity)),
    )


def _layer(settings: BertScoreSettings, source: Source) -> int:
    if settings.layer is not None:
        return settings.layer
    layer = default_layer(source.names)
    if layer is None:
        raise HarnessError(
            f"bertscore: no table says which of the {depth(source.config)} layers of "
            f"{source.names[0]} is best; add layer=N (1 to {depth(source.config)}, "
            "most published choices lie at two thirds to five sixths)"
        )
    return layer


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise HarnessError(f"bertscore: device={name}, but torch finds no CUDA device; use cpu")
    return torch.device(name)


def _check_credit(settings: BertScoreSettings, tokenizer: Tokenizer) -> None:
    if settings.credit and not tokenizer.backend.is_fast:
        raise HarnessError(
            "bertscore: credit=true needs a tokenizer that says where its tokens stand, "
            "and this encoder has none (no tokenizer.json)"
        )


def _weights(
    settings: BertScoreSettings, source: Source, tokenizer: Tokenizer
) -> tuple[Tensor, str]:
    backend = tokenizer.backend
    size = max(len(backend), int(source.config.vocab_size))
    if settings.idf:
        return frozen(settings.idf, settings.idf_column, size, tokenizer)
    return uniform(size, (backend.cls_token_id, backend.sep_token_id)), "no"


def _baseline(settings: BertScoreSettings, source: Source, layer: int) -> Triple | None:
    text = settings.baseline
    if not text:
        return None
    if text == "packaged":
        return packaged_baseline(settings.lang, source.names, layer)
    if re.fullmatch(r"-?\d*\.?\d+", text):
        number = float(text)
        if number >= 1:
            raise HarnessError(f"bertscore: baseline={text}; it must be less than 1")
        return Triple(number, number, number)
    return read_baseline(Path(text), layer)


def _identity(
    source: Source, layer: int, limit: int, baseline: Triple | None, idf: str
) -> dict[str, str]:
    packages = ("bert-score", "torch", "transformers", "tokenizers")
    weights = next(found for kind in WEIGHTS if (found := _files(source.directory, (kind,))))
    return {
        "layer": str(layer),
        "max_length": str(limit),
        "baseline": ",".join(map(repr, baseline)) if baseline else "no",
        "idf": idf,
        "config": _digest(_files(source.directory, ("config.json",))),
        "weights": _digest(weights),
        "tokenizer": _digest(_files(source.directory, TOKENIZER)),
        **{name: version(name) for name in packages},
    }


def _signature(chosen: str, settings: BertScoreSettings, identity: Mapping[str, str]) -> str:
    parts = {
        "model": chosen,
        "layer": identity["layer"],
        "idf": identity["idf"][:8],
        "baseline": identity["baseline"],
        "clip": settings.clip,
        "dtype": settings.dtype,
        "len": identity["max_length"],
        "weights": identity["weights"][:8],
        "tok": identity["tokenizer"][:8],
        "samescore": version("samescore"),
        "transformers": identity["transformers"],
        "torch": identity["torch"],
    }
    return "|".join(["bertscore", *(f"{k}:{v}" for k, v in parts.items() if v not in ("no", None))])


def _files(directory: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in directory.glob(pattern)})


def _digest(files: list[Path]) -> str:
    """SHA-256 over names and contents."""
    total = hashlib.sha256()
    for path in files:
        status = path.stat()
        total.update(f"{path.name}\0".encode())
        total.update(_content(path, status.st_size, status.st_mtime_ns))
    return total.hexdigest()


@lru_cache(maxsize=256)
def _content(path: Path, _size: int, _changed_ns: int) -> bytes:
    """A file's SHA-256, computed once as long as the file stays as it is."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
