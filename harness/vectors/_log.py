"""A log of JSON records, of which each is whole and unharmed or is noticed not to be.

A record is a head (magic, length, checksum of the payload, checksum of the head before) and its
payload. A write that a kill cut off leaves a bad record at the end, with nothing good behind it:
it was never acknowledged, and is cut off. A bad record before a good one is damage.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from harness.vectors.settings import Problem, VectorError

_MAGIC = b"VLOG"
_HEAD = struct.Struct("<4sQI")
_SUM = struct.Struct("<I")
_WHOLE = _HEAD.size + _SUM.size

Record = dict[str, object]


class LogFile:
    """The log, open for appending."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.ftruncate(self._file, size)
        self._size = size

    def append(self, record: Record, *, sync: bool) -> None:
        """Write a record whole, or leave the log as it was and raise OSError."""
        payload = json.dumps(record, separators=(",", ":")).encode()
        head = _HEAD.pack(_MAGIC, len(payload), zlib.crc32(payload))
        data = head + _SUM.pack(zlib.crc32(head)) + payload
        try:
            write_all(self._file, data, self._size)
            if sync:
                os.fdatasync(self._file)
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def close(self) -> None:
        os.close(self._file)


def write_all(file: int, data: bytes | memoryview, position: int) -> None:
    """Write all of the data at a position, however many calls it takes."""
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, position)
        view, position = view[written:], position + written


def records(path: Path, data: bytes) -> Iterator[tuple[Record, int]]:
    """The records of a log's bytes, each with the position behind it, up to a cut-off end.

    Raises:
        VectorError: `DAMAGED`, if a bad record has a good one behind it.
    """
    position = 0
    while position < len(data):
        payload = _payload(data, position)
        if payload is None:
            _refuse_if_more(path, data, position)
            return
        position += _WHOLE + len(payload)
        yield json.loads(payload), position


def _payload(data: bytes, position: int) -> bytes | None:
    """The payload of the record at a position, if it is whole and unharmed."""
    start = position + _WHOLE
    if start > len(data):
        return None
    magic, length, checksum = _HEAD.unpack_from(data, position)
    (head_sum,) = _SUM.unpack_from(data, position + _HEAD.size)
    if magic != _MAGIC or head_sum != zlib.crc32(data[position : position + _HEAD.size]):
        return None
    payload = data[start : start + length]
    return payload if len(payload) == length and zlib.crc32(payload) == checksum else None


def _refuse_if_more(path: Path, data: bytes, position: int) -> None:
    after = data.find(_MAGIC, position + 1)
    while after >= 0:
        if _payload(data, after) is not None:
            raise damaged(path, f"the record at byte {position} is not what was written")
        after = data.find(_MAGIC, after + 1)


def damaged(path: Path, what: str) -> VectorError:
    """The error for a folder that cannot be trusted."""
    return VectorError(
        Problem.DAMAGED, f"the index file {path} is damaged: {what}; restore it from a copy"
    )
