"""What a row has beside its vector, and its form in the log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.datapoints import Datapoint, NumericRestrict, Restrict


@dataclass(frozen=True, slots=True)
class Tags:
    """The restricts, crowding tag, text and metadata of a datapoint; metadata is JSON text."""

    restricts: tuple[Restrict, ...] = ()
    numeric_restricts: tuple[NumericRestrict, ...] = ()
    crowding_tag: str = ""
    text: str | None = None
    metadata: str = ""

    def packed(self) -> list[object]:
        """The tags as JSON values."""
        tokens = [[r.namespace, list(r.allow), list(r.deny)] for r in self.restricts]
        numbers = [[r.namespace, r.value] for r in self.numeric_restricts]
        return [tokens, numbers, self.crowding_tag, self.text, self.metadata]

    def datapoint(self, name: str, vector: Sequence[float]) -> Datapoint:
        """The datapoint that has these tags."""
        return Datapoint(
            name,
            vector,
            self.text,
            self.restricts,
            self.numeric_restricts,
            self.crowding_tag,
            json.loads(self.metadata) if self.metadata else {},
        )


NO_TAGS = Tags()

Packed = tuple[
    list[tuple[str, list[str], list[str]]], list[tuple[str, int | float]], str, str | None, str
]


def unpacked(packed: Packed) -> Tags:
    """The tags that were packed."""
    tokens, numbers, crowding_tag, text, metadata = packed
    return Tags(
        tuple(Restrict(name, tuple(allow), tuple(deny)) for name, allow, deny in tokens),
        tuple(NumericRestrict(name, value) for name, value in numbers),
        crowding_tag,
        text,
        metadata,
    )


def metadata_text(metadata: Mapping[str, object]) -> str:
    """Metadata as JSON text, empty for none; raises TypeError or ValueError for what is no JSON."""
    if not metadata:
        return ""
    if not isinstance(metadata, Mapping) or not all(isinstance(key, str) for key in metadata):
        raise TypeError("metadata is a mapping from texts")
    return json.dumps(dict(metadata), allow_nan=False, separators=(",", ":"))
