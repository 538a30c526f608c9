"""Judges as scorers: many coroutines at once behind the one method that every scorer has."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Sequence

from harness.components import Completion, Judge, Score, Unscored
from harness.errors import HarnessError, PluginError


class JudgeScorer:
    """A judge with the method of a rewarder, `concurrency` judgements at a time.

    Runs on a background event loop, so it works from plain code and from inside a running loop.
    """

    def __init__(self, judge: Judge, concurrency: int = 16) -> None:
        self.judge = judge
        self.concurrency = int(getattr(judge, "concurrency", concurrency))
        if self.concurrency < 1:
            raise PluginError(f"concurrency is {self.concurrency}; it must be at least 1")

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order; a judgement that raises is unscored.

        A HarnessError is for the user to mend: it ends the batch, and what waits is not asked.
        """
        future = asyncio.run_coroutine_threadsafe(self._score_all(completions), _event_loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _score_all(self, completions: Sequence[Completion]) -> list[Score]:
        slots = asyncio.Semaphore(self.concurrency)

        async def one(completion: Completion) -> Score:
            async with slots:
                return await self._score_one(completion)

        tasks = [asyncio.create_task(one(c)) for c in completions]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()

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


_STARTING = threading.Lock()


def _event_loop() -> asyncio.AbstractEventLoop:
    with _STARTING:  # two threads that come first at once would start a loop each
        return _started_loop()


@functools.cache
def _started_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="harness-judges", daemon=True).start()
    return loop
