"""The parts of PPO against slow, plain implementations and exact values."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from harness import Credit, HarnessError, Score, Unscored
from harness_gpt2.ppo._checkpoint import Checkpoint, Checkpoints
from harness_gpt2.ppo._losses import KlControl, gae, kl_k1, kl_k3, policy_loss, value_loss, whiten
from harness_gpt2.ppo._rewards import Moments, Response, Spans, TokenRewards
from harness_gpt2.ppo._update import minibatches
from harness_gpt2.ppo.settings import PpoSettings, SeedNotebookSettings

from .test_gpt2 import tokenizer


def ragged(seed: int, lengths: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Random rewards and values with garbage in the padding, and the mask."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), max(lengths))
    mask = torch.tensor([[float(t < n) for t in range(shape[1])] for n in lengths])
    return torch.randn(shape, generator=generator), torch.randn(shape, generator=generator), mask


def test_gae_is_the_discounted_sum_of_errors() -> None:
    """The definition, A_t = sum_k (gamma lam)^k delta_(t+k), row by row without padding."""
    lengths, gamma, lam = (1, 4, 7), 0.9, 0.8
    rewards, values, mask = ragged(0, lengths)
    advantages, returns = gae(rewards, values, mask, gamma, lam)
    for i, n in enumerate(lengths):
        r, v = rewards[i, :n].tolist(), [*values[i, :n].tolist(), 0.0]
        deltas = [r[t] + gamma * v[t + 1] - v[t] for t in range(n)]
        slow = [sum((gamma * lam) ** k * d for k, d in enumerate(deltas[t:])) for t in range(n)]
        assert advantages[i, :n].tolist() == pytest.approx(slow, abs=1e-5)
        assert returns[i, :n].tolist() == pytest.approx(
            [a + b for a, b in zip(slow, v, strict=False)], abs=1e-5
        )
    assert not (advantages * (1 - mask)).any()


def test_whitening_sees_real_tokens_only() -> None:
    rewards, _, mask = ragged(1, (2, 9, 5))
    found = whiten(rewards, mask)[mask > 0]
    real = rewards[mask > 0]
    assert torch.allclose(found, (real - real.mean()) / real.std(), atol=1e-5)


def test_losses_are_the_larger_of_plain_and_clipped() -> None:
    random.seed(2)
    rows = [[random.gauss(0, 0.5) for _ in range(6)] for _ in range(200)]
    new, old, advantage, value, before, goal = (torch.tensor(c) for c in zip(*rows, strict=True))
    expected, clipped = 0.0, 0
    for n, o, a in zip(new.tolist(), old.tolist(), advantage.tolist(), strict=True):
        ratio = math.exp(n - o)
        plain, other = -a * ratio, -a * min(max(ratio, 0.8), 1.2)
        expected += max(plain, other)
        clipped += other > plain
    found = policy_loss(new, old, advantage, 0.2)
    assert found.total.item() == pytest.approx(expected, rel=1e-5)
    assert found.clipped.item() == clipped > 0
    worse = [
        max((v - g) ** 2, (b + min(max(v - b, -0.2), 0.2) - g) ** 2) / 2
        for v, b, g in zip(value.tolist(), before.tolist(), goal.tolist(), strict=True)
    ]
    assert value_loss(value, before, goal, 0.2).item() == pytest.approx(sum(worse), rel=1e-5)


def test_both_kl_estimators_have_the_exact_kl_as_their_mean() -> None:
    """Over every token of a small vocabulary, weighed by its probability."""
    logits = torch.tensor([[0.3, -1.2, 2.0, 0.1], [1.0, 0.9, -0.5, 0.0]], dtype=torch.float64)
    policy, reference = logits.log_softmax(-1)
    exact = (policy.exp() * (policy - reference)).sum()
    for estimator in (kl_k1, kl_k3):
        assert torch.isclose((policy.exp() * estimator(policy, reference)).sum(), exact)
    assert (kl_k3(policy, reference) >= 0).all()
    assert (kl_k1(policy, reference) < 0).any()


def test_top_k_sampling_biases_k1() -> None:
    """What the warning is about: the mean over the likeliest token alone is far from the KL."""
    policy = torch.tensor([2.0, 1.0, 0.0]).log_softmax(-1)
    reference = torch.tensor([1.0, 1.0, 1.0]).log_softmax(-1)
    exact = (policy.exp() * (policy - reference)).sum()
    assert kl_k1(policy, reference)[0] > 2 * exact


def test_the_kl_coefficient_follows_its_target_by_at_most_a_fifth_a_horizon() -> None:
    control = KlControl(0.1, 6.0, 100)
    control.update(600.0, sequences=100)
    assert control.coefficient == pytest.approx(0.12)
    control.update(0.0, sequences=50)
    assert control.coefficient == pytest.approx(0.12 * 0.9)
    fixed = KlControl(0.1, None, 100)
    fixed.update(600.0, sequences=100)
    assert fixed.coefficient == 0.1


TEXT = " a café ☕ here"


@pytest.mark.parametrize("text", ["plain words only", TEXT, "", "  spaces  "])
def test_spans_are_where_the_tokens_stand(text: str) -> None:
    """Also for characters of several tokens: each character belongs to a token, in order."""
    words = tokenizer(eos_token="<eos>")
    tokens = [*words(text)["input_ids"], words.eos_token_id]
    spans = Spans(words).of(tokens, text)
    assert len(spans) == len(tokens)
    assert "".join(text[start:end] for start, end in spans) == text
    assert spans[-1] == (len(text), len(text)), "the end token stands for nothing"
    cut = Spans(words).of(tokens, text[:3])
    assert "".join(text[start:end] for start, end in cut) == text[:3]


def response(
    scores: dict[str, Score], tokens: int = 3, *, sign: int = 1, ended: bool = True
) -> Response:
    """Tokens of one character each, and an end token that stands for none."""
    spans = [(i, i + 1) for i in range(tokens)] + [(tokens, tokens)]
    return Response(scores, spans, sign, ended)


def earned(response: Response, weights: dict[str, float], **settings: object) -> list[float]:
    chosen = {"normalize": "off", **settings}
    return TokenRewards(weights, PpoSettings(**chosen)).rewards(response)  # type: ignore[arg-type]


def test_a_score_without_credit_rewards_the_last_token() -> None:
    """The end token where there is one; another scorer's weight adds to it."""
    scores = {"f1": Score(0.5), "length": Score(-0.25), "watched": Score(9.0)}
    weights = {"f1": 2.0, "length": 1.0, "watched": 0.0}
    assert earned(response(scores), weights) == [0, 0, 0, 0.75]
    bad = response(scores, sign=-1)
    assert earned(bad, weights) == [0, 0, 0, -0.75]
    assert earned(bad, weights, guards=("length",)) == [0, 0, 0, -1.25]
    limit = response(scores, ended=False)
    assert earned(limit, weights, missing_end_penalty=1.0) == [0, 0, 0, -0.25]


def test_credit_rewards_the_tokens_of_its_words() -> None:
    """A word's value is shared by its tokens; the mean over tokens is the score."""
    credit = (Credit(0, 2, 0.5), Credit(2, 3, -0.2))
    found = earned(response({"b": Score(0.3, credit=credit)}), {"b": 1.0})
    assert found == pytest.approx([0.75, 0.75, -0.6, 0])
    assert sum(found) / 3 == pytest.approx(0.3)
    off = earned(response({"b": Score(0.3, credit=credit)}), {"b": 1.0}, credit="off")
    assert off == [0, 0, 0, 0.3]


def test_rewards_are_scaled_by_the_first_batches_and_the_end_token_stays_neutral() -> None:
    """Frozen after `normalize_batches`; what has no credit is no measurement, and earns nothing."""
    settings = PpoSettings(normalize="initial", normalize_batches=1, reward_scale=2.0)
    rewards = TokenRewards({"b": 1.0}, settings)
    first = [
        response({"b": Score(0.0, credit=(Credit(i, i + 1, value / 2),))})
        for i, value in enumerate((0.2, 0.6))
    ]
    rewards.measure(first)
    mean, deviation = 0.2, math.sqrt(((0.1 - 0.2) ** 2 + (0.3 - 0.2) ** 2) / 1)
    assert rewards.moments["b"].mean == pytest.approx(mean)
    rewards.measure([response({"b": Score(100.0)})])
    found = rewards.rewards(first[1])
    assert found == pytest.approx([0, 2 * (0.3 - mean) / deviation, 0, 0])


def test_moments_are_those_of_numpy() -> None:
    values = np.random.default_rng(3).normal(5, 3, 100)
    moments = Moments(None)
    for part in np.split(values, 4):
        moments.add(part.tolist())
    assert moments.mean == pytest.approx(values.mean())
    assert moments.deviation == pytest.approx(values.std(ddof=1))
    constant = Moments(None)
    constant.add([2.0, 2.0])
    assert constant.scale(2.0) == 0


def test_only_scorers_that_count_can_unscore_a_response() -> None:
    rewards = TokenRewards({"a": 1.0, "watched": 0.0}, PpoSettings())
    missing = Score.missing(Unscored.TIMEOUT)
    assert rewards.scored({"a": Score(1.0), "watched": missing})
    assert not rewards.scored({"a": missing, "watched": Score(1.0)})


def test_minibatches_hold_each_row_once_an_epoch_and_rows_of_like_length() -> None:
    rng = np.random.default_rng(0)
    lengths = [5, 50, 6, 51, 7, 52, 8, 53, 9, 54]
    batches = list(minibatches(lengths, 5, 3, rng))
    epochs = [batches[i : i + 2] for i in (0, 2, 4)]
    for epoch in epochs:
        assert sorted(itertools.chain(*epoch)) == list(range(10))
    spreads = [max(b) - min(b) for b in ([lengths[i] for i in batch] for batch in batches)]
    assert np.mean(spreads) < max(lengths) - min(lengths)
    assert list(map(len, minibatches([3] * 7, 3, 1, rng))) in ([3, 3, 1], [3, 1, 3], [1, 3, 3])


def checkpoint(step: int) -> Checkpoint:
    moments = {"b": Moments(4, 2, 3, 0.1, 0.2)}
    return Checkpoint(step, {"w": torch.full((3,), float(step))}, {"state": {}}, 0.3, moments)


def test_a_checkpoint_comes_back_as_it_was_and_old_ones_go(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", {"seed": 1, "lr": (0.1, 2)})
    assert checkpoints.latest() is None
    for step in (1, 2, 3):
        checkpoints.save(checkpoint(step))
    found = Checkpoints(tmp_path / "c", {"seed": 1, "lr": (0.1, 2)}).latest()
    assert found is not None
    assert found.moments == checkpoint(3).moments
    assert (found.step, found.kl_coef, found.tensors["w"].tolist()) == (3, 0.3, [3, 3, 3])
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["step-000002", "step-000003"]


@pytest.mark.parametrize("file", ["policy.safetensors", "optimizer.pt", "state.json"])
def test_a_checkpoint_that_is_cut_off_is_warned_of_and_passed_over(
    tmp_path: Path, file: str
) -> None:
    checkpoints = Checkpoints(tmp_path, {"seed": 1})
    checkpoints.save(checkpoint(1))
    checkpoints.save(checkpoint(2))
    damaged = tmp_path / "step-000002" / file
    damaged.write_bytes(damaged.read_bytes()[:-20])
    with pytest.warns(UserWarning, match=r"step-000002 is damaged and passed over"):
        found = checkpoints.latest()
    assert found is not None
    assert found.step == 1


def test_another_trainings_checkpoints_are_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"settings": {"learning_rate": 1e-5}}).save(checkpoint(1))
    with pytest.raises(HarnessError, match=r"another training .*learning_rate"):
        Checkpoints(tmp_path, {"settings": {"learning_rate": 1e-4}}).latest()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0; it is at least 1"),
        ({"temperature": 0.0}, "temperature is 0.0; it is above 0"),
        ({"gamma": 1.5}, "gamma is 1.5; it lies in 0..1"),
        ({"template": "no place"}, "has no {prompt}"),
        ({"lora_rank": 4, "train_layers": 1}, "lora_rank or train_layers"),
        ({"good": "x", "bad": "x"}, "must differ"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        PpoSettings(**wrong)  # type: ignore[arg-type]


def test_the_notebooks_preset_names_its_own_warps() -> None:
    assert PpoSettings().degenerate() == []
    assert SeedNotebookSettings().degenerate() == ["top_k=1", "repetition_penalty=10"]
