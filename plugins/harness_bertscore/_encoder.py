"""Encoders: a model of transformers, cut after the layer that is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from harness import HarnessError
from harness.models import fetch_from_hub
from harness.quiet import quiet
from harness_bertscore._matching import unit
from harness_bertscore._packed import PackedEncoder, batches
from harness_bertscore._tokens import Ids, Tokenizer, length_limit

PACKED = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
"""The architectures that `PackedEncoder` computes."""

ENCODER_ONLY = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
"""Encoder-decoder models whose encoder has a class of its own."""

SPACE_FIRST = {"RobertaTokenizer", "RobertaTokenizerFast", "GPT2Tokenizer", "GPT2TokenizerFast"}
"""Tokenizers to which bert-score gives each text with a space before it."""

WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""Files of weights; the first kind that is there is taken."""

TOKENIZER = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.txt", "vocab.json", "merges.txt", "*.model",
)  # fmt: skip
"""Files that make a tokenizer."""

PACKED_TOKENS, CPU_TOKENS, GPU_TOKENS = 1024, 4096, 32768


class Encoder(Protocol):
    """Turns token ids into states."""

    device: torch.device

    def encode(self, texts: Sequence[Ids]) -> list[Tensor]:
        """Unit vectors [L, H] of each text's tokens, in order, in float32."""


class Source(NamedTuple):
    """A model on disk: its directory, its configuration, and the names it may go by."""

    directory: Path
    config: Any
    names: tuple[str, ...]


class ModuleEncoder:
    """Any model of transformers, through its own forward pass.

    On a CPU only texts of equal length share a pass, so that there is no padding to compute, and
    no mask; on other devices a pass takes texts of nearly equal length, padded and masked.
    """

    def __init__(self, model: nn.Module, padding: int, batch_tokens: int) -> None:
        self._model = model
        self._padding = padding
        self._batch_tokens = batch_tokens
        self.device = next(model.parameters()).device

    @torch.inference_mode()
    def encode(self, texts: Sequence[Ids]) -> list[Tensor]:
        """Unit vectors [L, H] of each text's tokens, in order."""
        found: list[Tensor | None] = [None] * len(texts)
        for batch in self._batches([len(text) for text in texts]):
            states = self._forward([texts[index] for index in batch])  # [B, L, H]
            for row, index in enumerate(batch):
                found[index] = unit(states[row, : len(texts[index])])
        return [vectors for vectors in found if vectors is not None]

    def _batches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        for batch in batches(lengths, self._batch_tokens):
            start = 0
            for end in range(1, len(batch) + 1):
                last = end == len(batch)
                if last or (self.device.type == "cpu" and _differ(lengths, batch, end)):
                    yield batch[start:end]
                    start = end

    def _forward(self, texts: Sequence[Ids]) -> Tensor:
        longest = max(map(len, texts))
        ids = torch.full((len(texts), longest), self._padding)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        output = self._model(ids.to(self.device), attention_mask=mask.to(self.device))
        states = output[0]
        assert isinstance(states, Tensor)
        return states


def _differ(lengths: Sequence[int], batch: Sequence[int], end: int) -> bool:
    return lengths[batch[end]] != lengths[batch[end - 1]]


def open_source(name: str, hint: str) -> Source:
    """Find a model: a directory, or a hub model that was fetched.

    Raises HarnessError if there is none; `hint` says whose choice the name was.
    """
    directory = Path(name) if Path(name).is_dir() else _from_hub(name, hint)
    try:
        with quiet():
            config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
        origin = json.loads((directory / "config.json").read_text("utf-8")).get("_name_or_path", "")
    except (OSError, ValueError, KeyError) as error:
        raise HarnessError(
            f"bertscore: {directory} holds no usable config.json: {_first_line(error)}"
        ) from error
    return Source(directory, config, (name, directory.name, str(origin)))


def depth(config: Any) -> int:
    """How many layers a model has (of an encoder-decoder, its encoder)."""
    return int(getattr(config, "encoder_layers", None) or config.num_hidden_layers)


def load_tokenizer(source: Source, model: nn.Module, max_length: int) -> Tokenizer:
    """The model's tokenizer; raises HarnessError if `max_length` is more than the model takes."""
    try:
        with quiet():
            backend = AutoTokenizer.from_pretrained(source.directory, trust_remote_code=False)
    except (OSError, ValueError, ImportError) as error:
        raise HarnessError(
            f"bertscore: cannot read the tokenizer in {source.directory}: {_first_line(error)}"
        ) from error
    positions = _positions(source.config, model)
    limit = length_limit(backend, positions, max_length)
    if limit is None:
        most = length_limit(backend, positions, 0)
        raise HarnessError(f"bertscore: max_length={max_length}, but the encoder takes {most}")
    prefix = " " if _tokenizer_class(source) in SPACE_FIRST else ""
    return Tokenizer(backend, prefix, limit)


def load_model(source: Source, layer: int, dtype: torch.dtype, device: torch.device) -> nn.Module:
    """The model with its first `layer` layers; raises HarnessError if weights are missing."""
    config = source.config
    whole = depth(config)
    if layer > whole:
        raise HarnessError(f"bertscore: layer={layer}, but {source.names[0]} has {whole} layers")
    for name in ("num_hidden_layers", "encoder_layers"):
        if hasattr(config, name):
            setattr(config, name, layer)
    kind = getattr(transformers, ENCODER_ONLY.get(config.model_type, ""), AutoModel)
    try:
        with quiet():
            model, info = kind.from_pretrained(
                source.directory,
                config=config,
                dtype=dtype,
                output_loading_info=True,
                trust_remote_code=False,
            )
    except Exception as error:  # safetensors, zipfile, pickle and torch each raise their own
        raise HarnessError(
            f"bertscore: cannot load {source.directory}: {_first_line(error)}"
        ) from error
    _check(source, info["missing_keys"])
    if hasattr(model, "encoder") and hasattr(model, "decoder"):
        model = model.encoder
    if hasattr(model, "ln_f") and layer < whole:
        # GPT-2's last norm is no part of an inner layer; bert-score scores it by all_layers.
        model.ln_f = nn.Identity()
    module: nn.Module = model.eval().requires_grad_(False).to(device)
    return module


def make_encoder(source: Source, model: nn.Module, padding: int, batch_tokens: int) -> Encoder:
    """The fastest encoder that knows the model."""
    config = source.config
    device = next(model.parameters()).device.type
    if device == "cpu" and config.model_type in PACKED and _is_plain(config):
        counted = _padding_index(model)
        heads = config.num_attention_heads
        return PackedEncoder(model, heads, counted, batch_tokens or PACKED_TOKENS)
    default = CPU_TOKENS if device == "cpu" else GPU_TOKENS
    return ModuleEncoder(model, padding, batch_tokens or default)


def _is_plain(config: Any) -> bool:
    return config.hidden_act == "gelu" and not config.is_decoder


def _positions(config: Any, model: nn.Module) -> int | None:
    """How many tokens have a position; RoBERTa's and MPNet's begin after their padding's id."""
    count = getattr(config, "max_position_embeddings", None)
    if not count or count < 0:
        return None
    padding = _padding_index(model)
    return int(count) - (0 if padding is None else padding + 1)


def _padding_index(model: nn.Module) -> int | None:
    table = dict(model.named_modules()).get("embeddings.position_embeddings")
    return table.padding_idx if isinstance(table, nn.Embedding) else None


def _tokenizer_class(source: Source) -> str:
    """The class that transformers 4 would take: the one named, or else the architecture's."""
    path = source.directory / "tokenizer_config.json"
    named = json.loads(path.read_text("utf-8")).get("tokenizer_class") if path.is_file() else None
    by_type = {"roberta": "RobertaTokenizer", "gpt2": "GPT2Tokenizer"}
    return str(named or by_type.get(source.config.model_type, ""))


def _check(source: Source, missing: set[str]) -> None:
    lost = sorted(key for key in missing if "pooler" not in key)
    if lost:
        raise HarnessError(
            f"bertscore: the weights in {source.directory} are not those of its config.json: "
            f"{len(lost)} are missing, such as {lost[0]}"
        )


def _from_hub(name: str, hint: str) -> Path:
    """The directory of a hub model that was fetched before; scoring never downloads."""
    try:
        return fetch_from_hub(name, local_only=True)
    except HarnessError as error:
        raise HarnessError(
            f"bertscore: the encoder {name!r}{hint} is neither a directory nor a fetched model. "
            f"Where the hub can be reached: harness models fetch hf:{name}. Offline: "
            "harness models fetch minilm, and bertscore:model=minilm"
        ) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
