"""bert-score's tables, read from its installed files: importing it would pull pandas and more."""

from __future__ import annotations

import ast
import csv
import importlib.util
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from harness import HarnessError, PluginError

OTHER_LANGUAGES = "bert-base-multilingual-cased"
"""bert-score's encoder for every language that it does not name."""

OWN_LAYERS = {"minilm": 5, "all-minilm-l6-v2": 5, "minilm-l6-h384-uncased": 5}
"""Encoders that bert-score has no layer for; 5 of 6, as its own choices lie before the last."""


class Triple(NamedTuple):
    """Precision, recall and F1, or a number for each of them."""

    precision: float
    recall: float
    f1: float


@lru_cache
def package() -> Path:
    """The folder of the installed bert-score; raises PluginError if there is none."""
    spec = importlib.util.find_spec("bert_score")
    if spec is None or spec.origin is None:
        raise PluginError(
            "bertscore reads the tables of bert-score: pip install 'samescore[bertscore]'"
        )
    return Path(spec.origin).parent


def default_model(lang: str) -> str:
    """bert-score's encoder for a language, such as roberta-large for en."""
    return _languages().get(lang.lower(), OTHER_LANGUAGES)


def default_layer(names: Iterable[str]) -> int | None:
    """The layer for the first of these names that a table knows, by its last part if need be."""
    known = {**OWN_LAYERS, **{_short(name): layer for name, layer in layers().items()}}
    return next((known[_short(name)] for name in names if _short(name) in known), None)


@lru_cache
def layers() -> dict[str, int]:
    """The best layer of each encoder that bert-score knows (the literal `model2layers`)."""
    for node in _statements():
        match node:
            case ast.Assign([ast.Name("model2layers")], table):
                read = ast.literal_eval(table)
                return {str(name): int(layer) for name, layer in read.items()}
    raise PluginError(f"{package()} has no table of layers; use bert-score 0.3.13")


def packaged_baseline(lang: str, names: Iterable[str], layer: int) -> Triple:
    """bert-score's own baseline for an encoder; raises HarnessError that names the choices."""
    folder = package() / "rescale_baseline" / lang.lower()
    known = {path.stem.lower(): path for path in sorted(folder.rglob("*.tsv"))}
    for name in names:
        if _short(name) in known:
            return read_baseline(known[_short(name)], layer)
    raise HarnessError(
        f"bertscore: bert-score packages no baseline for this encoder and lang={lang}; it has "
        f"{', '.join(known) or 'none for this language'}. Give baseline=FILE.tsv or a number"
    )


def read_baseline(path: Path, layer: int) -> Triple:
    """The row of a layer in a file with the columns LAYER, P, R and F."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = {int(row["LAYER"]): row for row in csv.DictReader(file)}
        row = rows[layer]
        return Triple(float(row["P"]), float(row["R"]), float(row["F"]))
    except FileNotFoundError:
        raise HarnessError(f"bertscore: baseline={path} is no file, number or `packaged`") from None
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise HarnessError(
            f"bertscore: {path} has no usable row for layer {layer} "
            f"(columns LAYER,P,R,F, one row a layer): {error}"
        ) from error


def _languages() -> dict[str, str]:
    for node in _statements():
        match node:
            case ast.Expr(ast.Call(ast.Attribute(ast.Name("lang2model"), "update"), [table])):
                read = ast.literal_eval(table)
                return {str(lang): str(model) for lang, model in read.items()}
    raise PluginError(f"{package()} has no table of languages; use bert-score 0.3.13")


def _statements() -> Iterator[ast.stmt]:
    return iter(ast.parse((package() / "utils.py").read_text(encoding="utf-8")).body)


def _short(name: str) -> str:
    """`deberta-large` of microsoft/deberta-large and of /models/deberta-large alike."""
    return name.rstrip("/").rpartition("/")[2].lower()
