"""`match`: each mode against an independent definition, and its decisions at the edges."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness import Completion, Rewarder, Sample, Score, Unscored
from harness_match import MatchSettings, build


def score(settings: MatchSettings, text: str, *references: str) -> Score:
    return build(settings).score([Completion(Sample("1", "?", references), text)])[0]


def value(settings: MatchSettings, text: str, *references: str) -> float | None:
    return score(settings, text, *references).value


EXACT = MatchSettings()
CONTAINS = MatchSettings(mode="contains")
REGEX = MatchSettings(mode="regex")
NUMERIC = MatchSettings(mode="numeric")
F1 = MatchSettings(mode="f1")


def test_it_is_found_by_name_and_scores_batches_in_order() -> None:
    scorer = harness.scorer("match:mode=contains,ignore_case=true")
    texts = ["It is PARIS.", "Rome", "paris"]

    scores = scorer.score([Completion(Sample(t, "?", ("Paris",)), t) for t in texts])

    assert [s.value for s in scores] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("tolerance=-1", "0 or more"),
        ("extract='('", "is no pattern"),
        ("mode=regex,normalise=squad", "leave normalise out"),
        ("mode=fuzzy", "choose one of exact, contains"),
    ],
)
def test_a_wrong_setting_is_one_line(setting: str, message: str) -> None:
    with pytest.raises(harness.HarnessError, match=message):
        harness.scorer(f"match:{setting}")


@pytest.mark.parametrize("settings", [EXACT, CONTAINS, REGEX, NUMERIC, F1])
def test_without_a_reference_there_is_no_score(settings: MatchSettings) -> None:
    assert score(settings, "42").unscored is Unscored.NO_REFERENCE


@pytest.mark.parametrize("settings", [EXACT, CONTAINS, REGEX, NUMERIC, F1])
def test_the_best_reference_counts(settings: MatchSettings) -> None:
    assert value(settings, "42", "7", "42") == value(settings, "42", "42", "7") == 1.0
    assert value(settings, "42", "7", "8") == 0.0


@pytest.mark.parametrize(
    ("settings", "text", "reference", "expected"),
    [
        (EXACT, " Paris\n", "Paris", 1.0),
        (EXACT, "New  York", "New\nYork", 1.0),
        (EXACT, "paris", "Paris", 0.0),
        (MatchSettings(normalise="none"), "Paris ", "Paris", 0.0),
        (MatchSettings(ignore_case=True), "STRASSE", "Straße", 1.0),
        (MatchSettings(normalise="squad"), "The U.S.A.", "usa", 1.0),
        (EXACT, "Zu\u0308rich", "Z\u00fcrich", 1.0),
        (EXACT, "", "", 1.0),
        (CONTAINS, "It is Paris, of course", "Paris", 1.0),
        (CONTAINS, "concatenate", "cat", 1.0),
        (CONTAINS, "anything", "", 0.0),
        (CONTAINS, " ", "", 1.0),
        (CONTAINS, "答案是巴黎。", "巴黎", 1.0),
        (REGEX, "It is\nParis", r"(?m)^paris$", 0.0),
        (MatchSettings(mode="regex", ignore_case=True), "It is\nParis", r"(?m)^paris$", 1.0),
        (REGEX, "cafe\u0301", "^caf\u00e9$", 1.0),
    ],
)
def test_texts(settings: MatchSettings, text: str, reference: str, expected: float) -> None:
    assert value(settings, text, reference) == expected


def test_a_bad_pattern_is_named_and_spares_the_others() -> None:
    samples = [Sample("1", "?", ("a", "(b")), Sample("2", "?", ("a",))]

    bad, good = build(REGEX).score([Completion(s, "a") for s in samples])

    assert bad.unscored is Unscored.NO_REFERENCE
    assert "'(b'" in bad.reason
    assert good.value == 1.0


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("First 3, then 4: so 42.", "42", 1.0),
        ("42 and then 43", "42", 0.0),
        ("1,234,567.5", "1234567.5", 1.0),
        ("it costs $1,000", "1000", 1.0),
        ("minus: -5", "-5", 1.0),
        ("-$5", "-5", 1.0),
        ("\u22125", "-5", 1.0),
        ("pages 3-5", "5", 1.0),
        ("50%", "50", 1.0),
        ("3/4", "0.75", 1.0),
        ("it is .5", "0.5", 1.0),
        ("2e-3", "0.002", 1.0),
        ("12 km", "12.0", 1.0),
        ("答案是42。", "42", 1.0),
        ("4 of H2O", "4", 1.0),
        ("#### 18", "She has 9 * 2 = 18", 1.0),
        ("1000000.5", "1000000", 1.0),
        ("1000002", "1000000", 0.0),
        ("1/0", "1", 0.0),
        ("none", "1", 0.0),
        ("9" * 400, "1", 0.0),
    ],
)
def test_numbers(text: str, reference: str, expected: float) -> None:
    assert value(NUMERIC, text, reference) == expected


def test_tolerance_is_a_share_of_the_reference_and_absolute_below_one() -> None:
    percent = MatchSettings(mode="numeric", tolerance=0.01)

    assert [value(percent, t, "200") for t in ("198", "202", "197.9")] == [1.0, 1.0, 0.0]
    assert [value(percent, t, "0") for t in ("0.01", "0.02")] == [1.0, 0.0]
    assert value(MatchSettings(mode="numeric", tolerance=0), "0.1", "0.1") == 1.0


@pytest.mark.parametrize("reference", ["five", "", "1/0", "9" * 400])
def test_a_reference_without_a_number_is_left_out(reference: str) -> None:
    assert score(NUMERIC, "5", reference).unscored is Unscored.NO_REFERENCE
    assert value(NUMERIC, "5", reference, "5") == 1.0


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        (r"#### (\S+)", "18? #### 17 no, #### 42", 1.0),
        (r"\d+", "17 or 42", 1.0),
        (r"#### (\S+)", "42", 0.0),
        (r"A(\d+)?", "A", 0.0),
    ],
)
def test_extract_takes_the_last_match(pattern: str, text: str, expected: float) -> None:
    assert value(MatchSettings(extract=pattern), text, "42") == expected


def official_f1(prediction: str, truth: str) -> float:
    """The evaluation script of SQuAD 2.0 (normalize_answer, compute_f1), put together."""

    def get_tokens(text: str) -> list[str]:
        text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split()).split()

    gold, predicted = get_tokens(truth), get_tokens(prediction)
    same = sum((Counter(gold) & Counter(predicted)).values())
    if len(gold) == 0 or len(predicted) == 0:
        return float(gold == predicted)
    if same == 0:
        return 0.0
    precision, recall = same / len(predicted), same / len(gold)
    return (2 * precision * recall) / (precision + recall)


WORDS = st.lists(
    st.sampled_from(["the", "A", "an", "cat", "Cat,", "sat", "e-mail", "...", "U.S.", "3", "\n"])
).map(" ".join)


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_f1_is_squads(text: str, references: list[str]) -> None:
    result = score(F1, text, *references)

    assert result.value == max(official_f1(text, r) for r in references)
    precision, recall = result.parts["precision"], result.parts["recall"]
    assert result.value == pytest.approx(2 * precision * recall / ((precision + recall) or 1))


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("", "", 1.0),
        ("the", "!", 1.0),
        ("", "cat", 0.0),
        ("cat", "", 0.0),
        ("我爱北京", "我爱上海", 0.5),
        ("巴黎。", "巴黎", 1.0),
        ("東京タワー", "東京", 4 / 7),
        ("iPhone手机", "手机", 0.8),
        ("서울 타워", "서울", 2 / 3),
        ("¿Dónde? «aquí»", "dónde aquí", 1.0),
        ("Zu\u0308rich", "Z\u00fcrich", 1.0),
    ],
)
def test_f1_at_the_edges_and_in_other_scripts(text: str, reference: str, expected: float) -> None:
    assert value(F1, text, reference) == pytest.approx(expected)


def test_f1_can_be_made_to_mind_case_and_articles() -> None:
    assert value(MatchSettings(mode="f1", normalise="space"), "The cat", "cat") == pytest.approx(
        2 / 3
    )
    assert value(MatchSettings(mode="f1", normalise="space"), "Cat", "cat") == 0.0


@given(st.text(), st.text())
def test_no_text_breaks_any_mode(text: str, reference: str) -> None:
    settings = [EXACT, CONTAINS, NUMERIC, F1, MatchSettings(normalise="squad", ignore_case=True)]
    scorers: Sequence[Rewarder] = [build(s) for s in settings]

    for scorer in scorers:
        (result,) = scorer.score([Completion(Sample("1", "?", (reference,)), text)])
        assert result.value is None or 0.0 <= result.value <= 1.0


@given(st.text())
def test_a_text_equals_itself_in_any_normal_form(text: str) -> None:
    for form in ("NFC", "NFD"):
        assert value(EXACT, unicodedata.normalize(form, text), text) == 1.0
        assert value(F1, unicodedata.normalize(form, text), text) == 1.0
