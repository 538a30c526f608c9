"""Upserts and removals: checked at once, and applied at once or after the lag that is set."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from google.protobuf.message import Message

from harness.datapoints import Datapoint
from harness.errors import HarnessError
from harness.vectors import Mask, VectorIndex
from harness_vertex._emulator.contents import Library
from harness_vertex._emulator.converting import datapoint_of
from harness_vertex._emulator.errors import ServiceError, invalid, missing
from harness_vertex._emulator.store import Store
from harness_vertex._messages import raw

_MASKS: dict[str, Mask] = {"all_restricts": "restricts", "embedding_metadata": "metadata"}
_REQUESTS = {
    "upsert": raw("UpsertDatapointsRequest"),
    "remove": raw("RemoveDatapointsRequest"),
}


class Writer:
    """Applies the requests UpsertDatapoints and RemoveDatapoints, in the order of their coming.

    With a lag, an acknowledged request waits in the store, where a restart finds it.
    """

    def __init__(self, library: Library, store: Store, lag: float) -> None:
        self._library, self._store, self._lag = library, store, lag
        self._changed = threading.Condition()
        self._late: deque[tuple[int, float, str, Message]] = deque()
        self._waiting: Counter[str] = Counter()
        self._closing = False
        for number, due, method, request in store.queued():
            due = min(due, time.time() + lag)
            self._enqueue(number, due, method, _REQUESTS[method].FromString(request))
        self._thread = threading.Thread(target=self._run, name="late writes", daemon=True)
        if lag:
            self._thread.start()
        else:
            self.flush()

    def upsert(self, request: Message) -> None:
        """Take an UpsertDatapointsRequest, all of it or nothing."""
        datapoints, mask = [datapoint_of(d) for d in request.datapoints], _mask(request)
        if not self._lag:
            self._write(request.index, lambda i: i.upsert(datapoints, mask=mask))
            return
        self._library.use(request.index, lambda i: self._check(i, request.index, datapoints, mask))
        self._put_off("upsert", request)

    def remove(self, request: Message) -> None:
        """Take a RemoveDatapointsRequest; what is not there is no error."""
        if not self._lag:
            self._write(request.index, lambda i: i.remove(list(request.datapoint_ids)))
            return
        self._put_off("remove", request)

    def flush(self) -> None:
        """Apply everything that waits."""
        with self._changed:
            while self._late:
                self._apply_first()

    def close(self) -> None:
        """Stop; what waits stays in the store."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.ident:
            self._thread.join()

    def _check(
        self, index: VectorIndex, name: str, datapoints: Sequence[Datapoint], mask: list[Mask]
    ) -> None:
        """Refuse now what could not be applied later."""
        for datapoint in datapoints if mask else ():
            if datapoint.id not in index and not self._waiting[f"{name}/{datapoint.id}"]:
                raise missing("Datapoint", datapoint.id)
        if not mask and (wrong := index.check(datapoints)):
            raise wrong[0]

    def _put_off(self, method: str, request: Message) -> None:
        due = time.time() + self._lag
        with self._changed:
            number = self._store.queue(due, method, request.SerializeToString())
            self._enqueue(number, due, method, request)
            self._changed.notify_all()

    def _enqueue(self, number: int, due: float, method: str, request: Message) -> None:
        self._late.append((number, due, method, request))
        self._waiting.update(_ids(method, request))

    def _run(self) -> None:
        with self._changed:
            while not self._closing:
                left = self._late[0][1] - time.time() if self._late else None
                if left is None or left > 0:
                    self._changed.wait(left)
                else:
                    self._apply_first()

    def _apply_first(self) -> None:
        number, _, method, request = self._late.popleft()
        try:
            self._apply(method, request)
        except (HarnessError, ServiceError) as error:  # such as an index that is gone
            text = f"vertex emulator: a late {method} of {request.index} was lost: {error}"
            logging.getLogger("harness").warning(text)
        self._waiting.subtract(_ids(method, request))
        self._store.unqueue(number)

    def _apply(self, method: str, request: Message) -> None:
        if method == "upsert":
            datapoints, mask = [datapoint_of(d) for d in request.datapoints], _mask(request)
            self._write(request.index, lambda i: i.upsert(datapoints, mask=mask))
        else:
            self._write(request.index, lambda i: i.remove(list(request.datapoint_ids)))

    def _write(self, name: str, write: Callable[[VectorIndex], object]) -> None:
        with self._library.writing(name):
            self._library.use(name, write)


def _ids(method: str, request: Message) -> list[str]:
    if method != "upsert":
        return []
    return [f"{request.index}/{datapoint.datapoint_id}" for datapoint in request.datapoints]


def _mask(request: Message) -> list[Mask]:
    unknown = [path for path in request.update_mask.paths if path not in _MASKS]
    if unknown:
        raise invalid(f"update_mask takes {', '.join(_MASKS)}, not {unknown[0]!r}.")
    return [_MASKS[path] for path in request.update_mask.paths]
