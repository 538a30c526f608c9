"""What is sent to workers and what stays, and how a cluster is shared out; without a cluster."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from harness import Completion, HarnessError, PluginError, Sample, Score, evaluate, scorer
from harness.settings import build_settings
from harness_ray import RaySettings
from harness_ray._parts import Kind, part, shares


@dataclass(frozen=True)
class Mine:
    """A scorer of the notebook."""

    name: str = "mine"

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        return [Score(1.0) for _ in completions]


class Grader:
    """A judge of the notebook."""

    async def judge(self, completion: Completion) -> Score:
        return Score(1.0)


def settings(**given: object) -> RaySettings:
    made = build_settings("ray", RaySettings, given)
    assert isinstance(made, RaySettings)
    return made


@pytest.mark.parametrize(
    ("reference", "kind", "sent"),
    [
        ("recorded:field=answer", "generator", True),
        ("openai:model=m", "generator", False),
        ("anthropic:model=m", "generator", False),
        ("match:mode=f1", "scorer", True),
        ("exact=match", "scorer", True),
        ("openai:model=m", "scorer", False),
        ('panel:of=["a","b","c"]', "scorer", False),
    ],
)
def test_what_asks_a_service_stays_and_nothing_is_built(
    reference: str, kind: Kind, sent: bool
) -> None:
    assert part(reference, kind, ()).sent is sent


def test_what_is_named_stays() -> None:
    assert not part("exact=match", "scorer", ["exact"]).sent
    assert not part("exact=match", "scorer", ["match"]).sent
    assert not part(Mine(), "scorer", ["mine"]).sent
    assert not part(Grader(), "scorer", ()).sent


def test_a_scorer_that_was_built_is_sent_by_its_reference() -> None:
    built = scorer("exact=match:mode=f1")
    found = part(built, "scorer", ())
    assert (found.sent, found.label, found.reference) == (True, "exact", "match:mode=f1")
    assert found.expected == built.description


def test_an_object_is_refused_by_name_with_the_remedy() -> None:
    with pytest.raises(HarnessError, match=r"mine is an object of this process.*ray:driver=mine"):
        evaluate([Sample("a", "b")], generator="recorded", scorers=[Mine()], executor="ray")


@pytest.mark.parametrize(
    ("given", "cluster", "expected"),
    [
        ({}, (2, 0), [(1, 1.0, 0), (1, 1.0, 0)]),
        ({}, (16, 0), [(8, 1.0, 0), (8, 1.0, 0)]),
        ({}, (1, 0), [(1, 0.5, 0), (1, 0.5, 0)]),
        ({"workers": "3"}, (2, 0), [(3, 1.0, 0), (3, 1.0, 0)]),
        ({"workers": ["match=2"]}, (8, 0), [(6, 1.0, 0), (2, 1.0, 0)]),
        ({"gpus": ["recorded=1"]}, (16, 4), [(4, 1.0, 1), (8, 1.0, 0)]),
        ({"gpus": ["recorded=0.5"], "cpus": "2"}, (8, 1), [(2, 2.0, 0.5), (2, 2.0, 0)]),
        ({"cpus": ["match=0"]}, (4, 0), [(4, 1.0, 0), (4, 0.0, 0)]),
    ],
)
def test_as_many_workers_as_fit(
    given: dict[str, object],
    cluster: tuple[float, float],
    expected: list[tuple[int, float, float]],
) -> None:
    parts = [part("recorded:field=answer", "generator", ()), part("match", "scorer", ())]
    has = dict(zip(("CPU", "GPU"), cluster, strict=True))
    assert shares(parts, settings(**given), has) == expected


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"workers": "0"}, "workers has '0'"),
        ({"workers": "1.5"}, "workers has '1.5'"),
        ({"gpus": "1.5"}, "gpus has '1.5'"),
        ({"gpus": "gpt2=x"}, "gpus has 'gpt2=x'"),
        ({"cpus": "nan"}, "cpus has 'nan'"),
        ({"in_flight": 0}, "in_flight is 0; it must be at least 1"),
        ({"retries": -1}, "retries is -1"),
    ],
)
def test_settings_that_cannot_be_meant(given: dict[str, object], told: str) -> None:
    with pytest.raises(PluginError, match=r"^ray: ") as caught:
        settings(**given)
    assert told in str(caught.value)


@pytest.mark.parametrize("key", ["workers", "cpus", "gpus", "driver"])
def test_a_setting_for_no_component_is_refused(key: str) -> None:
    value = "mtach" if key == "driver" else "mtach=1"
    with pytest.raises(HarnessError, match=rf"ray: {key} names 'mtach'; this run has: match$"):
        shares([part("match", "scorer", ())], settings(**{key: value}), {"CPU": 2.0, "GPU": 0.0})


def test_a_cluster_that_is_not_there_is_told_at_once() -> None:
    pytest.importorskip("ray")
    from harness_ray._cluster import knock

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        knock(f"127.0.0.1:{port}")
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}", "127.0.0.1:99999"):
        with pytest.raises(HarnessError, match=rf"ray: nothing answers at {address}: "):
            knock(address)
    knock("auto")
