"""What must hold of an index by its construction, whatever the machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

from harness.data.plain import plain
from harness.retrieval import figures, recall
from harness.store.measurements import MeasurementRecord
from harness.vectors import VectorIndex, VectorSettings

from . import fidelity
from .vectors import SHARES, Data, clustered, glove, query

Tell = Callable[[str], None]


@pytest.fixture(scope="module")
def data(pytestconfig: pytest.Config) -> Data:
    rows = pytestconfig.getoption("retrieval_rows", None)
    if pytestconfig.getoption("retrieval_data", "clustered") == "glove":
        return glove(rows)
    return clustered(rows or 6000)


@pytest.fixture(scope="module")
def exact(data: Data) -> VectorIndex:
    return fidelity.truth(data.datapoints())


@pytest.fixture(scope="module")
def index(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VectorIndex]:
    """An approximate index, where ScaNN is installed."""
    folder: Path = tmp_path_factory.mktemp("retrieval") / "index"
    settings = VectorSettings(data.vectors.shape[1], exact_below=2000, leaf_size=100)
    with VectorIndex(settings, folder=folder) as index:
        fidelity.fill(index, data.datapoints())
        index.prepare()
        yield index


def bench_exact_search_is_exact(data: Data, exact: VectorIndex) -> None:
    """The truth that all else is compared with agrees with a product of matrices."""
    queries = data.queries[:50]
    order = np.argsort(-(queries @ data.vectors.T), axis=1, kind="stable")[:, :10]
    found = exact.search([query(vector) for vector in queries], k=10)
    assert [[match.id for match in matches] for matches in found] == [
        [f"v{place}" for place in row] for row in order.tolist()
    ]


def bench_filters_cost_no_recall(
    data: Data, exact: VectorIndex, index: VectorIndex, tell: Tell
) -> None:
    """Of what passes a narrow filter everything is found; of what passes a wide one, most."""
    found = fidelity.levels(index, exact, data)
    fidelity.table(found, tell)
    assert [level.share for level in found] == list(SHARES)
    for level in found:
        narrow = SHARES[level.share] <= 0.01
        assert level.recall[10] >= (1.0 if narrow else 0.8), level


def bench_all_leaves_find_all(
    data: Data, exact: VectorIndex, index: VectorIndex, tell: Tell
) -> None:
    """A query that looks at every leaf and ranks most candidates exactly misses next to nothing."""
    from dataclasses import replace

    queries = [replace(query(v, fraction=1.0), approximate_count=1000) for v in data.queries]
    true = exact.search([query(vector) for vector in data.queries], k=10)
    reached = fmean(recall(index.search(queries, k=10), true, k=10))
    tell(f"all leaves, 1,000 candidates: recall@10 {reached:.4f}")
    assert reached >= 0.999


def bench_more_leaves_find_more(
    data: Data, exact: VectorIndex, index: VectorIndex, tell: Tell
) -> None:
    """A recall that is asked for can be had, and a higher one takes no fewer leaves."""
    speeds = [fidelity.at_recall(index, exact, data, wanted) for wanted in (0.8, 0.9, 0.95)]
    for speed in speeds:
        tell(f"{speed}")
    fractions = [speed.leaves_fraction or 9.0 for speed in speeds]
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1


def bench_recall_against_latency(
    data: Data,
    exact: VectorIndex,
    index: VectorIndex,
    tell: Tell,
    record_measurement: Callable[..., MeasurementRecord],
) -> None:
    """What recall costs is recorded; with all leaves no less is found than with few."""
    points = fidelity.curve(index, exact, data)
    config = {"data": data.name, "index": asdict(index.describe())}
    kept = record_measurement("retrieval", config=plain(config), figures=figures(points))
    tell(f"recall and latency of {len(points)} settings: harness show {kept.id}")
    half = len(fidelity.FRACTIONS)
    for some in (points[:half], points[half:]):
        assert some[-1].recall >= some[0].recall


def bench_writes_are_seen_at_once(data: Data, index: VectorIndex, tell: Tell) -> None:
    """The first search after an upsert finds it."""
    lag = fidelity.freshness(index, data)
    tell(f"{lag}")
    assert not lag.unseen
    assert index.read(["freshness-0"]) == []


def bench_churn_costs_no_recall(
    data: Data, exact: VectorIndex, index: VectorIndex, tell: Tell
) -> None:
    """After a fifth was replaced, as much is found as before, and nothing that was removed."""
    change = fidelity.churn(index, exact, data)
    tell(f"{change}")
    assert change.ghosts == 0
    assert change.after >= change.before - 0.03
