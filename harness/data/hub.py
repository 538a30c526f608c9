"""Data sets of the Hugging Face hub, or saved by its library, as tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness import telemetry
from harness.data.rows import Row
from harness.errors import DataError, PluginError

if TYPE_CHECKING:
    import datasets

_HUB_TIMEOUT_S = 10.0


class HubName(NamedTuple):
    """A data set, and which part of it; None is the default."""

    name: str
    config: str | None
    split: str | None


def parse_hub_name(text: str) -> HubName:
    """Read the text after `hf:`; a split may be a slice of one, `train[:100]`.

    Raises:
        DataError: if the text has not this form.
    """
    # A colon inside brackets belongs to a slice, one before a backslash to a Windows drive.
    name, *rest = re.split(r":(?![^\[]*\]|\\)", text.removeprefix("hf:"))
    if not name or len(rest) > 2:
        raise DataError(f"{text!r}: write hf:NAME, hf:NAME:SPLIT or hf:NAME:CONFIG:SPLIT")
    config = rest[0] if len(rest) == 2 else ""
    split = rest[-1] if rest else ""
    return HubName(name, config or None, split or None)


def read_hub(text: str) -> Iterator[Row]:
    """The rows of a data set, as its files hold them: images as bytes, labels as numbers.

    Where no split is named it is `test`, or else the only one there is.

    Raises:
        DataError: if there is no such data set, configuration or split, or the hub cannot be
            reached.
        PluginError: if the package `datasets` is missing.
    """
    telemetry.switch_off()
    try:
        import datasets  # noqa: F401
    except ImportError as error:
        hint = "pip install 'samescore[hub]'"
        raise PluginError(f"{text} needs the package {error.name!r}: {hint}") from error
    return _rows(text, _load(text, parse_hub_name(text)))


def _rows(text: str, dataset: datasets.Dataset) -> Iterator[Row]:
    number = 0
    for table in dataset.with_format("arrow").iter(batch_size=1000):
        for values in table.to_pylist():
            number += 1
            yield Row(values, text, number)


def _load(text: str, wanted: HubName) -> datasets.Dataset:
    import datasets

    folder = Path(wanted.name)
    try:
        if not folder.is_dir():
            _reach_hub(text, wanted.name)
        if (folder / "dataset_dict.json").exists() or (folder / "state.json").exists():
            return _split(text, datasets.load_from_disk(folder), wanted.split)
        if wanted.split:
            return datasets.load_dataset(wanted.name, wanted.config, split=wanted.split)
        return _split(text, datasets.load_dataset(wanted.name, wanted.config), None)
    except DataError:
        raise
    except Exception as error:  # the library raises what its many readers raise
        raise DataError(f"{text} cannot be loaded: {_one_line(error)}") from error


def _split(
    text: str, loaded: datasets.Dataset | datasets.DatasetDict, split: str | None
) -> datasets.Dataset:
    import datasets

    if isinstance(loaded, datasets.Dataset):
        if split:
            raise DataError(f"{text}: the saved data set has no splits; leave {split!r} out")
        return loaded
    wanted = split or (next(iter(loaded)) if len(loaded) == 1 else "test")
    if wanted in loaded:
        return loaded[wanted]
    problem = f"there is no split {split!r}" if split else "name a split, last, after a colon"
    raise DataError(f"{text}: {problem}; there are {', '.join(loaded)}")


def _reach_hub(text: str, name: str) -> None:
    """One short request: the library itself would try for half a minute before it gives up."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=_HUB_TIMEOUT_S)
    except errors.OfflineModeIsEnabled:
        return
    except (errors.HfHubHTTPError, errors.HFValidationError) as error:
        raise DataError(
            f"{text}: no folder and no data set of the hub: {_one_line(error)}"
        ) from error
    except Exception as error:
        raise DataError(
            f"{text}: no folder {name}, and the hub cannot be reached ({_one_line(error)}); "
            f"HF_HUB_OFFLINE=1 uses what was downloaded before"
        ) from error


def _one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
