from __future__ import annotations

import pytest

from harness.references import label_of

from .options import generators


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark a generator."""
    if "generator" in metafunc.fixturenames:
        named = generators(metafunc.config.option)
        metafunc.parametrize("generator", named, ids=map(label_of, named))
