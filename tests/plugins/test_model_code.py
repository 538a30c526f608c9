"""Models made to do harm: code beside the weights, and weights that are a pickle which acts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness import HarnessError, scorer

MODELS = Path(__file__).parent / "data" / "bertscore"
CLASSES = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoModelForSequenceClassification")


def encoder(folder: Path) -> None:
    from harness.encoding import SentenceEncoder

    SentenceEncoder(folder)


def gpt2(folder: Path) -> None:
    from harness_gpt2._loading import load

    load(str(folder))


def trl(folder: Path) -> None:
    from harness_trl._start import load

    load(str(folder))


def bertscore(folder: Path) -> None:
    scorer(f"bertscore:model={folder},layer=1")


def classifier(folder: Path) -> None:
    scorer(f"classifier:model={folder},label=1")


LOADERS = [encoder, gpt2, trl, bertscore, classifier]


class Acts:
    """What is called when this is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("load", LOADERS)
def test_code_beside_a_model_is_refused_and_nobody_is_asked(
    load: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left to itself, transformers asks on the terminal whether to run it."""
    asked: list[object] = []

    def no(*prompt: object) -> str:
        asked.append(prompt)
        return "n"

    monkeypatch.setattr("builtins.input", no)
    folder, marker = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(MODELS / "bert", folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    names = {name: f"code.Own{name}" for name in CLASSES}
    config |= {"model_type": "own", "architectures": ["OwnAutoModel"], "auto_map": names}
    (folder / "config.json").write_text(json.dumps(config))
    own = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["code.Own", "code.Own"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(own))
    (folder / "code.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    with pytest.raises(HarnessError) as caught:
        load(folder)
    assert "custom code" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert asked == []
    assert not marker.exists()


@pytest.mark.parametrize("load", LOADERS)
def test_weights_that_act_when_they_are_unpickled_are_refused(
    load: Callable[[Path], None], tmp_path: Path
) -> None:
    folder, marker = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(MODELS / ("gpt2" if load in (gpt2, trl) else "bert"), folder)
    (folder / "model.safetensors").unlink()
    torch.save({"weight": Acts(marker)}, folder / "pytorch_model.bin")
    with pytest.raises(HarnessError, match="Weights only load failed"):
        load(folder)
    assert not marker.exists()


def test_the_pickle_of_these_tests_does_act(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    torch.save(Acts(marker), tmp_path / "file")
    torch.load(tmp_path / "file", weights_only=False)
    assert marker.exists()
