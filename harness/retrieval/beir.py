"""Data sets in the form of BEIR: passages, queries, and which passage answers which query.

folder/corpus.jsonl      {"_id": "d1", "title": "Bridges", "text": "A flood took two arches."}
folder/queries.jsonl     {"_id": "q1", "text": "Why was the bridge closed?"}
folder/qrels/test.tsv    query-id, corpus-id, score: tabs between them, one header line
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.datapoints import Datapoint
from harness.errors import DataError

if TYPE_CHECKING:
    from harness.data.rows import Row

_QRELS = ("query-id", "corpus-id", "score")


@dataclass(frozen=True, slots=True)
class BeirData:
    """Passages and queries by id, and for each judged query the passages' relevance, from 0."""

    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    qrels: Mapping[str, Mapping[str, int]]

    def datapoints(self) -> list[Datapoint]:
        """The passages, for an index that has an encoder."""
        return [Datapoint(key, text=text) for key, text in self.corpus.items()]

    def judged(self) -> dict[str, str]:
        """The queries that have judgements."""
        return {query: self.queries[query] for query in self.qrels}


def read_beir(folder: str | Path, split: str = "test") -> BeirData:
    """Read a data set; a passage is its title and its text, with a space between.

    Judgements of passages that the corpus lacks are kept, as trec_eval keeps them.

    Raises:
        DataError: naming the file and row, for what is missing or twice, and for a judgement of a
            query that there is not.
    """
    folder = Path(folder)
    corpus = dict(_texts(folder / "corpus.jsonl", titled=True))
    queries = dict(_texts(folder / "queries.jsonl", titled=False))
    qrels = _judgements(folder / "qrels" / f"{split}.tsv", queries)
    return BeirData(corpus, queries, qrels)


def write_beir(data: BeirData, folder: str | Path, split: str = "test") -> None:
    """Write a data set into a folder, made if need be; raises DataError if it cannot be."""
    from harness.data.tables import write_table

    folder = Path(folder)
    try:
        (folder / "qrels").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be made: {error.strerror or error}") from error
    for name, texts in (("corpus", data.corpus), ("queries", data.queries)):
        rows = ({"_id": key, "text": text} for key, text in texts.items())
        write_table(folder / f"{name}.jsonl", rows, ("_id", "text"))
    judged = (
        dict(zip(_QRELS, (query, key, score), strict=True))
        for query, documents in data.qrels.items()
        for key, score in documents.items()
    )
    write_table(folder / "qrels" / f"{split}.tsv", judged, _QRELS)


def _texts(path: Path, *, titled: bool) -> Iterator[tuple[str, str]]:
    from harness.data.samples import required
    from harness.data.tables import read_table

    seen: dict[str, int] = {}
    for row in read_table(path):
        key = required(row, "_id")
        if seen.setdefault(key, row.number) != row.number:
            raise DataError(f"{row.where}: the id {key!r} is that of row {seen[key]} already")
        yield key, _text(row, titled=titled)


def _text(row: Row, *, titled: bool) -> str:
    from harness.data.samples import no_column, text_in

    if "text" not in row.values:
        raise DataError(f"{row.where}: {no_column('text', row.values)}")
    text = text_in(row, "text", row.values["text"]) or ""
    title = text_in(row, "title", row.values.get("title")) if titled else None
    return f"{title} {text}".strip() if title else text


def _judgements(path: Path, queries: Mapping[str, str]) -> dict[str, dict[str, int]]:
    from harness.data.samples import required
    from harness.data.tables import read_table

    found: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for row in read_table(path):
        query, document, score = (required(row, column) for column in _QRELS)
        if query not in queries:
            raise DataError(f"{row.where}: there is no query {query!r} in queries.jsonl")
        try:
            found[query][document] = int(score)
        except ValueError:
            raise DataError(f"{row.where}: the score {score!r} is no whole number") from None
    return dict(found)
