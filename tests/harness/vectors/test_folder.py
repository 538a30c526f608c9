"""The folder of an index: it outlives its process, and what cannot be trusted is not used."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.datapoints import Datapoint, NumericRestrict, Query, Restrict
from harness.vectors import Problem, VectorError, VectorIndex, VectorSettings
from harness.vectors._table import Table

SETTINGS = VectorSettings(3, "squared_l2")


def point(name: str, *vector: float) -> Datapoint:
    return Datapoint(
        name,
        vector,
        text=f"Täxt {name}",
        restricts=(Restrict("n", ("a", name), ("z",)),),
        numeric_restricts=(NumericRestrict("i", 2**53 + 1), NumericRestrict("f", 0.1)),
        crowding_tag=name[:1],
        metadata={"key": [1, None, {"deep": "ü"}]},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An index of three writes: a and b; c; b removed."""
    folder = tmp_path / "index"
    with VectorIndex(SETTINGS, folder=folder) as index:
        index.upsert([point("a", 1, 2, 3), point("b", 4, 5, 6)])
        index.upsert([point("c", 7, 8, 9)])
        index.remove(["b"])
    return folder


def problem_of(call: Callable[[], object]) -> Problem:
    with pytest.raises(VectorError) as caught:
        call()
    return caught.value.problem


def ids_in(folder: Path) -> list[str]:
    with VectorIndex(folder=folder) as index:
        return index.ids()


def test_everything_is_there_again(folder: Path) -> None:
    with VectorIndex(folder=folder) as index:
        assert index.settings == SETTINGS
        assert index.read(["a", "b", "c"]) == [point("a", 1, 2, 3), point("c", 7, 8, 9)]
        query = Query(vector=(7, 8, 9), restricts=(Restrict("n", ("a",)),))
        [[near, far]] = index.search([query], k=9)
        assert (near.id, near.distance, far.id, far.distance) == ("c", 0.0, "a", 108.0)
        index.upsert([point("d", 0, 0, 0)])
    assert ids_in(folder) == ["a", "c", "d"]


@pytest.mark.parametrize("sync", [False, True])
def test_compacting_keeps_the_living_and_the_order(folder: Path, sync: bool) -> None:
    with VectorIndex(VectorSettings(3, "squared_l2", sync=sync), folder=folder) as index:
        index.upsert([point("a", 0, 0, 1)])
        before = index.read(["a", "c"]), index.ids(), index.digest()
        size = sum(path.stat().st_size for path in folder.iterdir())
        index.compact()
        assert (index.read(["a", "c"]), index.ids(), index.digest()) == before
        assert index.describe().details["dead_rows"] == 0
        assert sum(path.stat().st_size for path in folder.iterdir()) < size
        index.upsert([point("e", 1, 1, 1)])
    assert ids_in(folder) == ["c", "a", "e"]
    assert {path.name for path in folder.iterdir()} == {
        "index.json", "lock", "vectors-1.f32", "log-1.bin",
    }  # fmt: skip


def test_an_index_of_which_all_was_removed_compacts_to_nothing(folder: Path) -> None:
    with VectorIndex(folder=folder) as index:
        index.remove(["a", "c"])
        index.compact()
        assert index.search([Query(vector=(1, 2, 3))], k=1) == [[]]
    assert ids_in(folder) == []


def test_a_cut_off_end_loses_only_the_write_that_did_not_return(folder: Path) -> None:
    log = folder / "log-0.bin"
    whole = log.read_bytes()
    ends = [end for end in range(len(whole)) if whole[end : end + 4] == b"VLOG"] + [len(whole)]
    states: list[list[str]] = [[], ["a", "b"], ["a", "b", "c"], ["a", "c"]]
    for cut in [*range(0, len(whole) - 1, 7), len(whole) - 1]:
        log.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends) - 1
        with VectorIndex(folder=folder, readonly=True) as index:
            assert index.ids() == states[complete]
    with VectorIndex(folder=folder) as index:  # the last cut is within the removal
        index.upsert([point("d", 0, 0, 0)])
    assert ids_in(folder) == ["a", "b", "c", "d"]


def test_rows_that_never_reached_the_disk_are_a_cut_off_end_too(folder: Path) -> None:
    with VectorIndex(folder=folder) as index:
        index.upsert([point("d", 1, 1, 1)])
    vectors = folder / "vectors-0.f32"
    whole = vectors.read_bytes()
    vectors.write_bytes(whole[:-12] + bytes(12))
    with VectorIndex(folder=folder, readonly=True) as index:
        assert index.ids() == ["a", "c"]
    vectors.write_bytes(whole[:-1])
    assert ids_in(folder) == ["a", "c"]


def test_damage_before_the_end_is_refused(folder: Path) -> None:
    log, vectors = folder / "log-0.bin", folder / "vectors-0.f32"
    whole, rows = log.read_bytes(), vectors.read_bytes()
    last = whole.rindex(b"VLOG")
    for place in [*range(24), *range(24, last, 13)]:  # all of the first head
        log.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert problem_of(lambda: VectorIndex(folder=folder)) is Problem.DAMAGED
    log.write_bytes(whole)
    vectors.write_bytes(bytes([rows[0] ^ 1]) + rows[1:])
    assert problem_of(lambda: VectorIndex(folder=folder)) is Problem.DAMAGED
    vectors.write_bytes(rows)
    assert ids_in(folder) == ["a", "c"]  # and the lock was given back each time
    (folder / "index.json").write_text("{}")
    assert problem_of(lambda: VectorIndex(folder=folder)) is Problem.DAMAGED


def test_a_compaction_that_was_killed_leaves_nothing(folder: Path) -> None:
    (folder / "vectors-1.f32").write_bytes(b"half")
    (folder / "log-1.bin").write_bytes(b"VLO")
    assert ids_in(folder) == ["a", "c"]
    assert not (folder / "vectors-1.f32").exists()
    assert not (folder / "log-1.bin").exists()


def test_only_one_may_write(folder: Path) -> None:
    with VectorIndex(folder=folder) as index:
        with pytest.raises(VectorError, match="open for writing elsewhere") as caught:
            VectorIndex(folder=folder)
        assert caught.value.problem is Problem.LOCKED
        code = f"from harness.vectors import *; VectorIndex(folder={str(folder)!r})"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "open for writing elsewhere" in other.stderr
        assert problem_of(lambda: VectorIndex.delete(folder)) is Problem.LOCKED
        with VectorIndex(folder=folder, readonly=True) as reader:
            index.upsert([point("d", 1, 1, 1)])
            index.compact()
            assert reader.ids() == ["a", "c"]
            assert reader.read(["c"]) == [point("c", 7, 8, 9)]
            assert problem_of(lambda: reader.upsert([])) is Problem.READ_ONLY
            assert problem_of(reader.compact) is Problem.READ_ONLY
    assert ids_in(folder) == ["a", "c", "d"]


def test_settings_must_be_those_of_the_folder(folder: Path) -> None:
    with pytest.raises(VectorError, match=r"measure='squared_l2' and not 'cosine'") as caught:
        VectorIndex(VectorSettings(3, "cosine"), folder=folder)
    assert caught.value.problem is Problem.SETTINGS
    with VectorIndex(VectorSettings(3, "squared_l2", leaf_size=7), folder=folder):
        pass
    with VectorIndex(folder=folder) as index:
        assert index.settings.leaf_size == 7


def test_where_there_is_no_index(tmp_path: Path, folder: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert problem_of(lambda: VectorIndex(folder=nowhere)) is Problem.MISSING
    assert problem_of(lambda: VectorIndex(SETTINGS, folder=nowhere, readonly=True)) is (
        Problem.MISSING
    )
    assert problem_of(lambda: VectorIndex.delete(tmp_path)) is Problem.MISSING
    assert problem_of(VectorIndex) is Problem.SETTINGS
    assert not nowhere.exists()
    (tmp_path / "file").write_text("")
    assert problem_of(lambda: VectorIndex(SETTINGS, folder=tmp_path / "file")) is Problem.STORAGE
    assert VectorIndex.exists(folder)
    (folder / "note.txt").write_text("mine")
    VectorIndex.delete(folder)
    assert [path.name for path in folder.iterdir()] == ["note.txt"]
    assert not VectorIndex.exists(folder)


WRITER = """
import sys
from harness.components import Datapoint
from harness.vectors import VectorIndex, VectorSettings
with VectorIndex(VectorSettings(3), folder=sys.argv[1]) as index:
    number = 0
    while True:
        index.upsert([Datapoint(f"{number + n}", (number + n, 1, 2)) for n in range(3)])
        print(number + 2, flush=True)
        number += 3
        if number % 300 == 0:
            index.compact()
"""


@pytest.mark.parametrize("lines", [1, 40, 333])
def test_what_was_acknowledged_survives_a_kill(tmp_path: Path, lines: int) -> None:
    folder = tmp_path / "index"
    command = [sys.executable, "-c", WRITER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(lines):
            last = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        acknowledged = [last, *(int(line) for line in writer.stdout if line.endswith("\n"))]
    with VectorIndex(folder=folder) as index:
        own = index.ids()
        assert own == [str(number) for number in range(len(own))]
        assert len(own) % 3 == 0  # a write is there whole or not at all
        assert acknowledged[-1] < len(own)
        assert [found.vector for found in index.read(own)] == [
            (float(number), 1.0, 2.0) for number in range(len(own))
        ]


def test_an_interrupted_write_closes_the_index(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = VectorIndex(folder=folder)

    def interrupted(_: Table) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Table, "measure", interrupted)
        with pytest.raises(KeyboardInterrupt):
            index.upsert([point("d", 1, 1, 1)])
    assert problem_of(index.ids) is Problem.CLOSED
    assert ids_in(folder) == ["a", "c", "d"]


FULL_DISK = """
import resource, signal, sys
from harness.components import Datapoint
from harness.vectors import Problem, VectorError, VectorIndex, VectorSettings
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
settings = VectorSettings(3)
index = VectorIndex(settings, folder=sys.argv[1])
index.upsert([Datapoint("a", (1, 2, 3))])
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    index.upsert([Datapoint(f"{n:0500}", (1, 2, 3)) for n in range(2000)])
except VectorError as error:
    assert error.problem is Problem.STORAGE, error
else:
    raise AssertionError("the disk was not full")
assert index.ids() == ["a"]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
index.upsert([Datapoint("b", (4, 5, 6))])
assert index.ids() == ["a", "b"]
index.close()
"""


@pytest.mark.parametrize("limit", [14_000, 100_000], ids=["vectors", "log"])
def test_a_full_disk_fails_the_write_and_no_more(tmp_path: Path, limit: int) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "index"), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ids_in(tmp_path / "index") == ["a", "b"]


def test_many_rows_come_back_through_the_map(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((5000, 16)).astype(np.float32)
    names = [str(row) for row in range(5000)]
    settings = VectorSettings(16, engine="exact")
    with VectorIndex(settings, folder=tmp_path / "i") as index:
        for start in range(0, 5000, 700):
            index.load(names[start : start + 700], vectors[start : start + 700])
        found = index.nearest(vectors[:20], k=5)
    with VectorIndex(folder=tmp_path / "i") as index:
        again = index.nearest(vectors[:20], k=5)
    assert again[0] == found[0]
    np.testing.assert_array_equal(again[1], found[1])
