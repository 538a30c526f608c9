"""The index that a reference names, for as long as a command takes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from harness.errors import PluginError

if TYPE_CHECKING:
    from harness.components import Index, Retriever
    from harness.indexing import ManagedIndex

REFERENCE = "the index, as local:path=runs/index"


def add_reference(parser: argparse.ArgumentParser) -> None:
    """Declare the argument that all of these commands have."""
    parser.add_argument("reference", metavar="REF", help=REFERENCE)


@contextmanager
def searchable(reference: str) -> Iterator[Retriever]:
    """The retriever that a reference names, closed at the end."""
    from harness.api import retriever

    found = retriever(reference)
    try:
        yield found
    finally:
        close = getattr(found, "close", None)
        if callable(close):
            close()


@contextmanager
def writable(reference: str) -> Iterator[Index]:
    """The index that a reference names; raises PluginError if it can only be searched."""
    from harness.components import Index

    with searchable(reference) as found:
        if not isinstance(found, Index):
            raise PluginError(f"{reference} can only be searched, not written to or described")
        yield found


@contextmanager
def managed(reference: str) -> Iterator[ManagedIndex]:
    """The index that a reference names; raises PluginError if it cannot be made and deleted."""
    from harness.indexing import ManagedIndex

    with searchable(reference) as found:
        if not isinstance(found, ManagedIndex):
            raise PluginError(f"{reference} is no index that can be made or deleted from here")
        yield found
