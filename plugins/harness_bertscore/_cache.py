"""A cache of encoded references, bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict

from harness_bertscore._matching import Encoded


class Cache:
    """Encoded texts by text; the least recently used go when `limit` bytes are passed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._items: OrderedDict[str, Encoded] = OrderedDict()

    def __contains__(self, text: str) -> bool:
        return text in self._items

    def get(self, text: str) -> Encoded | None:
        """The text's encoding, which then counts as just used."""
        found = self._items.get(text)
        if found is not None:
            self._items.move_to_end(text)
        return found

    def put(self, text: str, item: Encoded) -> None:
        """Keep a copy of an encoding: a view would keep all of its batch alive."""
        if text in self._items or item.nbytes > self._limit:
            return
        self._items[text] = item._replace(vectors=item.vectors.clone())
        self._bytes += item.nbytes
        while self._bytes > self._limit:
            self._bytes -= self._items.popitem(last=False)[1].nbytes
