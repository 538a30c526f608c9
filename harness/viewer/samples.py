"""The pages of a run's samples: those that are asked for, and one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.components import Score
from harness.store.schema import RunRecord, ScoredRow
from harness.viewer.asking import PAGE, SampleQuery
from harness.viewer.columns import Columns, StoppedError
from harness.viewer.jobs import Answer
from harness.viewer.library import RUNNING, AskedWrongError, Library, NotHereError
from harness.viewer.marking import Piece, credited

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Places = NDArray[np.int64]

_AT_ONCE = 20_000
ANY = "any"


@dataclass(frozen=True, slots=True)
class Selection:
    """The places that a query asks for, in order; `looked` of `rows` were searched so far."""

    ordinals: Places
    looked: int
    rows: int
    pending: bool


@dataclass(frozen=True, slots=True)
class SamplesPage:
    """A page of a run's samples; `matched` is None while the scores are still being read."""

    run: RunRecord
    query: SampleQuery
    rows: tuple[ScoredRow, ...]
    matched: int | None
    every: int
    looked: int
    pages: int
    causes: tuple[str, ...]
    pending: bool
    live: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """A scorer's verdict; `pieces` has the completion by what it earned, where that is told."""

    label: str
    score: Score | None
    pieces: tuple[Piece, ...] = ()
    largest: float = 0.0


@dataclass(frozen=True, slots=True)
class SamplePage:
    """One sample of a run: what was asked, answered and said of it; where the query goes on."""

    run: RunRecord
    query: SampleQuery
    row: ScoredRow
    verdicts: tuple[Verdict, ...]
    details: Mapping[str, object]
    place: int | None
    matched: int | None
    before: int | None
    after: int | None
    attempts: Mapping[int, int] = field(default_factory=dict)
    live: bool = False


class _Search:
    """The rows with a text, found some thousand at a time; what is found can be seen meanwhile."""

    def __init__(self, library: Library, run: RunRecord, text: str) -> None:
        self._library, self._run, self._text = library, run, text
        self.found: list[int] = []
        self.looked = 0

    def __call__(self) -> _Search:
        reading, last = self._library.reading, self._run.total
        while self.looked < last:
            if self._library.jobs.stopping.is_set():
                raise StoppedError("the viewer has ended")
            until = self.looked + _AT_ONCE
            self.found += reading.matching(self._run, self._text, self.looked, until)
            self.looked = until
        return self


def samples_page(library: Library, text: str, query: SampleQuery) -> SamplesPage:
    """The samples of a run that a query asks for.

    Raises:
        NotHereError: if there is no such run.
        AskedWrongError: if it has no such scorer.
    """
    run = library.evaluation(text)
    _check(run, query)
    start = (query.page - 1) * PAGE
    selection = select(library, run, query)
    if query.filtered:
        shown = selection.ordinals[start : start + PAGE].tolist() if selection else []
        matched = len(selection.ordinals) if selection else None
        every = selection.rows if selection else run.total
    else:
        matched, shown = _plain_page(library, run, start)
        every = matched
    pending = bool(query.filtered and (selection is None or selection.pending))
    return SamplesPage(
        run=run,
        query=query,
        rows=tuple(library.reading.rows(run, shown)),
        matched=matched,
        every=every,
        looked=selection.looked if selection else 0,
        pages=max(1, -(-(matched or 0) // PAGE)),
        causes=_causes(library, run),
        pending=pending,
        live=pending or run.status == RUNNING,
    )


def _plain_page(library: Library, run: RunRecord, start: int) -> tuple[int, list[int]]:
    """How many rows there are, and the places of a page of them; of a whole run no row is read."""
    known = library.overview(run, 0.0)
    if known.value and not known.pending and known.value.rows == run.total:
        return run.total, list(range(start, min(run.total, start + PAGE)))
    return library.reading.count(run), library.reading.ordinals(run, start, PAGE)


def sample_page(library: Library, text: str, ordinal: int, query: SampleQuery) -> SamplePage:
    """One sample of a run, at its place among those that a query asks for.

    Raises:
        NotHereError: if there is no such run or row.
        AskedWrongError: if the run has no such scorer.
    """
    run = library.evaluation(text)
    _check(run, query)
    rows = library.reading.rows(run, [ordinal])
    if not rows:
        raise NotHereError(f"Run {run.id} has no row {ordinal}; it has {run.total} from 0 on")
    [row] = rows
    selection = select(library, run, query) if query.filtered else None
    place, before, after = _beside(library, run, ordinal, query, selection)
    return SamplePage(
        run=run,
        query=query,
        row=row,
        verdicts=tuple(_verdict(row, label) for label in run.scorers),
        details=row.completion.details,
        place=place,
        matched=len(selection.ordinals) if selection else run.total,
        before=before,
        after=after,
        attempts=_attempts(run, row),
        live=run.status == RUNNING or bool(query.filtered and selection is None),
    )


def select(library: Library, run: RunRecord, query: SampleQuery) -> Selection | None:
    """The places that a query asks for; None where nothing is known of them yet."""
    columns: Answer[Columns] = Answer(None, pending=False)
    if query.by_score:
        columns = library.columns(run)
        if columns.value is None:
            return None
    found, search_pending, looked = _searched(library, run, query)
    pending = columns.pending or search_pending
    key = (run.id, library.version(run), query.q, query.scorer, query.low, query.high)

    def make() -> Selection:
        return _selected(run, query, columns.value, found, looked, pending)

    if pending:
        return make()
    kept = library.selections.get((*key, query.unscored, query.sort), make)
    assert isinstance(kept, Selection)
    return kept


def _searched(
    library: Library, run: RunRecord, query: SampleQuery
) -> tuple[list[int] | None, bool, int]:
    """What has the text so far, whether there may be more, and how far it has looked."""
    if not query.q:
        return None, False, run.total
    search = _Search(library, run, query.q)
    key = ("search", run.id, query.q)
    answer = library.jobs.answer(key, library.version(run), search, partial=search)
    known = answer.value
    if known is None:
        return [], True, 0
    return list(known.found), answer.pending, min(known.looked, run.total)


def _selected(
    run: RunRecord,
    query: SampleQuery,
    columns: Columns | None,
    found: list[int] | None,
    looked: int,
    pending: bool,
) -> Selection:
    import numpy as np

    searched = None if found is None else np.array(found, dtype=np.int64)
    if columns is None:
        ordinals = np.empty(0, dtype=np.int64) if searched is None else searched
        return Selection(ordinals, looked, run.total, pending)
    wanted = _by_score(columns, query, list(run.scorers), searched)
    return Selection(columns.ordinals[wanted], looked, len(columns.ordinals), pending)


def _by_score(
    columns: Columns, query: SampleQuery, labels: Sequence[str], searched: Places | None
) -> Places:
    """Rows of the columns in a query's order; equal scores as they come, those without one last."""
    import numpy as np

    values = columns.scored[query.scorer or labels[0]].values
    keep = np.ones(len(values), dtype=bool)
    if searched is not None:
        places = np.searchsorted(columns.ordinals, searched)
        there = places < len(values)  # a row that came after the scores were read is not there
        places = places[there][columns.ordinals[places[there]] == searched[there]]
        keep[:] = False
        keep[places] = True
    if query.low is not None:
        keep &= values >= query.low
    if query.high is not None:
        keep &= values <= query.high
    if query.unscored:
        keep &= _lacking(columns, query)
    wanted = np.flatnonzero(keep)
    if query.sort == "row":
        return wanted
    sign = -1.0 if query.sort == "-score" else 1.0
    return wanted[np.argsort(sign * values[wanted], kind="stable")]


def _lacking(columns: Columns, query: SampleQuery) -> NDArray[np.bool_]:
    """The rows that have no score, for the cause that is asked for; of any scorer if none is."""
    import numpy as np

    scorers = [columns.scored[query.scorer]] if query.scorer else list(columns.scored.values())
    none = np.zeros(len(columns.ordinals), dtype=bool)
    for scored in scorers:
        lacks = np.isnan(scored.values)
        if query.unscored != ANY:
            known = query.unscored in columns.causes
            code = columns.causes.index(query.unscored) if known else -1
            lacks = lacks & (scored.causes == code)
        none |= lacks
    return none


def _beside(
    library: Library,
    run: RunRecord,
    ordinal: int,
    query: SampleQuery,
    selection: Selection | None,
) -> tuple[int | None, int | None, int | None]:
    """The place among those that are asked for, and what comes before and after."""
    import numpy as np

    if not query.filtered:
        return ordinal + 1, *library.reading.beside(run, ordinal)
    ordinals = selection.ordinals if selection else np.empty(0, dtype=np.int64)
    at = np.flatnonzero(ordinals == ordinal)
    if not len(at):
        return None, None, None
    place = int(at[0])
    before = int(ordinals[place - 1]) if place else None
    after = int(ordinals[place + 1]) if place + 1 < len(ordinals) else None
    return place + 1, before, after


def _check(run: RunRecord, query: SampleQuery) -> None:
    if query.scorer and query.scorer not in run.scorers:
        known = ", ".join(run.scorers)
        raise AskedWrongError(f"Run {run.id} has no scorer {query.scorer!r}; it has: {known}")


def _causes(library: Library, run: RunRecord) -> tuple[str, ...]:
    overview = library.overview(run, 0.0).value
    if overview is None:
        return ()
    names = [name for summary in overview.summaries.values() for name in summary.causes]
    return tuple(sorted({*names}))


def _verdict(row: ScoredRow, label: str) -> Verdict:
    score = row.scores.get(label)
    if score is None or not score.credit:
        return Verdict(label, score)
    pieces = credited(row.completion.text, score.credit)
    largest = max(abs(piece.value or 0.0) for piece in pieces)
    return Verdict(label, score, pieces, largest)


def _attempts(run: RunRecord, row: ScoredRow) -> dict[int, int]:
    """Where the sample's other attempts are, by attempt; nothing if it has one only."""
    repeats = run.config.get("repeats", 1)
    if not isinstance(repeats, int) or repeats < 2:
        return {}
    first = row.ordinal - row.ordinal % repeats
    return {attempt: first + attempt for attempt in range(repeats)}
