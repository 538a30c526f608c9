"""Making and unmaking indexes: what `harness index` asks of a retriever beyond reading and writing.

Nothing here knows of endpoints, deployments or buckets. A service that needs an endpoint before it
can be searched sets one up in `serve`; one that does not has nothing to do there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from harness.components import Index
from harness.vectors.settings import Measure, Normalise


@dataclass(frozen=True, slots=True)
class IndexSpec:
    """What an index that is to be made should be; None leaves a number to the service.

    `engine`: `tree` is approximate and fast, `exact` compares with everything. `updates`: `stream`
    takes single datapoints, `batch` only files, by `update`. `source`: where the service finds
    files of datapoints for the start, such as `gs://bucket/folder`.
    """

    dimensions: int
    measure: Measure = "dot_product"
    normalise: Normalise = "none"
    engine: Literal["tree", "exact"] = "tree"
    updates: Literal["stream", "batch"] = "stream"
    source: str = ""
    leaf_size: int | None = None
    leaves_fraction: float | None = None
    approximate_count: int | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """A piece of work at a service, as it stands.

    `state`: `there` is when nothing had to be done, `left` when we stopped waiting and the service
    goes on. `operation` is the name to wait for it by; empty where it has none.
    """

    doing: str
    state: Literal["running", "done", "there", "left"]
    seconds: float = 0.0
    operation: str = ""
    detail: str = ""


Report = Callable[[Work], None]


def unheard(work: Work) -> None:
    """Tell nobody."""


@runtime_checkable
class ManagedIndex(Index, Protocol):
    """An index that can make what it names, and unmake it.

    Every method waits until the work is done, however long that takes, and tells `report` from
    time to time. KeyboardInterrupt stops the waiting, not the work; the same call goes on from
    there, as each leaves alone what is there already.
    """

    def create(self, spec: IndexSpec, *, report: Report = unheard) -> None:
        """Make the index; one of this name that is there must be such a one.

        Raises:
            HarnessError: if it is there and another, or the service refuses.
        """
        ...

    def serve(self, *, report: Report = unheard) -> None:
        """Make the index searchable, and pay for that where it is paid for."""
        ...

    def withdraw(self, *, report: Report = unheard) -> None:
        """Undo `serve`; what the index holds stays."""
        ...

    def update(self, source: str, *, overwrite: bool = False, report: Report = unheard) -> None:
        """Take in files that the service can read, in place of all there is with `overwrite`."""
        ...

    def delete(self, *, report: Report = unheard) -> None:
        """Undo `serve` and `create`; an index that is not there is no error."""
        ...

    def wait(self, operation: str, *, report: Report = unheard) -> None:
        """Wait for work that was left running."""
        ...

    def listed(self) -> Sequence[str]:
        """The names of the indexes beside this one, and its own, as a reference has them."""
        ...
