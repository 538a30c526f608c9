"""Texts that people write: references, configurations, labels, rubrics, filters, URLs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from hypothesis import assume
from hypothesis import strategies as st

from harness.api import scorer
from harness.errors import PluginError
from harness.references import Reference, label_of, parse
from harness.retrieval.filters import restricts, where
from harness.settings import build_settings
from harness.store import Store
from harness.store.database import Database
from harness.training.config import read_config
from tests.trust.fuzz_files import READ, REFUSED
from tests.trust.fuzzing import TEXTS, folder, mutated, raw_or, refused


def text(strategy: st.SearchStrategy[bytes]) -> st.SearchStrategy[str]:
    """Bytes as text; what is no UTF-8 comes as the arguments of a command do."""
    return strategy.map(lambda data: data.decode("utf-8", "surrogateescape"))


@dataclass(frozen=True, slots=True)
class Settings:
    """A field of every type that settings have."""

    text: str = ""
    whole: int = 0
    number: float = 0.0
    flag: bool = False
    choice: Literal["a", "b"] = "a"
    maybe: int | None = None
    texts: tuple[str, ...] = ()
    numbers: tuple[float, ...] = ()


_VALUES = st.one_of(
    TEXTS,
    st.integers().map(str),
    st.floats().map(repr),
    st.lists(st.one_of(TEXTS, st.floats(allow_nan=False)), max_size=3).map(json.dumps),
    st.sampled_from(["true", "none", '"a,b"', "'a", "[1", "1_0", "0x10", "2020-01-01"]),
)
_KEYS = st.one_of(st.sampled_from([f.name for f in dataclasses.fields(Settings)]), TEXTS)


def _reference(label: str, name: str, given: list[tuple[str, str]]) -> bytes:
    settings = ",".join(f"{key}={value}" for key, value in given)
    return (f"{label}={name}:{settings}" if label else f"{name}:{settings}").encode(
        "utf-8", "surrogatepass"
    )


_REFERENCES = st.builds(
    _reference,
    st.one_of(st.just(""), st.just("label"), TEXTS),
    st.sampled_from(["match", "match", "length", "acme-rouge/rouge", "", "é"]),
    st.lists(st.tuples(_KEYS, _VALUES), max_size=3),
)
REFERENCES = text(mutated(_REFERENCES))


def refer(given: str) -> str:
    """A reference is read, and what is written of it is the same one; then its settings."""
    label_of(given)
    found: list[Reference] = []
    if refused(lambda: found.append(parse(given))):
        return REFUSED
    [reference] = found
    again = parse(str(reference))
    assert (again.name, _said(again)) == (reference.name, _said(reference))
    known = {f.name for f in dataclasses.fields(Settings)}
    for settings in (
        reference.settings,
        {k: v for k, v in reference.settings.items() if k in known},
    ):
        refused(lambda: build_settings("it", Settings, settings), "it")  # noqa: B023
    refused(lambda: scorer(reference))
    return READ


def _said(reference: Reference) -> dict[str, str]:
    """What its settings say: the same text may be written with quotes and without."""
    given = reference.settings.items()
    return {key: build_settings("it", Settings, {"text": text}).text for key, text in given}


SETTINGS = st.builds(
    Settings,
    text=st.text(max_size=8),
    whole=st.integers(-(2**63), 2**63 - 1),
    number=st.floats(allow_nan=False),
    flag=st.booleans(),
    choice=st.sampled_from(["a", "b"]),
    maybe=st.none() | st.integers(-(2**63), 2**63 - 1),
    texts=st.lists(TEXTS.filter(lambda t: t.isascii() or t.isprintable()), max_size=3).map(tuple),
    numbers=st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
)


def survive_writing(settings: Settings) -> str:
    """Settings that were written as a reference are the same when they are read."""
    given = {k: v for k, v in dataclasses.asdict(settings).items() if v is not None}
    assume(given["text"][:1] not in ("'", '"'))  # in a reference quotes are quotes
    again = parse(str(Reference("match", given)))
    assert build_settings("it", Settings, again.settings) == settings
    return READ


_TOML_VALUES = st.one_of(
    TEXTS.map(json.dumps),
    st.integers().map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(
        ["true", "[]", "{}", "{a = 1}", '["a", 1]', "2020-01-01", "12:00:00", "nan", "-inf", "''"]
    ),
    st.sampled_from(["0x" + "f" * 5000, "[" * 300 + "]" * 300, "[" * 5000, "1" * 5000, "1e999"]),
    st.sampled_from(['"match"', '"sft"', '"a:b=1,b=2"', '"x=y"', '"t.csv"', '"\\u0000"']),
)
_TOML_KEYS = {
    "": {"output": ['"out"'], "seed": ["1", "-1"], "name": ['"é"'], "select": ['"watched"']},
    "[trainer]": {"use": ['"ppo"', '"x:steps=3"'], "learning_rate": ["1e-5"], "steps": ["5"]},
    "[scorers.exact]": {
        "use": ['"match"', '"match:mode=f1"'], "weight": ["0.5", "0"], "mode": ['"f1"'],
    },
    '[scorers."a,=:\\n"]': {"use": ['"match"'], "weight": ["-1"], "mode.x": ["1"]},
    "[data]": {
        "train": ['"t.csv"', '["a.csv", "b.csv"]'], "prompt": ['"prompt"'], "test": ['"u.csv"'],
        "reference": ['"a"', '["a"]'], "holdout": ["0.2", "0"], "limit": ["9"],
        "metadata": ['"rest"'], "overlap": ['"drop"'],
    },
}  # fmt: skip
NEEDED = {"output", "use", "train", "prompt", "name", "kind", "question", "choices", "0", "1"}
RIGHT = b"""output = "out"
seed = 1
[trainer]
use = "ppo"
[scorers.exact]
use = "match"
weight = 0.5
[data]
train = "t.csv"
prompt = "prompt"
reference = ["reference"]
holdout = 0.2
"""


@st.composite
def tomls(draw: st.DrawFn, tables: Mapping[str, Mapping[str, list[str]]]) -> bytes:
    """A file with the keys that it needs and some that it may have; now and then a value is odd."""
    lines, odd = [], st.sampled_from([False] * 19 + [True])
    for table, keys in tables.items():
        if table.startswith("[scorers") and draw(st.booleans()):
            continue
        lines.append(table)
        for key, values in keys.items():
            if draw(odd) == (key in NEEDED or draw(st.booleans())):
                continue
            lines.append(f"{key} = {draw(_TOML_VALUES if draw(odd) else st.sampled_from(values))}")
    return "\n".join(lines).encode("utf-8", "surrogatepass")


CONFIGS = st.one_of(
    mutated(st.just(RIGHT)), tomls(_TOML_KEYS), tomls(_TOML_KEYS), raw_or(tomls(_TOML_KEYS))
)
CHANGES = text(
    mutated(
        st.builds(
            lambda table, key, value: f"{table}.{key}={value}".encode("utf-8", "surrogatepass"),
            st.sampled_from(["trainer", "data", "scorers.exact", "scorers", "", "seed"]),
            st.sampled_from(["use", "weight", "limit", "train", "x", ""]),
            _TOML_VALUES,
        )
    )
)


def configure(data: bytes) -> str:
    """A training's file, and the scorers that it names."""
    with folder() as here:
        path = here / "train.toml"
        path.write_bytes(data)
        if refused(lambda: read_config(path), path):
            return REFUSED
        for reference, _ in read_config(path).scorers:
            with contextlib.suppress(PluginError):  # a key of TOML may be what no reference has
                assert _said(parse(str(reference))) == _said(reference)
            refused(lambda: scorer(reference))  # noqa: B023
    return READ


def change(given: str) -> str:
    """A right file under `--set`."""
    with folder() as here:
        path = here / "train.toml"
        path.write_bytes(RIGHT)
        return REFUSED if refused(lambda: read_config(path, [given])) else READ


FILTERS = text(
    mutated(
        st.builds(
            lambda name, sign, value: f"{name}{sign}{value}".encode("utf-8", "surrogatepass"),
            st.sampled_from(["price", " a b ", "", " " * 30_000]),
            st.sampled_from(["<=", "=", "!", "", " >= ", "==", "="]),
            st.one_of(_VALUES, st.integers(-9, 9).map(str), st.just(" " * 30_000)),
        )
    )
)


def filtered(given: str) -> str:
    """`--where`, `--filter` and `--deny` of a search."""
    lines = [
        refused(lambda: where(given)),
        refused(lambda: restricts([given])),
        refused(lambda: restricts((), [given, given])),
    ]
    return REFUSED if all(lines) else READ


_URLS = st.builds(
    lambda scheme, host, path, query: f"{scheme}{host}{path}{query}".encode(
        "utf-8", "surrogatepass"
    ),
    st.sampled_from(
        [
            "sqlite:///",
            "sqlite://",
            "sqlite:",
            "sqlite+pysqlite:///",
            "sqlite+x:///",
            "postgresql://",
            "postgres://",
            "postgresql+psycopg://",
            "postgresql+asyncpg://",
            "mysql://",
            "http://",
            "",
            "://",
            "sqlite+aiosqlite:///",
            "mssql+pyodbc://",
        ]
    ),
    st.sampled_from(["", "", "me:secret@", "me:secret@h:99999/", "[::1/", "h:x/", "@", "me@h/d"]),
    st.one_of(
        st.sampled_from(
            ["store.db", "a/b.db", ".", "a\0b", "x" * 300, "é.db", " ", ":memory:", "%"]
        ),
        TEXTS,
    ),
    st.sampled_from(
        [
            "",
            "",
            "?uri=true",
            "?timeout=x",
            "?x=1",
            "?mode=ro&uri=true",
            "?",
            "?a=1&a=2",
            "?check_same_thread=x",
            "?isolation_level=x",
            "?detect_types=9e9",
            "#x",
        ]
    ),
)
URLS = text(mutated(_URLS))


def connect(given: str) -> str:
    """The URL of a store, which is opened if it is a file beneath here, and tells no password."""
    with folder() as here:
        if not _harmless(given, here):
            return "left out, for they lead out of the folder"
        # SQLite has no server; another database's is not asked.
        with contextlib.ExitStack() as stack:
            server = "postgres" in given and "sqlite" not in given
            kind = Database if server else Store
            line = refused(lambda: stack.enter_context(contextlib.closing(kind(given))))
            assert not server or "secret" not in (line or "") or "secret" in _user(given)
        return REFUSED if line else READ


def _user(given: str) -> str:
    """What is shown: a fuzzed password may stand where the name of the user does."""
    with contextlib.suppress(sa.exc.ArgumentError, ValueError):
        return str(sa.make_url(given).username)
    return ""


def _harmless(given: str, here: Path) -> bool:
    if "://" not in given:
        database = given
    else:
        try:
            url = sa.make_url(given)
        except (sa.exc.ArgumentError, ValueError):
            return True
        if url.get_backend_name() != "sqlite":
            return True
        database = str(url.database or "")
    database = database.removeprefix("file:")
    with contextlib.suppress(ValueError, OSError):
        return (here / database.lstrip() if database else here).resolve().is_relative_to(here)
    return True
