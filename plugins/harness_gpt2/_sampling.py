"""Choosing tokens: transformers' logits processors, and noise that depends on the row alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)


def noise_key(seed: int, prompt: str, attempt: int) -> tuple[int, int]:
    """Two 32-bit numbers that select the noise of one answer."""
    digest = hashlib.blake2b(f"{seed} {attempt} {prompt}".encode(errors="surrogatepass"))
    raw = digest.digest()
    return (
        int.from_bytes(raw[:4], "little", signed=True),
        int.from_bytes(raw[4:8], "little", signed=True),
    )


def gumbel_noise(keys: torch.Tensor, step: int, tokens: torch.Tensor) -> torch.Tensor:
    """Gumbel(0, 1) noise of the given tokens at one step, the same on every device.

    `keys` is int32 [rows, 2], `tokens` int32 [tokens] or [rows, tokens]; gives float32
    [rows, tokens]. A counter-based generator: each number is a hash of (key, step, token), so that
    neither the batch nor the tokens left out by top-k change it.
    """
    hashed = _mix(_mix(tokens + keys[:, :1]) ^ (keys[:, 1:] + _int32(step * 0x9E3779B9)))
    uniform = ((hashed >> 8) & 0xFFFFFF).float().add_(0.5).mul_(2.0**-24)
    return uniform.log_().neg_().log_().neg_()


def _mix(x: torch.Tensor) -> torch.Tensor:
    """Hash int32 in place, by the `lowbias32` finaliser of Wellons' hash prospector."""
    x ^= (x >> 16) & 0xFFFF
    x *= _int32(0x7FEB352D)
    x ^= (x >> 15) & 0x1FFFF
    x *= _int32(0x846CA68B)
    x ^= (x >> 16) & 0xFFFF
    return x


def _int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


@dataclass(frozen=True, slots=True)
class Sampler:
    """How the next token is chosen from logits; `temperature` 0 is greedy.

    The order is that of transformers' `generate`: penalty, temperature, top-k, top-p.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def choose(
        self, logits: torch.Tensor, history: torch.Tensor, keys: torch.Tensor, step: int
    ) -> torch.Tensor:
        """Give the next token of each row, int64 [rows].

        `logits` is [rows, vocabulary]; `history` int64 [rows, tokens] holds prompt and answer,
        and the vocabulary's size where there is padding; `keys` is int32 [rows, 2].
        """
        scores, tokens = self.distribution(logits, history)
        if self.temperature == 0:
            return scores.argmax(dim=-1)
        drawn = (scores + gumbel_noise(keys, step, tokens)).argmax(dim=-1, keepdim=True)
        return tokens.expand_as(scores).gather(1, drawn)[:, 0].long()

    def distribution(
        self, logits: torch.Tensor, history: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the processed logits, and the int32 ids of the tokens that they belong to."""
        past, scores = cast(torch.LongTensor, history), logits.float()
        if self.repetition_penalty != 1:
            penalty = RepetitionPenaltyLogitsProcessor(float(self.repetition_penalty))
            scores = penalty(past, scores)
        if self.temperature == 0:
            return scores, torch.empty(0, dtype=torch.int32)
        scores = TemperatureLogitsWarper(float(self.temperature))(past, scores)
        if 0 < self.top_k < scores.shape[-1]:
            scores, tokens = scores.topk(self.top_k)
            tokens = tokens.int()
        else:
            tokens = torch.arange(scores.shape[-1], dtype=torch.int32, device=scores.device)
        if self.top_p < 1:
            scores = TopPLogitsWarper(self.top_p)(past, scores)
        return scores, tokens
