"""Datapoints and restricts: from the public service's messages, and into them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from google.protobuf.json_format import MessageToDict, SerializeToJsonError
from google.protobuf.message import Message

from harness.datapoints import Datapoint, NumericOp, NumericRestrict, Restrict
from harness_vertex._emulator.errors import invalid, unsupported

OPERATORS: dict[int, NumericOp] = {
    1: "LESS",
    2: "LESS_EQUAL",
    3: "EQUAL",
    4: "GREATER_EQUAL",
    5: "GREATER",
    6: "NOT_EQUAL",
}
SPARSE = "sparse embeddings or hybrid queries"


def datapoint_of(message: Message) -> Datapoint:
    """A datapoint from an IndexDatapoint."""
    if message.HasField("sparse_embedding"):
        raise unsupported(SPARSE)
    metadata = json_of(message.embedding_metadata) if message.HasField("embedding_metadata") else {}
    return Datapoint(
        message.datapoint_id,
        np.array(message.feature_vector, np.float32),
        restricts=tuple(
            Restrict(r.namespace, tuple(r.allow_list), tuple(r.deny_list))
            for r in message.restricts
        ),
        numeric_restricts=numbers_of(message.numeric_restricts, "namespace"),
        crowding_tag=message.crowding_tag.crowding_attribute,
        metadata=metadata,
    )


def json_of(message: Message) -> dict[str, object]:
    """A Value or a Struct as JSON values; INVALID_ARGUMENT for numbers that JSON lacks."""
    try:
        found: dict[str, object] = MessageToDict(message)
    except (SerializeToJsonError, ValueError) as error:
        raise invalid(f"{message.DESCRIPTOR.name}: {error}.") from error
    return found


def numbers_of(messages: Iterable[Message], name_field: str) -> tuple[NumericRestrict, ...]:
    """Numeric restricts, of datapoints and of queries, of the public and the private service."""
    return tuple(_number(message, getattr(message, name_field)) for message in messages)


def _number(message: Message, name: str) -> NumericRestrict:
    field = message.WhichOneof("Value")
    if field is None:
        raise invalid(f"The numeric restrict {name!r} has no value.")
    if message.op and message.op not in OPERATORS:
        raise invalid(f"The numeric restrict {name!r} has the unknown operator {message.op}.")
    return NumericRestrict(name, getattr(message, field), OPERATORS.get(message.op))


def fill_datapoint(message: Message, datapoint: Datapoint) -> None:
    """Write a datapoint into an IndexDatapoint."""
    message.datapoint_id = datapoint.id
    message.feature_vector.extend(datapoint.vector)
    for restrict in datapoint.restricts:
        message.restricts.add(
            namespace=restrict.namespace, allow_list=restrict.allow, deny_list=restrict.deny
        )
    for number in datapoint.numeric_restricts:
        fill_number(message.numeric_restricts.add(namespace=number.namespace), number)
    if datapoint.crowding_tag:
        message.crowding_tag.crowding_attribute = datapoint.crowding_tag
    if datapoint.metadata:
        message.embedding_metadata.update(dict(datapoint.metadata))


def fill_number(message: Message, number: NumericRestrict) -> None:
    """Write the value of a numeric restrict; floats of both sizes come back as doubles."""
    if isinstance(number.value, int):
        message.value_int = number.value
    else:
        message.value_double = number.value
