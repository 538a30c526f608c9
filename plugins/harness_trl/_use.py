"""How the trained model is asked again as it was in training."""

from __future__ import annotations

import json
import re
from pathlib import Path

from harness_trl import TrlSettings

_SPECIAL = re.compile(r"[,\"'\[\]{}\n]|^\s|\s$")


def use_of(model: Path, settings: TrlSettings) -> str:
    """The reference of the generator `gpt2` for this model; empty if no reference can hold it."""
    chosen: dict[str, str] = {
        "model": str(model.absolute()),
        "template": settings.template,
        "chat": settings.chat,
    }
    if settings.system is not None:
        chosen["system"] = settings.system
    for name in ("max_new_tokens", "temperature"):
        value = getattr(settings, name, None)
        if value is not None:
            chosen[name] = str(value)
    defaults = {"template": "{prompt}", "chat": "auto"}
    written = [
        f"{name}={quoted}" if (quoted := _quoted(text)) else ""
        for name, text in chosen.items()
        if defaults.get(name) != text
    ]
    return f"gpt2:{','.join(written)}" if all(written) else ""


def _quoted(text: str) -> str:
    """The text as a value of a reference; empty for one that holds both kinds of quotes."""
    if text and not _SPECIAL.search(text):
        return text
    if "'" not in text and "\n" not in text:
        return f"'{text}'"
    return "" if '"' in text else json.dumps(text, ensure_ascii=False)
