"""Values of the harness as protobuf messages, and back.

Plain protobuf classes, never proto-plus: that costs eight times as much for a batch of datapoints.
The public and the private service say the same things by other field names.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Literal, cast

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from harness.datapoints import Datapoint, Match, NumericRestrict, Query, Restrict
from harness_vertex import VertexError

NumberType = Literal["double", "float"]

OPERATORS = ("LESS", "LESS_EQUAL", "EQUAL", "GREATER_EQUAL", "GREATER", "NOT_EQUAL")
_EXACT = 2**53
_INT64 = 2**63


class Wire:
    """How values are written and read under the settings of one index.

    Args:
        text_key: the key of the metadata that a datapoint's text lies under, or None.
        number_type: how numeric restricts that are no integers are sent.
    """

    def __init__(self, text_key: str | None, number_type: NumberType) -> None:
        self._text_key = text_key
        self._real = f"value_{number_type}"

    def write(self, point: Datapoint, message: Message) -> None:
        """Fill in an empty IndexDatapoint.

        Raises:
            VertexError: INVALID_ARGUMENT for metadata or a number that the service cannot hold.
        """
        message.datapoint_id = point.id
        message.feature_vector.extend(floats(point.vector))
        for restrict in point.restricts:
            message.restricts.add(
                namespace=restrict.namespace,
                allow_list=restrict.allow,
                deny_list=restrict.deny,
            )
        for number in point.numeric_restricts:
            added = message.numeric_restricts.add(namespace=number.namespace)
            self._number(added, number, point.id)
        if point.crowding_tag:
            message.crowding_tag.crowding_attribute = point.crowding_tag
        metadata = self.metadata(point)
        if metadata:
            message.embedding_metadata.update(metadata)

    def read(self, message: Message) -> Datapoint:
        """The value of an IndexDatapoint."""
        text, metadata = self._text(message.embedding_metadata)
        return Datapoint(
            message.datapoint_id,
            tuple(message.feature_vector),
            text,
            tuple(
                Restrict(r.namespace, tuple(r.allow_list), tuple(r.deny_list))
                for r in message.restricts
            ),
            tuple(_numeric(n, n.namespace) for n in message.numeric_restricts),
            message.crowding_tag.crowding_attribute,
            metadata,
        )

    def read_embedding(self, message: Message) -> Datapoint:
        """The value of a private Embedding; it tells a number in place of the crowding tag."""
        text, metadata = self._text(message.embedding_metadata)
        return Datapoint(
            message.id,
            tuple(message.float_val),
            text,
            tuple(
                Restrict(r.name, tuple(r.allow_tokens), tuple(r.deny_tokens))
                for r in message.restricts
            ),
            tuple(_numeric(n, n.name) for n in message.numeric_restricts),
            "",
            metadata,
        )

    def ask(self, query: Query, vector: Sequence[float], k: int, message: Message) -> None:
        """Fill in an empty FindNeighborsRequest.Query."""
        message.datapoint.feature_vector.extend(vector)
        for restrict in query.restricts:
            message.datapoint.restricts.add(
                namespace=restrict.namespace,
                allow_list=restrict.allow,
                deny_list=restrict.deny,
            )
        for number in query.numeric_restricts:
            added = message.datapoint.numeric_restricts.add(namespace=number.namespace)
            added.op = _operator(number)
            self._number(added, number)
        message.neighbor_count = k
        if query.crowding_limit is not None:
            message.per_crowding_attribute_neighbor_count = query.crowding_limit
        if query.approximate_count is not None:
            message.approximate_neighbor_count = query.approximate_count
        if query.leaves_fraction is not None:
            message.fraction_leaf_nodes_to_search_override = query.leaves_fraction

    def ask_private(self, query: Query, vector: Sequence[float], k: int, message: Message) -> None:
        """Fill in a MatchRequest."""
        message.float_val.extend(vector)
        for restrict in query.restricts:
            message.restricts.add(
                name=restrict.namespace,
                allow_tokens=restrict.allow,
                deny_tokens=restrict.deny,
            )
        for number in query.numeric_restricts:
            added = message.numeric_restricts.add(name=number.namespace, op=_operator(number))
            self._number(added, number)
        message.num_neighbors = k
        if query.crowding_limit is not None:
            message.per_crowding_attribute_num_neighbors = query.crowding_limit
        if query.approximate_count is not None:
            message.approx_num_neighbors = query.approximate_count
        if query.leaves_fraction is not None:
            message.fraction_leaf_nodes_to_search_override = query.leaves_fraction

    def match(self, neighbor: Message, *, full: bool) -> Match:
        """The value of a FindNeighborsResponse.Neighbor."""
        found = neighbor.datapoint
        tag = found.crowding_tag.crowding_attribute or None
        point = self.read(found) if full else None
        text = point.text if point else None
        return Match(found.datapoint_id, neighbor.distance, text, tag, point)

    def matches(self, response: Message) -> list[Match]:
        """The values of a private MatchResponse, with datapoints where it has embeddings."""
        points = {e.id: self.read_embedding(e) for e in response.embeddings}
        return [
            Match(n.id, n.distance, point.text if point else None, None, point)
            for n in response.neighbor
            for point in (points.get(n.id),)
        ]

    def metadata(self, point: Datapoint) -> Mapping[str, object]:
        """What goes into a datapoint's metadata, with its text; raises as `write` does."""
        found = point.metadata
        if self._text_key is not None:
            if self._text_key in found:
                raise _refused(
                    f"datapoint {point.id!r} has the metadata {self._text_key!r}, the key that "
                    "texts lie under; set another text_key, or none",
                    point.id,
                )
            if point.text is not None:
                found = {**found, self._text_key: point.text}
        if not _holdable(found):
            raise _refused(
                f"datapoint {point.id!r}: the service holds numbers of metadata as 64-bit floats; "
                f"an integer beyond ±2^53 would be changed (write it as text)",
                point.id,
            )
        return found

    def _text(self, struct: Message) -> tuple[str | None, Mapping[str, object]]:
        metadata = whole(MessageToDict(struct)) if struct.fields else {}
        if self._text_key is None or not isinstance(metadata.get(self._text_key), str):
            return None, metadata
        return str(metadata.pop(self._text_key)), metadata

    def _number(self, message: Message, number: NumericRestrict, key: str = "") -> None:
        value = number.value
        if isinstance(value, int) and not isinstance(value, bool):
            if not -_INT64 <= value < _INT64:
                raise _refused(f"{number.namespace}={value} is beyond 64 bits", key)
            message.value_int = value
        elif isinstance(value, float) and math.isfinite(value):
            setattr(message, self._real, value)
        else:
            raise _refused(f"{number.namespace}={value!r} is no finite number", key)


def floats(vector: Collection[float]) -> Sequence[float]:
    """A vector as a sequence of Python floats, which protobuf takes fastest."""
    as_list = getattr(vector, "tolist", None)
    found = as_list() if as_list else vector
    return cast(Sequence[float], found if isinstance(found, list | tuple) else list(found))


def whole(values: Mapping[str, object]) -> dict[str, object]:
    """JSON values whose integers are ints again, where protobuf has floats for all numbers."""
    return {key: _whole(value) for key, value in values.items()}


def _whole(value: object) -> object:
    if isinstance(value, Mapping):
        return whole(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _operator(number: NumericRestrict) -> int:
    if number.op is None:
        raise _refused(f"the query's numeric restrict {number.namespace!r} has no operator")
    if number.op not in OPERATORS:
        raise _refused(f"{number.op!r} is no operator; there are {', '.join(OPERATORS)}")
    return OPERATORS.index(number.op) + 1


def _numeric(message: Message, namespace: str) -> NumericRestrict:
    kind = message.WhichOneof("Value")
    value = 0 if kind is None else getattr(message, kind)
    return NumericRestrict(namespace, value)


def _holdable(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(map(_holdable, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_holdable, value))
    return not isinstance(value, int) or -_EXACT <= value <= _EXACT


def _refused(message: str, key: str = "") -> VertexError:
    return VertexError(f"vertex: {message}", code="INVALID_ARGUMENT", key=key)
