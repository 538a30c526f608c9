from __future__ import annotations

import pytest

from harness.references import parse

from .options import generators


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark a generator."""
    if "generator" in metafunc.fixturenames:
        named = generators(metafunc.config.option)
        metafunc.parametrize("generator", named, ids=[parse(g).label for g in named])
