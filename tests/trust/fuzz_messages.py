"""Messages of protobuf that are nearly right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hypothesis import strategies as st

ODD = [
    *(
        "",
        "a",
        "b",
        "é",
        "\0",
        "gs://data/rows",
        "gs://data/../x",
        "gs://data/a\0b",
        "gs://x",
        "gs://",
    ),
    *("gs://data/" + "a" * 300, "display_name", "labels", "embedding_metadata", "all_restricts"),
    *(
        "display_name=a",
        'labels.a:"b"',
        "9" * 5000,
        "1",
        "٣",
        "-1",
        " " * 60_000,
        "x" * 5000,
        "data",
    ),
    *("projects/p/locations/l/indexes/1", "projects/p/locations/l/indexEndpoints/1", "done=true"),
    *("127.0.0.1", "0.0.0.0", "unix:/tmp/fuzzed", "[::]", "localhost", "deployed_x", "colour"),
]
_FLOATS = [0.0, 1.0, -1.0, 0.5, float("nan"), float("inf"), -float("inf"), 3.4e38, 1e-45, 2.0**-149]
_WHOLE = [0, 1, 2, 3, 10, -1, 2**31 - 1, -(2**31)]
_LONG = [*_WHOLE, 2**63 - 1, -(2**63)]


def filled(kind: type[Message], fields: Mapping[str, object]) -> Message:
    return ParseDict(dict(fields), kind())


CONFIGS = [
    {"config": {"dimensions": 2, "algorithmConfig": {"bruteForceConfig": {}}}},
    {"config": {"dimensions": 2, "approximateNeighborsCount": 3,
                "algorithmConfig": {"treeAhConfig": {"leafNodesToSearchPercent": 5}}}},
    {"config": {"dimensions": 2, "algorithmConfig": {"bruteForceConfig": {}}},
     "contentsDeltaUri": "gs://data/rows"},
    {"contentsDeltaUri": "gs://data/rows", "isCompleteOverwrite": True},
]  # fmt: skip
_JSON = st.recursive(
    st.one_of(st.sampled_from(_FLOATS), st.sampled_from(ODD), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(
                [
                    "config",
                    "dimensions",
                    "algorithmConfig",
                    "treeAhConfig",
                    "bruteForceConfig",
                    "x",
                    "contentsDeltaUri",
                    "isCompleteOverwrite",
                    "distanceMeasureType",
                    "featureNormType",
                    "approximateNeighborsCount",
                    "leafNodeEmbeddingCount",
                    "leafNodesToSearchPercent",
                    "fractionLeafNodesToSearch",
                ]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


@st.composite
def _metadata(draw: st.DrawFn) -> Any:
    """A Value: an index's metadata that is right, or has one of its values changed."""
    found = draw(st.one_of(st.sampled_from(CONFIGS), _JSON))
    if isinstance(found, dict) and isinstance(found.get("config"), dict) and draw(st.booleans()):
        config = dict(found["config"])
        config[draw(st.sampled_from([*config, "distanceMeasureType", "featureNormType"]))] = draw(
            _JSON
        )
        found = {**found, "config": config}
    return found


@st.composite
def edited(draw: st.DrawFn, right: Message, texts: tuple[str, ...]) -> Message:
    """A right message in which up to two fields, at any depth, have something else."""
    message = type(right)()
    message.CopyFrom(right)
    data = draw(st.data())
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2, 2]))):
        _edit(message, data, texts)
    return message


def _edit(message: Any, data: st.DataObject, texts: tuple[str, ...]) -> None:
    if message.DESCRIPTOR.full_name == "google.protobuf.Value":
        _set_value(message, data.draw(_metadata()))
        return
    if not message.DESCRIPTOR.fields:
        return
    field = data.draw(
        st.sampled_from([*message.DESCRIPTOR.fields, *(f for f, _ in message.ListFields())])
    )
    inner = field.message_type and not field.message_type.GetOptions().map_entry
    there = getattr(message, field.name)
    if inner and field.is_repeated and there:
        _edit(there[data.draw(st.integers(0, len(there) - 1))], data, texts)
    elif inner and not field.is_repeated and message.HasField(field.name):
        _edit(there, data, texts)
    elif data.draw(st.sampled_from([False, False, False, True])):
        message.ClearField(field.name)
    else:
        _set(message, field, data, texts, 3)


def _message(kind: Descriptor, texts: tuple[str, ...], deepest: int) -> st.SearchStrategy[Message]:
    fields = [f for f in kind.fields if deepest or f.message_type is None]
    if not fields:
        return st.just(_class(kind)())
    chosen = st.lists(st.sampled_from(fields), max_size=len(fields), unique_by=lambda f: f.name)
    return st.builds(
        _message_of, st.just(kind), chosen, st.data(), st.just(texts), st.just(deepest)
    )


def _message_of(kind: Descriptor, fields: list[FieldDescriptor], data: st.DataObject,
                texts: tuple[str, ...], deepest: int) -> Message:  # fmt: skip
    message = _class(kind)()
    for field in fields:
        count = data.draw(st.sampled_from([1, 1, 2, 0])) if field.is_repeated else 1
        for _ in range(count):
            _set(message, field, data, texts, deepest)
    return message


def _set(message: Message, field: FieldDescriptor, data: st.DataObject,
         texts: tuple[str, ...], deepest: int) -> None:  # fmt: skip
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Value":
        if not field.is_repeated:
            _set_value(getattr(message, field.name), data.draw(_metadata()))
        return
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            return
        value = data.draw(_message(field.message_type, texts, deepest - 1))
        target = getattr(message, field.name)
        (target.add() if field.is_repeated else target).CopyFrom(value)
        return
    value = data.draw(_scalar(field, texts))
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def _scalar(field: FieldDescriptor, texts: tuple[str, ...]) -> st.SearchStrategy[object]:
    kinds: dict[int, list[Any]] = {
        FieldDescriptor.CPPTYPE_STRING: [*texts],
        FieldDescriptor.CPPTYPE_BOOL: [True, False],
        FieldDescriptor.CPPTYPE_FLOAT: _FLOATS,
        FieldDescriptor.CPPTYPE_DOUBLE: _FLOATS,
        FieldDescriptor.CPPTYPE_INT32: _WHOLE,
        FieldDescriptor.CPPTYPE_ENUM: [0, 1, 2, 3, 99],
        FieldDescriptor.CPPTYPE_INT64: _LONG,
        FieldDescriptor.CPPTYPE_UINT32: [0, 1, 2**32 - 1],
        FieldDescriptor.CPPTYPE_UINT64: [0, 1, 2**64 - 1],
    }
    if field.type == FieldDescriptor.TYPE_BYTES:
        return st.binary(max_size=4)
    return st.sampled_from(kinds[field.cpp_type])


def _set_value(message: Any, found: object) -> None:
    """A protobuf Value from JSON values, and numbers that JSON lacks."""
    if isinstance(found, dict):
        message.struct_value.SetInParent()
        for key, item in found.items():
            _set_value(message.struct_value.fields[key], item)
    elif isinstance(found, list):
        message.list_value.SetInParent()
        for item in found:
            _set_value(message.list_value.values.add(), item)
    elif isinstance(found, bool):
        message.bool_value = found
    elif isinstance(found, int | float):
        message.number_value = found
    elif isinstance(found, str):
        message.string_value = found


def _class(kind: Descriptor) -> type[Message]:
    found: type[Message] = message_factory.GetMessageClass(kind)
    return found
