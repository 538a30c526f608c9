"""Each step of TRL told to the task, by the names that all trainers of the harness use."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence

from accelerate.utils import gather_object
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from harness import Completion, Score, TrainingTask
from harness.components import TrainingStep

Metrics = Callable[[Mapping[str, float], float], dict[str, float]]
"""Makes the harness's metrics of TRL's and of the seconds that the step took."""

Example = tuple[Completion, Mapping[str, Score]]


class Reporter(TrainerCallback):
    """Reports a step once its evaluation is in as well; stops the training when it is asked to.

    `metrics` are the last step's.
    """

    def __init__(
        self,
        task: TrainingTask,
        metrics: Metrics,
        examples: Callable[[], Sequence[Example]] = tuple,
    ) -> None:
        self._task, self._translate, self._examples = task, metrics, examples
        self._pending: TrainingStep | None = None
        self._since = time.perf_counter()
        self.metrics: dict[str, float] = {}
        self.interrupted = self._warned = False

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        self._since = time.perf_counter()

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        self.flush()

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        **kwargs: object,
    ) -> None:
        asked = any(gather_object([self._task.interrupted()]))  # one process is told by Ctrl-C
        if asked and state.global_step < state.max_steps:
            self.interrupted = control.should_save = control.should_training_stop = True

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: object,
    ) -> None:
        found = {name: value for name, value in (logs or {}).items() if value is not None}
        if "loss" in found:
            self._step(state, found)
        elif any(name.startswith("eval_") for name in found):
            self.metrics |= _held_out(found)

    def flush(self) -> None:
        """Report the step that is done."""
        if self._pending is not None:
            step, self._pending = self._pending, None
            self._task.report(step)

    def _step(self, state: TrainerState, logs: Mapping[str, float]) -> None:
        seconds = time.perf_counter() - self._since
        self._since = time.perf_counter()
        # What the pending step holds is this very mapping, which an evaluation may still add to.
        self.metrics = self._translate(logs, seconds)
        self._pending = TrainingStep(
            state.global_step, state.max_steps, self.metrics, seconds, self._examples()
        )
        if logs.get("frac_reward_zero_std") == 1 and not self._warned:
            self._warned = True
            warnings.warn(
                f"in step {state.global_step} all completions of each prompt have one reward: "
                "there is nothing to learn from it (told once)",
                stacklevel=2,
            )


def _held_out(logs: Mapping[str, float]) -> dict[str, float]:
    names = {"eval_loss": "loss", "eval_reward": "reward"}
    for name in logs:
        if name.startswith("eval_rewards/") and name.endswith("/mean"):
            names[name] = name.removeprefix("eval_rewards/").removesuffix("/mean")
    if "eval_reward" in logs:  # the loss of sampled completions says nothing
        del names["eval_loss"]
    return {f"held_out/{new}": logs[old] for old, new in names.items() if old in logs}
