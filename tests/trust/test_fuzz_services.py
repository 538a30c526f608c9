"""Fuzzed addresses and requests: no page breaks, no call hangs, no index is hurt"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.trust import fuzz_rows as rows
from tests.trust import fuzz_services as services
from tests.trust.fuzz_pages import Pages
from tests.trust.fuzz_store import full_store
from tests.trust.fuzzing import fuzz
from tests.trust.trial import Trial


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Service]:
    with ExitStack() as parts:
        yield services.Service(parts, tmp_path_factory.mktemp("bucket"))


def test_pages(trial: Trial, tmp_path: Path) -> None:
    trial("addresses of the viewer's pages")
    pages = Pages(full_store(tmp_path / "full.db"))
    with pages.serving():
        fuzz(trial, 450, pages.addresses(), pages.survives)


def test_bytes(trial: Trial, service: services.Service) -> None:
    trial("bytes sent to every method of the emulator of Vertex AI")
    fuzz(trial, 500, services.any_bytes(), service.survives)
    service.unhurt()


def test_requests(trial: Trial, service: services.Service) -> None:
    trial("requests to every method of the emulator, made by their types")
    fuzz(trial, 1000, service.requests(), service.survives)
    service.unhurt()


def test_rows(trial: Trial) -> None:
    trial("files that the emulator builds an index from (JSON, CSV, Avro)")
    fuzz(trial, 650, rows.ROWS, rows.load)
