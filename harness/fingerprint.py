"""Fingerprints: one short text that stands for everything that decides a component's results."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from harness.components import Sample


def digest(value: object) -> str:
    """A 128-bit digest, in hexadecimal, of a JSON-like value."""
    text = _encode(value).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def sample_digest(sample: Sample) -> str:
    """A digest of a sample's content: all but its id, so that a row may move within its file."""
    metadata = dict(sample.metadata) or None
    return digest((sample.prompt, sample.references, metadata))


def samples_digest(samples: Iterable[Sample]) -> str:
    """A digest of a data set: ids and contents, in order."""
    state = hashlib.blake2b(digest_size=16)
    for sample in samples:
        state.update(f"{sample.id}\0{sample_digest(sample)}\n".encode("utf-8", "surrogatepass"))
    return state.hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def code_digest(module: str) -> str:
    """A digest of the source of a module, or of all of the package that it belongs to."""
    parts = module.split(".")
    names = [".".join(parts[: i + 1]) for i in range(len(parts))]
    files = (getattr(sys.modules.get(name), "__file__", None) for name in names)
    origin = next(filter(None, files), None)
    if origin is None:
        return ""
    path = Path(origin)
    sources = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    return digest([(str(f.relative_to(path.parent)), file_digest(f)) for f in sources])


def deciding(settings: object) -> dict[str, object]:
    """The fields of a dataclass that decide results: all but those with `{"result": False}`."""
    return {
        f.name: getattr(settings, f.name)
        for f in dataclasses.fields(settings)  # type: ignore[arg-type]
        if f.metadata.get("result", True)
    }


def differences(old: Mapping[str, object], new: Mapping[str, object], at: str = "") -> list[str]:
    """The keys whose values differ between two nested mappings, as `key: old → new`."""
    found: list[str] = []
    for key in sorted({*old, *new} - {"fingerprint"}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += differences(a, b, f"{at}{key}.")
        elif a != b:
            found.append(f"{at}{key}: {_brief(a)} → {_brief(b)}")
    return found


def _brief(value: object) -> str:
    """A value in a message: what is not there, a component by its reference, a digest's start."""
    if isinstance(value, Mapping):
        return str(value.get("reference", "…"))
    text = "nothing" if value is None else str(value)
    return text if len(text) < 32 else f"{text[:12]}…"


def _plain(value: object) -> object:
    """JSON's view of what it does not know: mappings and sets by content, others by text."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    to_list = getattr(value, "tolist", None)
    if callable(to_list):  # the text of a long array leaves out its middle
        return [str(getattr(value, "dtype", "")), to_list()]
    return str(value)


_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, default=_plain).encode
