"""Token weights: all equal, or inverse document frequencies frozen on a named set of references."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from math import log
from pathlib import Path

import torch
from torch import Tensor

from harness import DataError
from harness.data.tables import Row, read_table
from harness_bertscore._tokens import Ids, Tokenizer


def uniform(size: int, special: Iterable[int | None]) -> Tensor:
    """Weights [size] of 1, and 0 for the classifying and the separating token."""
    weights = torch.ones(size, dtype=torch.float32)
    weights[[index for index in special if index is not None]] = 0.0
    return weights


def inverse_frequencies(size: int, documents: Sequence[Ids]) -> Tensor:
    """Weights [size]: log((n + 1) / (df + 1)) over n documents; as bert-score's `get_idf_dict`."""
    seen = Counter(token for ids in documents for token in set(ids))
    weights = torch.full((size,), log(len(documents) + 1), dtype=torch.float32)
    for token, count in seen.items():
        weights[token] = log((len(documents) + 1) / (count + 1))
    return weights


def frozen(path: str, column: str, size: int, tokenizer: Tokenizer) -> tuple[Tensor, str]:
    """The weights that a file of references gives, and a digest of those references.

    Raises DataError if it holds fewer than two different ones: all their weights would be zero.
    """
    references = sorted(text.strip() for text in read_references(path, column))
    if len(set(references)) < 2:
        raise DataError(f"{path}: IDF weights need two different references or more")
    digest = hashlib.sha256(json.dumps(references).encode()).hexdigest()
    return inverse_frequencies(size, tokenizer.ids(references)), digest


def read_references(path: str, column: str) -> list[str]:
    """The references in a file: the lines of a .txt, or one column of a table."""
    if Path(path).suffix.lower() == ".txt":
        try:
            lines = Path(path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"cannot read the references for IDF in {path}: {error}") from error
        return [line for line in lines if line.strip()]
    return [text for row in read_table(path) for text in _cell(row, column)]


def _cell(row: Row, column: str) -> list[str]:
    if column not in row.values:
        known = ", ".join(row.values)
        raise DataError(f"{row.where} has no column {column!r}; set idf_column to one of: {known}")
    value = row.values[column]
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
