"""Templates: how values become pages, with every text escaped."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import jinja2

from harness.errors import HarnessError
from harness.viewer.asking import address
from harness.viewer.listing import what_of
from harness.viewer.marking import LEVELS, word_diff

HERE = Path(__file__).parent
STATIC = HERE / "static"
_MINUS, _NONE = "−", "–"
_CUT = 280


def environment() -> jinja2.Environment:
    """The templates with what they call; escaping cannot be forgotten, and a typo is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "score": score,
        "count": count,
        "when": when,
        "stamp": stamp,
        "ago": ago,
        "lasted": lasted,
        "cut": cut,
        "money": money,
        "signed": signed,
        "words": lambda text: str(text).replace("_", " "),
    }
    made.globals |= {
        "address": address,
        "diff": word_diff,
        "versions": _versions(),
        "levels": list(range(-LEVELS, LEVELS + 1)),
        "what_of": what_of,
    }
    for name in made.list_templates():
        made.get_template(name)  # compiled now, not while somebody waits
    return made


@cache
def plotly_file() -> Path:
    """plotly.js, from the installed package.

    Raises:
        HarnessError: if Plotly is not installed.
    """
    found = importlib.util.find_spec("plotly")
    places = found.submodule_search_locations if found else None
    file = Path(next(iter(places or [""]))) / "package_data" / "plotly.min.js"
    if not file.is_file():
        raise HarnessError("plotly is not installed: pip install 'samescore[view]'")
    return file


def score(value: object) -> str:
    """A score, to four decimals or digits."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return _NONE
    text = f"{value:.4f}" if abs(value) < 10 else f"{value:.5g}"
    return text.replace("-", _MINUS)


def signed(value: object) -> str:
    """A difference of scores."""
    text = score(value)
    return f"+{text}" if isinstance(value, int | float) and value > 0 else text


def count(number: int | None) -> str:
    """A number of things, in groups of three digits."""
    return _NONE if number is None else f"{number:,}"


def when(seconds: float) -> str:
    """A time as people here read it."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def stamp(seconds: float) -> str:
    """A time as programs read it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def ago(seconds: float) -> str:
    """How long ago a time is."""
    return f"{lasted(max(0.0, time.time() - seconds))} ago"


def lasted(seconds: float | None) -> str:
    """A number of seconds in its largest fitting unit."""
    if seconds is None:
        return _NONE
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size or (unit == "h" and seconds >= size * 1.5):
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def money(dollars: float) -> str:
    """An amount of US dollars."""
    return f"${dollars:,.2f}" if dollars >= 1 else f"${dollars:.4f}"


def cut(text: str, length: int = _CUT) -> str:
    """The beginning of a text."""
    return text if len(text) <= length else text[:length].rstrip() + " …"


def _versions() -> Mapping[str, str]:
    """What tells a browser that a file it keeps is an old one."""
    told = {file.name: file.read_bytes() for file in STATIC.iterdir()}
    stat = plotly_file().stat()
    told["plotly.min.js"] = f"{stat.st_size} {stat.st_mtime}".encode()
    return {name: hashlib.blake2b(data, digest_size=6).hexdigest() for name, data in told.items()}
