"""Metrics for the trackers that people have already, through accelerate's."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from accelerate import PartialState
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from harness import HarnessError, TrainingTask
from harness_gpt2.ppo.settings import PpoSettings

Track = Callable[[Mapping[str, float], int], None]


@contextmanager
def trackers(settings: PpoSettings, task: TrainingTask, main: bool) -> Iterator[Track]:
    """Start the trackers that the settings name, on the main process only.

    One that fails under way is left out from then on, with a warning: the training goes on.

    Raises:
        HarnessError: for a tracker that is not known, not installed, or does not start.
    """
    if settings.trackers:
        PartialState()  # the trackers log by a logger that asks it for the process's rank
    started = [_start(name, settings, task) for name in settings.trackers] if main else []

    def track(metrics: Mapping[str, float], step: int) -> None:
        for tracker in list(started):
            try:
                tracker.log(dict(metrics), step=step)
            except Exception as error:
                started.remove(tracker)
                warnings.warn(f"ppo: {tracker.name} fails and gets no more: {error}", stacklevel=2)

    try:
        yield track
    finally:
        for tracker in started:
            tracker.finish()


def _start(name: str, settings: PpoSettings, task: TrainingTask) -> GeneralTracker:
    known = {str(kind): tracker for kind, tracker in LOGGER_TYPE_TO_CLASS.items()}
    if name not in known:
        raise HarnessError(f"ppo: there is no tracker {name!r}; there are: {', '.join(known)}")
    folder = {"logging_dir": task.output / "logs"} if known[name].requires_logging_directory else {}
    if folder:
        folder["logging_dir"].mkdir(parents=True, exist_ok=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tracker = known[name]("samescore", **folder)
            getattr(tracker, "start", lambda: None)()
            tracker.store_init_configuration(_flat(settings))
    except ImportError as error:
        raise HarnessError(f"ppo: the tracker {name} is not installed: {error}") from error
    except Exception as error:  # whatever a tracker raises where it is not set up
        raise HarnessError(f"ppo: the tracker {name} cannot start: {error}") from error
    return tracker


def _flat(settings: PpoSettings) -> dict[str, int | float | str | bool]:
    values = dataclasses.asdict(settings)
    return {k: v if isinstance(v, int | float | str | bool) else str(v) for k, v in values.items()}
