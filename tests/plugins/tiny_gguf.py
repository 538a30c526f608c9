"""A language model of some 60 kB for llama.cpp: random, but real, and fast."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

WIDTH, INNER, HEADS, KV_HEADS = 32, 48, 4, 2
TEMPLATE = "{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}[assistant]"


def write_tiny(file: Path, context: int = 8192) -> Path:
    """A Llama of one layer whose tokens are ASCII characters and one word."""
    tokens = ["<|end|>", *map(_character, range(128)), "th"]
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(context)
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
    writer.add_token_merges(["t h"])
    writer.add_eos_token_id(0)
    writer.add_chat_template(TEMPLATE)
    noise = np.random.default_rng(0)
    for name, shape in _shapes(len(tokens)).items():
        writer.add_tensor(f"{name}.weight", noise.standard_normal(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _shapes(tokens: int) -> dict[str, tuple[int, ...]]:
    shared = WIDTH * KV_HEADS // HEADS
    return {
        "token_embd": (tokens, WIDTH),
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


def _character(byte: int) -> str:
    """How a byte is written in a vocabulary of GPT-2's kind; here ASCII alone, for what is made up
    of other bytes at random is mostly no UTF-8, which real models do not write.
    """
    if 33 <= byte <= 126:
        return chr(byte)
    return chr(256 + min(byte, 33))
