"""Sentence encoders: from texts to unit vectors, for retrievers that are asked in words.

    vectors = load_encoder("minilm").encode(["How do I read a file?"])  # (1, 384)

Light to import; torch and transformers come with the first encoder.
"""

from __future__ import annotations

import functools
import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol

from harness.errors import HarnessError, PluginError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT = "minilm"
KEPT = 20_000
"""Texts whose vectors an encoder remembers; of 384 dimensions they take 31 MB."""

_BATCH_TOKENS = 2048
_LONGEST = 512
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TOKENIZER = ("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt", "*.model")
_POOLING = "1_Pooling/config.json"
_LENGTHS = ("sentence_bert_config.json", "sentence_transformer_config.json")

Pooling = Literal["mean", "cls"]


class Encoder(Protocol):
    """Turns texts into vectors of one length; near in meaning is near by cosine."""

    @property
    def dimensions(self) -> int: ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, (n, dimensions), in order."""
        ...

    def identity(self) -> Mapping[str, str]:
        """What the vectors hang on: digests of the model's files, library versions."""
        ...


@functools.cache
def load_encoder(name: str = DEFAULT) -> Encoder:
    """The encoder of a packaged model, a directory, or a hub model that was fetched.

    A model of sentence-transformers is pooled as its own files say (mean or first token), others
    by their mean. The same name gives the same object, which may be used from any thread.

    Raises:
        HarnessError: if it is not fetched, or no such model, with the remedy; PluginError if
            torch or transformers is not installed.
    """
    from harness.models import path_of

    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise PluginError(
            f"encoding texts by {name} needs {error.name or error}: "
            "pip install 'samescore[encoder]'"
        ) from error
    return SentenceEncoder(path_of(name))


class SentenceEncoder:
    """A model of transformers whose token states are pooled into one unit vector a text.

    Texts longer than the model was made for (MiniLM: 256 tokens) are cut off there. A text's
    vector hangs on its batch-mates by rounding only (less than 1e-6). The vectors of the last
    `KEPT` texts are remembered.

    Raises:
        HarnessError: if the directory holds no model that can be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._pooling = _pooling(directory)
        self._model, self._tokenizer = _load(directory)
        self._limit = _limit(directory, self._model, self._tokenizer)
        self.dimensions = int(self._model.config.hidden_size)
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = Lock()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of length 1, (n, dimensions), in order; an empty text has one, too."""
        import numpy as np

        found = self._remembered(texts)
        new = [text for text in dict.fromkeys(texts) if text not in found]
        for text, vector in zip(new, self._encode(new) if new else (), strict=True):
            found[text] = vector
        self._remember(new, found)
        rows = [found[text] for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dimensions), np.float32)

    def identity(self) -> Mapping[str, str]:
        """Digests of the model's files, and the libraries' versions."""
        from importlib.metadata import version

        weights = next(found for kind in _WEIGHTS if (found := _files(self._directory, (kind,))))
        return {
            "weights": _digest(weights),
            "tokenizer": _digest(_files(self._directory, _TOKENIZER)),
            "pooling": self._pooling,
            "limit": str(self._limit),
            "torch": version("torch"),
            "transformers": version("transformers"),
        }

    def _remembered(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            found = {text: self._kept[text] for text in texts if text in self._kept}
            for text in found:
                self._kept.move_to_end(text)
        return found

    def _remember(self, new: Sequence[str], found: Mapping[str, NDArray[np.float32]]) -> None:
        with self._lock:
            for text in new[-KEPT:]:
                self._kept[text] = found[text].copy()  # a view would keep its whole batch
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import numpy as np

        ids = self._tokenizer(list(texts), truncation=True, max_length=self._limit)["input_ids"]
        vectors = np.empty((len(texts), self.dimensions), np.float32)
        for batch in _batches([len(one) for one in ids]):
            vectors[batch] = self._pooled([ids[place] for place in batch])
        return vectors

    def _pooled(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        import torch

        longest = max(map(len, ids))
        padding = int(self._tokenizer.pad_token_id or 0)
        rows = [[*one, *[padding] * (longest - len(one))] for one in ids]
        mask = torch.tensor([[1] * len(one) + [0] * (longest - len(one)) for one in ids])
        with torch.inference_mode():
            output = self._model(torch.tensor(rows), attention_mask=mask)
            pooled = _pool(output.last_hidden_state, mask, self._pooling)
            unit: NDArray[np.float32] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return unit


def _pool(states: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """One vector a text [n, H] of its tokens' states [n, L, H]; what is masked is padding."""
    if pooling == "cls":
        return states[:, 0]
    weights = mask.to(states.dtype)[:, :, None]
    return (states * weights).sum(1) / weights.sum(1)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of texts of nearly equal length, of so many tokens together, padding counted."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[place] * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _load(directory: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    import torch
    from transformers import AutoModel, AutoTokenizer

    from harness.quiet import first_line, quiet

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
            model, info = AutoModel.from_pretrained(
                directory,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
            )
    except Exception as error:  # safetensors, json, torch and tokenizers each raise their own
        raise HarnessError(f"{directory} holds no encoder: {first_line(error)}") from error
    lost = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if lost:
        raise HarnessError(f"{directory} lacks {len(lost)} weights, such as {lost[0]}")
    return model.eval().requires_grad_(False), tokenizer


def _pooling(directory: Path) -> Pooling:
    """How a model of sentence-transformers pools; mean if it does not say.

    Raises:
        HarnessError: if it pools in another way than by mean or first token.
    """
    said = _json(directory / _POOLING)
    flags = [key for key, value in said.items() if key.startswith("pooling_mode_") and value]
    chosen = str(said.get("pooling_mode") or " and ".join(sorted(flags)))
    if chosen in ("", "mean", "pooling_mode_mean_tokens"):
        return "mean"
    if chosen in ("cls", "pooling_mode_cls_token"):
        return "cls"
    raise HarnessError(
        f"{directory / _POOLING} asks for {chosen}; "
        "an encoder here pools by mean or by the first token"
    )


def _limit(directory: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens that a text may have, special ones included."""
    said = [_json(directory / name).get("max_seq_length") for name in _LENGTHS]
    positions = getattr(model.config, "max_position_embeddings", None)
    known = [n for n in (*said, positions, tokenizer.model_max_length) if isinstance(n, int) and n]
    return min(*known, _LONGEST)


def _json(path: Path) -> Mapping[str, object]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise HarnessError(f"{path} is no JSON: {error}") from error
    return found if isinstance(found, dict) else {}


def _files(directory: Path, patterns: Sequence[str]) -> list[Path]:
    return sorted({file for pattern in patterns for file in directory.glob(pattern)})


def _digest(files: Sequence[Path]) -> str:
    from harness.fingerprint import digest, file_digest

    return digest([(file.name, file_digest(file)) for file in files])
