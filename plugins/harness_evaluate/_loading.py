"""Loading a metric module, and naming what its numbers hang on."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import sys
import uuid
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Protocol

import evaluate
from evaluate.utils import logging as evaluate_logging

from harness import HarnessError, PluginError
from harness.fingerprint import digest, file_digest

_SEED = 0


class Metric(Protocol):
    """What this plugin needs of `evaluate.EvaluationModule`."""

    name: str
    features: object
    keep_in_memory: bool
    seed: int
    num_process: int
    writer: object
    buf_writer: object
    data: object

    def compute(self, **columns: object) -> object: ...


def load(name: str, config: str, *, allow_network: bool) -> Metric:
    """Load a metric from a local module, or from the hub if that is allowed.

    Raises HarnessError if there is no such metric, PluginError if it cannot be imported.
    """
    path = _local(name)
    if path is None and not allow_network:
        raise HarnessError(
            f"there is no directory or file {name!r}; a metric of that name on the hub is code "
            "that runs on this machine: to download it, set allow_network=true"
        )
    try:
        with _no_progress_bars():
            metric: Metric = evaluate.load(path or name, config or None, keep_in_memory=True)
    except ImportError as error:
        raise PluginError(f"the metric {name} cannot be imported: {_line(error)}") from error
    except FileNotFoundError as error:
        raise HarnessError(
            f"the metric {name} is not on the hub, or the hub did not answer; give the directory "
            "of the metric's module in its place"
        ) from error
    except Exception as error:  # the module's own code runs here
        raise HarnessError(f"the metric {name} cannot be loaded: {_line(error)}") from error
    return own(metric)


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    if not evaluate_logging.is_progress_bar_enabled():
        yield
        return
    evaluate_logging.disable_progress_bar()
    try:
        yield
    finally:
        evaluate_logging.enable_progress_bar()


def own(metric: Metric) -> Metric:
    """Keep the metric's rows in memory and its random numbers the same from run to run.

    Metrics that write files take each other's where several processes run (datasets#1766).
    """
    if getattr(metric, "num_process", None) != 1:
        raise HarnessError(f"{metric!r} is no metric of one process; a scorer needs one")
    reset(metric)
    metric.keep_in_memory = True
    metric.seed = _SEED
    metric._module_info.experiment_id = uuid.uuid4().hex  # type: ignore[attr-defined]
    return metric


def reset(metric: Metric) -> None:
    """Forget rows that were added and not computed, which the next compute would count in."""
    metric.writer = metric.buf_writer = metric.data = None


def identity(metric: Metric) -> dict[str, str]:
    """Name a metric's source and the versions of evaluate, datasets and what the source imports.

    The weights of a model that a metric loads are not known here.
    """
    found = {"metric": metric.name, "module": digest([file_digest(p) for p in _sources(metric)])}
    exported = getattr(metric, "fingerprint", "")
    if exported:
        found["scorer"] = str(exported)
    packages = _packages()
    for module in sorted({"evaluate", "datasets"} | _imports(_sources(metric))):
        for distribution in packages.get(module, ()):
            found[distribution] = metadata.version(distribution)
    return found


@functools.cache
def _packages() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()


def _local(name: str) -> str | None:
    path = Path(name).expanduser().absolute()
    if path.is_dir() and not (path / f"{path.name}.py").is_file():
        raise HarnessError(f"the metric directory {path} has no {path.name}.py")
    return str(path) if path.is_dir() or (path.suffix == ".py" and path.is_file()) else None


def _sources(metric: Metric) -> list[Path]:
    """The files of a metric: evaluate copies a module and its local imports to one folder."""
    module = sys.modules.get(type(metric).__module__)
    source = getattr(module, "__file__", None)
    if source is None:
        return []
    copied = type(metric).__module__.startswith("evaluate_modules.")
    return sorted(Path(source).parent.glob("*.py")) if copied else [Path(source)]


def _imports(sources: list[Path]) -> set[str]:
    found: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).partition(".")[0])
    return found


def takes(metric: Metric, argument: str) -> bool:
    """Whether the metric's own compute has an argument of that name."""
    return argument in inspect.signature(getattr(metric, "_compute", metric.compute)).parameters


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
