from __future__ import annotations

import pytest

from benchmarks.stdlib_docs.docstrings import first_sentence


@pytest.mark.parametrize(
    ("docstring", "sentence"),
    [
        ("Test whether a path is absolute", "Test whether a path is absolute"),
        ("Join two\n    or more paths.  Then more.", "Join two or more paths."),
        (
            "max(iterable, *[, key=func]) -> value\nmax(a, b) -> value\n\nReturn the biggest item.",
            "Return the biggest item.",
        ),
        ("L.append(object) -> None -- Append object to end", "Append object to end"),
        ("D.clear() -> None.  Remove all items from D.", "Remove all items from D."),
        (
            "Formats dates, e.g. birthdays, i.e. days. Second sentence.",
            "Formats dates, e.g. birthdays, i.e. days.",
        ),
        ('Call it "as is." It stays.', 'Call it "as is."'),
    ],
)
def test_the_first_sentence_is_what_follows_the_signatures(docstring: str, sentence: str) -> None:
    assert first_sentence(docstring) == sentence


@pytest.mark.parametrize(
    "docstring",
    [
        "",
        "Point(x: int, y: int)",
        "Return self+value.",
        "See help(type(self)) for accurate signature.",
        "Deprecated alias of the other function.",
        "Do it.",
        "x = y == z and so on, which is code.",
        "lower case beginnings are fragments of something",
        "word " * 41,
        "D.values() -> an object providing a view on D's values",
    ],
)
def test_what_says_nothing_is_no_sentence(docstring: str) -> None:
    assert first_sentence(docstring) is None
