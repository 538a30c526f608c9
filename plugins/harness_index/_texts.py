"""The encoder of an index's texts, and its name in the folder, so that all texts share one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import HarnessError
from harness.data.writing import replacing
from harness.encoding import DEFAULT, Encoder, load_encoder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_FILE = "encoder.json"
_MODEL = ("weights", "tokenizer", "pooling", "limit")
"""What makes two encoders one model; of another version of torch vectors differ by rounding."""


class Texts:
    """Makes vectors of texts. What encoded the first text of an index encodes all.

    Args:
        folder: of the index.
        name: the encoder; empty for the one that the folder names, or else the default.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / _FILE
        self._name = name

    def of_datapoints(self, texts: Sequence[str], dimensions: int) -> Iterable[NDArray[np.float32]]:
        """A vector for each text, which are to be kept; the first ones settle the encoder."""
        if not texts:
            return ()
        vectors = self.of_queries(texts, dimensions)
        if not self._recorded():
            self._record()
        return vectors

    def of_queries(self, texts: Sequence[str], dimensions: int) -> Iterable[NDArray[np.float32]]:
        """A vector for each text.

        Raises:
            HarnessError: if there is no such encoder, it is another one than that of the texts
                before, or its vectors do not fit.
        """
        if not texts:
            return ()
        encoder = self._checked
        if encoder.dimensions != dimensions:
            raise HarnessError(
                f"{self.name} makes vectors of {encoder.dimensions} dimensions and the index in "
                f"{self._file.parent} has {dimensions}; name the encoder of its vectors "
                "(encoder=…), or give vectors in place of texts"
            )
        return encoder.encode(texts)

    @property
    def name(self) -> str:
        """What the encoder is called."""
        return self._name or self.recorded_name() or DEFAULT

    def recorded_name(self) -> str:
        """What the encoder of the folder's texts is called; empty if there is none yet."""
        return str(self._recorded().get("name", ""))

    def digest(self) -> str:
        """A text that stands for the model, if texts of this index were encoded."""
        return json.dumps(self._recorded().get("model", {}), sort_keys=True)

    def forget(self) -> None:
        """Remove the name from the folder."""
        self._file.unlink(missing_ok=True)
        self.__dict__.pop("_checked", None)

    @cached_property
    def _checked(self) -> Encoder:
        encoder = load_encoder(self.name)
        recorded = self._recorded()
        if recorded and recorded.get("model") != _model(encoder):
            raise HarnessError(
                f"the texts in {self._file.parent} were encoded by {recorded.get('name')}, and "
                f"{self.name} is another model (or another version of it); "
                "use the same, or make another index"
            )
        return encoder

    def _record(self) -> None:
        found = {"name": self.name, "model": _model(self._checked)}
        with replacing(self._file) as temporary:
            temporary.write_text(json.dumps(found, indent=1), "utf-8")

    def _recorded(self) -> Mapping[str, object]:
        try:
            found = json.loads(self._file.read_text("utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise HarnessError(f"{self._file} cannot be read: {error}") from error
        return found if isinstance(found, dict) else {}


def _model(encoder: Encoder) -> dict[str, str]:
    told = encoder.identity()
    known = {name: told[name] for name in _MODEL if name in told}
    return known or dict(told)
