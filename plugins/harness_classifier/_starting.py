"""The model that a training starts from: a checkpoint with a new head, or all new."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from harness import HarnessError
from harness_classifier._loading import Loaded, limit, load_model, load_tokenizer, torch_device

if TYPE_CHECKING:
    from harness_classifier import ClassifierTraining

SPECIAL = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def start(
    settings: ClassifierTraining,
    folder: Path | None,
    texts: Sequence[str],
    labels: Sequence[str],
    seed: int,
) -> Loaded:
    """A classifier with these labels, its new weights drawn by the seed.

    Raises:
        HarnessError: for a model that cannot be loaded or trained, or a device that is not there.
    """
    device = torch_device(settings.device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, tokenizer = (
            _checkpoint(folder, settings.model, labels) if folder else _new(settings, texts, labels)
        )
    model.config.id2label = dict(enumerate(labels))
    model.config.label2id = {label: i for i, label in enumerate(labels)}
    model.config.problem_type = "single_label_classification"
    tokenizer.model_max_length = read = limit(model, tokenizer, settings.max_length, settings.model)
    module: nn.Module = model
    module.eval().to(device)
    return Loaded(model, tokenizer, read)


def _checkpoint(
    folder: Path, name: str, labels: Sequence[str]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = load_tokenizer(folder, name)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    if tokenizer.pad_token is None:
        raise HarnessError(f"classifier: the tokenizer of {name} has no pad or end token")
    model, _ = load_model(
        folder, name, num_labels=len(labels), ignore_mismatched_sizes=True, dtype=torch.float32
    )
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _new(
    settings: ClassifierTraining, texts: Sequence[str], labels: Sequence[str]
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = _train_tokenizer(texts, settings.vocabulary, settings.max_length)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=4 * settings.width,
        max_position_embeddings=settings.max_length,
        type_vocab_size=1,
        pad_token_id=tokenizer.pad_token_id,
        id2label=dict(enumerate(labels)),
    )
    return BertForSequenceClassification(config), tokenizer


def _train_tokenizer(texts: Sequence[str], vocabulary: int, length: int) -> PreTrainedTokenizerBase:
    """Byte-level BPE of the texts in lower case: no text has an unknown token."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(SPECIAL.values()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    ends = [(token, backend.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=ends
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        model_max_length=length,
        model_input_names=["input_ids", "attention_mask"],
        **SPECIAL,
    )
