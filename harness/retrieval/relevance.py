"""Whether what a retriever finds is what was wanted: the measures of information retrieval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.components import Retriever
from harness.datapoints import Match, Query
from harness.errors import DataError, PluginError

if TYPE_CHECKING:
    from ir_measures import Measure

    from harness.stats import Difference, Interval

MEASURES = ("nDCG@10", "R@100", "RR@10", "AP@100")
"""The measures of BEIR (Thakur et al. 2021, arXiv 2104.08663): the headline is nDCG@10."""

Qrels = Mapping[str, Mapping[str, int]]
"""How relevant a document is to a query: by query, then by document; 0 is not at all."""

Found = Mapping[str, Sequence[Match] | Sequence[str]]
"""What was found by query, nearest first: matches, or their ids."""

_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Relevance:
    """What each query scored, 0 to 1, by measure and then by query; all of the judged queries."""

    values: Mapping[str, Mapping[str, float]]

    def __getitem__(self, measure: str) -> Interval:
        """The mean over queries with its interval; KeyError for what was not measured."""
        from harness.stats import mean_interval

        return mean_interval(list(self.values[measure].values()))

    def difference(self, other: Relevance, measure: str) -> Difference:
        """How much higher this scores than the other, by a paired t test over queries.

        Raises:
            ValueError: if they are not of the same queries.
        """
        from harness.stats import paired

        ours, theirs = self.values[measure], other.values[measure]
        if ours.keys() != theirs.keys():
            raise ValueError("the two are not of the same queries; pairs need the same ones")
        return paired(list(ours.values()), [theirs[query] for query in ours])


def relevance(
    found: Found,
    qrels: Qrels,
    *,
    measures: Sequence[str] = MEASURES,
    drop_self: bool = True,
) -> Relevance:
    """Measure what was found against judgements, by ir-measures (trec_eval's definitions).

    Every query of `qrels` counts: one that is missing in `found`, or found nothing, scores 0. The
    order alone decides, never the distance; of a document that stands there twice, the first
    counts.

    Args:
        found: by query id; queries without judgements are left out.
        qrels: the judgements.
        measures: names of ir-measures with a cutoff, such as nDCG@10, R@100, RR@10, AP@100, P@5.
        drop_self: leave out a document with the query's own id, as BEIR does.

    Raises:
        DataError: if there are no judgements, or a measure is unknown.
        PluginError: if ir-measures is not installed.
    """
    try:
        import ir_measures
    except ModuleNotFoundError as error:
        raise PluginError(
            f"relevance needs {error.name}: pip install 'samescore[retrieval]'"
        ) from None
    if not qrels:
        raise DataError("there are no judgements (qrels), so relevance cannot be measured")
    named = {name: _measure(name) for name in measures}
    run = {query: _scores(query, found.get(query, ()), drop_self=drop_self) for query in qrels}
    values = {name: dict.fromkeys(qrels, 0.0) for name in named}
    of = {str(measure): name for name, measure in named.items()}
    judged = {query: dict(documents) for query, documents in qrels.items()}
    for metric in ir_measures.iter_calc(list(named.values()), judged, run):
        values[of[str(metric.measure)]][metric.query_id] = float(metric.value)
    return Relevance(values)


def search_all(
    retriever: Retriever, queries: Mapping[str, str], *, k: int
) -> dict[str, list[Match]]:
    """What a retriever finds for each of these texts, by the query's id."""
    found: dict[str, list[Match]] = {}
    for names in _chunks(list(queries)):
        asked = [Query(queries[name]) for name in names]
        found.update(zip(names, retriever.search(asked, k=k), strict=True))
    return found


def _chunks(items: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(items), _TOGETHER):
        yield items[start : start + _TOGETHER]


def _scores(
    query: str, found: Sequence[Match] | Sequence[str], *, drop_self: bool
) -> dict[str, float]:
    """Scores that fall with the rank and are never equal: trec_eval breaks ties by its own rule."""
    ids = (match.id if isinstance(match, Match) else match for match in found)
    ranked = [key for key in dict.fromkeys(ids) if not (drop_self and key == query)]
    return {key: float(len(ranked) - place) for place, key in enumerate(ranked)}


def _measure(name: str) -> Measure:
    import ir_measures

    try:
        return ir_measures.parse_measure(name)
    except (NameError, ValueError, KeyError, SyntaxError) as error:
        known = ", ".join(MEASURES)
        raise DataError(f"there is no measure {name!r}; such are {known}, P@5") from error
