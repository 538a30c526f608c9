"""A model that knows nothing: a GPT-2 with random weights, and a tokenizer of the training rows."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness import HarnessError, Sample
from harness.fingerprint import samples_digest

from .settings import Shape

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

END, PAD = "<|endoftext|>", "<|pad|>"
_CARD = "blank.json"


def write_blank(
    folder: Path,
    shape: Shape,
    rows: Sequence[Sample],
    template: str,
    controls: Sequence[str],
    seed: int,
) -> None:
    """Write model and tokenizer into `folder`, unless they are there; the same for the same input.

    The tokenizer learns from `rows` alone; each of `controls` is one token of it.

    Raises:
        HarnessError: if `folder` holds another blank model.
    """
    card: dict[str, object] = {
        "shape": asdict(shape),
        "rows": samples_digest(rows),
        "template": template,
        "controls": list(controls),
        "seed": seed,
    }
    if (folder / _CARD).exists():
        if json.loads((folder / _CARD).read_text("utf-8")) != card:
            raise HarnessError(
                f"{folder} holds a blank model of other rows or settings; choose another --out"
            )
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".blank-") as temporary:
        new = Path(temporary) / folder.name
        _save(new, shape, _texts(rows, template), controls, seed)
        (new / _CARD).write_text(json.dumps(card, indent=2) + "\n", "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)


def _save(
    folder: Path, shape: Shape, texts: Iterator[str], controls: Sequence[str], seed: int
) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    words = _tokenizer(texts, shape.vocabulary, controls)
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=shape.context,
        n_layer=shape.layers,
        n_embd=shape.width,
        n_head=shape.heads,
        resid_pdrop=shape.dropout,
        embd_pdrop=shape.dropout,
        attn_pdrop=shape.dropout,
        bos_token_id=words.eos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def _tokenizer(
    texts: Iterator[str], vocabulary: int, controls: Sequence[str]
) -> PreTrainedTokenizerFast:
    """Byte-level BPE: any text can be written with it, and none becomes an unknown token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    learner = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END, PAD, *controls],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, learner)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=backend,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=list(controls),
    )


def _texts(rows: Sequence[Sample], template: str) -> Iterator[str]:
    for sample in rows:
        for answer in sample.references:
            yield f"{template.replace('{prompt}', sample.prompt)} {answer}"
