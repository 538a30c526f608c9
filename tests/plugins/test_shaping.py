"""`contrast`, `length`, `repetition` and `copy`: worked by hand, and that nothing slips by them."""

from __future__ import annotations

import json
import math
import shlex
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import Completion, Credit, Sample, Score, Unscored, Usage
from harness.cli import main
from harness.testing import check_rewarder, completion
from harness_shaping._contrast import Contrast
from harness_shaping._pool import Pool, level
from harness_shaping._words import words

GUARDS = ["length:target=4", "repetition", "copy"]
HANDS = completion("wash wash them", "wash them", prompt="hands?")


def value(reference: str, text: str, *references: str, prompt: str = "") -> float | None:
    return harness.scorer(reference).score([completion(text, *references, prompt=prompt)])[0].value


def one(reference: str, text: str, *references: str, prompt: str = "") -> Score:
    return harness.scorer(reference).score([completion(text, *references, prompt=prompt)])[0]


def costs(text: str, score: Score) -> list[tuple[str, object]]:
    return [(text[c.start : c.end], c.value) for c in score.credit]


class Hits:
    """Earns 1 for each word that is in the reference; of `lost` references it knows nothing."""

    def __init__(self, *lost: str) -> None:
        self.lost = lost
        self.batches: list[int] = []

    def score(self, completions: Sequence[Completion]) -> list[Score]:
        self.batches.append(len(completions))
        return [self._score(c.text, " ".join(c.sample.references)) for c in completions]

    def _score(self, text: str, reference: str) -> Score:
        if not reference or reference in self.lost:
            return Score.missing(Unscored.TIMEOUT, "too slow")
        hits = [w for w in words(text) if w.key in reference.split()]
        credit = tuple(Credit(w.start, w.end, 1.0) for w in hits)
        return Score(float(len(hits)), credit=credit, usage=Usage(1, 2, 0.5))


def pool(*references: str) -> Pool:
    return Pool([Sample(r, f"about {r}", (r,)) for r in references])


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    rows = [("red", "red paint"), ("blue", "blue ink"), ("hands?", "wash them"), ("sea", "deep")]
    path.write_text("question,answer\n" + "".join(f"{q},{a}\n" for q, a in rows))
    return path


def contrast(table: Path, more: str = "k=2", of: str = '"match:mode=f1,normalise=squad"') -> str:
    return f"contrast:of={of},pool={table},prompt=question,reference=answer,{more}"


def test_contrast_is_own_less_the_mean_of_the_others() -> None:
    """Own: 3 hits. Others: 'wash' 2, 'them' 1, 'paint' 0, so on average 1."""
    others = pool("wash", "them", "paint")
    (score,) = Contrast(harness.scorer(Hits()), others, k=3).score([HANDS])
    assert score.value == 3 - 1
    assert score.parts == {"own": 3, "others": 1}
    assert score.usage == Usage(4, 8, 2.0)
    third = pytest.approx(1 - 1 / 3)
    assert costs(HANDS.text, score) == [("wash", third), ("wash", third), ("them", third)]
    (half,) = Contrast(harness.scorer(Hits()), others, k=3, weight=0.5).score([HANDS])
    assert half.value == 3 - 0.5
    assert sum(c.value for c in half.credit) == pytest.approx(2.5)


def test_contrast_asks_the_scorer_once_a_batch() -> None:
    hits = Hits()
    Contrast(harness.scorer(hits), pool("a", "b", "c"), k=2).score([HANDS] * 5)
    assert hits.batches == [5 + 5 * 2]


def test_contrast_says_why_there_is_no_score() -> None:
    def scored(lost: Sequence[str], others: Pool, *references: str) -> Score:
        inner = harness.scorer(Hits(*lost))
        return Contrast(inner, others, k=2).score([completion("wash them", *references)])[0]

    assert scored([], pool("ink", "sea")).unscored is Unscored.TIMEOUT
    assert scored(["ink"], pool("ink", "them"), "wash them").value == 2 - 1
    none = scored(["ink", "sea"], pool("ink", "sea"), "wash them")
    assert (none.unscored, none.reason) == (
        Unscored.TIMEOUT,
        "against another row's reference: too slow",
    )
    assert scored([], pool("Wash  them"), "wash them").unscored is Unscored.NO_REFERENCE


@given(st.integers(1, 60), st.integers(0, 5))
def test_the_others_are_all_the_rows_that_are_not_the_samples_own(size: int, seed: int) -> None:
    samples = [Sample(str(i), f"q{i // 2}", (f"answer {i // 3}",)) for i in range(size)]
    for sample in samples:
        others = Pool(samples, seed).others(sample, size)
        same = {s.references[0] for s in samples if s.prompt == sample.prompt}
        assert sorted(others) == sorted({s.references[0] for s in samples} - same)


def test_the_others_hang_on_the_samples_references_and_the_seed() -> None:
    samples = [Sample(str(i), f"q{i}", (f"answer {i}",)) for i in range(50)]
    moved = Sample("elsewhere", "[good] q7", ("answer 7",), {"more": 1})
    chosen = Pool(samples).others(samples[7], 4)
    assert len(set(chosen)) == 4
    assert Pool(samples[::-1]).others(moved, 4) == chosen
    assert Pool(samples, seed=1).others(samples[7], 4) != chosen
    counts = [r for s in samples for r in Pool(samples).others(s, 4)]
    assert len(set(counts)) > 40  # not the same few for every sample


def test_contrast_by_name_holds_what_every_scorer_promises(table: Path) -> None:
    texts = ["wash them", "red paint", "", "blue them"]
    asked = [completion(text, "wash them", prompt="hands?") for text in texts]
    scores = check_rewarder(contrast(table, "k=3"), asked)
    found = [score.value for score in scores]
    # 'red paint' is one of the three others; 'blue them' shares a word with own and with one.
    assert found == pytest.approx([1, 0 - 1 / 3, 0, 0.5 - 0.5 / 3])


def test_contrast_credits_what_bertscore_credits(table: Path, minilm: str) -> None:
    encoder = f'"bertscore:model={minilm},layer=2,credit=true"'
    asked = [
        completion("Wash your hands, all of them.", "wash them", prompt="hands?"),
        completion("Some red paint", "red paint", prompt="red"),
    ]
    inner = harness.scorer(encoder.strip('"'))
    scores = check_rewarder(contrast(table, "k=3", encoder), asked)
    for c, score, others in zip(asked, scores, [["red paint"], ["wash them"]], strict=True):
        against = [*others, "blue ink", "deep"]
        own = inner.score([c])[0]
        others_scores = inner.score([completion(c.text, other) for other in against])
        mean = sum(s.value or 0 for s in others_scores) / 3
        assert score.value == pytest.approx((own.value or 0) - mean, abs=1e-6)
        credited = [sum(span.value for span in s.credit) for s in (own, *others_scores)]
        assert sum(span.value for span in score.credit) == pytest.approx(
            credited[0] - sum(credited[1:]) / 3, abs=1e-5
        )
        assert [(s.start, s.end) for s in score.credit] == [(s.start, s.end) for s in own.credit]


def test_a_reference_in_a_reference_works_in_a_shell_and_in_toml(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.csv"
    answers.write_text("question,answer,said\nhands?,wash them,wash them\nred,red paint,deep\n")
    out = tmp_path / "scored.jsonl"
    typed = shlex.split(f"--scorer 'specific={contrast(table, 'k=3')}' -o {out}")
    columns = ["--completion", "said", "--reference", "answer", "--prompt", "question"]
    assert main(["score", str(answers), *columns, *typed]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["specific"] for row in rows] == pytest.approx([1, -1 / 3])
    assert rows[0]["specific.own"] == 1
    in_toml = tomllib.loads(f"scorers = ['{contrast(table, 'k=3')}']")["scorers"][0]
    assert harness.scorer(in_toml).fingerprint == harness.scorer(typed[1]).fingerprint


def test_contrast_is_known_by_its_scorer_and_the_pools_content(table: Path, tmp_path: Path) -> None:
    def fingerprint(path: Path, more: str = "k=2", of: str = "match:mode=f1") -> str:
        return harness.scorer(contrast(path, more, of)).fingerprint

    lines = table.read_text().splitlines()
    copy, other = tmp_path / "copy.csv", tmp_path / "other.csv"
    copy.write_text("\n".join([lines[0], *lines[:0:-1]]))
    other.write_text(table.read_text().replace("deep", "shallow"))
    assert fingerprint(copy) == fingerprint(table)
    differing = [fingerprint(other), fingerprint(table, "k=3"), fingerprint(table, of="match")]
    assert len({fingerprint(table), *differing}) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three four", 0.0),
        ("one two three four, five six seven eight", -0.5),  # twice: x = 1
        ("one two", -0.5),  # half: x = -1
        ("one", -0.8),  # a quarter: x = -2
        (" ".join(["word"] * 16), -0.8),
        ("", -1.0),
        ("!!! ???", -1.0),
    ],
)
def test_length_costs_a_half_at_twice_and_at_half(text: str, expected: float) -> None:
    score = one("length:target=4", text)
    assert score.value == pytest.approx(expected)
    assert score.parts == {"words": len(words(text)), "commas": text.count(","), "target": 4}


def test_length_may_leave_a_band_and_take_the_references_words() -> None:
    band = "length:target=10,low=0.8,high=1.25,half=3"
    assert [value(band, "w " * n) for n in (8, 10, 12)] == [0, 0, 0]
    x = math.log(15 / 12.5) / math.log(3)
    assert value(band, "w " * 15) == pytest.approx(-(x**2) / (1 + x**2))
    assert value("length", "a b", "one two three four", "one two") == 0
    assert value("length", "a b", "one two three four") == pytest.approx(-0.5)
    assert one("length", "a b", "...").unscored is Unscored.NO_REFERENCE
    assert one("length", "a b").unscored is Unscored.NO_REFERENCE


@given(st.integers(1, 300), st.integers(1, 80))
def test_a_length_nearer_to_the_target_is_never_worse(count: int, target: int) -> None:
    reference = f"length:target={target}"
    here = value(reference, "w " * count)
    nearer = value(reference, "w " * (count + (1 if count < target else -1)))
    assert here is not None
    assert nearer is not None
    assert -1 < here <= 0
    if count != target and count > 1:
        assert nearer > here


def test_length_blames_the_words_too_many() -> None:
    """Of target 2: a third word costs x = log2(3/2); the fourth brings the loss to 1/2."""
    text = "one two three four"
    score = one("length:target=2,credit=true", text)
    third = math.log2(1.5) ** 2
    third /= 1 + third
    expected = [("three", pytest.approx(-third)), ("four", pytest.approx(third - 0.5))]
    assert costs(text, score) == expected
    assert one("length:target=9,credit=true", text).credit == ()


def test_repetition_counts_groups_said_before() -> None:
    """Groups: aba bab aba bab, so two of four; their words are a b a and b a b."""
    text = "A b a, b a b"
    score = one("repetition:credit=true", text)
    assert score.value == -0.5
    assert score.parts == {"repeated": 0.5, "distinct_1": 1 / 3, "distinct_2": 2 / 5}
    twelfth = [pytest.approx(-n / 12) for n in (1, 2, 2, 1)]
    assert costs(text, score) == list(zip("abab", twelfth, strict=True))
    assert value("repetition:allowed=0.25", text) == pytest.approx(-0.25 / 0.75)
    assert value("repetition:n=1", text) == pytest.approx(-4 / 6)
    assert value("repetition", "a b c d e f a b") == 0
    assert value("repetition", "so so") == 0
    assert value("repetition", "very " * 100) == pytest.approx(-97 / 98)


def test_copy_counts_the_words_of_runs_that_stand_in_the_prompt() -> None:
    prompt = "How do I wash my hands?"
    text = "How do I wash... cars"
    score = one("copy:credit=true", text, prompt=prompt)
    assert score.value == pytest.approx(-0.8)
    assert score.parts == {"overlap": 0.8}
    fifth = pytest.approx(-0.2)
    assert costs(text, score) == [("How", fifth), ("do", fifth), ("I", fifth), ("wash", fifth)]
    assert value("copy", prompt, prompt=prompt) == -1
    assert value("copy", "how do i do", prompt=prompt) == 0
    assert value("copy:n=3", "how do i do", prompt=prompt) == -0.75
    assert value("copy:allowed=0.6", text, prompt=prompt) == pytest.approx(-0.2 / 0.4)
    assert value("copy", "wash my hands", prompt=prompt) == 0


@pytest.mark.parametrize("reference", GUARDS)
@pytest.mark.parametrize("text", ["", "  \n", "?!... --- ,,,"])
def test_saying_nothing_is_the_worst_for_every_guard(reference: str, text: str) -> None:
    score = one(reference, text, "a reference", prompt="a b c d")
    assert (score.value, score.reason) == (-1.0, "the completion has no word")


@pytest.mark.parametrize("reference", GUARDS)
def test_the_guards_hold_what_every_scorer_promises(reference: str) -> None:
    texts = ["", "a b c d", "a b c a b c a b c", "α β γ δ ε α β γ δ", "你好你好你好", "x " * 40]
    separator = "," if ":" in reference else ":"
    asked = [completion(text, prompt="so a b c d?") for text in texts]
    for score in check_rewarder(f"{reference}{separator}credit=true", asked):
        assert score.value is not None
        assert -1 <= score.value <= 0
        if score.credit:
            assert sum(c.value for c in score.credit) == pytest.approx(score.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the,the-the", ["the", "the", "the"]),
        ("Don’t don't", ["don't", "don't"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("你好, World", ["你", "好", "world"]),
        ("Über 3.5 km_h", ["über", "3", "5", "km", "h"]),
        ("สวัสดี!", ["ส", "ว", "ส", "ด"]),
        ("—…!", []),
    ],
)
def test_words_of_any_script(text: str, expected: list[str]) -> None:
    found = words(text)
    assert [word.key for word in found] == expected
    assert all(level(text[w.start : w.end]).replace("’", "'") == w.key for w in found)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("contrast:pool=x.csv", "needs the setting 'of'"),
        ("contrast:of=match,pool=nowhere.csv", "there is no file nowhere.csv"),
        ("contrast:of=match,pool=TABLE", "no column 'prompt'.*prompt=prompt and reference="),
        ("contrast:of=match,pool=TABLE,prompt=question,reference=x", "no column 'x'"),
        ("contrast:of=match,pool=TABLE,prompt=question,reference=answer", "k=4 needs 5"),
        ("contrast:of=match,pool=TABLE,k=0", "k is 0"),
        ("contrast:of=match,pool=TABLE,weight=2", r"weight is 2.0; it must lie in \(0, 1\]"),
        ("contrast:of=nothing,pool=TABLE,prompt=question,reference=answer,k=2", "'nothing'"),
        ("length:target=-1", "target is -1"),
        ("length:low=1.5", "low <= 1 <= high"),
        ("length:half=1", "half is 1.0; it must be more than 1"),
        ("repetition:n=0", "n is 0"),
        ("copy:allowed=1", r"allowed is 1.0; it must lie in \[0, 1\)"),
    ],
)
def test_a_wrong_setting_is_one_line(reference: str, message: str, table: Path) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        harness.scorer(reference.replace("TABLE", str(table)))
