"""Values that keep to a JSON schema, chosen by a key; and values that break it in one place."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

Json = Mapping[str, object]
Path = tuple[str | int, ...]

_WORDS = (
    "answer", "reference", "fact", "source", "claim", "detail", "order", "name", "date", "place",
    "agrees", "differs", "holds", "misses", "repeats", "adds", "omits", "proves", "cites", "shifts",
)  # fmt: skip
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_UNSUPPORTED = {"pattern", "multipleOf", "not", "if", "uniqueItems", "patternProperties"}
_DEEPEST = 40


def number(key: bytes, path: str) -> int:
    """A number of 48 bits that depends on both."""
    return int.from_bytes(hashlib.blake2b(path.encode(), key=key, digest_size=6).digest())


def text(key: bytes, path: str = "") -> str:
    """Five to nine words, with a number that a hasty reader takes for a score."""
    chosen = number(key, path)
    words = [_WORDS[chosen // 20**i % 20] for i in range(3 + chosen % 5)]
    return f"Case {chosen % 1000}: {' '.join(words)}."


def fill(schema: Json, key: bytes) -> object:
    """A value that is valid under `schema`, the same for the same key.

    Raises:
        ValueError: where the schema is none, or asks for what cannot be made here.
    """
    return _Filling(schema, key).value(schema, "", 0)


class _Filling:
    """Walks one schema; `path` names the place, so that each place has its own value."""

    def __init__(self, root: Json, key: bytes) -> None:
        self._root, self._key = root, key

    def value(self, schema: Json, path: str, depth: int) -> object:
        if depth > _DEEPEST:
            raise ValueError("the schema is nested too deep, or without end")
        if hindrance := _UNSUPPORTED & schema.keys():
            raise ValueError(f"the fault server cannot keep to schema keyword {min(hindrance)!r}")
        if "const" in schema:
            return schema["const"]
        if menu := items(schema.get("enum")):
            return menu[number(self._key, path) % len(menu)]
        if inner := self._inner(schema, path):
            return self.value(inner, path, depth + 1)
        kind = schema.get("type", "object" if "properties" in schema else "string")
        if kinds := items(kind):
            kind = kinds[number(self._key, path) % len(kinds)]
        if kind == "object":
            return {
                name: self.value(mapping(rule), f"{path}/{name}", depth + 1)
                for name, rule in mapping(schema.get("properties", {})).items()
            }
        if kind == "array":
            return self._array(schema, path, depth)
        return self._plain(schema, str(kind), path)

    def _inner(self, schema: Json, path: str) -> Json | None:
        """The schema that this one stands for: a reference, one of several, or all of several."""
        if isinstance(reference := schema.get("$ref"), str):
            return _resolve(self._root, reference)
        if options := items(schema.get("anyOf")) or items(schema.get("oneOf")):
            return mapping(options[number(self._key, path + "?") % len(options)])
        parts = items(schema.get("allOf"))
        return {k: v for part in parts for k, v in mapping(part).items()} if parts else None

    def _array(self, schema: Json, path: str, depth: int) -> list[object]:
        least = _whole(schema, "minItems", 1)
        most = max(least, _whole(schema, "maxItems", least + 2))
        count = least + number(self._key, path) % (most - least + 1)
        rule = mapping(schema.get("items", {}))
        return [self.value(rule, f"{path}/{i}", depth + 1) for i in range(count)]

    def _plain(self, schema: Json, kind: str, path: str) -> object:
        chosen = number(self._key, path)
        if kind == "string":
            words = text(self._key, path)[: _whole(schema, "maxLength", 10_000)]
            return words.ljust(_whole(schema, "minLength", 0), ".")
        if kind == "integer":
            least, most = math.ceil(_bounds(schema, 1)[0]), math.floor(_bounds(schema, 1)[1])
            if least > most:
                raise ValueError("no integer lies between the schema's bounds")
            return least + chosen % (most - least + 1)
        if kind == "number":
            low, high = _bounds(schema, 1e-3)
            return low + (high - low) * (chosen % 1001) / 1000
        if kind == "boolean":
            return chosen % 2 == 0
        if kind != "null":
            raise ValueError(f"schema type {kind!r} is not known")
        return None


def spoil(value: Json, schema: Json | None, how: str) -> Json:
    """A value that its schema forbids, in the last place that has a menu.

    Args:
        value: what keeps to the schema.
        schema: the schema, if there is one.
        how: `missing_key`, `off_menu` or `wrong_type`.
    """
    places = list(_leaves(value, schema, ()))
    if not places:
        return {}
    path, leaf, rule = ([p for p in places if _has_menu(p[2])] or places)[-1]
    if how == "missing_key":
        names = [i for i, part in enumerate(path) if isinstance(part, str)]
        return mapping(_changed(value, path[: names[-1] + 1], None, drop=True))
    new = _off_menu(leaf, rule) if how == "off_menu" else _other_type(leaf)
    return mapping(_changed(value, path, new))


def mapping(value: object) -> Json:
    """The value as an object of JSON.

    Raises:
        ValueError: if it is none.
    """
    if not isinstance(value, dict):
        raise ValueError(f"an object is needed, not {type(value).__name__}")
    return value


def items(value: object) -> Sequence[object]:
    """The value as an array of JSON; empty if it is none."""
    return value if isinstance(value, list | tuple) else ()


def _bounds(schema: Json, step: float) -> tuple[float, float]:
    """The least and the greatest number allowed; a bound that is excluded is a step off."""
    low, high = _real(schema, "minimum"), _real(schema, "maximum")
    above, below = _real(schema, "exclusiveMinimum"), _real(schema, "exclusiveMaximum")
    low = above + step if above is not None else low
    high = below - step if below is not None else high
    if low is None:
        low = 0.0 if high is None or high >= 0 else high - 5 * step
    return low, low + max(1.0, 5 * step) if high is None else high


def _real(schema: Json, name: str) -> float | None:
    value = schema.get(name)
    return float(value) if isinstance(value, int | float) else None


def _whole(schema: Json, name: str, default: int) -> int:
    value = schema.get(name)
    return value if isinstance(value, int) else default


def _resolve(root: Json, reference: str) -> Json:
    place: object = root
    for part in reference.split("/")[1:]:
        place = place.get(part) if isinstance(place, dict) else None
    if not reference.startswith("#") or not isinstance(place, dict):
        raise ValueError(f"the schema has nothing at {reference!r}")
    return place


def _leaves(value: object, schema: object, path: Path) -> Iterator[tuple[Path, object, Json]]:
    rule: Json = schema if isinstance(schema, dict) else {}
    if isinstance(value, dict):
        fields = rule.get("properties")
        known: Json = fields if isinstance(fields, dict) else {}
        for name, inner in value.items():
            yield from _leaves(inner, known.get(name), (*path, name))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _leaves(inner, rule.get("items"), (*path, i))
    else:
        yield path, value, rule


def _has_menu(rule: Json) -> bool:
    numbers = rule.get("type") in ("integer", "number", "boolean")
    return numbers or not {"enum", "const"}.isdisjoint(rule)


def _off_menu(leaf: object, rule: Json) -> object:
    if isinstance(leaf, bool) or not isinstance(leaf, int | float):
        return "none of these"
    menu = [x for x in items(rule.get("enum")) if isinstance(x, int | float)]
    top = max(menu, default=_real(rule, "maximum"))
    return 97 if top is None else int(top) + 1


def _other_type(leaf: object) -> object:
    """Text where a number or a truth value belongs; a number where text does."""
    if isinstance(leaf, bool):
        return "perhaps"
    if isinstance(leaf, int | float):
        return _DIGITS[int(leaf)] if 0 <= leaf <= 9 else "many"
    return 4


def _changed(value: object, path: Path, leaf: object, *, drop: bool = False) -> object:
    """The value with another leaf at `path`, or with nothing there."""
    if not path:
        return leaf
    if isinstance(value, dict):
        if drop and len(path) == 1:
            return {name: inner for name, inner in value.items() if name != path[0]}
        name = str(path[0])
        return {**value, name: _changed(value[name], path[1:], leaf, drop=drop)}
    inners = items(value)
    return [
        _changed(inner, path[1:], leaf, drop=drop) if i == path[0] else inner
        for i, inner in enumerate(inners)
    ]
