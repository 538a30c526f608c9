"""The pages of two runs side by side: what the comparison says, and each sample's two answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.comparison.figures import Written, written
from harness.comparison.report import certificate_lines
from harness.errors import HarnessError
from harness.store.schema import RunRecord, ScoredRow
from harness.viewer.asking import PAIRS, PairQuery
from harness.viewer.library import RUNNING, AskedWrongError, Library, NotHereError
from harness.viewer.marking import Changed, word_diff
from harness.viewer.runs import alike

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.comparison import Comparison, Result
    from harness.plots import Plot
    from harness.store.columns import Texts

    Places = NDArray[np.int64]

_CHOICES = 200


@dataclass(frozen=True, slots=True)
class Measured:
    """One scorer's line: its result, the result as text, and which side it speaks for.

    `verdict` is `better` or `worse` only where p, adjusted for all scorers, is below 0.05.
    """

    result: Result
    cells: Written
    verdict: str


@dataclass(frozen=True, slots=True)
class Pair:
    """A sample on both sides: its scores, and their difference; None where one has none."""

    sample: str
    first: float | None
    other: float | None
    texts: tuple[Texts | None, Texts | None]
    place: int

    @property
    def difference(self) -> float | None:
        """The other less the first."""
        lacks = self.first is None or self.other is None
        return None if lacks else self.other - self.first  # type: ignore[operator]


@dataclass(frozen=True, slots=True)
class Compared:
    """What is known of two runs: the comparison's tables, and one page of pairs."""

    measured: tuple[Measured, ...]
    certificates: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    common: int
    only: tuple[int, int]
    plot: Plot
    scorer: str
    pairs: tuple[Pair, ...]
    matched: int
    pages: int


@dataclass(frozen=True, slots=True)
class ComparePage:
    """Two runs side by side; `problem` says why they cannot be compared, or not as they are.

    Without two runs there are only the `choices`.
    """

    query: PairQuery
    first: RunRecord | None
    other: RunRecord | None
    choices: tuple[RunRecord, ...]
    compared: Compared | None = None
    problem: str = ""
    live: bool = False


@dataclass(frozen=True, slots=True)
class PairPage:
    """One sample's answers by two runs, and what differs in their words."""

    query: PairQuery
    runs: tuple[RunRecord, RunRecord]
    sample: str
    rows: tuple[ScoredRow | None, ScoredRow | None]
    diff: tuple[tuple[Changed, ...], tuple[Changed, ...]]
    labels: tuple[str, ...]
    before: int | None
    after: int | None
    at: int
    matched: int | None


def compare_page(library: Library, query: PairQuery) -> ComparePage:
    """The page of two runs, or of none yet.

    Raises:
        NotHereError: if there is no such run.
        AskedWrongError: if they have no such scorer.
    """
    first = library.evaluation(query.a) if query.a else None
    other = library.evaluation(query.b) if query.b else None
    runs = [r for r in reversed(library.records()) if isinstance(r, RunRecord)]
    chosen = alike(library, first) if first else []
    ids = {r.id for r in chosen}
    choices = tuple([*chosen, *(r for r in runs if r.id not in ids)][:_CHOICES])
    page = ComparePage(query, first, other, choices)
    if first is None or other is None:
        return page
    try:
        answer = library.comparison(first, other, bool(query.anyway))
    except HarnessError as error:
        return ComparePage(query, first, other, choices, problem=str(error))
    running = RUNNING in (first.status, other.status)
    compared = None if answer.value is None else compared_as(library, answer.value, query)
    return ComparePage(query, first, other, choices, compared, live=answer.pending or running)


def pair_page(library: Library, query: PairQuery, at: int) -> PairPage:
    """The sample at a place of those that a query asks for.

    Raises:
        NotHereError: if there is no such run or place.
        HarnessError: if they cannot be compared.
    """
    first, other = library.evaluation(query.a), library.evaluation(query.b)
    comparison = library.comparison(first, other, bool(query.anyway)).value
    if comparison is None:
        raise NotReadyError("The two runs are still being compared")
    result = _result(comparison, query)
    places = _chosen(library, comparison, result, query)
    if not 0 <= at < len(places):
        raise NotHereError(f"There is no pair {at}; there are {len(places)}")
    matched = comparison.suites[0].matched["A", "B"]
    sample = comparison.suites[0].sides["A"].ids[int(matched.first[places[at]])]
    ours, theirs = int(matched.first[places[at]]), int(matched.other[places[at]])
    rows = _row(library, first, ours, sample), _row(library, other, theirs, sample)
    texts = [row.completion.text if row else "" for row in rows]
    return PairPage(
        query=query,
        runs=(first, other),
        sample=sample,
        rows=rows,
        diff=word_diff(*texts),
        labels=tuple(dict.fromkeys([*first.scorers, *other.scorers])),
        before=at - 1 if at else None,
        after=at + 1 if at + 1 < len(places) else None,
        at=at,
        matched=len(places),
    )


class NotReadyError(HarnessError):
    """What a page needs is still being read."""


def compared_as(library: Library, comparison: Comparison, query: PairQuery) -> Compared:
    """A comparison of two sides as a page shows it."""
    from harness.plots import paired_differences

    result = _result(comparison, query)
    places = _chosen(library, comparison, result, query)
    start = (query.page - 1) * PAIRS
    matched = comparison.suites[0].matched["A", "B"]
    return Compared(
        measured=tuple(measured(r) for r in comparison.results),
        certificates=tuple(tuple(lines) for lines in certificate_lines(comparison)),
        notes=comparison.notes,
        common=len(matched.first),
        only=(matched.only_first, matched.only_other),
        plot=paired_differences({r.scorer: r.difference for r in comparison.results}),
        scorer=result.scorer,
        pairs=tuple(pairs(comparison, result, places[start : start + PAIRS], start)),
        matched=len(places),
        pages=max(1, -(-len(places) // PAIRS)),
    )


def measured(result: Result) -> Measured:
    """A result with what it says at a glance."""
    p, d = result.p_holm, result.difference
    sure = p is not None and p < 0.05
    verdict = ("better" if d.mean > 0 else "worse") if sure and d.mean else "unclear"
    return Measured(result, written(result), verdict)


def pairs(comparison: Comparison, result: Result, places: Places, start: int = 0) -> list[Pair]:
    """The samples at these places among the matched ones, with their texts."""
    import numpy as np

    suite = comparison.suites[0]
    one, two = suite.sides["A"], suite.sides["B"]
    matched = suite.matched["A", "B"]
    ours, theirs = matched.first[places].tolist(), matched.other[places].tolist()
    first, other = _values(comparison, result)
    asked = one.lookup.texts(ours) if one.lookup else {}
    answered = two.lookup.texts(theirs) if two.lookup else {}

    def number(value: float) -> float | None:
        return None if np.isnan(value) else float(value)

    return [
        Pair(
            sample=one.ids[a],
            first=number(first[place]),
            other=number(other[place]),
            texts=(asked.get(a), answered.get(b)),
            place=start + i,
        )
        for i, (place, a, b) in enumerate(zip(places.tolist(), ours, theirs, strict=True))
    ]


def furthest(comparison: Comparison, result: Result) -> Places:
    """All matched samples, those that moved most first; those without a difference last."""
    import numpy as np

    first, other = _values(comparison, result)
    return np.argsort(-np.abs(other - first), kind="stable")


def warm(library: Library, comparison: Comparison) -> None:
    """Put the samples of each scorer in order, behind the page."""
    for result in comparison.results:
        _chosen(library, comparison, result, PairQuery())


def _chosen(library: Library, comparison: Comparison, result: Result, query: PairQuery) -> Places:
    """The matched samples that a query asks for, in its order; kept as long as the comparison."""
    key = ("pairs", id(comparison), result.scorer)
    made = library.selections.get(key, lambda: (comparison, furthest(comparison, result)))
    assert isinstance(made, tuple)
    order: Places = made[1]
    if not query.only:
        return order
    first, other = _values(comparison, result)
    difference = (other - first)[order]
    wanted = {"better": difference > 0, "worse": difference < 0, "same": difference == 0}
    chosen: Places = order[wanted[query.only]]
    return chosen


def _values(comparison: Comparison, result: Result) -> tuple[NDArray[np.float64], ...]:
    """A scorer's values of both sides, sample by sample."""
    from harness.comparison.matching import scorers_of

    suite, options = comparison.suites[0], comparison.options
    one, two = suite.sides["A"], suite.sides["B"]
    allow = options.allow_different_scorers
    [(label, same)] = scorers_of(one, two, [result.scorer], allow_different=allow)
    matched = suite.matched["A", "B"]
    return one.scored[label].values[matched.first], two.scored[same].values[matched.other]


def _result(comparison: Comparison, query: PairQuery) -> Result:
    wanted = [r for r in comparison.results if query.scorer in ("", r.scorer)]
    if not wanted:
        known = ", ".join(r.scorer for r in comparison.results)
        raise AskedWrongError(f"There is no scorer {query.scorer!r} in both; there are: {known}")
    return wanted[0]


def _row(library: Library, run: RunRecord, number: int, sample: str) -> ScoredRow | None:
    """A sample's first attempt; where its number says, but in a run that lacks rows."""
    repeats = run.config.get("repeats", 1)
    likely = number * (repeats if isinstance(repeats, int) else 1)
    rows = library.reading.rows(run, [likely])
    if not rows or rows[0].completion.sample.id != sample:
        found = library.reading.first_with_id(run, sample)
        rows = [] if found is None else library.reading.rows(run, [found])
    return rows[0] if rows else None
