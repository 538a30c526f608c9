"""Rubrics in TOML files, read so that every mistake is named with its place and remedy."""

from __future__ import annotations

import difflib
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, cast, get_args

from harness.data.toml import read_toml
from harness.errors import DataError
from harness.judging.rubric import Kind, Need, Option, Question, Rubric

_MOST_LEVELS = 6
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_CHOICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _-]*")
_LEVEL = re.compile(r"0|-?[1-9][0-9]{0,3}")
_TAKEN = {  # keys that a verdict has for itself, and what tables have beside the parts of a score
    *("reason", "code", "votes", "unscored", "model", "request_id", "latency_s"),
    *("input_tokens", "output_tokens", "cost_usd"),
}
_KEYS = {
    "predicate": ("yes", "no", "good"),
    "choice": ("choices", "values"),
    "score": ("levels",),
}


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of the file: its values are asked for by key and type."""

    where: str
    values: Mapping[str, object]

    def check(self, *keys: str) -> None:
        """Refuse every other key."""
        for key in self.values:
            if key not in keys:
                near = difflib.get_close_matches(key, keys, 1)
                hint = f"; did you mean {near[0]!r}?" if near else "."
                raise DataError(f"{self.where}: no key {key!r}{hint} It takes: {', '.join(keys)}")

    def text(self, key: str, default: str | None = None) -> str:
        """A text with something in it; `default` where the key is absent."""
        if key not in self.values and default is not None:
            return default
        value = self.values.get(key)
        if not isinstance(value, str) or not value.strip():
            self.wrong(key, "write a text in quotes")
        return value.strip()

    def one_of(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        """One of some words."""
        value = self.values.get(key, default)
        if value not in allowed:
            self.wrong(key, f"choose one of {', '.join(allowed)}")
        return str(value)

    def texts(self, key: str, form: re.Pattern[str], name: str) -> dict[str, str]:
        """A table of two texts or more, each under a name of the right form."""
        value = self.values.get(key)
        if not isinstance(value, Mapping) or len(value) < 2:
            self.wrong(key, f'write a table of two or more: {name} = "what it stands for"')
        table = _Table(f"{self.where}: {key}", value)
        for given in value:
            if not form.fullmatch(given):
                raise DataError(f"{table.where}: {given!r} is no {name}")
        return {given: table.text(given) for given in value}

    def wrong(self, key: str, remedy: str) -> NoReturn:
        """Raise DataError for a key's value."""
        if key not in self.values:
            raise DataError(f"{self.where}: the key {key!r} is missing; {remedy}")
        raise DataError(f"{self.where}: {key} is {self.values[key]!r}; {remedy}")


def read_rubric(path: Path) -> Rubric:
    """The rubric in a TOML file.

    Raises:
        DataError: naming the file, the question, the key and the remedy.
    """
    try:
        values = read_toml(path.read_text("utf-8"))
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read as TOML: {error}") from error
    return parsed(str(path), values)


def parsed(file: str, values: Mapping[str, object]) -> Rubric:
    """The rubric that the values of a file make up; raises as `read_rubric` does."""
    table = _Table(file, values)
    table.check("reference", "instructions", "reason_words", "questions")
    words = values.get("reason_words", 12)
    if type(words) is not int or words < 1:
        table.wrong("reason_words", "write a whole number, 1 or more")
    given = values.get("questions")
    if not isinstance(given, list) or not given or not all(isinstance(q, dict) for q in given):
        table.wrong("questions", "write [[questions]] over the keys of each")
    questions = tuple(_question(file, number, q) for number, q in enumerate(given, 1))
    _check_names(table, questions)
    return Rubric(
        questions=questions,
        instructions=table.text("instructions", ""),
        reference=cast(Need, table.one_of("reference", get_args(Need), "optional")),
        reason_words=words,
    )


def _question(file: str, number: int, values: Mapping[str, object]) -> Question:
    name = _Table(f"{file}: question {number}", values).text("name")
    table = _Table(f"{file}: question {name!r}", values)
    kind = cast(Kind, table.one_of("kind", get_args(Kind), ""))
    table.check("name", "kind", "question", "weight", *_KEYS[kind])
    weight = values.get("weight", 1)
    if type(weight) not in (int, float) or not 0 < float(str(weight)) < math.inf:
        table.wrong("weight", "write a number above 0")
    make = {"predicate": _predicate, "choice": _choices, "score": _levels}[kind]
    return Question(name, kind, table.text("question"), make(table), float(str(weight)))


def _predicate(table: _Table) -> tuple[Option, ...]:
    good = table.one_of("good", ("yes", "no"), "yes")
    no = Option("no", 0.0, float(good == "no"), table.text("no", ""))
    yes = Option("yes", 1.0, float(good == "yes"), table.text("yes", ""))
    return (no, yes) if good == "yes" else (yes, no)


def _choices(table: _Table) -> tuple[Option, ...]:
    choices = table.texts("choices", _CHOICE, "NAME (letters, digits, blanks, - and _)")
    last = len(choices) - 1
    values = table.values.get("values", [rank / last for rank in range(len(choices))])
    remedy = "write a number in 0..1 for each choice, in order and never falling"
    if not isinstance(values, list) or len(values) != len(choices):
        table.wrong("values", remedy)
    if any(type(v) not in (int, float) or not 0 <= v <= 1 for v in values):
        table.wrong("values", remedy)
    if values != sorted(values) or values[0] == values[-1]:
        table.wrong("values", remedy + "; name the worst choice first")
    return tuple(
        Option(name, float(rank), float(values[rank]), text)
        for rank, (name, text) in enumerate(choices.items())
    )


def _levels(table: _Table) -> tuple[Option, ...]:
    given = table.texts("levels", _LEVEL, "INTEGER")
    texts = {int(level): text for level, text in given.items()}
    if len(texts) > _MOST_LEVELS:
        warnings.warn(
            f"{table.where}: {len(texts)} levels are more than a judge can tell apart; "
            f"{_MOST_LEVELS} are enough",
            stacklevel=2,
        )
    low, high = min(texts), max(texts)
    return tuple(
        Option(level, float(level), (level - low) / (high - low), texts[level])
        for level in sorted(texts)
    )


def _check_names(table: _Table, questions: tuple[Question, ...]) -> None:
    names = [q.name for q in questions]
    taken = _TAKEN | {f"{name}_reason" for name in names}
    for place, name in enumerate(names):
        if not _NAME.fullmatch(name):
            remedy = "write small letters, digits and _, such as correct"
            raise DataError(f"{table.where}: question {name!r}: name is {name!r}; {remedy}")
        if name in taken or name in names[:place]:
            raise DataError(f"{table.where}: question {name!r}: that name is taken; choose another")
