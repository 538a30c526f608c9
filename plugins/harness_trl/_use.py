"""How the trained model is asked again as it was in training."""

from __future__ import annotations

from pathlib import Path

from harness.references import Reference
from harness_trl import TrlSettings


def use_of(model: Path, settings: TrlSettings) -> str:
    """The reference of the generator `gpt2` for this model."""
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
    told = {name: text for name, text in chosen.items() if defaults.get(name) != text}
    return str(Reference("gpt2", told))
