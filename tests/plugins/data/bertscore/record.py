"""Record bert-score 0.3.13's own numbers on tiny random encoders, on transformers 4.57.

On transformers 5, bert-score crashes on empty text and silently changes RoBERTa's scores, so it is
no oracle there. Run once, in an environment of its own:

    pip install torch==2.13.0 transformers==4.57.1 bert-score==0.3.13 sentencepiece protobuf
    python record.py

It writes one folder an architecture (configuration, vocabulary, half-precision weights) and
`scores.json`. Each pair is scored alone, because bert-score's number can depend on batch-mates.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers
import torch
import transformers
from bert_score import BERTScorer
from safetensors.torch import save_file

HERE = Path(__file__).parent
LAYERS, CUT, LIMIT = 3, 2, 40

REFERENCES = [
    "The cat sat on the mat and looked at the door.",
    "You can return the parcel within thirty days.",
    "Opening hours are from nine to five, Monday to Friday.",
    "A short answer.",
    "The quick brown fox jumps over the lazy dog; the dog does not mind at all.",
    "Please write to the help desk, and quote the number of your order.",
    "今日は天気がいいですね。",
    "Well done! 🎉 See you tomorrow 👩‍💻.",
]
LONG = " ".join(REFERENCES[:6])
PAIRS = [
    ("The cat sat on a mat, looking at a door.", REFERENCES[0]),
    ("Parcels may be returned within a month.", REFERENCES[1]),
    ("Opening hours are from nine to five, Monday to Friday.", REFERENCES[2]),
    ("two dogs", REFERENCES[4]),
    ("明日は雨です。", REFERENCES[6]),
    ("Good job 🎉🎉 see you 👩‍💻", REFERENCES[7]),
    ("  blanks around, and a\ttab\nand lines  ", " The cat sat. "),
    ("naïve café, Straße, ½ → ∞", "naive cafe, Strasse, 1/2 -> infinity"),
    (LONG, LONG[40:]),
    ("short against long", LONG),
    ("UPPER case AND 1234567890 numbers!!!", "upper CASE and 42 numbers?"),
    ("The cat sat on the mat and looked at the door.", REFERENCES[5]),
]
EMPTY = [("", REFERENCES[0]), ("   ", REFERENCES[1]), (REFERENCES[0], ""), ("", "")]
SEVERAL = [
    (PAIRS[0][0], [REFERENCES[0], REFERENCES[4], REFERENCES[3]]),
    (PAIRS[1][0], [REFERENCES[5], REFERENCES[1]]),
    (PAIRS[3][0], [REFERENCES[2], REFERENCES[4], REFERENCES[6], REFERENCES[7]]),
]
BASELINE = (0.31, 0.32, 0.33)


def wordpiece(folder: Path, specials: list[str]) -> None:
    trained = tokenizers.BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(
        [*REFERENCES, *(c for c, _ in PAIRS)], 320, 1, special_tokens=specials
    )
    trained.save_model(str(folder))


def byte_pairs(folder: Path, specials: list[str]) -> tokenizers.ByteLevelBPETokenizer:
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(REFERENCES * 3, 340, 2, special_tokens=specials)
    trained.save_model(str(folder))
    return trained


def pieces(path: Path, **ids: Any) -> None:
    """Train a SentencePiece model that levels white space; the usual rules add 240 kB."""
    with tempfile.TemporaryDirectory() as scratch:
        rules = Path(scratch) / "rules.tsv"
        rules.write_text("9\t20\nA\t20\nD\t20\n", encoding="utf-8")
        corpus = Path(scratch) / "corpus.txt"
        corpus.write_text("\n".join([*REFERENCES, *(c for c, _ in PAIRS[:5])]), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus),
            model_prefix=f"{scratch}/m",
            vocab_size=160,
            model_type="unigram",
            character_coverage=0.985,
            hard_vocab_limit=False,
            minloglevel=2,
            normalization_rule_tsv=str(rules),
            **ids,
        )
        shutil.copy(f"{scratch}/m.model", path)


BERT_SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
T: Any = transformers
T.logging.set_verbosity_error()
SMALL: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
         "intermediate_size": 48, "max_position_embeddings": LIMIT}  # fmt: skip


def bert(folder: Path) -> Any:
    wordpiece(folder, BERT_SPECIALS)
    T.BertTokenizer(str(folder / "vocab.txt"), model_max_length=LIMIT).save_pretrained(folder)
    return T.BertModel(T.BertConfig(vocab_size=320, **SMALL))


def electra(folder: Path) -> Any:
    wordpiece(folder, BERT_SPECIALS)
    T.ElectraTokenizer(str(folder / "vocab.txt"), model_max_length=LIMIT).save_pretrained(folder)
    return T.ElectraModel(T.ElectraConfig(vocab_size=320, embedding_size=16, **SMALL))


def distilbert(folder: Path) -> Any:
    wordpiece(folder, BERT_SPECIALS)
    T.DistilBertTokenizer(str(folder / "vocab.txt"), model_max_length=LIMIT).save_pretrained(folder)
    return T.DistilBertModel(
        T.DistilBertConfig(vocab_size=320, dim=32, n_layers=LAYERS, n_heads=2, hidden_dim=48,
                           max_position_embeddings=LIMIT)
    )  # fmt: skip


def mpnet(folder: Path) -> Any:
    wordpiece(folder, ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"])
    T.MPNetTokenizer(str(folder / "vocab.txt"), model_max_length=LIMIT).save_pretrained(folder)
    config = {**SMALL, "max_position_embeddings": LIMIT + 2}
    return T.MPNetModel(T.MPNetConfig(vocab_size=320, **config))


def roberta(folder: Path) -> Any:
    byte_pairs(folder, ROBERTA_SPECIALS)
    T.RobertaTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LIMIT
    ).save_pretrained(folder)
    config = {**SMALL, "max_position_embeddings": LIMIT + 2}
    return T.RobertaModel(T.RobertaConfig(vocab_size=340, type_vocab_size=1, **config))


def xlm_roberta(folder: Path) -> Any:
    pieces(folder / "sentencepiece.bpe.model", unk_id=0, bos_id=1, eos_id=2)
    tokenizer = T.XLMRobertaTokenizer(
        str(folder / "sentencepiece.bpe.model"), model_max_length=LIMIT
    )
    tokenizer.save_pretrained(folder)
    config = {**SMALL, "max_position_embeddings": LIMIT + 2}
    return T.XLMRobertaModel(
        T.XLMRobertaConfig(vocab_size=len(tokenizer), type_vocab_size=1, **config)
    )


def gpt2(folder: Path) -> Any:
    byte_pairs(folder, ["<|endoftext|>"])
    T.GPT2Tokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LIMIT
    ).save_pretrained(folder)
    return T.GPT2Model(
        T.GPT2Config(vocab_size=340, n_embd=32, n_layer=LAYERS, n_head=2, n_positions=LIMIT)
    )


def bart(folder: Path) -> Any:
    byte_pairs(folder, ROBERTA_SPECIALS)
    T.BartTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LIMIT
    ).save_pretrained(folder)
    return T.BartModel(
        T.BartConfig(vocab_size=340, d_model=32, encoder_layers=LAYERS, decoder_layers=1,
                     encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=48,
                     decoder_ffn_dim=48, max_position_embeddings=LIMIT)
    )  # fmt: skip


def deberta_v1(folder: Path) -> Any:
    byte_pairs(folder, BERT_SPECIALS)
    T.DebertaTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=LIMIT
    ).save_pretrained(folder)
    return T.DebertaModel(
        T.DebertaConfig(vocab_size=340, relative_attention=True, pos_att_type=["c2p", "p2c"],
                        max_relative_positions=-1, position_biased_input=False, type_vocab_size=0,
                        **SMALL)
    )  # fmt: skip


def _deberta_v2(folder: Path, **more: Any) -> Any:
    pieces(folder / "spm.model", pad_id=0, bos_id=1, eos_id=2, unk_id=3,
           pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
           user_defined_symbols="[MASK]")  # fmt: skip
    tokenizer = T.DebertaV2Tokenizer(str(folder / "spm.model"), model_max_length=LIMIT)
    tokenizer.save_pretrained(folder)
    return T.DebertaV2Model(
        T.DebertaV2Config(vocab_size=len(tokenizer), relative_attention=True,
                          pos_att_type=["p2c", "c2p"], position_biased_input=False,
                          type_vocab_size=0, **SMALL, **more)
    )  # fmt: skip


def deberta_v2(folder: Path) -> Any:
    return _deberta_v2(folder, conv_kernel_size=3, conv_act="gelu", norm_rel_ebd="layer_norm",
                       position_buckets=16, share_att_key=False)  # fmt: skip


def deberta_v3(folder: Path) -> Any:
    return _deberta_v2(folder, norm_rel_ebd="layer_norm", position_buckets=16, share_att_key=True)


def albert(folder: Path) -> Any:
    pieces(folder / "spiece.model", pad_id=0, unk_id=1, bos_id=2, eos_id=3,
           pad_piece="<pad>", unk_piece="<unk>", bos_piece="[CLS]", eos_piece="[SEP]",
           user_defined_symbols="[MASK]")  # fmt: skip
    tokenizer = T.AlbertTokenizer(str(folder / "spiece.model"), model_max_length=LIMIT)
    tokenizer.save_pretrained(folder)
    return T.AlbertModel(T.AlbertConfig(vocab_size=len(tokenizer), embedding_size=16, **SMALL))


def t5(folder: Path) -> Any:
    pieces(folder / "spiece.model", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
    tokenizer = T.T5Tokenizer(
        str(folder / "spiece.model"), extra_ids=0, model_max_length=LIMIT, legacy=True
    )
    tokenizer.save_pretrained(folder)
    return T.T5EncoderModel(
        T.T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=16, d_ff=48, num_layers=LAYERS,
                   num_heads=2, feed_forward_proj="gated-gelu")
    )  # fmt: skip


def xlnet(folder: Path) -> Any:
    pieces(folder / "spiece.model", unk_id=0, bos_id=1, eos_id=2, pad_id=5,
           control_symbols="<cls>,<sep>", user_defined_symbols="<mask>,<eop>,<eod>")  # fmt: skip
    tokenizer = T.XLNetTokenizer(str(folder / "spiece.model"), model_max_length=LIMIT)
    tokenizer.save_pretrained(folder)
    return T.XLNetModel(
        T.XLNetConfig(vocab_size=len(tokenizer), d_model=32, n_layer=LAYERS, n_head=2, d_inner=48)
    )


def modernbert(folder: Path) -> Any:
    trained = byte_pairs(folder, BERT_SPECIALS)
    inner = trained._tokenizer
    inner.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    T.PreTrainedTokenizerFast(
        tokenizer_object=inner, model_max_length=LIMIT, cls_token="[CLS]", sep_token="[SEP]",
        pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]",
    ).save_pretrained(folder)  # fmt: skip
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    return T.ModernBertModel(
        T.ModernBertConfig(vocab_size=340, **SMALL, pad_token_id=0, cls_token_id=2, sep_token_id=3,
                           bos_token_id=2, eos_token_id=3, global_attn_every_n_layers=2,
                           local_attention=8)
    )  # fmt: skip


FAMILIES = [bert, roberta, xlm_roberta, electra, distilbert, mpnet, albert, deberta_v1, deberta_v2,
            deberta_v3, t5, bart, xlnet, gpt2, modernbert]  # fmt: skip


def save(model: Any, folder: Path) -> None:
    """Weights with a wide spread, so that tokens differ; in half precision, exact in both."""
    torch.manual_seed(len(folder.name))
    weights = {}
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            noise = torch.randn_like(value) * (0.25 if value.dim() > 1 else 0.1)
            value = noise + (1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0)
            value = value.half()
        if "pooler" not in name:
            weights[name] = value.contiguous()
    tied = {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    weights = {k: v for k, v in weights.items() if k not in tied}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)


class AtLayer(BERTScorer):  # type: ignore[misc]
    """bert-score at the cut layer."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(model_type=str(folder), num_layers=CUT, **options)


class AllLayers(BERTScorer):  # type: ignore[misc]
    """GPT-2, which bert-score can only score with all layers kept, at the cut layer."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(model_type=str(folder), num_layers=CUT, all_layers=True, **options)
        self._tokenizer.pad_token = self._tokenizer.eos_token

    def score(self, candidates: list[str], references: list[Any]) -> list[torch.Tensor]:
        """One candidate; with all layers kept, bert-score takes its maximum over the wrong axis."""
        texts = [references[0]] if isinstance(references[0], str) else references[0]
        found = [torch.stack(super(AllLayers, self).score(candidates, [r])) for r in texts]
        return list(torch.stack(found)[:, :, CUT].max(dim=0)[0])


def scores(scorer: BERTScorer, pairs: Sequence[tuple[str, Any]]) -> list[list[float]]:
    return [[float(part[0]) for part in scorer.score([c], [r])] for c, r in pairs]


def record(name: str, folder: Path, scratch: Path) -> dict[str, object]:
    # bert-score knows T5 by its name, and a path must not look like another model's.
    path = shutil.copytree(folder, scratch / f"tiny-{name}")
    options: dict[str, Any] = {"lang": "en", "device": "cpu", "nthreads": 0}
    kind = AllLayers if name == "gpt2" else AtLayer

    def build(**more: Any) -> BERTScorer:
        return kind(path, **options, **more)

    tsv = scratch / "baseline.tsv"
    row = ",".join(map(str, BASELINE))
    tsv.write_text("LAYER,P,R,F\n" + "".join(f"{i},{row}\n" for i in range(LAYERS + 1)))
    # With one special token or none, bert-score takes other texts for empty ones; ModernBERT's
    # generic tokenizer makes it crash.
    pairs = PAIRS if name in ("t5", "gpt2", "modernbert") else PAIRS + EMPTY
    plain = build()
    rescaled = build(rescale_with_baseline=True, baseline_path=str(tsv))
    if name == "gpt2":
        rescaled._baseline_vals = torch.tensor(BASELINE).view(1, 1, 3)
    return {
        "plain": scores(plain, pairs),
        "idf": scores(build(idf=True, idf_sents=REFERENCES), pairs),
        "several": scores(plain, SEVERAL),
        "rescaled": scores(rescaled, pairs),
    }


def main() -> None:
    recorded: dict[str, object] = {}
    for family in FAMILIES:
        folder = HERE / family.__name__
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        model = family(folder)
        save(model, folder)
        with tempfile.TemporaryDirectory() as scratch:
            recorded[family.__name__] = record(family.__name__, folder, Path(scratch))
        print(family.__name__, sum(f.stat().st_size for f in folder.iterdir()) // 1000, "kB")
    content = {
        "made_with": {"bert-score": "0.3.13", "transformers": T.__version__, "torch": "2.13.0"},
        "layer": CUT, "limit": LIMIT, "baseline": BASELINE, "idf_references": REFERENCES,
        "pairs": PAIRS, "empty_pairs": EMPTY, "several_pairs": SEVERAL, "scores": recorded,
    }  # fmt: skip
    text = json.dumps(content, ensure_ascii=False, indent=1)
    (HERE / "scores.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
