"""The folder of an index: `index.json`, the vectors, and a log of all writes.

    index.json            settings, and the number of the generation that counts
    vectors-<g>.f32       float32 rows, by row number; only appended to, and memory-mapped
    log-<g>.bin           what was written: ids and tags of each batch, and removals
    scann-<g>/            a cache of the approximate engine, which may be deleted
    lock                  held while the index is open for writing

A write appends the vectors first and the record second; the record has their checksum. Compacting
writes the next generation whole, and then replaces `index.json`.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from harness.vectors._check import Batch
from harness.vectors._log import LogFile, Record, damaged, records, write_all
from harness.vectors._space import Vectors
from harness.vectors.settings import Problem, VectorError, VectorSettings, differing

_INDEX = "index.json"
_LOCK = "lock"
_FORMAT = 1
_LEAST_ROWS = 1024
_FIXED = ("dimensions", "measure", "normalise")


def exists(folder: Path) -> bool:
    """Whether a folder holds an index."""
    return (folder / _INDEX).is_file()


def delete(folder: Path) -> None:
    """Delete the files of an index, `index.json` first, and the folder if it is empty then."""
    if not exists(folder):
        raise _missing(folder)
    lock = _locked(folder)
    try:
        (folder / _INDEX).unlink()
        for path in _own_files(folder):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        (folder / _LOCK).unlink()
    except OSError as error:
        raise storage(folder, error) from error
    finally:
        os.close(lock)
    with suppress(OSError):
        folder.rmdir()


def storage(folder: Path, error: OSError) -> VectorError:
    """The error for a folder that cannot be read or written."""
    return VectorError(Problem.STORAGE, f"the index folder {folder}: {error.strerror or error}")


def _own_files(folder: Path) -> Iterator[Path]:
    for pattern in ("vectors-*.f32", "log-*.bin", "scann-*"):
        yield from folder.glob(pattern)


def _missing(folder: Path) -> VectorError:
    return VectorError(Problem.MISSING, f"there is no index in {folder}")


def _locked(folder: Path) -> int:
    """Take the lock of a folder; raises VectorError `LOCKED` if it is taken."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise VectorError(
            Problem.LOCKED,
            f"the index in {folder} is open for writing elsewhere; close it there, "
            "or open it read only",
        ) from error
    return lock


class FileVectors:
    """Vectors in a file: written by calls, that a full disk fails cleanly, read through a map."""

    def __init__(self, path: Path, dimensions: int, *, readonly: bool = False) -> None:
        self.path, self._width, self._readonly = path, 4 * dimensions, readonly
        flags = os.O_RDONLY if readonly else os.O_RDWR | os.O_CREAT
        self._file = os.open(path, flags, 0o644)
        self._dimensions = dimensions
        self._count = 0
        self._mapped: Vectors = np.empty((0, dimensions), np.float32)
        self._map()

    @property
    def _room(self) -> int:
        return os.fstat(self._file).st_size // self._width

    def _map(self) -> None:
        if rows := self._room:
            mapped = mmap.mmap(self._file, rows * self._width, access=mmap.ACCESS_READ)
            flat = np.frombuffer(mapped, np.float32, rows * self._dimensions)
            self._mapped = flat.reshape(rows, self._dimensions)

    def claim(self, count: int) -> Vectors | None:
        """Count the next rows, which the file has already, and give them; None if it has not."""
        end = self._count + count
        if end > len(self._mapped):
            return None
        rows = self._mapped[self._count : end]
        self._count = end
        return rows

    def write(self, vectors: Vectors, *, sync: bool) -> None:
        """Write rows behind those that count, without counting them."""
        end = self._count + len(vectors)
        if end > self._room:
            os.ftruncate(self._file, max(end, 2 * self._count, _LEAST_ROWS) * self._width)
        write_all(self._file, _bytes(vectors), self._count * self._width)
        if sync:
            os.fdatasync(self._file)

    def append(self, vectors: Vectors) -> None:
        """Count rows that were written."""
        self._count += len(vectors)
        if self._count > len(self._mapped):
            self._map()

    def view(self, count: int) -> Vectors:
        return self._mapped[:count]

    def sync(self) -> None:
        os.fsync(self._file)

    def close(self) -> None:
        """Give the file its true length; views of it stay."""
        if not self._readonly:
            os.ftruncate(self._file, self._count * self._width)
        os.close(self._file)


class Folder:
    """The folder of an index, open.

    Raises:
        VectorError: see VectorIndex.
    """

    def __init__(self, folder: Path, settings: VectorSettings | None, *, readonly: bool) -> None:
        self.path, self.readonly = folder, readonly
        self._lock: int | None = None
        self._log: LogFile | None = None
        if not exists(folder) and (readonly or settings is None):
            raise _missing(folder)
        try:
            if not readonly:
                folder.mkdir(parents=True, exist_ok=True)
                self._lock = _locked(folder)
            self.generation, self.settings = self._settings(settings)
            self.vectors = self._open_vectors(self.generation)
        except OSError as error:
            self._unlock()
            raise storage(folder, error) from error
        except VectorError:
            self._unlock()
            raise

    def _settings(self, given: VectorSettings | None) -> tuple[int, VectorSettings]:
        if not exists(self.path):
            assert given is not None
            self._write_index(0, given)
            return 0, given
        generation, found = self._read_index()
        if given is None:
            return generation, found
        ours, theirs = asdict(given), asdict(found)
        if apart := differing({n: ours[n] for n in _FIXED}, {n: theirs[n] for n in _FIXED}):
            raise VectorError(Problem.SETTINGS, f"the index in {self.path} has {apart}")
        if given != found and not self.readonly:
            self._write_index(generation, given)
        return generation, given

    def _read_index(self) -> tuple[int, VectorSettings]:
        path = self.path / _INDEX
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            form, generation, settings = found["format"], found["generation"], found["settings"]
            if form != _FORMAT:
                raise VectorError(
                    Problem.DAMAGED,
                    f"the index in {self.path} has format {form!r}; this version reads {_FORMAT}",
                )
            return int(generation), VectorSettings(**settings)
        except (ValueError, KeyError, TypeError) as error:
            raise damaged(path, f"{type(error).__name__}: {error}") from error

    def _write_index(self, generation: int, settings: VectorSettings) -> None:
        path = self.path / _INDEX
        temporary = path.with_name(_INDEX + ".tmp")
        content = {"format": _FORMAT, "generation": generation, "settings": asdict(settings)}
        try:
            with temporary.open("w", encoding="utf-8") as handle:
                json.dump(content, handle, indent=1)
                handle.flush()
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(self.path)

    def _open_vectors(self, generation: int) -> FileVectors:
        path = self._vectors_path(generation)
        return FileVectors(path, self.settings.dimensions, readonly=self.readonly)

    def _vectors_path(self, generation: int) -> Path:
        return self.path / f"vectors-{generation}.f32"

    def _log_path(self, generation: int) -> Path:
        return self.path / f"log-{generation}.bin"

    @property
    def tree_path(self) -> Path:
        return self.path / f"scann-{self.generation}"

    def replay(self) -> Iterator[Record]:
        """All records whose vectors are there; then the folder is ready for writing.

        Raises:
            VectorError: `DAMAGED`.
        """
        path = self._log_path(self.generation)
        data = self._log_bytes(path)
        good = 0
        for record, end in records(path, data):
            if not self._has_vectors(record):
                if end < len(data):
                    raise damaged(self.vectors.path, f"the rows of the record before byte {end}")
                break
            good = end
            yield record
        if not self.readonly:
            self._log = LogFile(path, good)
            _sync_folder(self.path)
            self._clean()

    def _log_bytes(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except FileNotFoundError:
            if self._read_index()[0] == self.generation:
                return b""
            message = f"the index in {self.path} was compacted at this moment; open it again"
            raise VectorError(Problem.STORAGE, message) from None
        except OSError as error:
            raise storage(self.path, error) from error

    def _has_vectors(self, record: Record) -> bool:
        ids = record.get("ids")
        if not isinstance(ids, list):
            return True
        rows = self.vectors.claim(len(ids))
        return rows is not None and _checksum(rows) == record["sum"]

    def _clean(self) -> None:
        """Remove what a compaction left that did not end."""
        current = {self._vectors_path(self.generation), self._log_path(self.generation)}
        for path in _own_files(self.path):
            if path not in current and path != self.tree_path:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def write(self, batch: Batch) -> None:
        """Make a batch last; raises VectorError `STORAGE`, and then nothing of it is there."""
        try:
            _append(self._open_log, self.vectors, batch, sync=self.settings.sync)
        except OSError as error:
            raise storage(self.path, error) from error

    def write_removal(self, ids: Sequence[str]) -> None:
        """Make a removal last; raises VectorError `STORAGE`."""
        try:
            self._open_log.append({"remove": list(ids)}, sync=self.settings.sync)
        except OSError as error:
            raise storage(self.path, error) from error

    @property
    def _open_log(self) -> LogFile:
        assert self._log is not None  # `replay` comes first
        return self._log

    def next_generation(self, batch: Batch) -> tuple[FileVectors, LogFile]:
        """Write a generation that has only this batch, on the disk when this returns."""
        number = self.generation + 1
        try:
            self._vectors_path(number).unlink(missing_ok=True)
            vectors = self._open_vectors(number)
            log = LogFile(self._log_path(number), 0)
            _append(log, vectors, batch, sync=True)
            vectors.append(batch.vectors)
            vectors.sync()
        except OSError as error:
            raise storage(self.path, error) from error
        return vectors, log

    def switch(self, vectors: FileVectors, log: LogFile) -> None:
        """Let the next generation count; the files of this one go."""
        try:
            self._write_index(self.generation + 1, self.settings)
        except OSError as error:
            raise storage(self.path, error) from error
        self.generation += 1
        self.vectors.close()
        self._open_log.close()
        self.vectors, self._log = vectors, log
        with suppress(OSError):
            self._clean()

    def close(self) -> None:
        """Give the folder free."""
        with suppress(OSError):
            self.vectors.close()
        if self._log is not None:
            self._log.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _append(log: LogFile, vectors: FileVectors, batch: Batch, *, sync: bool) -> None:
    vectors.write(batch.vectors, sync=sync)
    tags = {str(place): own.packed() for place, own in batch.tags.items()}
    record: Record = {"ids": batch.ids, "sum": _checksum(batch.vectors)}
    log.append(record | ({"tags": tags} if tags else {}), sync=sync)


def _checksum(vectors: Vectors) -> int:
    return zlib.crc32(_bytes(vectors))


def _bytes(vectors: Vectors) -> memoryview:
    return vectors.reshape(-1).view(np.uint8).data


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
