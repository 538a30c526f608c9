"""Resources of one kind: found by name, listed by page and filter."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Callable, Iterator

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from harness_vertex._emulator.errors import invalid, missing
from harness_vertex._emulator.store import Store

_PARENT = re.compile(r"projects/[^/]+/locations/[^/]+")
_TERM = re.compile(r"""(display_name|labels\.[\w-]+)\s*(=|:|!=)\s*(?:"([^"]*)"|(\S+))""")
_PAGE = 100


class Resources:
    """The resources of a collection, such as `indexes`, each a message with a `name`."""

    def __init__(self, store: Store, collection: str, noun: str, kind: type[Message]) -> None:
        self._store, self._collection, self._noun, self._kind = store, collection, noun, kind
        self._pattern = re.compile(rf"{_PARENT.pattern}/{collection}/[^/]+")

    @property
    def lock(self) -> threading.RLock:
        """What makes a reading and the change that follows from it one step, for all resources."""
        return self._store.lock

    def new_name(self, parent: str) -> str:
        """A name for a new one; INVALID_ARGUMENT if the parent is no location."""
        if not _PARENT.fullmatch(parent):
            raise invalid(f"Parent {parent!r} must be projects/PROJECT/locations/LOCATION.")
        return f"{parent}/{self._collection}/{10**18 + secrets.randbelow(8 * 10**18)}"

    def get(self, name: str) -> Message:
        """The one of this name; NOT_FOUND if there is none, INVALID_ARGUMENT for no such name."""
        found = self.find(name)
        if found is None:
            raise missing(self._noun, name)
        return found

    def find(self, name: str) -> Message | None:
        """The one of this name, or None; INVALID_ARGUMENT for what cannot be a name."""
        if not self._pattern.fullmatch(name):
            raise invalid(
                f"{self._noun} name {name!r} must be "
                f"projects/PROJECT/locations/LOCATION/{self._collection}/ID."
            )
        data = self._store.get(self._collection, name)
        return None if data is None else self._kind.FromString(data)

    def put(self, resource: Message) -> None:
        """Keep a resource under its name; its update time becomes now."""
        resource.update_time.CopyFrom(now())
        resource.etag = secrets.token_hex(8)
        self._store.put(self._collection, resource.name, resource.SerializeToString())

    def delete(self, name: str) -> None:
        """Take it out, if it is there."""
        self._store.delete(self._collection, name)

    def all(self) -> list[Message]:
        """Every one, in the order in which they were made."""
        return [self._kind.FromString(data) for _, data in self._store.all(self._collection)]

    def page(self, request: Message) -> tuple[list[Message], str]:
        """The resources that a List request asks for, and the token of the next page."""
        if not _PARENT.fullmatch(request.parent):
            raise invalid(f"Parent {request.parent!r} must be projects/PROJECT/locations/LOCATION.")
        wanted = _filter(request.filter)
        own = [r for r in self.all() if r.name.startswith(f"{request.parent}/") and wanted(r)]
        return paged(own, request)


def paged(items: list[Message], request: Message) -> tuple[list[Message], str]:
    """One page of a list, and the token of the next; INVALID_ARGUMENT for a token of no page."""
    token, size = request.page_token, request.page_size
    if size < 0 or not re.fullmatch("[0-9]{0,18}", token):
        raise invalid("page_size must not be negative, and page_token one that a page came with.")
    start, size = int(token or 0), min(size or _PAGE, 1000)
    rest = start + size < len(items)
    return items[start : start + size], str(start + size) if rest else ""


def now() -> Timestamp:
    """This moment."""
    moment = Timestamp()
    moment.GetCurrentTime()
    return moment


def apply_mask(old: Message, new: Message, paths: list[str], allowed: tuple[str, ...]) -> None:
    """Copy the fields of an update mask; INVALID_ARGUMENT for one that cannot be updated."""
    for path in paths:
        if path not in allowed:
            raise invalid(f"{path!r} cannot be updated; update_mask takes {', '.join(allowed)}.")
        old.ClearField(path)
        if path == "labels":
            old.labels.update(dict(new.labels))
        else:
            setattr(old, path, getattr(new, path))


def _filter(text: str) -> Callable[[Message], bool]:
    tests = list(_tests(text))
    return lambda resource: all(test(resource) for test in tests)


def _tests(text: str) -> Iterator[Callable[[Message], bool]]:
    for term in filter(None, map(str.strip, re.split(r"\sAND\s", text))):
        match = _TERM.fullmatch(term)
        if match is None:
            raise invalid(
                f"Filter {term!r} is not understood; the emulator knows display_name and labels."
            )
        field, sign, quoted, plain = match.groups()
        yield _test(field, sign, plain if quoted is None else quoted)


def _test(field: str, sign: str, value: str) -> Callable[[Message], bool]:
    def has(resource: Message) -> bool:
        if not field.startswith("labels."):
            return bool(resource.display_name == value)
        key = field.removeprefix("labels.")
        return key in resource.labels and (value == "*" or resource.labels[key] == value)

    return (lambda resource: not has(resource)) if sign == "!=" else has
