"""A metric as a rewarder: how rows get their values is found out once, on made-up rows."""

from __future__ import annotations

import json
import math
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from harness import Completion, HarnessError, Score, Unscored
from harness_evaluate import PerExample, Several
from harness_evaluate._columns import Columns, Row, UnreadableError
from harness_evaluate._loading import Metric, identity, reset, takes

Result = Mapping[str, object]
_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Plan:
    """How rows get values: under which key, as a list or each alone, with which arguments."""

    mode: Literal["list", "rows"]
    key: str
    parts: tuple[str, ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)


class EvaluateScorer:
    """Scores completions with a metric; raises HarnessError if its values are not of rows.

    Numbers beside the value become parts. A text that is no number where the metric wants one,
    and a row that the metric fails on or gives NaN or nothing for, are unscored.
    """

    def __init__(
        self,
        metric: Metric,
        key: str,
        per_example: PerExample,
        several: Several,
        kwargs: Mapping[str, object],
    ) -> None:
        self._metric = metric
        self._kwargs = kwargs
        self._several = several
        self._columns = Columns(metric)
        self._lock = threading.Lock()
        clash = sorted(kwargs.keys() & self._columns.columns.keys())
        if clash:
            raise HarnessError(f"kwargs gives {', '.join(clash)}, which are the metric's columns")
        self._plan = self._choose(key, per_example)

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        """One score a completion, in order."""
        rows: list[list[Row] | Score] = [self._rows(completion) for completion in completions]
        scores = iter(
            self._values([row for group in rows if isinstance(group, list) for row in group])
        )
        return [
            group if isinstance(group, Score) else self._best([next(scores) for _ in group])
            for group in rows
        ]

    def identity(self) -> Mapping[str, str]:
        """Name the metric's code, its libraries, and how rows get their values."""
        plan = {"mode": self._plan.mode, "key": self._plan.key, "extra": dict(self._plan.extra)}
        arguments = {"kwargs": dict(self._kwargs), "several": self._several}
        return identity(self._metric) | {"plan": json.dumps(plan | arguments, default=str)}

    def _rows(self, completion: Completion) -> list[Row] | Score:
        try:
            rows = self._columns.rows(completion)
        except UnreadableError as error:
            return Score.missing(error.cause, str(error))
        if len(rows) > 1 and self._several == "refuse":
            raise HarnessError(
                f"the sample {completion.sample.id!r} has {len(rows)} references, and the metric "
                f"{self._metric.name} takes one: set several=max, min or first"
            )
        return rows[:1] if self._several == "first" else rows

    def _best(self, scores: list[Score]) -> Score:
        """The score of the best (or worst) reference, of those that gave one."""
        scored = [score for score in scores if score.value is not None] or scores[:1]
        pick = min if self._several == "min" else max
        return pick(scored, key=lambda score: score.value or 0.0)

    def _values(self, rows: Sequence[Row]) -> Iterator[Score]:
        if self._plan.mode == "rows":
            yield from map(self._alone, rows)
        elif rows:
            result = self._compute(rows, self._plan.extra)
            column = self._column(result, self._key(result), len(rows))
            parts = {part: _column(result, part, len(rows)) for part in self._plan.parts}
            for i, value in enumerate(column):
                yield _score(value, {k: c[i] for k, c in parts.items() if c is not None})

    def _alone(self, row: Row) -> Score:
        try:
            result = self._compute([row], self._plan.extra)
            key = self._key(result)
        except HarnessError:
            raise
        except Exception as error:  # whatever the metric's code raises is about this row
            return Score.missing(Unscored.SCORER_ERROR, f"{type(error).__name__}: {error}"[:500])
        parts = {name: value for name, value in result.items() if name != key}
        return _score(_single(result[key]), parts)

    def _compute(self, rows: Sequence[Row], extra: Mapping[str, object]) -> Result:
        columns = {name: [row[name] for row in rows] for name in self._columns.columns}
        with self._lock:
            try:
                result = self._metric.compute(**columns, **self._kwargs, **extra)
            except BaseException:
                reset(self._metric)
                raise
        # Some metrics give their number bare.
        return result if isinstance(result, Mapping) else {self._metric.name: result}

    def _column(self, result: Result, key: str, length: int) -> list[object]:
        column = _column(result, key, length)
        if column is None:
            raise HarnessError(
                f"the metric {self._metric.name} gives no list of {length} values "
                f"for {length} rows under {key!r}: set per_example=rows"
            )
        return column

    def _key(self, result: Result) -> str:
        return _key(result, self._plan.key, self._metric.name)

    def _choose(self, key: str, per_example: PerExample) -> Plan:
        rows = self._columns.trial()
        try:
            whole = self._try(rows, {})
        except Exception as error:
            if per_example != "auto":
                return Plan(per_example, key)
            raise HarnessError(
                f"the metric {self._metric.name} fails on made-up rows ({type(error).__name__}: "
                f"{' '.join(str(error).split())[:300]}): set kwargs, or per_example=list or rows"
            ) from error
        key = _key(whole, key, self._metric.name)
        if per_example == "rows":
            return Plan("rows", key)
        alone = list(map(self._tried_alone, rows))
        plan = self._listed(key, whole, rows, alone)
        if plan:
            return plan
        if per_example == "list":
            self._column(whole, key, len(rows))
            return Plan("list", key)
        if _close(whole[key], _mean([_single(result.get(key)) for result in alone])):
            return Plan("rows", key)
        raise HarnessError(
            f"{key!r} of the metric {self._metric.name} belongs to a set of rows: it is not the "
            "mean of what rows get alone. Set per_example=rows to score each row alone all the same"
        )

    def _listed(self, key: str, whole: Result, rows: list[Row], alone: list[Result]) -> Plan | None:
        """A plan for a metric whose result has a list of what each row gets alone."""
        if not isinstance(whole[key], float | int) or not takes(self._metric, "use_aggregator"):
            extras: list[dict[str, object]] = [{}]
        else:
            extras = [{}, {"use_aggregator": False}]
        for extra in extras:
            result = self._try(rows, extra) if extra else whole
            listed = [name for name in result if _agrees(result, name, alone)]
            if key in listed:
                return Plan("list", key, tuple(name for name in listed if name != key), extra)
        return None

    def _tried_alone(self, row: Row) -> Result:
        try:
            return self._try([row], {})
        except Exception:  # a metric that has no value of one row
            return {}

    def _try(self, rows: list[Row], extra: Mapping[str, object]) -> Result:
        # What a metric warns of here (ill-defined for one row) is about rows that nobody gave.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._compute(rows, extra)


def read_kwargs(text: str) -> dict[str, object]:
    """Read the setting `kwargs`; raises HarnessError unless it is a JSON object."""
    try:
        read: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise HarnessError(f"kwargs={text!r} is no JSON: {error}") from error
    if not isinstance(read, dict):
        raise HarnessError(f"kwargs={text!r} is no JSON object")
    return read


def _key(result: Result, wanted: str, metric: str) -> str:
    numbers = [name for name, value in result.items() if _numeric(value)]
    if wanted in numbers:
        return wanted
    if not wanted and len(numbers) == 1:
        return numbers[0]
    if not numbers:
        raise HarnessError(f"the metric {metric} gives no number, only {', '.join(result)}")
    problem = f"has no number under {wanted!r}" if wanted else "gives several numbers"
    raise HarnessError(f"the metric {metric} {problem}: set key to one of {', '.join(numbers)}")


def _numeric(value: object) -> bool:
    items = _items(value)
    return any(_number(item) is not None for item in ([value] if items is None else items))


def _number(value: object) -> float | None:
    """A Python or numpy number as a float; None for anything else."""
    if isinstance(value, str | bytes) or _dimensions(value):
        return None
    return float(value) if hasattr(value, "__float__") else None


def _items(value: object) -> list[object] | None:
    """The items of a list, tuple or array; None for anything else."""
    if isinstance(value, list | tuple):
        return list(value)
    return list(value) if hasattr(value, "__iter__") and _dimensions(value) else None


def _dimensions(value: object) -> int:
    """Of an array; 0 for a number, of numpy too, and for all else."""
    found = getattr(value, "ndim", None)
    return found if isinstance(found, int) else 0


def _column(result: Result, key: str, length: int) -> list[object] | None:
    items = _items(result.get(key))
    return items if items is not None and len(items) == length else None


def _single(value: object) -> object:
    """The value of a result for one row: itself, or the only one of a list."""
    items = _items(value)
    if items is None:
        return value
    return items[0] if len(items) == 1 else None


def _agrees(result: Result, key: str, alone: list[Result]) -> bool:
    column = _column(result, key, len(alone))
    if column is None:
        return False
    pairs = zip(column, (_single(one.get(key)) for one in alone), strict=True)
    return all(a is b is None or _close(a, b) for a, b in pairs)


def _mean(values: Sequence[object]) -> float | None:
    numbers = [number for value in values if (number := _number(value)) is not None]
    return math.fsum(numbers) / len(numbers) if len(numbers) == len(values) else None


def _close(a: object, b: object) -> bool:
    left, right = _number(a), _number(b)
    if left is None or right is None:
        return False
    return math.isclose(left, right, rel_tol=_TOLERANCE, abs_tol=1e-6)


def _score(value: object, parts: Mapping[str, object]) -> Score:
    number = _number(value)
    if number is None or not math.isfinite(number):
        return Score.missing(Unscored.SCORER_ERROR, f"the metric gave {value!r}")
    named = {name: part for name, given in parts.items() if (part := _number(given)) is not None}
    return Score(number, parts={name: part for name, part in named.items() if math.isfinite(part)})
