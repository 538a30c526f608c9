"""Long-running operations: started, polled, waited for, cancelled; none is lost by a restart."""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from google.longrunning.operations_pb2 import ListOperationsResponse, Operation
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from grpc import StatusCode

from harness.vectors import VectorError
from harness_vertex._emulator.errors import (
    ServiceError,
    invalid,
    missing,
    precondition,
    translated,
)
from harness_vertex._emulator.resources import now, paged
from harness_vertex._emulator.store import Store

_AT_ONCE_S = 0.25
_LONGEST_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """What the work of an operation is told; it may fill in `metadata`."""

    operation: str
    resource: str
    request: Message
    metadata: Message


@dataclass(frozen=True, slots=True)
class LongMethod:
    """A method that answers with an operation.

    `begin` checks the request and names the resource that the operation belongs to; `finish`
    does the work and gives the response. After a restart `finish` may run for a second time, on
    what its first run left.
    """

    request: type[Message]
    metadata: type[Message]
    begin: Callable[[Message], str]
    finish: Callable[[Task], Message]


@dataclass(frozen=True, slots=True)
class _Job:
    """An operation that is not done: all that is needed to go on with it after a restart."""

    method: str
    version: str
    resource: str
    due: float
    request: bytes

    def dump(self) -> bytes:
        request = b64encode(self.request).decode()
        return json.dumps([self.method, self.version, self.resource, self.due, request]).encode()

    @classmethod
    def load(cls, data: bytes) -> _Job:
        method, version, resource, due, request = json.loads(data)
        return cls(method, version, resource, due, b64decode(request))


class Operations:
    """All operations; each runs in a thread of its own, at least `delay` seconds long."""

    def __init__(self, store: Store, methods: Mapping[str, LongMethod], delay: float) -> None:
        self._store, self._methods, self._delay = store, methods, delay
        self._changed = threading.Condition()
        self._closing = False
        self._cancelled: set[str] = set()
        self._threads: list[threading.Thread] = []

    def resume(self) -> None:
        """Go on with what was under way when the emulator stopped; the delay is the new one."""
        for name, data in self._store.all("jobs"):
            job = _Job.load(data)
            self._spawn(name, replace(job, due=min(job.due, time.time() + self._delay)))

    def start(self, method: str, request: Message, version: str) -> Operation:
        """Begin an operation; it is done already where the work is short and there is no delay."""
        known = self._methods[method]
        with self._store.lock:
            resource = known.begin(request)
            operation = Operation(
                name=f"{resource}/operations/{10**18 + secrets.randbelow(8 * 10**18)}"
            )
            metadata = known.metadata()
            metadata.generic_metadata.create_time.CopyFrom(now())
            metadata.generic_metadata.update_time.CopyFrom(now())
            operation.metadata.CopyFrom(_packed(metadata, version))
            due = time.time() + self._delay
            job = _Job(method, version, resource, due, request.SerializeToString())
            self._store.put("operations", operation.name, operation.SerializeToString())
            self._store.put("jobs", operation.name, job.dump())
        self._spawn(operation.name, job)
        return self._when_done(operation.name, 0.0 if self._delay else _AT_ONCE_S)

    def get(self, name: str) -> Operation:
        """An operation as it stands; NOT_FOUND if there is none."""
        data = self._store.get("operations", name)
        if data is None:
            raise missing("Operation", name)
        return Operation.FromString(data)

    def list(self, request: Message) -> Message:
        """The operations of a resource, or of all that a location has."""
        if request.filter not in ("", "done=true", "done=false"):
            raise invalid("The emulator knows the filters done=true and done=false.")
        found = []
        for name, data in self._store.all("operations"):
            operation = Operation.FromString(data)
            wanted = request.filter in ("", f"done={str(operation.done).lower()}")
            if wanted and name.startswith(f"{request.name.removesuffix('/operations')}/"):
                found.append(operation)
        page, token = paged(found, request)
        return ListOperationsResponse(operations=page, next_page_token=token)

    def wait(self, request: Message) -> Operation:
        """An operation when it is done, or when the request's time is over."""
        seconds = request.timeout.ToNanoseconds() / 1e9 if request.HasField("timeout") else 1e9
        self.get(request.name)
        return self._when_done(request.name, min(seconds, _LONGEST_WAIT_S))

    def cancel(self, request: Message) -> Empty:
        """Cancel what still waits for its time; what works already, or is done, is left alone."""
        if not self.get(request.name).done:
            with self._changed:
                self._cancelled.add(request.name)
                self._changed.notify_all()
        return Empty()

    def delete(self, request: Message) -> Empty:
        """Forget an operation; FAILED_PRECONDITION while it runs."""
        if not self.get(request.name).done:
            raise precondition(f"Operation {request.name} is still running; cancel it first.")
        self._store.delete("operations", request.name)
        return Empty()

    def close(self) -> None:
        """Leave what still waits for the next start, and let finish what works already."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _spawn(self, name: str, job: _Job) -> None:
        thread = threading.Thread(target=self._run, args=(name, job), name=name, daemon=True)
        self._threads = [t for t in self._threads if t.is_alive()] + [thread]
        thread.start()

    def _when_done(self, name: str, seconds: float) -> Operation:
        end = time.monotonic() + seconds
        with self._changed:
            while not (operation := self.get(name)).done:
                left = end - time.monotonic()
                if left <= 0 or self._closing:
                    break
                self._changed.wait(left)
        return operation

    def _run(self, name: str, job: _Job) -> None:
        with self._changed:
            while (left := job.due - time.time()) > 0 and name not in self._cancelled:
                if self._closing:
                    return
                self._changed.wait(left)
        operation, known = self.get(name), self._methods[job.method]
        metadata = known.metadata.FromString(operation.metadata.value)
        task = Task(name, job.resource, known.request.FromString(job.request), metadata)
        try:
            if name in self._cancelled:
                raise ServiceError(StatusCode.CANCELLED, "The operation was cancelled.")
            operation.response.CopyFrom(_packed(known.finish(task), job.version))
        except Exception as error:
            refused = as_service_error(error)
            operation.error.code, operation.error.message = refused.code.value[0], refused.message
        metadata.generic_metadata.update_time.CopyFrom(now())
        operation.metadata.CopyFrom(_packed(metadata, job.version))
        operation.done = True
        self._store.put("operations", name, operation.SerializeToString())
        self._store.delete("jobs", name)
        with self._changed:
            self._cancelled.discard(name)
            self._changed.notify_all()


def as_service_error(error: Exception) -> ServiceError:
    """What the client is told of an error; one of our own making is logged, and INTERNAL."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, VectorError):
        return translated(error)
    logging.getLogger("harness").error("vertex emulator: a bug", exc_info=error)
    return ServiceError(StatusCode.INTERNAL, f"Internal error of the emulator: {error!r}")


def _packed(message: Message, version: str) -> AnyMessage:
    """A message as the API version names it; v1 and v1beta1 differ in nothing else."""
    name = message.DESCRIPTOR.full_name.replace(".aiplatform.v1.", f".aiplatform.{version}.")
    return AnyMessage(type_url=f"type.googleapis.com/{name}", value=message.SerializeToString())
