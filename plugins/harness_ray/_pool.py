"""Workers of one component: batches are handed to them, and again to others when one dies.

Everything here happens in the dispatcher's thread, but for `submit`: Ray's threads and the engine's
leave events. So nothing is locked, and no call to Ray is made from within one of Ray's callbacks.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import ray

from harness import HarnessError
from harness.building import one_line
from harness.fingerprint import differences, digest
from harness_ray import RaySettings
from harness_ray._cluster import resources
from harness_ray._parts import Part, Share
from harness_ray._worker import Answer, Built, Spec, Worker

T = TypeVar("T")

_LOST = (
    ray.exceptions.RayActorError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.WorkerCrashedError,
    ray.exceptions.NodeDiedError,
    ray.exceptions.LocalRayletDiedError,
    ray.exceptions.OutOfMemoryError,
)
_TICK_S = 0.5


class Dispatcher:
    """One thread for all pools of a run, and what is to be done in it."""

    def __init__(self) -> None:
        self._pools: list[Pool] = []
        self._events: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="harness-ray", daemon=True)

    def start(self, pools: Sequence[Pool]) -> None:
        """Start every pool: a first worker of each, then the second ones."""
        self._pools += pools
        self._thread.start()
        for place in range(max(pool.share.workers for pool in pools)):
            for pool in pools:
                if place < pool.share.workers:
                    self.post(pool.start_worker)

    def post(self, event: Callable[[], None]) -> None:
        """Have something done in the thread; from any thread."""
        self._events.put(event)

    def close(self) -> None:
        """End every worker, and the thread."""
        if self._thread.ident is not None:
            self._events.put(None)
            self._thread.join(_TICK_S * 10)

    def _run(self) -> None:
        while (event := self._next()) is not None:
            try:
                event()
            except Exception as error:  # whoever waits for a batch must not wait for ever
                for pool in self._pools:
                    pool.fail(f"the cluster failed: {one_line(error)[:300]}")
        for pool in self._pools:
            pool.close()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._events.get(timeout=_TICK_S)
        except Empty:
            return self._tick

    def _tick(self) -> None:
        for pool in self._pools:
            pool.check_workers()


@dataclass(eq=False, slots=True)
class Task(Generic[T]):
    """A batch: what is called with it, who waits for it, and how many workers it has cost."""

    method: str
    arguments: tuple[object, ...]
    future: Future[T] = field(default_factory=Future)
    tries: int = 0


@dataclass(eq=False, slots=True)
class _Hand:
    """A worker as its pool sees it: what it is busy with, and how far it is with starting."""

    actor: ray.actor.ActorHandle
    busy: list[Task[object]] = field(default_factory=list)
    node: str = ""
    ready: bool = False


class Pool:
    """The workers of one component."""

    def __init__(
        self,
        part: Part,
        spec: Spec,
        share: Share,
        dispatcher: Dispatcher,
        settings: RaySettings,
    ) -> None:
        self.part, self.share = part, share
        self.built: Future[Built] = Future()
        self._spec, self._dispatcher, self._settings = spec, dispatcher, settings
        self._expected: Mapping[str, object] = part.expected
        self._hands: list[_Hand] = []
        self._queue: deque[Task[object]] = deque()
        self._failed = ""
        self._fruitless = 0
        self._seen = time.monotonic()

    def submit(self, method: str, *arguments: object) -> Future[object]:
        """Have a worker do something; from any thread."""
        task: Task[object] = Task(method, arguments)
        self._dispatcher.post(partial(self._add, task))
        return task.future

    def start_worker(self) -> None:
        """Ask for a worker, which may come at once, when a node has room for it, or never."""
        if self._failed:
            return
        options = {"num_cpus": self.share.cpus, "num_gpus": self.share.gpus}
        remote = ray.remote(Worker).options(max_restarts=0, max_task_retries=0, **options)
        hand = _Hand(remote.remote())
        self._hands.append(hand)
        self._call(hand, "up", (), partial(self._up, hand))
        self._call(hand, "build", (self._spec,), partial(self._ready, hand))

    def check_workers(self) -> None:
        """Fail if there has been no worker for too long."""
        waits = self._queue or not self.built.done()
        if not waits or any(hand.node for hand in self._hands):
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen >= self._settings.wait_s:
            self.fail(self._no_worker())

    def fail(self, why: str) -> None:
        """End every batch, those to come included, with what the user must mend."""
        self._failed = self._failed or f"ray: {self.part.label}: {why}"
        _end(self.built, error=HarnessError(self._failed))
        for task in (*self._queue, *(t for hand in self._hands for t in hand.busy)):
            _end(task.future, error=HarnessError(self._failed))
        self._queue.clear()

    def stop(self) -> None:
        """Hand out nothing more; from any thread."""
        self._dispatcher.post(self._halt)

    def close(self) -> None:
        """End the workers."""
        self._halt()
        for hand in self._hands:
            for task in hand.busy:
                task.future.cancel()
            _kill(hand)
        self._hands.clear()

    def _halt(self) -> None:
        for task in self._queue:
            task.future.cancel()
        self._queue.clear()

    def _add(self, task: Task[object]) -> None:
        if self._failed:
            _end(task.future, error=HarnessError(self._failed))
        else:
            self._queue.append(task)
            self._hand_out()

    def _hand_out(self) -> None:
        while self._queue:
            free = [h for h in self._hands if h.ready and len(h.busy) < self._settings.in_flight]
            if not free:
                return
            hand, task = min(free, key=lambda h: len(h.busy)), self._queue.popleft()
            hand.busy.append(task)
            self._call(hand, task.method, task.arguments, partial(self._done, hand, task))

    def _call(
        self,
        hand: _Hand,
        method: str,
        arguments: tuple[object, ...],
        then: Callable[[Future[object]], None],
    ) -> None:
        """Call a worker; what comes of it is handled in the dispatcher's thread."""
        future: Future[object]
        try:
            future = getattr(hand.actor, method).remote(*arguments).future()
        except Exception as error:  # a text or a mapping that cannot be sent
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda done: self._dispatcher.post(partial(then, done)))

    def _up(self, hand: _Hand, future: Future[object]) -> None:
        if future.exception() is None:
            hand.node = str(future.result())

    def _ready(self, hand: _Hand, future: Future[object]) -> None:
        if (error := future.exception()) is not None:
            self._lost(hand, error)
            return
        answer = future.result()
        assert isinstance(answer, Answer)
        remedy = f"; mend that there, or keep it here: ray:driver={self.part.name}"
        if answer.refused:
            self.fail(f"the worker on {hand.node}: {answer.refused}{remedy}")
            return
        assert isinstance(answer.value, Built)
        differing = self._differing(answer.value.description)
        if differing:
            self.fail(
                f"the worker on {hand.node} has another one than the run: {differing}; "
                "install the same versions, and the same files, on every node"
            )
            return
        hand.ready = True
        self._expected = answer.value.description
        _end(self.built, answer.value)
        self._hand_out()

    def _differing(self, found: Mapping[str, object]) -> str:
        """In what a component differs from what it is to be, as far as that is known."""
        known = {key: found.get(key) for key in self._expected}
        if digest(known) == digest(self._expected):
            return ""
        return "; ".join(differences(self._expected, known)) or "its fingerprint"

    def _done(self, hand: _Hand, task: Task[object], future: Future[object]) -> None:
        hand.busy.remove(task)
        error = future.exception()
        if error is None:
            self._fruitless = 0
            answer = future.result()
            assert isinstance(answer, Answer)
            refused = HarnessError(answer.refused) if answer.refused else None
            _end(task.future, answer.value, refused)
        elif isinstance(error, _LOST):
            self._lost(hand, error)
            self._again(task, error)
        else:
            told = f"ray: {self.part.label}: {one_line(error)[:300]}"
            _end(task.future, error=HarnessError(told))
        self._hand_out()

    def _again(self, task: Task[object], error: BaseException) -> None:
        task.tries += 1
        if task.tries <= self._settings.retries and not self._failed:
            self._queue.appendleft(task)
            return
        _end(
            task.future,
            error=HarnessError(
                f"ray: {self.part.label}: {task.tries} workers died of one batch, or each while "
                f"it had it; the last: {_last_line(error)}"
            ),
        )

    def _lost(self, hand: _Hand, error: BaseException) -> None:
        """Another worker in place of one that died; each of its batches comes here once."""
        if hand not in self._hands:
            return
        self._hands.remove(hand)
        _kill(hand)
        self._fruitless += 1
        if self._fruitless > self._settings.retries + self.share.workers:
            self.fail(f"{self._fruitless} workers died one after the other: {_last_line(error)}")
        else:
            self.start_worker()

    def _no_worker(self) -> str:
        has, share = resources(), self.share
        return (
            f"no worker within {self._settings.wait_s:g} s. Each takes {share.cpus:g} CPU and "
            f"{share.gpus:g} GPU; the cluster has {has['CPU']:g} CPU and {has['GPU']:g} GPU on "
            f"{has['nodes']:g} nodes, for this run and others. Add nodes, or set cpus=, gpus= or "
            f"workers= lower"
        )


def _end(future: Future[T], value: T | None = None, error: BaseException | None = None) -> None:
    """End a future that may have been cancelled, or ended, by now."""
    with contextlib.suppress(InvalidStateError, CancelledError):
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(value)  # type: ignore[arg-type]


def _kill(hand: _Hand) -> None:
    with contextlib.suppress(Exception):  # it is dead, or its node is
        ray.kill(hand.actor)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
