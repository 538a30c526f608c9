"""The key of a service: read once, sent, and never shown."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit

from harness.calls.addresses import is_loopback
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


def key_for(owner: str, named: str | None, usual: str, address: str, *, own: bool) -> Key:
    """The key for an address: the one in `named`, or in `usual` where nothing is named.

    A key that nobody named goes to the service it is for and to this machine alone: an address may
    come from a file, an example, or the environment, and whoever is there could keep the key.

    Args:
        owner: Whose key it is, as errors name it.
        named: The environment variable that the user named; empty is no key, None is unsaid.
        usual: The variable that is usual for this service.
        address: Where the key would go.
        own: Whether that is the service itself.

    Raises:
        PluginError: if the key must be named and is not; else as `Key`.
    """
    if named is None and not own and not is_loopback(address):
        raise PluginError(
            f"{owner}: {usual} is not sent to {urlsplit(address).hostname} unless you say so: add "
            f"key_env={usual}, name another variable, or send no key with key_env="
        )
    return Key(owner, usual if named is None else named, needed=own or bool(named))


def _missing(owner: str, variable: str) -> str:
    if not variable:
        return f"{owner}: no key without a variable's name; write key_env=NAME"
    return (
        f"{owner}: there is no key in the environment variable {variable}; set it, name another "
        "one with key_env=NAME, or give the base_url of a server that needs none"
    )
