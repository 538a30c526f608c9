"""The pages that people read, and the blocks of code on them.

An HTML comment right before a block says what the page itself does not:

`<!-- not run: REASON -->`       it cannot be run here
`<!-- run instead: COMMANDS -->` the same with less work, or with an end
`<!-- file: NAME` … `-->`        a file that the reader has, which needs no block after it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

PROJECT = Path(__file__).parents[2]
TITLES = ("README", "CONTRIBUTING", "SECURITY", "CHANGELOG", "benchmarks/README")
_COMMENT = re.compile(r"<!-- (not run|run instead|file): (.*?)\s*-->", re.DOTALL)
_NAMED = re.compile(r"`([\w./-]+)`:$")
_FIRST_LINE = re.compile(r"# ([\w./-]+\.(?:py|toml))\b")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, or a file that the page takes for given."""

    place: str
    """`page:line`."""
    language: str
    text: str
    file: str = ""
    """The file that it is, by the line before it or by the comment that it begins with."""
    skipped: str = ""
    """Why it is not run."""
    instead: str = ""
    """What is run in its place."""


def pages() -> list[Path]:
    """The pages by hand and those made from the code, from the project's folder."""
    found = [*(Path(f"{name}.md") for name in TITLES), *(PROJECT / "docs").rglob("*.md")]
    return sorted(path.relative_to(PROJECT) if path.is_absolute() else path for path in found)


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order."""
    return list(_blocks(page, MarkdownIt().parse((PROJECT / page).read_text("utf-8"))))


def commands(text: str) -> str:
    """What is typed in a console block: the lines after `$ `, and those that go on with `\\`."""
    typed, going_on = [], False
    for line in text.splitlines():
        if line.startswith("$ ") or going_on:
            typed.append(line.removeprefix("$ "))
            going_on = line.endswith("\\")
    return "\n".join(typed)


def _blocks(page: Path, tokens: list[Token]) -> Iterator[Block]:
    said: dict[str, str] = {}
    named = ""
    for token in tokens:
        place = f"{page}:{token.map[0] + 1}" if token.map else str(page)
        if token.type == "html_block":
            said = dict(_COMMENT.findall(token.content))
            if "file" in said:
                name, _, text = said.pop("file").partition("\n")
                yield Block(place, Path(name).suffix[1:], f"{text}\n", file=name)
        elif token.type == "inline":
            match = _NAMED.search(token.content)
            said, named = {}, match[1] if match else ""
        elif token.type in ("fence", "code_block"):
            first = _FIRST_LINE.match(token.content)
            yield Block(
                place,
                token.info,
                token.content,
                file=named or (first[1] if first else ""),
                skipped=said.get("not run", ""),
                instead=said.get("run instead", ""),
            )
            said, named = {}, ""
