"""TRL and its like kept from chattering; what is wrong is still told."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import datasets
from transformers.utils import logging as transformers_logging

_LIBRARIES = ("trl", "accelerate", "peft", "datasets")
_WARN = r"(trl|transformers|accelerate|peft|datasets|torch)(\.|$)"


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the training libraries from printing progress bars, advice and warnings."""
    with ExitStack() as after, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_WARN)
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            after.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        after.callback(transformers_logging.set_verbosity, transformers_logging.get_verbosity())
        transformers_logging.set_verbosity(logging.ERROR)
        if transformers_logging.is_progress_bar_enabled():
            after.callback(transformers_logging.enable_progress_bar)
            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        if not datasets.are_progress_bars_disabled():
            after.callback(datasets.enable_progress_bars)
            datasets.disable_progress_bars()
        yield


def first_line(error: BaseException) -> str:
    """Give an error in one line."""
    return str(error).strip().partition("\n")[0] or type(error).__name__
