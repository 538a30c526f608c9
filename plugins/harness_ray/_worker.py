"""What runs on a worker: one component, built from its reference, under the guard."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

from harness.components import Completion, Sample
from harness.errors import HarnessError
from harness.guards import GuardedGenerator, GuardedScorer

_CALLER = "harness.calls.caller"


class Spec(NamedTuple):
    """What a worker builds, and where: in the driver's folder, where the node has one."""

    reference: str
    kind: Literal["generator", "scorer"]
    folder: str
    no_plugin: str


class Built(NamedTuple):
    """What a worker has built: what its fingerprint is taken of, and its batches."""

    description: Mapping[str, object]
    batch_size: int


class Answer(NamedTuple):
    """What a call gave, or what the user must mend."""

    value: object
    refused: str = ""


class Worker:
    """An actor with one component."""

    def up(self) -> str:
        """The address of the node, once this process runs."""
        import ray

        return str(ray.util.get_node_ip_address())

    def build(self, spec: Spec) -> Answer:
        """Build the component, and say what it is."""
        return _answer(lambda: self._build(spec))

    def generate(self, samples: Sequence[Sample], attempt: int) -> Answer:
        """What the guarded generator gives."""
        return _answer(lambda: self._generator.generate(samples, attempt=attempt))

    def score(self, completions: Sequence[Completion]) -> Answer:
        """What the guarded scorer gives."""
        return _answer(lambda: self._scorer.score(completions))

    def _build(self, spec: Spec) -> Built:
        from harness.api import generator, scorer
        from harness.loader import default_plugins

        with contextlib.suppress(OSError):
            os.chdir(spec.folder)
        os.environ["HARNESS_NO_PLUGIN"] = spec.no_plugin
        default_plugins()
        called = _CALLER in sys.modules
        built: GuardedGenerator | GuardedScorer
        if spec.kind == "generator":
            built = self._generator = generator(spec.reference)
            size = built.batch_size
        else:
            built = self._scorer = scorer(spec.reference)
            size = 0
        if _CALLER in sys.modules and not called:
            raise HarnessError("it asks a service, and its calls belong to the run")
        return Built(built.description, size)


def _answer(work: Callable[[], object]) -> Answer:
    """Errors as text: the driver need not know their types, nor the worker end of one."""
    try:
        return Answer(work())
    except HarnessError as error:
        return Answer(None, str(error))
    except BaseException as error:
        return Answer(None, f"{type(error).__name__}: {error}")
