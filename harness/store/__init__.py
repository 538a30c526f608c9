"""The store: `Store` writes and reads, `schema` has the tables, `database` the connection."""

from harness.store.store import Store

__all__ = ["Store"]
