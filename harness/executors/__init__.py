"""Where the work of a run is done: in this process, or where an executor takes it.

The engine hands out batches and records what comes back; how many may be under way, and where,
is the executor's affair. It decides no result, so it is in no fingerprint and in no run's name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast, runtime_checkable

from harness.errors import PluginError
from harness.hookspecs import hookimpl

if TYPE_CHECKING:
    from concurrent.futures import Future

    from harness.components import (
        Completion,
        Component,
        Generator,
        Judge,
        NoSettings,
        Rewarder,
        Sample,
        Score,
    )
    from harness.guards import GuardedGenerator, GuardedScorer

    GivenGenerator: TypeAlias = str | Generator | GuardedGenerator
    GivenScorer: TypeAlias = str | Rewarder | Judge | GuardedScorer


class Workers(Protocol):
    """The components of one run at work. Futures may end in any order, and in any thread.

    A future may raise a HarnessError: what the user must mend, which ends the run.
    """

    @property
    def generator(self) -> GuardedGenerator:
        """The generator: its label, its fingerprint, and how large its batches are."""
        ...

    @property
    def scorers(self) -> Mapping[str, GuardedScorer]:
        """The scorers by label, with their fingerprints."""
        ...

    @property
    def generating(self) -> int:
        """Batches that may be with the generator while it is given another one."""
        ...

    @property
    def scoring(self) -> int:
        """Batches that may wait for scores while another one is generated."""
        ...

    def generate(
        self, samples: Sequence[Sample], *, attempt: int = 0
    ) -> Future[list[Completion]]: ...

    def score(self, label: str, completions: Sequence[Completion]) -> Future[list[Score]]: ...

    def stop(self) -> None:
        """Start nothing more. Each future then ends or is cancelled: soon, or with its work."""
        ...


@runtime_checkable
class Executor(Protocol):
    """Builds the components of a run from what the user gave, and has them work until closed."""

    def open(
        self, generator: GivenGenerator, scorers: Sequence[GivenScorer]
    ) -> AbstractContextManager[Workers]:
        """The components at work, within a `with`.

        Raises:
            HarnessError: for a component that cannot be built, or two scorers of one label.
        """
        ...


def executor(reference: str | Executor) -> Executor:
    """The executor that a reference names; `NAME:HOST:PORT` is short for `address=HOST:PORT`.

    Raises:
        PluginError: if no such executor can be built.
    """
    if not isinstance(reference, str):
        if isinstance(reference, type) or not isinstance(reference, Executor):
            raise PluginError(f"{reference!r} is no executor; give a reference, such as 'local'")
        return reference
    from harness.loader import default_plugins

    name, _, rest = reference.partition(":")
    if rest and "=" not in rest.partition(",")[0]:
        reference = f"{name}:address={rest}"
    return cast(Executor, default_plugins().build(reference, "executor").instance)


def build(settings: NoSettings) -> Executor:
    """This process."""
    from harness.executors.local import Local

    return Local()


@hookimpl
def harness_executors() -> Iterable[Component[Executor]]:
    """Register `local`."""
    from harness.components import Component

    yield Component("local", build=build, summary="this process, a thread a scorer; the default")
