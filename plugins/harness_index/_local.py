"""The retriever `local`: a vector index in a folder, and the encoder of its texts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING

from harness import Datapoint, HarnessError, IndexDescription, Match, Query
from harness.indexing import IndexSpec, Report, Work, unheard
from harness.retrieval import read_datapoints
from harness.vectors import Problem, VectorError, VectorIndex, VectorSettings
from harness_index._texts import Texts

if TYPE_CHECKING:
    from harness_index import LocalSettings

_FIXED = ("dimensions", "measure", "normalise")
_NUMBERS = ("leaf_size", "leaves_fraction", "approximate_count")
_TOGETHER = 1000


class LocalIndex:
    """Datapoints in a folder. It is a ManagedIndex.

    Until the first write the folder is only read: as it is when it is first used, beside any
    process that writes to it. From the first write on it is locked until `close`. Methods may be
    called from any thread.
    """

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._path = Path(settings.path)
        self._texts = Texts(self._path, settings.encoder)
        self._open: VectorIndex | None = None
        self._writes = False
        self._lock = RLock()

    # What an index does

    def search(self, queries: Sequence[Query], *, k: int) -> list[list[Match]]:
        """The `k` nearest of each query's vector, or of its text's vector where it has none.

        Raises:
            HarnessError: if there is no index in the folder, a query cannot be searched for, or a
                text has to be encoded and cannot be.
        """
        index = self._reading()
        knobs = [self._with_knobs(query) for query in queries]
        texts = [_text(q.text, f"query {n}", n) for n, q in enumerate(knobs) if not len(q.vector)]
        vectors = iter(self._texts.of_queries(texts, index.settings.dimensions))
        asked = [q if len(q.vector) else replace(q, vector=next(vectors)) for q in knobs]
        return index.search(asked, k=k, exact=self._settings.exact)

    def upsert(self, datapoints: Sequence[Datapoint]) -> None:
        """Insert or replace datapoints, all or none; one with a text alone gets its vector.

        Raises:
            HarnessError: as `search`, and if another process writes to the index.
        """
        index = self._writing()
        texts = [
            _text(point.text, f"datapoint {number} (id {point.id!r})", number)
            for number, point in enumerate(datapoints)
            if not len(point.vector)
        ]
        vectors = iter(self._texts.of_datapoints(texts, index.settings.dimensions))
        index.upsert([p if len(p.vector) else replace(p, vector=next(vectors)) for p in datapoints])

    def remove(self, ids: Sequence[str]) -> None:
        """Remove datapoints; an id that is not there is no error."""
        self._writing().remove(ids)

    def read(self, ids: Sequence[str]) -> list[Datapoint]:
        """The datapoints of these ids, in order, less those that are not there."""
        return self._reading().read(ids)

    def describe(self) -> IndexDescription:
        """What the index is; `details` has its encoder, too."""
        found = self._reading().describe()
        details = {**found.details, "encoder": self._texts.recorded_name()}
        return replace(found, details=details)

    def digest(self) -> str:
        """A digest of all that decides what is found: the datapoints, and the texts' encoder."""
        parts = self._reading().digest() + self._texts.digest()
        return hashlib.sha256(parts.encode()).hexdigest()

    # From first to last

    def create(self, spec: IndexSpec, *, report: Report = unheard) -> None:
        """Make the index in the folder, empty but for the files of `spec.source`.

        Raises:
            HarnessError: if there is one that differs, or the settings are not possible.
        """
        doing = f"making the index in {self._path}"
        if VectorIndex.exists(self._path):
            self._compare(spec)
            report(Work(doing, "there"))
            return
        with self._lock:
            self._open, self._writes = VectorIndex(_settings(spec), folder=self._path), True
        report(Work(doing, "done"))
        if spec.source:
            self.update(spec.source, report=report)

    def serve(self, *, report: Report = unheard) -> None:
        """Build the approximate engine, if it is due, so that no search has to wait for it."""
        self.prepare()
        report(Work(f"preparing the index in {self._path}", "done"))

    def prepare(self) -> None:
        """Build the approximate engine now, if it is due, rather than in the next search."""
        self._writing().prepare()

    def withdraw(self, *, report: Report = unheard) -> None:
        """Give the folder free."""
        self.close()

    def update(self, source: str, *, overwrite: bool = False, report: Report = unheard) -> None:
        """Take in a table of datapoints, in place of all there is with `overwrite`."""
        started, kept = monotonic(), set[str]()
        points = (point for _, point in read_datapoints(source))
        while batch := list(islice(points, _TOGETHER)):
            self.upsert(batch)
            kept.update(point.id for point in batch)
            said = f"{len(kept):,} datapoints"
            report(Work(f"reading {source}", "running", monotonic() - started, detail=said))
        if overwrite:
            self.remove([name for name in self._writing().ids() if name not in kept])
        report(Work(f"reading {source}", "done", monotonic() - started))

    def delete(self, *, report: Report = unheard) -> None:
        """Delete the index, and the folder if nothing else is in it."""
        doing = f"deleting the index in {self._path}"
        with self._lock:
            self.close()
            if not VectorIndex.exists(self._path):
                report(Work(doing, "there", detail="there is none"))
                return
            VectorIndex.delete(self._path)
            self._texts.forget()
            with suppress(OSError):
                self._path.rmdir()
        report(Work(doing, "done"))

    def wait(self, operation: str, *, report: Report = unheard) -> None:
        """Do nothing: no work goes on by itself."""

    def listed(self) -> list[str]:
        """The folders with an index beside this one, and its own."""
        folder = self._path.absolute().parent
        beside = sorted(folder.iterdir()) if folder.is_dir() else []
        return [str(self._path.with_name(p.name)) for p in beside if VectorIndex.exists(p)]

    def close(self) -> None:
        """Give the folder free; the next use opens it again."""
        with self._lock:
            if self._open is not None:
                self._open.close()
            self._open, self._writes = None, False

    # How it is opened

    def _reading(self) -> VectorIndex:
        with self._lock:
            if self._open is None:
                self._open = self._opened(readonly=True)
            return self._open

    def _writing(self) -> VectorIndex:
        with self._lock:
            if self._open is not None and not self._writes:
                self.close()
            if self._open is None:
                self._open = self._opened(readonly=False)
                self._writes = True
            return self._open

    def _opened(self, *, readonly: bool) -> VectorIndex:
        if not VectorIndex.exists(self._path):
            raise self._missing()
        return VectorIndex(folder=self._path, readonly=readonly)

    def _compare(self, spec: IndexSpec) -> None:
        """Refuse a specification that is not that of the index in the folder."""
        own = self._reading().settings
        for name in _FIXED:
            wanted, found = getattr(spec, name), getattr(own, name)
            if wanted != found:
                raise HarnessError(
                    f"the index in {self._path} has {name}={found}, not {wanted}; load into it as "
                    f"it is, or delete it first: harness index delete local:path={self._path}"
                )

    def _with_knobs(self, query: Query) -> Query:
        given = self._settings
        if given.leaves_fraction is None and given.approximate_count is None:
            return query
        fraction, count = query.leaves_fraction, query.approximate_count
        return replace(
            query,
            leaves_fraction=given.leaves_fraction if fraction is None else fraction,
            approximate_count=given.approximate_count if count is None else count,
        )

    def _missing(self) -> HarnessError:
        return HarnessError(
            f"there is no index in {self._path}; make one: "
            f"harness index create local:path={self._path}"
        )


def _settings(spec: IndexSpec) -> VectorSettings:
    """The settings of a new index; what is None is the default."""
    given = {name: getattr(spec, name) for name in _NUMBERS}
    return VectorSettings(
        spec.dimensions,
        spec.measure,
        spec.normalise,
        "exact" if spec.engine == "exact" else "auto",
        **{name: value for name, value in given.items() if value is not None},
    )


def _text(text: str | None, whose: str, place: int) -> str:
    if text:
        return text
    message = f"{whose}: there is neither a vector nor a text; give one of them"
    raise VectorError(Problem.NO_VECTOR, message, position=place)
