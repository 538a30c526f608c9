"""Errors that a person can act on: each says what is wrong, where, and what to do."""

from __future__ import annotations


class HarnessError(Exception):
    """What the user gave cannot be used; the command line prints one line and exits with 2."""


class PluginError(HarnessError):
    """A plugin is unknown, broken, ambiguous, or lacks a package that it needs."""


class DataError(HarnessError):
    """A data file, a row of it, or a column mapping cannot be used."""


class StoreError(HarnessError):
    """The store cannot be opened, read or written."""


class UnscoredError(HarnessError):
    """More samples than the stated share have no score; what was done is in the store."""
