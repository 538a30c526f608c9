from __future__ import annotations

import pytest

from harness.calls.addresses import is_loopback


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/v1", "http://127.0.0.9", "http://[::1]:1", "http://localhost:3"]
)
def test_this_machine_is_known(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url", ["https://api.example.com/v1", "http://10.0.0.1", "http://localhost.example.com", ""]
)
def test_others_are_not(url: str) -> None:
    assert not is_loopback(url)
