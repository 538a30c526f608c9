"""The retriever `local`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import harness_index
from harness import Datapoint, HarnessError, Match, PluginError, Query, Restrict, retriever
from harness.indexing import IndexSpec, ManagedIndex, Work
from harness.vectors import Problem, VectorError, VectorIndex, VectorSettings
from harness_index import LocalSettings
from harness_index._local import LocalIndex

POINTS = [
    Datapoint("east", [1.0, 0.0], restricts=(Restrict("side", ("right",)),), crowding_tag="x"),
    Datapoint("north", [0.0, 1.0], text="up", crowding_tag="x"),
    Datapoint("west", [-1.0, 0.0], metadata={"n": 1}),
]


def index(folder: Path, **settings: object) -> LocalIndex:
    return harness_index.build(LocalSettings(str(folder), **settings))  # type: ignore[arg-type]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[LocalIndex]:
    found = index(tmp_path / "ix")
    found.create(IndexSpec(2))
    found.upsert(POINTS)
    yield found
    found.close()


def ids(matches: list[Match]) -> list[str]:
    return [match.id for match in matches]


def test_it_is_an_index_that_can_be_made_by_its_reference(tmp_path: Path) -> None:
    found = retriever(f"local:path={tmp_path / 'ix'}")
    assert isinstance(found, ManagedIndex)


def test_what_was_written_is_found_and_read(made: LocalIndex) -> None:
    (found,) = made.search([Query(vector=[0.9, 0.1])], k=2)
    assert ids(found) == ["east", "north"]
    assert found[1].text == "up"
    (found,) = made.search([Query(vector=[0.9, 0.1], crowding_limit=1)], k=2)
    assert ids(found) == ["east", "west"]
    assert [point.id for point in made.read(["west", "gone", "east"])] == ["west", "east"]
    made.remove(["east", "gone"])
    assert made.describe().count == 2


def test_another_object_sees_what_was_written(made: LocalIndex, tmp_path: Path) -> None:
    other = index(tmp_path / "ix")  # reads while the first may write
    assert other.describe().count == 3
    with pytest.raises(VectorError) as caught:
        other.upsert(POINTS[:1])
    assert caught.value.problem is Problem.LOCKED
    made.withdraw()
    other.upsert([Datapoint("new", [1.0, 1.0])])
    assert other.describe().count == 4
    other.close()
    assert made.describe().count == 4


def test_a_folder_without_an_index_is_said_with_the_remedy(tmp_path: Path) -> None:
    found = index(tmp_path / "none")
    with pytest.raises(HarnessError, match="harness index create local:path="):
        found.search([Query(vector=[1.0])], k=1)
    assert not (tmp_path / "none").exists()


def test_making_it_again_leaves_what_is_there(made: LocalIndex) -> None:
    told: list[Work] = []
    made.create(IndexSpec(2), report=told.append)
    assert [work.state for work in told] == ["there"]
    assert made.describe().count == 3
    with pytest.raises(HarnessError, match=r"dimensions=2, not 3.*delete it first"):
        made.create(IndexSpec(3))


def test_what_is_deleted_leaves_no_folder_and_is_no_error_twice(
    made: LocalIndex, tmp_path: Path
) -> None:
    told: list[Work] = []
    made.delete(report=told.append)
    assert not (tmp_path / "ix").exists()
    made.delete(report=told.append)
    assert [work.state for work in told] == ["done", "there"]


def test_files_are_taken_in_beside_or_in_place_of_what_is_there(
    made: LocalIndex, tmp_path: Path
) -> None:
    file = tmp_path / "points.jsonl"
    rows = [{"id": "east", "embedding": [2, 0]}, {"id": "south", "embedding": [0, -1]}]
    file.write_text("\n".join(map(json.dumps, rows)))
    made.update(str(file))
    assert made.describe().count == 4
    made.update(str(file), overwrite=True)
    assert made.describe().count == 2
    assert made.read(["east"])[0].vector == (2.0, 0.0)


def test_indexes_beside_it_are_listed(made: LocalIndex, tmp_path: Path) -> None:
    other = index(tmp_path / "other")
    other.create(IndexSpec(2))
    other.close()
    (tmp_path / "no-index").mkdir()
    assert made.listed() == [str(tmp_path / "ix"), str(tmp_path / "other")]


def test_knobs_reach_queries_that_do_not_say_it_themselves(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((3000, 16)).astype(np.float32)
    with VectorIndex(
        VectorSettings(16, exact_below=100, leaf_size=50), folder=tmp_path / "ix"
    ) as own:
        own.load([str(n) for n in range(3000)], vectors)
        own.prepare()
    queries = [Query(vector=vector) for vector in vectors[:40]]
    true = index(tmp_path / "ix", exact=True).search(queries, k=10)

    def missed(**settings: object) -> int:
        found = index(tmp_path / "ix", **settings).search(queries, k=10)
        return sum(len(set(ids(a)) - set(ids(b))) for a, b in zip(true, found, strict=True))

    if own.settings.engine == "auto" and not missed(leaves_fraction=0.02):
        pytest.skip("ScaNN is not installed")
    assert missed(leaves_fraction=0.02) > missed(leaves_fraction=1.0, approximate_count=3000) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("path=", "path is empty"),
        ("path=x,leaves_fraction=0", "leaves_fraction is 0.0"),
        ("path=x,approximate_count=0", "approximate_count is 0"),
        ("path=x,fraction=1", "no setting 'fraction'"),
    ],
)
def test_settings_that_cannot_be_meant(settings: str, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        retriever(f"local:{settings}")


def test_a_digest_is_of_what_is_held(made: LocalIndex, tmp_path: Path) -> None:
    other = index(tmp_path / "other")
    other.create(IndexSpec(2))
    other.upsert(POINTS[::-1])
    held = other.digest()
    other.remove(["west"])
    assert held == made.digest() != other.digest()
    other.close()


def test_neither_vector_nor_text(made: LocalIndex) -> None:
    with pytest.raises(
        VectorError, match=r"datapoint 1 \(id 'b'\): .* neither a vector nor a text"
    ):
        made.upsert([Datapoint("a", [1.0, 1.0]), Datapoint("b")])
    with pytest.raises(VectorError, match="query 0: there is neither"):
        made.search([Query()], k=1)


# Texts


@pytest.fixture
def texts(tmp_path: Path, minilm: str) -> Iterator[ManagedIndex]:
    found = index(tmp_path / "texts")
    found.create(IndexSpec(384))
    found.upsert(
        [
            Datapoint("cook", text="How long must an egg boil?"),
            Datapoint("tax", text="By which day are taxes due?"),
        ]
    )
    yield found
    found.close()


def test_texts_are_found_by_what_they_mean(texts: ManagedIndex) -> None:
    found = texts.search([Query("breakfast recipes"), Query("money for the state")], k=1)
    assert [(m[0].id, m[0].text) for m in found] == [
        ("cook", "How long must an egg boil?"),
        ("tax", "By which day are taxes due?"),
    ]


def test_the_index_remembers_its_encoder(
    texts: ManagedIndex, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, minilm: str
) -> None:
    import shutil

    assert texts.describe().details["encoder"] == "minilm"
    other = tmp_path_factory.mktemp("model") / "other"
    shutil.copytree(minilm, other)
    (other / "sentence_bert_config.json").write_text('{"max_seq_length": 32}')
    found = index(tmp_path / "texts", encoder=str(other))
    with pytest.raises(HarnessError, match=r"were encoded by minilm, and .* is another model"):
        found.search([Query("egg")], k=1)


def test_an_encoder_must_fit_the_index(made: LocalIndex, minilm: str) -> None:
    with pytest.raises(HarnessError, match=r"minilm makes vectors of 384 dimensions and .* has 2"):
        made.search([Query("egg")], k=1)


def test_neither_grpc_nor_google_is_imported(tmp_path: Path) -> None:
    code = f"""
import sys
before = set(sys.modules)
import harness_index
from harness import Datapoint, Query
from harness.indexing import IndexSpec
index = harness_index.build(harness_index.LocalSettings({str(tmp_path / "ix")!r}))
index.create(IndexSpec(2))
index.upsert([Datapoint("a", [1.0, 0.0])])
assert index.search([Query(vector=[1.0, 0.0])], k=1)[0][0].id == "a"
new = set(sys.modules) - before
print([name for name in new if name.split(".")[0] in ("google", "grpc", "torch")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
