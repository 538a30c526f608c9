"""References: a component named in text, `NAME` or `NAME:KEY=VALUE,…`, perhaps with `LABEL=`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.errors import PluginError

_LABEL = re.compile(r"(?P<label>[^:=\s]+)=(?P<rest>.*)", re.DOTALL)
_KEY = re.compile(r"[\w.-]+")
_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed reference. `label` is the given one, or else the text itself."""

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    label: str = ""

    def __str__(self) -> str:
        settings = ",".join(f"{key}={_written(value)}" for key, value in self.settings.items())
        return f"{self.name}:{settings}" if settings else self.name


def parse(text: str) -> Reference:
    """Read a reference such as `fluency=bertscore:model=minilm,layer=5`.

    A name may be qualified by its distribution, `acme-rouge/rouge`. Values stay text here; the
    component's settings give them types. Quotes and brackets keep commas together.

    Raises:
        PluginError: if the text has not this form.
    """
    labelled = _LABEL.fullmatch(text)
    body = labelled["rest"] if labelled else text
    name, colon, rest = body.partition(":")
    if not _NAME.fullmatch(name) or (colon and not rest):
        raise PluginError(f"{text!r} is no reference; write NAME or NAME:KEY=VALUE,KEY=VALUE")
    settings: dict[str, object] = {}
    for part in _split(rest):
        key, equals, value = part.partition("=")
        if not equals or not _KEY.fullmatch(key.strip()):
            raise PluginError(f"{part!r} in {text!r} is no setting; write KEY=VALUE")
        if key.strip() in settings:
            raise PluginError(f"{text!r} gives {key.strip()!r} twice")
        settings[key.strip()] = value
    return Reference(name, settings, labelled["label"] if labelled else body)


def label_of(text: str) -> str:
    """The label of what may be a reference, or else the text; never raises."""
    labelled = _LABEL.fullmatch(text)
    return labelled["label"] if labelled else text


def is_name(text: str) -> bool:
    """Whether a component can be called so: its name, without a distribution."""
    return bool(_NAME.fullmatch(text)) and "/" not in text


def _written(value: object) -> str:
    """A value as a reference has it; quoted where the grammar would split it."""
    if isinstance(value, bool | list | tuple):
        return as_toml(value)
    text = str(value)
    try:
        whole = _split(f"={text},") == [f"={text}", ""]  # also where another one follows
    except PluginError:
        whole = False
    return text if whole else as_toml(text)


def as_toml(value: object) -> str:
    """A value as the settings of a reference read it; what is no number, truth or list is text."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, int | float):
        return str(value).lower()
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", r"\u007f")


def _split(text: str) -> list[str]:
    """Split at the commas that stand outside quotes and brackets."""
    parts, depth, quote, start = [], 0, "", 0
    escaped = False
    for i, character in enumerate(text):
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\" and quote == '"'
            quote = "" if character == quote else quote
        elif character in "\"'" and text[i - 1] in "=[, ":
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth = max(depth - 1, 0)
        elif character == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    if (quote or depth) and "," in text[start:]:
        opened = "quote" if quote else "bracket"
        raise PluginError(f"a {opened} opens in {text[start:]!r} and never closes; quote the value")
    return [*parts, text[start:]] if text else []
