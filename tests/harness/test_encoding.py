"""Sentence encoders: known similarities, and vectors that do not hang on their batch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.encoding import SentenceEncoder, load_encoder
from harness.errors import HarnessError

TEXTS = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "",
    "word " * 90,
    "How do I read a file line by line in Python?",
]


@pytest.fixture(scope="module")
def encoder(minilm: str) -> SentenceEncoder:
    return SentenceEncoder(Path(minilm))


def test_similarities_are_those_that_the_makers_publish(encoder: SentenceEncoder) -> None:
    """https://sbert.net, semantic search by all-MiniLM-L6-v2: these two have 0.7553."""
    eating, bread, baby = encoder.encode(TEXTS[:3])
    assert eating @ bread == pytest.approx(0.7553, abs=5e-5)
    assert eating @ baby < 0.1


def test_a_vector_does_not_hang_on_its_batch(minilm: str, encoder: SentenceEncoder) -> None:
    together = encoder.encode(TEXTS)
    assert together.shape == (len(TEXTS), encoder.dimensions)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    fresh = SentenceEncoder(Path(minilm))  # remembers none of them
    for text, vector in zip(reversed(TEXTS), together[::-1], strict=True):
        np.testing.assert_allclose(fresh.encode([text])[0], vector, atol=1e-6)


def test_what_is_given_twice_comes_twice(encoder: SentenceEncoder) -> None:
    a, b, c = encoder.encode(["one", "two", "one"])
    assert np.array_equal(a, c)
    assert not np.array_equal(a, b)
    assert encoder.encode([]).shape == (0, 384)


def test_only_the_last_texts_are_remembered(
    encoder: SentenceEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.encoding.KEPT", 2)
    first = encoder.encode(["alpha", "beta", "gamma"])
    assert list(encoder._kept) == ["beta", "gamma"]
    assert np.allclose(encoder.encode(["alpha"]), first[:1], atol=1e-6)


def test_a_long_text_is_cut_where_the_model_ends(encoder: SentenceEncoder) -> None:
    long, longer = encoder.encode(["word " * 300, "word " * 400])
    assert np.allclose(long, longer, atol=1e-6)


def test_one_name_is_one_encoder(minilm: str) -> None:
    assert load_encoder(minilm) is load_encoder(minilm)
    assert load_encoder(minilm).identity() == SentenceEncoder(Path(minilm)).identity()


def test_pooling_is_the_models_own(minilm: str, encoder: SentenceEncoder, tmp_path: Path) -> None:
    copy = shutil.copytree(minilm, tmp_path / "copy")
    pooling = copy / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps({"pooling_mode": "cls"}))
    first = SentenceEncoder(copy).encode(["a text"])
    assert not np.allclose(first, encoder.encode(["a text"]), atol=1e-2)
    pooling.write_text(json.dumps({"pooling_mode_max_tokens": True}))
    with pytest.raises(HarnessError, match="pooling_mode_max_tokens; an encoder here pools by"):
        SentenceEncoder(copy)


def test_what_is_no_encoder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HarnessError, match="holds no encoder"):
        SentenceEncoder(tmp_path)
    monkeypatch.setenv("SAMESCORE_CACHE", str(tmp_path))
    load_encoder.cache_clear()
    with pytest.raises(HarnessError, match="harness models fetch minilm"):
        load_encoder()


def test_its_module_is_light() -> None:
    code = "import harness.encoding, sys; assert not {'numpy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
