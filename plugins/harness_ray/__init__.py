"""Runs spread over machines: the executor `ray`.

    harness run --executor ray
    harness run --executor 'ray:10.0.0.5:6379,gpus=["gpt2=1"],driver=recorded'

Workers build the run's components from their references, and answer and score batches; the process
that runs the evaluation hands batches out, and alone writes the store. What asks a service (judges,
generators of APIs) stays in that process: it waits, and its calls are counted and kept there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness import Component, hookimpl

if TYPE_CHECKING:
    from harness.executors import Executor


@dataclass(frozen=True, slots=True)
class RaySettings:
    """Settings of `ray`; none of them decides a result."""

    address: str = ""
    """A running cluster: HOST:PORT or auto; else RAY_ADDRESS, or one of this machine alone."""
    workers: tuple[str, ...] = ()
    """Workers of each component, or NAME=NUMBER of some as a list; as many as fit without it."""
    cpus: tuple[str, ...] = ()
    """CPUs, hence threads, of each worker, or NAME=NUMBER as a list; 1, or less where few are."""
    gpus: tuple[str, ...] = ()
    """GPUs of each worker, or NAME=NUMBER as a list: gpus=["gpt2=1","bertscore=0.25"]; 0."""
    driver: tuple[str, ...] = ()
    """Components that stay with the process that runs the evaluation, beside what asks services."""
    in_flight: int = 2
    """Batches that each worker is given at once: one to work on, the others so as not to wait."""
    retries: int = 3
    """How often a batch is tried again whose worker died."""
    wait_s: float = 60.0
    """Seconds to wait for a first worker of each component, and for another when all have died."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the harness adds whose setting it is."""
        for name, least in (("in_flight", 1), ("retries", 0), ("wait_s", 0)):
            value = getattr(self, name)
            if not value >= least:
                raise ValueError(f"{name} is {value}; it must be at least {least}")
        for name, least in (("workers", 1), ("cpus", 0), ("gpus", 0)):
            for item in getattr(self, name):
                _check_number(name, item, least)


def number(item: str) -> tuple[str, float]:
    """What `NAME=NUMBER` or `NUMBER` says: the name, empty for each, and the number."""
    name, _, text = item.rpartition("=")
    return name, float(text)


def _check_number(setting: str, item: str, least: int) -> None:
    try:
        _, value = number(item)
    except ValueError:
        value = math.nan
    whole = value == int(value) if math.isfinite(value) else False
    if not value >= least or not (whole or (setting != "workers" and value < 1)):
        kind = "a whole number" if setting == "workers" else "a whole number or one below 1"
        raise ValueError(f"{setting} has {item!r}; write NUMBER or NAME=NUMBER: {kind}, {least} up")


def build(settings: RaySettings) -> Executor:
    """The executor; Ray starts when a run does."""
    import ray  # noqa: F401 - so that it is missed here, where the remedy is told

    from harness_ray._executor import RayExecutor

    return RayExecutor(settings)


@hookimpl
def harness_executors() -> Iterable[Component[Executor]]:
    """Register `ray`."""
    yield Component(
        "ray",
        build=build,
        settings=RaySettings,
        summary="the workers of a Ray cluster, or of one that is started on this machine",
        requires="samescore[ray]",
    )
