"""The key of a service: read once, sent, and never shown."""

from __future__ import annotations

import os
import re

from harness.errors import PluginError

_NONE = "no-key"  # SDKs want one; servers without keys ignore it
_SHORTEST = 8  # what is shorter is a word, and hiding it would change what models say
_HIDDEN = "[key]"
_SHOWN = 300


class Key:
    """A key from the environment, in no repr and no pickle.

    `variable` is where it came from, empty where there is none.

    Args:
        owner: Whose key it is, as errors name it.
        variable: The environment variable; empty is no key.
        needed: Whether there is no going on without one.

    Raises:
        PluginError: if it is needed and not there, or cannot be sent as it is.
    """

    __slots__ = ("_value", "variable")

    def __init__(self, owner: str, variable: str, *, needed: bool) -> None:
        value = os.environ.get(variable, "").strip() if variable else ""
        if not value and needed:
            raise PluginError(_missing(owner, variable))
        if not re.fullmatch(r"[!-~]*", value):
            raise PluginError(
                f"{owner}: the key in {variable} has blanks or other letters than ASCII in it"
            )
        self.variable = variable if value else ""
        self._value = value

    def value(self) -> str:
        """What is sent."""
        return self._value or _NONE

    def hide(self, text: str) -> str:
        """A text with the key taken out, wherever it stands."""
        return text.replace(self._value, _HIDDEN) if len(self._value) >= _SHORTEST else text

    def shown(self, text: str) -> str:
        """A text as messages show it: in one line, not long, and without the key."""
        return self.hide(" ".join(text.split()))[:_SHOWN]

    def __repr__(self) -> str:
        return f"<key from {self.variable or 'nowhere'}>"

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled; it is read from the environment again")


def _missing(owner: str, variable: str) -> str:
    if not variable:
        return f"{owner}: no key without a variable's name; write key_env=NAME"
    return (
        f"{owner}: there is no key in the environment variable {variable}; set it, name another "
        "one with key_env=NAME, or give the base_url of a server that needs none"
    )
