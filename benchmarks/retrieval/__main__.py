"""Measure an index in full, or write the questions as a data set in BEIR's form.

python -m benchmarks.retrieval fidelity                         # 20,000 clustered vectors
python -m benchmarks.retrieval fidelity --data glove            # 399,000 word vectors
python -m benchmarks.retrieval fidelity --index vertex:address=127.0.0.1:8085,index=probe
python -m benchmarks.retrieval relevance --queries 731
python -m benchmarks.retrieval beir FOLDER
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from harness import HarnessError, Index, retriever
from harness.data.plain import plain
from harness.retrieval import Point, figures, write_beir
from harness.store import Store
from harness.store.measurements import measured
from harness.vectors import VectorIndex, VectorSettings

from . import fidelity, relevance
from .documents import stdlib_docs
from .vectors import Data, clustered, glove

_RECALLS = (0.9, 0.95, 0.99)


def main() -> None:
    """Do what the command line says."""
    options = _options()
    try:
        options.run(options)
    except HarnessError as error:
        raise SystemExit(f"error: {error}") from None


def measure_fidelity(options: argparse.Namespace) -> None:
    """Print the figures of one index, and write them to a file if asked."""
    data = glove(options.rows) if options.data == "glove" else clustered(options.rows or 20_000)
    points = data.datapoints()
    exact = fidelity.truth(points)
    print(f"{data.name}, {len(data.queries)} queries")
    with _index(options.index, data) as index:
        fidelity.fill(index, points)
        found = fidelity.levels(index, exact, data)
        fidelity.table(found)
        speeds = [fidelity.at_recall(index, exact, data, wanted) for wanted in _RECALLS]
        for speed in speeds:
            print(speed)
        curve = fidelity.curve(index, exact, data)
        lag = fidelity.freshness(index, data)
        change = fidelity.churn(index, exact, data)
        print(lag, change, sep="\n")
        described = asdict(index.describe())
    if options.store:
        _record(data, described, curve, options.store)
    if options.json:
        kept = {"levels": found, "curve": curve, "at_recall": speeds, "freshness": lag}
        told = {"index": described, "data": data.name, **kept, "churn": change}
        options.json.write_text(json.dumps(told, default=asdict, indent=1), "utf-8")


def _record(data: Data, index: object, curve: Sequence[Point], store: str) -> None:
    config = {"data": data.name, "index": plain(index)}
    record = measured(data.name, "retrieval", config=config, figures=figures(curve))
    with Store(store) as opened:
        opened.measurements.add(record)
    print(f"recall and latency: harness show {record.id} --store {store}")


@contextmanager
def _index(reference: str | None, data: Data) -> Iterator[Index | VectorIndex]:
    """The index that a reference names, which must be empty; or one in a folder that goes."""
    if reference is None:
        with tempfile.TemporaryDirectory() as folder:
            settings = VectorSettings(data.vectors.shape[1], exact_below=5000)
            with VectorIndex(settings, folder=Path(folder) / "index") as index:
                yield index
        return
    found = retriever(reference)
    if not isinstance(found, Index):
        raise HarnessError(f"{reference} cannot be written to")
    if found.describe().count:
        raise HarnessError(f"{reference} holds datapoints; give an empty index to measure")
    yield found


def measure_relevance(options: argparse.Namespace) -> None:
    """Print the figures of the encoder and of the baseline."""
    data = stdlib_docs(options.queries, options.passages)
    print(f"{len(data.queries)} questions, {len(data.corpus)} passages")
    relevance.table(relevance.compare(data, options.encoder))


def write(options: argparse.Namespace) -> None:
    """Write the data set."""
    write_beir(stdlib_docs(options.queries, options.passages), options.folder)
    print(f"wrote {options.folder}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.retrieval",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="WHAT")

    def command(name: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=(run.__doc__ or "").rstrip("."))
        found.set_defaults(run=run)
        return found

    one = command("fidelity", measure_fidelity)
    one.add_argument("--data", choices=("clustered", "glove"), default="clustered")
    one.add_argument("--rows", type=int, metavar="N", help="20000 clustered ones, all of glove")
    one.add_argument("--index", metavar="REF", help="an empty index (one of our own)")
    one.add_argument("--store", metavar="URL", help="record recall and latency in this store")
    one.add_argument("--json", type=Path, metavar="FILE", help="keep every figure")
    other = command("relevance", measure_relevance)
    other.add_argument("--encoder", default="minilm", metavar="NAME")
    files = command("beir", write)
    files.add_argument("folder", type=Path)
    for some in (other, files):
        some.add_argument("--queries", type=int, metavar="N", help="only the first N")
        some.add_argument("--passages", type=int, metavar="N", help="only the first N")
    return parser.parse_args()


if __name__ == "__main__":
    main()
