"""The embedded models: what they are called, and that their pins are well formed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import harness_local
from harness.components import Model

MODELS = {model.name: model for model in harness_local.harness_models()}


def test_the_three_models_have_the_names_that_defaults_use() -> None:
    assert set(MODELS) == {"glove", "minilm", "smollm2"}


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_every_model_is_pinned_to_one_wheel(model: Model) -> None:
    assert re.fullmatch(r"[a-z0-9-]+==[0-9.]+", model.requirement)
    assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)


@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_the_pinned_wheel_holds_the_model(name: str, request: pytest.FixtureRequest) -> None:
    path = Path(request.getfixturevalue(name))

    if MODELS[name].file:
        assert path.read_bytes()[:4] == b"GGUF"
    else:
        assert {"config.json", "model.safetensors"} <= {file.name for file in path.iterdir()}
