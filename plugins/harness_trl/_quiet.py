"""TRL and its like kept from chattering; what is wrong is still told."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import datasets

from harness.quiet import quiet

_LIBRARIES = ("trl", "accelerate", "peft", "datasets")
_WARN = r"(trl|transformers|accelerate|peft|datasets|torch)(\.|$)"


@contextmanager
def silent() -> Iterator[None]:
    """Keep the training libraries from printing progress bars, advice and warnings."""
    with ExitStack() as after, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=_WARN)
        for name in _LIBRARIES:
            logger = logging.getLogger(name)
            after.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.ERROR)
        after.enter_context(quiet())
        if not datasets.are_progress_bars_disabled():
            after.callback(datasets.enable_progress_bars)
            datasets.disable_progress_bars()
        yield
