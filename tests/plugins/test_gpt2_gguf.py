"""GGUF files: converted once, completely, and to the same weights."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from harness import HarnessError
from harness.quiet import quiet
from harness_gpt2._gguf import converted
from harness_gpt2._loading import load

WIDTH, INNER, HEADS, KV_HEADS = 32, 48, 4, 2
TEMPLATE = "{% for m in messages %}[{{ m['content'] }}]{% endfor %}"


def write_llama(file: Path) -> Path:
    """A random one-layer Llama with the tokens of single bytes and two merges."""
    alphabet = bytes_to_unicode()  # type: ignore[no-untyped-call]
    tokens = ["<|end|>", *alphabet.values(), "th", "the"]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([3] + [1] * (len(tokens) - 1))
    writer.add_token_merges(["t h", "th e"])
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    shared = WIDTH * KV_HEADS // HEADS
    shapes = {
        "token_embd": (len(tokens), WIDTH),
        "output_norm": (WIDTH,),
        "blk.0.attn_norm": (WIDTH,),
        "blk.0.attn_q": (WIDTH, WIDTH),
        "blk.0.attn_k": (shared, WIDTH),
        "blk.0.attn_v": (shared, WIDTH),
        "blk.0.attn_output": (WIDTH, WIDTH),
        "blk.0.ffn_norm": (WIDTH,),
        "blk.0.ffn_gate": (INNER, WIDTH),
        "blk.0.ffn_up": (INNER, WIDTH),
        "blk.0.ffn_down": (WIDTH, INNER),
    }
    noise = torch.Generator().manual_seed(0)
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", torch.randn(*shape, generator=noise).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


@pytest.fixture
def llama(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMESCORE_CACHE", str(tmp_path / "cache"))
    return write_llama(tmp_path / "llama.gguf")


def test_the_conversion_equals_what_transformers_reads(
    llama: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ours = load(str(llama), device="cpu")
    assert capfd.readouterr() == ("", "")

    with quiet():
        theirs = AutoModelForCausalLM.from_pretrained(llama.parent, gguf_file=llama.name)
        words = AutoTokenizer.from_pretrained(llama.parent, gguf_file=llama.name)
    ids = torch.tensor([words("the 12 <|end|>")["input_ids"]])
    assert ours.tokenizer("the 12 <|end|>")["input_ids"] == ids[0].tolist()
    assert ours.tokenizer.chat_template == TEMPLATE
    assert ours.end_tokens == {0}
    assert torch.equal(ours.model(ids).logits, theirs(ids).logits)


def test_a_file_is_converted_once_and_one_of_other_content_again(llama: Path) -> None:
    first = converted(llama)
    written = (first / "model.safetensors").stat().st_mtime_ns

    assert converted(llama) == first
    assert converted(llama.rename(llama.with_name("other.gguf"))) == first
    assert (first / "model.safetensors").stat().st_mtime_ns == written
    changed = llama.with_name("other.gguf").read_bytes()[:-4] + b"\0\0\0\0"
    llama.write_bytes(changed)
    assert converted(llama) != first


def test_what_a_killed_conversion_left_is_replaced(llama: Path) -> None:
    first = converted(llama)
    left = first.with_name(f"{first.name}.partial")
    first.rename(left)
    os.truncate(left / "model.safetensors", 100)

    assert converted(llama) == first
    assert not left.exists()
    assert load(str(first), device="cpu").end_tokens == {0}


def test_a_cut_file_is_named_and_leaves_nothing(llama: Path) -> None:
    os.truncate(llama, llama.stat().st_size - 5000)

    with pytest.raises(HarnessError, match=r"llama\.gguf cannot be read"):
        converted(llama)
    assert not [path for path in llama.parent.glob("cache/gguf/*") if path.is_dir()]


def test_a_cache_that_cannot_be_written_is_named(
    llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESCORE_CACHE", str(llama))

    with pytest.raises(HarnessError, match="SAMESCORE_CACHE"):
        converted(llama)


def test_a_directory_with_one_gguf_file_names_it(llama: Path) -> None:
    assert load(str(llama.parent), device="cpu").context == 64
