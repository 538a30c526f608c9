"""How varied texts are: distinct word groups over many texts, and repetition within one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def distinct(texts: Iterable[str], n: int) -> float | None:
    """The share of groups of `n` words in all texts that differ from each other (distinct-n).

    Li et al. 2016 (arXiv 1510.03055), section 5. It falls with the number of words, so compare
    what has about as many. None where no text has `n` words.

    Raises:
        ValueError: if `n` is below 1.
    """
    every = [group for text in texts for group in word_groups(text, n)]
    return len(set(every)) / len(every) if every else None


def repetition(text: str, n: int = 3) -> float:
    """The share of a text's groups of `n` words that stood in it before; 0 where it has none.

    Raises:
        ValueError: if `n` is below 1.
    """
    groups = word_groups(text, n)
    return 1 - len(set(groups)) / len(groups) if groups else 0.0


def word_groups(text: str, n: int) -> Sequence[tuple[str, ...]]:
    """Every `n` words in a row, in lower case.

    Raises:
        ValueError: if `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n is {n}; it is at least 1")
    words = text.casefold().split()
    return list(zip(*(words[i:] for i in range(n)), strict=False))
