from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from harness import Evaluation, Sample

from .compare import claims, compare
from .settings import load
from .study import Study, trained_seeds

_DEFAULT = "runs/ppo_faq"


def folder(options: argparse.Namespace) -> Path:
    """The folder of the study that `--ppo-faq` or the environment names."""
    named = getattr(options, "ppo_faq", None) or os.environ.get("SAMESCORE_PPO_FAQ")
    return Path(named or _DEFAULT)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One benchmark a seed that was trained; one that is skipped where there is none."""
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", trained_seeds(folder(metafunc.config.option)) or [None])


def bench_ppo_faq(
    evaluate: Callable[..., Evaluation], seed: int | None, pytestconfig: pytest.Config
) -> None:
    """[good] answers held-out questions better than the reference, and [bad] worse."""
    out = folder(pytestconfig.option)
    if seed is None:
        pytest.skip(f"{out} holds no trained model: python -m benchmarks.ppo_faq --out {out}")
    study = Study(out, seed, load(out))

    def ask(samples: Sequence[Sample], name: str, **options: object) -> Evaluation:
        return evaluate(samples, **options)

    comparison = compare(study.evaluations(ask))
    assert not claims(comparison, full=study.settings.size == "full")
