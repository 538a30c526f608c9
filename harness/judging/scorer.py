"""Judges as scorers: many coroutines at once behind the one method that every scorer has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from harness.calls.loop import drained, run
from harness.components import Completion, Identified, Judge, Score, Unscored
from harness.errors import HarnessError, PluginError


class JudgeScorer:
    """A judge with the method of a rewarder, `concurrency` judgements at a time.

    It may be given several batches at once, from several threads; the bound is for all of them.
    Runs on a background event loop, so it works from plain code and from inside a running loop.
    """

    def __init__(self, judge: Judge, concurrency: int = 16) -> None:
        self.judge = judge
        self.concurrency = int(getattr(judge, "concurrency", concurrency))
        if self.concurrency < 1:
            raise PluginError(f"concurrency is {self.concurrency}; it must be at least 1")
        self._slots: asyncio.Semaphore | None = None

    def identity(self) -> Mapping[str, str]:
        """The judge's."""
        return self.judge.identity() if isinstance(self.judge, Identified) else {}

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order; a judgement that raises is unscored.

        A HarnessError is for the user to mend: what is under way ends, and what waits is not
        asked.
        """
        return run(self._score_all(completions))

    async def _score_all(self, completions: Sequence[Completion]) -> list[Score]:
        slots = self._slots = self._slots or asyncio.Semaphore(self.concurrency)
        failed: list[HarnessError] = []

        async def one(completion: Completion) -> Score:
            async with slots:
                if failed:
                    raise failed[0]
                try:
                    return await self._score_one(completion)
                except HarnessError as error:
                    failed.append(error)
                    raise

        return await drained([one(c) for c in completions])

    async def _score_one(self, completion: Completion) -> Score:
        try:
            score = await self.judge.judge(completion)
            if isinstance(score, Score):
                return score
            return Score.missing(Unscored.SCORER_ERROR, f"gave {score!r} in place of a Score")
        except HarnessError:
            raise
        except TimeoutError as error:
            return Score.missing(Unscored.TIMEOUT, str(error))
        except Exception as error:
            return Score.missing(Unscored.SCORER_ERROR, f"{type(error).__name__}: {error}")
