"""Choosing tokens: transformers' processors, and noise that a row carries with it."""

from __future__ import annotations

from typing import cast

import torch
from scipy.stats import chisquare, kstest
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from harness_gpt2._sampling import Sampler, gumbel_noise, noise_key

VOCABULARY = 300


def keys(count: int) -> torch.Tensor:
    return torch.tensor([noise_key(0, str(i), 0) for i in range(count)], dtype=torch.int32)


def row(ids: torch.Tensor) -> torch.LongTensor:
    return cast(torch.LongTensor, ids[None])


def test_processed_logits_are_those_of_transformers_and_ignore_padding() -> None:
    logits = torch.randn(2, VOCABULARY, generator=torch.Generator().manual_seed(0)) * 3
    past = torch.tensor([[5, 6, 7, 8], [VOCABULARY, VOCABULARY, 9, 10]])
    sampler = Sampler(temperature=0.7, top_k=40, top_p=0.8, repetition_penalty=1.5)

    scores, tokens = sampler.distribution(logits, past)

    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.5),
            TemperatureLogitsWarper(0.7),
            TopKLogitsWarper(40),
            TopPLogitsWarper(0.8),
        ]
    )
    ours = torch.full_like(logits, -torch.inf).scatter(1, tokens.long(), scores)
    torch.testing.assert_close(ours[:1], processors(row(past[0]), logits[:1]))
    torch.testing.assert_close(ours[1:], processors(row(past[1, 2:]), logits[1:]))


def test_greedy_takes_the_likeliest_token_after_the_penalty() -> None:
    logits = torch.tensor([[2.0, 1.9, 0.0]])
    past = torch.tensor([[0]])

    assert Sampler().choose(logits, past, keys(1), 0).tolist() == [0]
    assert Sampler(repetition_penalty=2.0).choose(logits, past, keys(1), 0).tolist() == [1]


def test_draws_follow_the_softmax_independently_at_each_step() -> None:
    n, probabilities = 6000, torch.tensor([0.5, 0.3, 0.15, 0.05])
    logits = probabilities.log().expand(n, -1)
    past = torch.zeros(n, 1, dtype=torch.long)
    sampler = Sampler(temperature=1.0)

    first, second = (sampler.choose(logits, past, keys(n), step) for step in (0, 1))

    observed = torch.bincount(first * 4 + second, minlength=16)
    expected = torch.outer(probabilities, probabilities).flatten().double()
    assert chisquare(observed.numpy(), (expected / expected.sum() * n).numpy()).pvalue > 1e-3


def test_noise_is_gumbel_over_a_vocabulary() -> None:
    tokens = torch.arange(50_000, dtype=torch.int32)

    noise = gumbel_noise(keys(1), 3, tokens)

    assert noise.isfinite().all()
    assert kstest(noise[0].numpy(), "gumbel_r").pvalue > 1e-3


def test_top_k_leaves_the_noise_of_the_tokens_it_keeps() -> None:
    tokens = torch.arange(VOCABULARY, dtype=torch.int32)
    some = torch.tensor([[250, 3, 77]], dtype=torch.int32)

    assert torch.equal(
        gumbel_noise(keys(1), 5, some), gumbel_noise(keys(1), 5, tokens)[:, some[0].long()]
    )


def test_seed_prompt_and_attempt_each_select_other_noise() -> None:
    assert len({noise_key(0, "a", 0), noise_key(1, "a", 0), noise_key(0, "b", 0)}) == 3
    assert noise_key(0, "a", 0) != noise_key(0, "a", 1)
    assert noise_key(0, "1 a", 2) != noise_key(0, "a", 21)
