"""One whole batch of PPO equals TRL 0.11.4's `step()`, as `data/ppo/record.py` recorded it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from harness_gpt2.ppo._experience import Experience, padded
from harness_gpt2.ppo._group import Group
from harness_gpt2.ppo._losses import KlControl, gae, whiten
from harness_gpt2.ppo._policy import Policy, Sequences
from harness_gpt2.ppo._update import Updater
from harness_gpt2.ppo.settings import PpoSettings

FOLDER = Path(__file__).parent / "data" / "ppo"
CASES = ("plain", "clipped")


class Golden(NamedTuple):
    tensors: dict[str, Tensor]
    facts: dict[str, Any]
    config: GPT2Config

    def rows(self, name: str, lengths: str = "response") -> list[list[float]]:
        sizes = self.tensors[f"{lengths}_lengths"].tolist()
        return [part.tolist() for part in torch.split(self.tensors[name], sizes)]

    def batch(self) -> Sequences:
        return Sequences(
            [[int(t) for t in row] for row in self.rows("queries", "query")],
            [[int(t) for t in row] for row in self.rows("responses")],
        )

    def policy(self, which: str = "initial") -> Policy:
        model = GPT2LMHeadModel(self.config).train(False)
        model.load_state_dict(self.under(f"{which}/"), strict=False)
        policy = Policy(model)
        policy.value_head.load_state_dict(self.under("initial/value."))
        return policy

    def under(self, prefix: str) -> dict[str, Tensor]:
        named = self.tensors.items()
        return {key.removeprefix(prefix): t for key, t in named if key.startswith(prefix)}


@pytest.fixture(scope="module")
def golden() -> Golden:
    facts = json.loads((FOLDER / "golden.json").read_text())
    return Golden(load_file(FOLDER / "golden.safetensors"), facts, GPT2Config(**facts["model"]))


def test_log_probabilities_and_values_are_those_of_trl(golden: Golden) -> None:
    with torch.no_grad():
        ours = golden.policy()(golden.batch())
        reference = golden.policy("reference")(golden.batch())
    assert torch.allclose(ours.logprobs, golden.tensors["plain/logprobs"], atol=1e-5)
    assert torch.allclose(ours.values, golden.tensors["plain/values"], atol=1e-5)
    assert torch.allclose(reference.logprobs, golden.tensors["plain/ref_logprobs"], atol=1e-5)


def known(golden: Golden, case: str) -> Experience:
    rows = {n: padded(golden.rows(f"{case}/{n}")) for n in ("logprobs", "ref_logprobs", "values")}
    mask = padded([[1.0] * len(row) for row in golden.rows("responses")])
    coefficient = golden.facts["settings"]["init_kl_coef"]
    rewards = -coefficient * (rows["logprobs"] - rows["ref_logprobs"]) * mask
    last = mask.sum(1).long() - 1
    rewards[torch.arange(len(rewards)), last] += golden.tensors["scores"]
    advantages, returns = gae(rewards, rows["values"], mask, gamma=1.0, lam=0.95)
    scaled = whiten(advantages, mask)
    alone = [False] * len(mask)
    known = rows["logprobs"], rows["values"], scaled, returns
    return Experience(golden.batch(), mask, *known, alone)


@pytest.mark.parametrize("case", CASES)
def test_advantages_and_returns_are_those_of_trl(golden: Golden, case: str) -> None:
    found = known(golden, case)
    real = found.mask > 0
    assert torch.allclose(found.advantages[real], golden.tensors[f"{case}/advantages"], atol=1e-5)
    assert torch.allclose(found.returns[real], golden.tensors[f"{case}/returns"], atol=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_whole_step_is_that_of_trl(golden: Golden, case: str) -> None:
    """Eight optimizer steps: losses to 1e-5, and the weights move the same way as far."""
    facts = golden.facts["cases"][case]
    policy = golden.policy()
    settings = PpoSettings(learning_rate=facts["learning_rate"], max_grad_norm=0)
    updater = Updater(policy, settings, Group(torch.device("cpu")), None)
    experience = known(golden, case)
    orders = golden.tensors[f"{case}/permutations"].tolist()
    steps = [order[i : i + 16] for order in orders for i in (0, 16)]
    before = {n: p.detach().clone() for n, p in policy.model.named_parameters()}
    found = [updater.update(experience, [rows]) for rows in steps]
    for ours, theirs in (
        ("loss/policy", "policy_loss"),
        ("loss/value", "value_loss"),
        ("clip_fraction", "clipfrac"),
        ("ratio", "ratio"),
        ("approx_kl", "approxkl"),
    ):
        recorded = golden.tensors[f"{case}/minibatch/{theirs}"].tolist()
        tolerance = 1e-5 if case == "plain" else 2e-3 * max(map(abs, recorded))
        assert [step[ours] for step in found] == pytest.approx(recorded, abs=tolerance), ours
    moved = {n: p.detach() - before[n] for n, p in policy.model.named_parameters()}
    final = golden.under(f"{case}/final/")
    shared = [n for n in moved if n in final and "c_attn.bias" not in n]
    ours_all = torch.cat([moved[n].flatten() for n in shared]).double()
    theirs_all = torch.cat([(final[n] - before[n]).flatten() for n in shared]).double()
    assert len(shared) > 20
    assert torch.cosine_similarity(ours_all, theirs_all, dim=0) > 0.9999
    assert ours_all.norm() / theirs_all.norm() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("case", CASES)
def test_the_kl_coefficient_moves_as_in_trl(golden: Golden, case: str) -> None:
    rows = [padded(golden.rows(f"{case}/{n}")) for n in ("logprobs", "ref_logprobs")]
    kl = (rows[0] - rows[1]).sum(1).mean().item()
    stats = golden.facts["cases"][case]["stats"]
    assert kl == pytest.approx(stats["objective/kl"], abs=1e-4)
    control = KlControl(0.2, 6.0, 10_000)
    control.update(kl, sequences=32)
    assert control.coefficient == pytest.approx(stats["kl_coef_after"])
