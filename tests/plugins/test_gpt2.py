"""The generator `gpt2` on tiny random models, and once on a real one."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    MambaConfig,
    MambaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
)

from harness import Completion, HarnessError, Sample, Usage
from harness_gpt2 import Gpt2Settings
from harness_gpt2._batch import Batch, Row
from harness_gpt2._generator import Gpt2Generator
from harness_gpt2._packing import packed_linears
from harness_gpt2._sampling import Sampler

CONTEXT = 64
PROMPTS = [
    "What is the capital of France?",
    "Go",
    "Name three colours of the rainbow, and say which of them you like.",
    "Why?",
    "a b c",
    "Tell me about bread and butter.",
    "12345 67",
    "How are you today",
]
CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<answer>{% endif %}"
)


def tokenizer(**special: str) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(special.values()),
        show_progress=False,
    )
    backend.train_from_iterator(PROMPTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)  # type: ignore[no-untyped-call]


def save(kind: str, folder: Path, **special: str) -> Path:
    """A random model with a tokenizer; one token in twelve ends an answer."""
    words = tokenizer(**special)
    torch.manual_seed(1)
    model: GPT2LMHeadModel | MistralForCausalLM
    if kind == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(
                n_positions=CONTEXT,
                n_embd=32,
                n_layer=2,
                n_head=2,
                vocab_size=len(words),
                initializer_range=0.4,
            )
        )
    else:
        model = MistralForCausalLM(
            MistralConfig(
                sliding_window=8 if kind == "window" else None,
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=CONTEXT,
                vocab_size=len(words),
                initializer_range=0.4,
            )
        )
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.2)
    model.generation_config.eos_token_id = list(range(5, len(words), 12)) if special else None
    model.generation_config.bos_token_id = None
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("gpt2", tmp_path_factory.mktemp("gpt2"), eos_token="<|end|>")


@pytest.fixture(scope="module")
def mistral(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rotary positions, and key heads that are shared, as in Llama."""
    return save(
        "mistral", tmp_path_factory.mktemp("mistral"), eos_token="<|end|>", pad_token="<|p|>"
    )


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("window", tmp_path_factory.mktemp("window"), eos_token="<|end|>")


@pytest.fixture(params=["gpt2", "mistral", "window"])
def model(request: pytest.FixtureRequest) -> Path:
    return cast(Path, request.getfixturevalue(request.param))


def samples(prompts: Sequence[str] = PROMPTS) -> list[Sample]:
    return [Sample(str(i), prompt) for i, prompt in enumerate(prompts)]


def generator(folder: Path | str, **settings: object) -> Gpt2Generator:
    known: dict[str, object] = {"model": str(folder), "max_new_tokens": 24, **settings}
    return Gpt2Generator(Gpt2Settings(**known))  # type: ignore[arg-type]


def texts(completions: Sequence[Completion]) -> list[str]:
    return [completion.text for completion in completions]


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_greedy_batches_equal_transformers_one_by_one(model: Path, penalty: float) -> None:
    ours = generator(model, repetition_penalty=penalty).generate(samples())

    words = PreTrainedTokenizerFast.from_pretrained(model)
    policy = AutoModelForCausalLM.from_pretrained(model)
    for completion, prompt in zip(ours, PROMPTS, strict=True):
        ids = words(prompt, return_tensors="pt")
        out = policy.generate(  # type: ignore[misc]
            **ids, max_new_tokens=24, do_sample=False, pad_token_id=0, repetition_penalty=penalty
        )
        start = ids["input_ids"].shape[1]
        tokens = out[0, start:].tolist()
        ended = tokens[-1] in policy.generation_config.eos_token_id
        assert completion.text == words.decode(tokens[:-1] if ended else tokens)
        assert completion.finish == ("stop" if ended else "length")
        assert completion.usage == Usage(start, len(tokens))
    assert len({completion.usage for completion in ours}) > 4


@pytest.mark.parametrize(
    "sampling", [{}, {"top_k": 30, "top_p": 0.9}, {"top_p": 0.7, "repetition_penalty": 1.2}]
)
@pytest.mark.parametrize("template", ["{prompt}", "This start is shared by all: {prompt}"])
def test_neither_batch_size_nor_order_nor_neighbours_change_a_sample(
    model: Path, sampling: dict[str, float], template: str
) -> None:
    settings = {"temperature": 1.0, "template": template, **sampling}
    expected = texts(generator(model, batch_size=8, **settings).generate(samples()))

    for size in (1, 3):
        assert texts(generator(model, batch_size=size, **settings).generate(samples())) == expected
    order = random.Random(0).sample(range(8), 8)
    shuffled = generator(model, **settings).generate([samples()[i] for i in order])
    assert texts(shuffled) == [expected[i] for i in order]
    assert [completion.sample.id for completion in shuffled] == [str(i) for i in order]


def test_padding_is_no_token_that_the_repetition_penalty_sees(model: Path) -> None:
    policy = AutoModelForCausalLM.from_pretrained(model)
    rows = [Row([7, 8, 9, 10, 11], 4), Row([12], 4)]
    penalty = Sampler(repetition_penalty=5.0)

    with torch.no_grad():
        both, alone = Batch(policy, rows), Batch(policy, rows[1:])
    together, _ = penalty.distribution(both.logits, both.history)
    single, _ = penalty.distribution(alone.logits, alone.history)

    torch.testing.assert_close(together[1:], single, atol=1e-4, rtol=1e-4)


def test_attempts_and_seeds_are_independent_and_repeatable(gpt2: Path) -> None:
    sampling = generator(gpt2, temperature=1.0)
    first = sampling.generate(samples())
    second = sampling.generate(samples(), attempt=1)

    assert texts(first) != texts(second)
    assert {completion.attempt for completion in second} == {1}
    assert texts(sampling.generate(samples())) == texts(first)
    assert texts(generator(gpt2, temperature=1.0, seed=1).generate(samples())) != texts(first)


def test_small_token_budgets_make_small_batches_with_the_same_answers(gpt2: Path) -> None:
    wide = generator(gpt2).generate(samples())
    narrow = generator(gpt2, batch_tokens=1).generate(samples())

    assert texts(narrow) == texts(wide)


def test_a_batch_that_does_not_fit_in_memory_is_halved(gpt2: Path) -> None:
    def crowded(_: object, __: object, inputs: dict[str, torch.Tensor]) -> None:
        if len(inputs["input_ids"]) > 3:
            raise torch.OutOfMemoryError("as a GPU would")

    tight = generator(gpt2)
    expected = texts(tight.generate(samples()))
    tight._loaded.model.register_forward_pre_hook(crowded, with_kwargs=True)

    assert texts(tight.generate(samples())) == expected


def test_a_prompt_beyond_the_context_fails_alone_and_says_the_lengths(gpt2: Path) -> None:
    long = "x " * CONTEXT
    short, failed, other = generator(gpt2).generate(samples(["Go", long, "Why?"]))

    assert (failed.finish, failed.text) == ("error", "")
    assert f"context {CONTEXT}" in failed.error
    assert [short.text, other.text] == texts(generator(gpt2).generate(samples(["Go", "Why?"])))


def test_an_answer_ends_where_the_context_does(tmp_path: Path) -> None:
    endless = save("gpt2", tmp_path)
    completion = generator(endless, max_new_tokens=10**6).generate(samples(["Go"]))[0]

    assert completion.usage is not None
    assert completion.finish == "length"
    assert completion.usage.input_tokens + completion.usage.output_tokens == CONTEXT


def test_an_empty_prompt_starts_from_the_end_token_or_fails_alone(
    gpt2: Path, tmp_path: Path
) -> None:
    assert generator(gpt2).generate(samples(["", "Go"]))[0].finish != "error"

    without = generator(save("gpt2", tmp_path)).generate(samples(["", "Go"]))
    assert [completion.finish for completion in without] == ["error", "length"]
    assert "empty" in without[0].error


def test_a_prompt_that_is_no_unicode_fails_alone(gpt2: Path) -> None:
    failed, other = generator(gpt2).generate(samples(["half \ud800", "Go"]))

    assert (failed.finish, other.finish == "error") == ("error", False)
    assert "Unicode" in failed.error


def test_no_samples_are_no_completions(gpt2: Path) -> None:
    assert generator(gpt2).generate([]) == []


def test_stop_texts_end_an_answer_and_are_cut_off(tmp_path: Path) -> None:
    endless = save("gpt2", tmp_path)
    whole = generator(endless).generate(samples(["Go"]))[0].text
    stop = whole[8:11]

    stopped = generator(endless, stop=(stop, "never said")).generate(samples(["Go"]))[0]

    assert stopped.text == whole[: whole.index(stop)]
    assert stopped.finish == "stop"
    assert stopped.usage is not None
    assert stopped.usage.output_tokens < 24


def test_braces_are_text_in_template_and_prompt(gpt2: Path) -> None:
    asked = generator(gpt2, template='{"q": "{prompt}", {x}}')

    assert asked._prompter.text("{prompt} {0} %s {") == '{"q": "{prompt} {0} %s {", {x}}'


def test_the_chat_template_is_used_where_there_is_one(gpt2: Path, tmp_path: Path) -> None:
    words = tokenizer(eos_token="<|end|>")
    words.chat_template = CHAT
    folder = save("gpt2", tmp_path, eos_token="<|end|>")
    words.save_pretrained(folder)

    assert generator(folder, system="Be brief.")._prompter.text("Go") == (
        "<system>Be brief.<user>Go<answer>"
    )
    assert generator(folder, chat="off")._prompter.text("Go") == "Go"
    assert generator(folder).identity() != generator(gpt2).identity()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"chat": "on"}, "no chat template"),
        ({"system": "Be brief."}, "chat template"),
        ({"template": "no place"}, "{prompt}"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": 50}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"device": "quantum"}, "quantum"),
    ],
)
def test_a_wrong_setting_is_named(gpt2: Path, wrong: dict[str, object], says: str) -> None:
    with pytest.raises(HarnessError, match=says) as raised:
        generator(gpt2, **wrong)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("{tmp}/missing", "no such file"),
        ("{tmp}", "no config.json"),
        ("{tmp}/text.gguf", "no GGUF"),
        ("{tmp}/cut.gguf", "cannot be read"),
        ("nobody/nothing", "fetch hf:nobody/nothing; or see `harness models list`"),
        ("smolm2", "did you mean smollm2"),
    ],
)
def test_a_model_that_cannot_be_had_is_one_line(
    name: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMESCORE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.gguf").write_text("hello")
    (tmp_path / "cut.gguf").write_bytes(b"GGUF\x03\0\0\0" + b"\xff" * 40)

    with pytest.raises(HarnessError, match=says) as raised:
        generator(name.format(tmp=tmp_path))
    assert "\n" not in str(raised.value)


def test_weights_that_are_missing_are_not_made_up(gpt2: Path, tmp_path: Path) -> None:
    folder = save("gpt2", tmp_path, eos_token="<|end|>")
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, file, metadata={"format": "pt"})

    with pytest.raises(HarnessError, match=r"h\.1\.mlp\.c_fc\.weight"):
        generator(folder)


def test_a_model_that_keeps_its_state_otherwise_is_refused(tmp_path: Path) -> None:
    config = MambaConfig(vocab_size=320, hidden_size=16, num_hidden_layers=1)
    MambaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer(eos_token="<|end|>").save_pretrained(tmp_path)

    with pytest.raises(HarnessError, match=r"mamba.*cache"):
        generator(tmp_path)


def test_identity_is_that_of_the_content(gpt2: Path, tmp_path: Path) -> None:
    copy = save("gpt2", tmp_path, eos_token="<|end|>")
    identity = generator(gpt2).identity()
    assert generator(copy).identity() == identity
    assert {"torch", "transformers"} <= identity.keys()
    assert (identity["device"], identity["dtype"]) == (
        "cuda" if torch.cuda.is_available() else "cpu",
        "float32",
    )

    file = copy / "model.safetensors"
    weights = load_file(file)
    weights["transformer.h.1.mlp.c_fc.weight"][0, 0] += 1
    save_file(weights, file, metadata={"format": "pt"})
    changed = generator(copy).identity()
    assert {key for key in identity if identity[key] != changed[key]} == {"weights"}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_packed_linear_layers_compute_the_same(model: Path, dtype: str) -> None:
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)
    ids = torch.tensor([[1, 2, 3, 4, 5]])
    with torch.no_grad():
        plain = policy(ids).logits
        with packed_linears(policy):
            packed = policy(ids).logits
        again = policy(ids).logits

    tolerance = 1e-4 if dtype == "float32" else 0.1
    torch.testing.assert_close(packed, plain, atol=tolerance, rtol=tolerance)
    assert torch.equal(again, plain)


def test_nothing_is_printed(gpt2: Path, capfd: pytest.CaptureFixture[str]) -> None:
    generator(gpt2).generate(samples([*PROMPTS, "x " * CONTEXT]))

    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_smollm2_answers_by_name_and_by_file(smollm2: str) -> None:
    settings = Gpt2Settings(max_new_tokens=16)
    asked = samples(["What is the capital of France?", "What is 2+2?"])

    capital, number = Gpt2Generator(settings).generate(asked)

    assert "Paris" in capital.text
    assert "4" in number.text
    assert (capital.finish, number.finish) == ("stop", "stop")
    by_file = Gpt2Generator(dataclasses.replace(settings, model=smollm2))
    assert by_file.generate(asked[:1])[0].text == capital.text
