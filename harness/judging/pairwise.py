"""A judge that compares an answer with another, in both orders."""

from __future__ import annotations

from collections.abc import Mapping

from harness.calls import CallSettings, Provider
from harness.components import Completion, Score
from harness.judging.settings import PairwiseSettings


class PairwiseJudge:
    """A judge over a provider. Being written: the constructor and methods stay as they are here.

    `settings` inherits `PairwiseSettings` and `CallSettings`, or `calls` gives the latter.

    Raises:
        PluginError: for a rubric that cannot be used, or a method that the model cannot do.
    """

    def __init__(
        self, provider: Provider, settings: PairwiseSettings, calls: CallSettings | None = None
    ) -> None:
        raise RuntimeError("being written")

    def identity(self) -> Mapping[str, str]:
        """The provider's identity, and digests of the rubric and of how it is put."""
        return {}

    async def judge(self, completion: Completion) -> Score:
        """The verdict on one answer, or the cause why there is none."""
        raise RuntimeError("being written")
