from __future__ import annotations

from contextlib import ExitStack
from itertools import count

from harness.calls.clients import Clients


def test_one_client_serves_whoever_asks_one_after_the_other() -> None:
    clients = Clients(count().__next__)
    for _ in range(100):
        with clients.one() as client:
            assert client == 0


def test_many_calls_at_once_have_several_and_the_first_ones_are_filled_again() -> None:
    clients = Clients(count().__next__)
    with ExitStack() as calls:
        lent = [calls.enter_context(clients.one()) for _ in range(64)]
    assert [lent.count(client) for client in range(5)] == [16, 16, 16, 16, 0]
    with clients.one() as client:
        assert client == 0


def test_what_is_taken_to_be_closed_is_not_lent_again() -> None:
    clients = Clients(count().__next__)
    with clients.one():
        assert clients.taken() == [0]
    with clients.one() as client:
        assert client == 1
    assert clients.taken() == [1]
