"""What an index imports: nothing heavy before there is one, and never the cloud's libraries."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from harness.vectors.blas import one_thread

USE = """
from harness.components import *
index = VectorIndex(VectorSettings(2))
index.upsert([Datapoint("a", (1, 2))])
index.search([Query(vector=(1, 2))], k=1)
"""


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("", ("numpy", "scipy", "scann", "google", "grpc", "threadpoolctl")),
        (USE, ("scann", "google", "grpc", "scipy", "pandas", "sqlalchemy", "rich")),
    ],
    ids=["import", "use"],
)
def test_imports(code: str, unwanted: tuple[str, ...]) -> None:
    probe = f"""
import json, sys
before = set(sys.modules)
from harness.vectors import *
{code}
new = set(sys.modules) - before
print(json.dumps([name for name in new if name.partition(".")[0] in {unwanted}]))
"""
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_the_threads_of_the_blas_are_given_back() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")  # whose BLAS it is

    def threads() -> set[int]:
        found = threadpoolctl.threadpool_info()
        return {library["num_threads"] for library in found if library["user_api"] == "blas"}

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        with one_thread():
            with one_thread():
                assert threads() == {1}
            assert threads() == {1}
        assert threads() == {2}
