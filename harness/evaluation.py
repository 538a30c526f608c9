"""What an evaluation gives: means with intervals, and every row behind them."""

from __future__ import annotations

import contextlib
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.components import Score
from harness.data.plain import printable
from harness.errors import HarnessError
from harness.store import Store
from harness.store.schema import RunRecord, ScoredRow, Value

if TYPE_CHECKING:
    import pandas as pd
    from plotly.graph_objects import Figure

    from harness.stats import Interval


@dataclass(frozen=True, slots=True)
class Summary:
    """One scorer's result over a run.

    `mean` is over the `n` completions that were scored (NaN where there are none), with a 95 %
    interval from `low` to `high` (None where one value or one cluster gives none): Wilson's of a
    share where all values are 0 or 1 and samples share nothing, else Student's. `unscored`
    counts the others, and `causes` says why.
    """

    label: str
    mean: float
    low: float | None
    high: float | None
    n: int
    unscored: int
    causes: Mapping[str, int]

    def __str__(self) -> str:
        interval = f" [{self.low:.4f}, {self.high:.4f}]" if self.low is not None else ""
        missing = f", {self.unscored} unscored" if self.unscored else ""
        return f"{self.label} {self.mean:.4f}{interval} (n={self.n}{missing})"


class Evaluation:
    """A run's results; `evaluation["bertscore"]` is a `Summary`, by label or by unique name."""

    def __init__(self, run: RunRecord, store: Store) -> None:
        self.run = run
        self._store = store
        self.summaries = {label: _summarize(store, run, label) for label in run.scorers}

    def __getitem__(self, label: str) -> Summary:
        """The summary of a scorer.

        Raises:
            HarnessError: if no scorer, or more than one, is called so; names those there are.
        """
        if label in self.summaries:
            return self.summaries[label]
        named = [s for s in self.summaries if s.partition(":")[0] == label]
        if len(named) == 1:
            return self.summaries[named[0]]
        raise HarnessError(
            f"no one scorer is called {label!r}; there are: {', '.join(self.summaries)}"
        )

    def rows(self) -> Iterator[ScoredRow]:
        """Every completion with its scores, in the order of the samples; read as asked for."""
        with self.reading() as store:
            yield from store.rows(self.run)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Store]:
        """The store that the rows are in, open to read from."""
        if self._store.in_memory:
            yield self._store
        else:
            with Store(self._store.url, readonly=True) as store:
                yield store

    def values(self, label: str) -> list[Value]:
        """Every value of a scorer, in the order of the rows."""
        with self.reading() as store:
            return list(store.values(self.run, self[label].label))

    def table(self) -> pd.DataFrame:
        """One row a completion: what was asked and answered, and each scorer's verdict."""
        import pandas as pd

        return pd.DataFrame([flat(row, list(self.run.scorers)) for row in self.rows()])

    def plot(self) -> Figure:
        """How each scorer's values are distributed, as a Plotly figure.

        Raises:
            HarnessError: if Plotly is not installed.
        """
        from harness.plots import figure, score_histograms

        values = {label: [row.value for row in self.values(label)] for label in self.summaries}
        return figure(score_histograms(values))

    def pass_at_k(self, label: str, k: int) -> Interval:
        """The chance that at least one of `k` attempts succeeds (a value of 1 or more).

        Raises:
            HarnessError: if a sample has fewer than `k` scored attempts.
        """
        from harness.stats import pass_at_k_interval

        return self._over_attempts(pass_at_k_interval, label, k)

    def pass_hat_k(self, label: str, k: int) -> Interval:
        """The chance that all of `k` attempts succeed; otherwise as `pass_at_k`."""
        from harness.stats import pass_hat_k_interval

        return self._over_attempts(pass_hat_k_interval, label, k)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The summaries as a table, in a notebook."""
        from harness.report import html_table

        heads = ["scorer", "mean", "95 % interval", "n", "unscored"]
        caption = f"run {self.run.id} · {self.run.generator} · {self.run.status}"
        return html_table(heads, [_cells(s) for s in self.summaries.values()], caption)

    def _over_attempts(self, estimate: Callable[..., Interval], label: str, k: int) -> Interval:
        successes, cluster_of = self._successes(label)
        groups = [cluster_of[sample] for sample in successes]
        try:
            return estimate(list(successes.values()), k, clusters=groups)
        except ValueError as error:
            raise HarnessError(
                f"{label}: {error}; evaluate with repeats={k} or more, and see what is unscored"
            ) from error

    def as_dict(self) -> dict[str, object]:
        """The results as JSON-like values."""
        return {
            "run": self.run.id,
            "name": self.run.name,
            "generator": self.run.generator,
            "status": self.run.status,
            "scorers": {
                label: {
                    "mean": s.mean if s.n else None,
                    "low": s.low,
                    "high": s.high,
                    "n": s.n,
                    "unscored": s.unscored,
                    "causes": dict(s.causes),
                }
                for label, s in self.summaries.items()
            },
        }

    def __str__(self) -> str:
        lines = [f"run {self.run.id} · {self.run.generator}"]
        return printable("\n".join([*lines, *(f"  {s}" for s in self.summaries.values())]))

    def _successes(self, label: str) -> tuple[dict[str, list[bool]], dict[str, str]]:
        """Each sample's attempts, and the cluster that it belongs to: itself, if none is named."""
        attempts: dict[str, list[bool]] = {}
        clusters: dict[str, str] = {}
        for row in self.values(label):
            if row.value is not None:
                attempts.setdefault(row.sample_id, []).append(row.value >= 1)
                clusters[row.sample_id] = row.cluster or row.sample_id
        return attempts, clusters


def _cells(summary: Summary) -> list[str]:
    interval = f"{summary.low:.4f} … {summary.high:.4f}" if summary.low is not None else "–"
    mean = f"{summary.mean:.4f}" if summary.n else "–"
    causes = ", ".join(f"{n} {cause}" for cause, n in summary.causes.items())
    return [summary.label, mean, interval, str(summary.n), causes or "0"]


def flat(row: ScoredRow, labels: list[str]) -> dict[str, object]:
    """A row as one flat record; a scorer that did not get to it has empty cells."""
    completion = row.completion
    record: dict[str, object] = {
        "id": completion.sample.id,
        "attempt": completion.attempt,
        "prompt": completion.sample.prompt,
        "references": list(completion.sample.references),
        "completion": completion.text,
        "finish": completion.finish,
        "error": completion.error,
    }
    if completion.details:
        record["details"] = completion.details
    for label in labels:
        score = row.scores.get(label)
        record[label] = score.value if score else None
        record[f"{label}.unscored"] = str(score.unscored) if score and score.unscored else ""
        record[f"{label}.reason"] = score.reason if score else ""
        for part, value in score.parts.items() if score else ():
            record[f"{label}.{part}"] = value
        record |= _paid(label, score) if score else {}
    return record


def _paid(label: str, score: Score) -> dict[str, object]:
    """What a score cost, and which replies of which models it came from."""
    told: dict[str, object] = {}
    if score.usage is not None:
        told[f"{label}.input_tokens"] = score.usage.input_tokens
        told[f"{label}.output_tokens"] = score.usage.output_tokens
        told[f"{label}.cost_usd"] = score.usage.cost_usd
    if score.calls:
        told[f"{label}.model"] = " ".join(dict.fromkeys(c.model for c in score.calls if c.model))
        told[f"{label}.request_id"] = " ".join(c.request_id for c in score.calls if c.request_id)
        told[f"{label}.latency_s"] = sum(c.latency_s for c in score.calls)
    return told


def columns(rows: Iterable[ScoredRow], labels: list[str]) -> list[str]:
    """The columns that these rows need: each scorer's parts are known only from all of them."""
    names: dict[str, None] = {}
    for row in rows:
        names.update(dict.fromkeys(flat(row, labels)))
    head = [name for name in names if not belongs(name, labels)]
    own = dict.fromkeys(name for label in labels for name in names if belongs(name, [label]))
    return [*head, *own]


def belongs(name: str, labels: list[str]) -> bool:
    """Whether a column is a scorer's: its value, or what comes beside it."""
    return any(name == label or name.startswith(f"{label}.") for label in labels)


def _summarize(store: Store, run: RunRecord, label: str) -> Summary:
    from harness.stats import mean_interval

    values, clusters = array("d"), list[str]()
    causes: Counter[str] = Counter()
    for row in store.values(run, label):
        if row.value is None:
            causes[str(row.unscored)] += 1
        else:
            values.append(row.value)
            if row.cluster:
                clusters.append(row.cluster)
    missing = causes.total(), dict(causes)
    if not values:
        return Summary(label, math.nan, None, None, 0, *missing)
    found = mean_interval(values, clusters=clusters or None, method="score")
    return Summary(label, found.mean, found.low, found.high, len(values), *missing)
