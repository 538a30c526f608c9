"""A judge as the reward of PPO, over a service with faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import harness
from harness import Sample
from harness.store import Store
from harness.testing.faults import Faults, FaultServer

from .test_gpt2 import PROMPTS, save
from .test_ppo import ppo

SAMPLES = [Sample(str(i), prompt, ("the bread",)) for i, prompt in enumerate(PROMPTS * 4)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("gpt2", tmp_path_factory.mktemp("judged") / "start", eos_token="<eos>")


def judge(server: FaultServer) -> str:
    return f'verdict=openai:model=small,base_url="{server.openai_url}",served_as=test,timeout_s=5'


def test_two_batches_are_trained_on_a_judge_that_fails_now_and_then(
    fault_server: Callable[..., FaultServer], model: Path, tmp_path: Path
) -> None:
    server = fault_server(
        Faults(rate_limit_ms=0.1, server_error=0.1, wrong_type=0.1, refusal=0.2),
        retry_after=0.01,
        latency=0.05,
    )
    with Store(tmp_path / "store.db") as store:
        result = train(model, tmp_path / "a", server, store)
        steps = store.trainings.steps(store.trainings.all()[0].id)
        asked = len(server.ledger.requests)
        assert len(steps) == 2
        for step in steps:
            scored, unscored = step.metrics["scored/verdict"], step.metrics["unscored/verdict"]
            assert scored + unscored == 8
            assert 0 <= step.metrics["score/verdict"] <= 1
        assert sum(step.metrics["unscored/verdict"] for step in steps) > 0
        assert server.ledger.max_in_flight > 1

        # The same training again reads every reply from the store, and ends at the same weights.
        again = train(model, tmp_path / "b", server, store)
        repeated = [r for r in server.ledger.requests[asked:] if r.usage is not None]
        assert repeated == []
    first, second = (load_file(r.model / "model.safetensors") for r in (result, again))
    start = load_file(model / "model.safetensors")
    assert any(not torch.equal(first[name], start[name]) for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(value.isfinite().all() for value in first.values())


def train(model: Path, output: Path, server: FaultServer, store: Store) -> harness.TrainingResult:
    return harness.train(
        SAMPLES, trainer=ppo(model), scorers=[judge(server)], output=output, store=store
    )
