"""How input is made wrong, and what counts as surviving it.

Something survives if it works, or is refused in one line that says what is wrong; in either case
soon, in little memory, and with nothing half-written beside it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning

from harness.data.plain import in_one_line
from harness.errors import HarnessError
from tests.trust.trial import ROUNDS, Trial

T = TypeVar("T")

SECONDS = 20
"""What takes longer hangs: on a busy machine all of it takes milliseconds."""
MEGABYTES = 200
_SHORT = ROUNDS <= 2

# What has broken parsers, as it stands in a file.
TOKENS = [
    *(
        b"\xef\xbb\xbf",
        b"\x00",
        b"\xff",
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b"\xc3",
        b"\xf4\x90\x80\x80",
    ),
    *(b"\r", b"\n", b"\r\n", b"\n\n", b"\x0b", b"\x0c", b"\x1a", b"\x85", b"\x1b[2J", b"\t", b" "),
    *("\u2028".encode(), "\u200b".encode(), "\u202e".encode(), "рrоmрt".encode(), "４".encode()),
    *(
        b'"',
        b"'",
        b'""',
        b"\\",
        b'\\"',
        b",",
        b":",
        b"=",
        b"#",
        b"[",
        b"]",
        b"{",
        b"}",
        b"()",
        b";",
    ),
    *(b'"""', b"'''", b"[[", b"]]", b"{}", b"[]", b'""', b"null", b"true", b"nan", b"inf", b"None"),
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-0", b"0x1", b"1_0", b"1e-400", b"-1", b"0"),
    *(b"9" * 400, b"9" * 5000, b"0x" + b"f" * 5000, b"18446744073709551616", b"1e308", b"1" * 18),
    *(b"[" * 80, b"[" * 990, b"[" * 100_000, b'{"a":' * 500, b'{"a":' * 100_000, b"[" * 300),
    *(b"[" * 400 + b"]" * 400, b'{"a":' * 300 + b"1" + b"}" * 300, b"[" * 900 + b"]" * 900),
    *(b"\\ud800", b"\\u0000", b"\\udc00\\ud800", b'"\\ud800"', b"a" * 70_000, b" " * 70_000),
    *(b"a.b.c.d=1", b"__proto__", b"__class__", b"${HOME}", b"{0}", b"%s", b"../../x", b"hf:x"),
]


def _cut(data: bytes, at: int, _: bytes) -> bytes:
    return data[:at]


def _behead(data: bytes, at: int, _: bytes) -> bytes:
    return data[at:]


def _insert(data: bytes, at: int, token: bytes) -> bytes:
    return data[:at] + token + data[at:]


def _overwrite(data: bytes, at: int, token: bytes) -> bytes:
    return data[:at] + token + data[at + len(token) :]


def _delete(data: bytes, at: int, token: bytes) -> bytes:
    return data[:at] + data[at + len(token) :]


def _flip(data: bytes, at: int, token: bytes) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << len(token) % 8)]) + data[at + 1 :] if data else data


def _repeat(data: bytes, at: int, token: bytes) -> bytes:
    """A part of it twice: keys, columns, rows."""
    end = data.find(token[:1] or b"\n", at) + 1
    return data[:end] + data[at:end] + data[end:]


def _exchange(data: bytes, at: int, token: bytes) -> bytes:
    """A value in place of what stands up to the next comma, or the end of a line."""
    ends = [end for end in (data.find(mark, at) for mark in (b",", b"\n", b"}")) if end >= 0]
    return data[:at] + token + data[min(ends) :] if ends else data[:at] + token


_MUTATIONS = [_cut, _behead, _insert, _insert, _overwrite, _delete, _flip, _repeat, _exchange]
_mutations = st.lists(
    st.tuples(st.sampled_from(_MUTATIONS), st.integers(0, 10_000), st.sampled_from(TOKENS)),
    max_size=3,
)


def mutated(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Valid bytes, and what becomes of them by up to three mutations."""
    return st.builds(_mutate, valid, _mutations)


def _mutate(data: bytes, mutations: list[tuple[Callable[..., bytes], int, bytes]]) -> bytes:
    for mutation, place, token in mutations:
        data = mutation(data, place % max(1, len(data)), token)
    return data[:400_000]


def raw_or(valid: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Mostly what is nearly valid, and now and then any bytes."""
    return st.one_of(mutated(valid), mutated(valid), mutated(valid), st.binary(max_size=300))


def _nested(deep: int) -> object:
    found: object = "deep"
    for level in range(deep):
        found = [found] if level % 2 else {"a": found}
    return found


DEEP = st.sampled_from([_nested(90), _nested(150), _nested(300)])
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["", " ", "a", "NA", "nan", "\ufeffa", "a\nb", "a\r", "\0", "=1+1", '"', "é́"]),
)


def fuzz(trial: Trial, cases: int, strategy: st.SearchStrategy[T], survives: Callable[[T], str]):  # type: ignore[no-untyped-def]
    """Try so many cases, more in a longer suite; `survives` says in a word what came of each.

    The plain suite tries the same ones every time: it fails for what was changed, not by chance.
    """

    @settings(
        max_examples=cases * max(1, ROUNDS // 10),
        derandomize=_SHORT,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def one(case: T) -> None:
        trial.times += 1
        with within_bounds():
            came = survives(case)
        trial.saw(came)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)  # of cases that are long to show
        (one if _SHORT else seed(trial.chance.randrange(2**32))(one))()


class HangsError(BaseException):
    """It took too long; no `except Exception` may hide that."""


@contextlib.contextmanager
def within_bounds() -> Iterator[None]:
    """Time and memory of one case."""
    before = _most_megabytes()
    old = signal.signal(signal.SIGALRM, _hangs)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    grown = _most_megabytes() - before
    assert grown < MEGABYTES, f"it took {grown:.0f} MB"


def _hangs(_: int, __: FrameType | None) -> NoReturn:
    raise HangsError(f"it takes longer than {SECONDS} s")


def _most_megabytes() -> float:
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def refused(work: Callable[[], object], *named: object) -> str | None:
    """None if it works; else the line by which it is refused, which must name these things."""
    try:
        work()
    except HarnessError as error:
        line = in_one_line(str(error))  # as the command line prints it
    else:
        return None
    assert line, "it is refused without a word"
    assert len(line.splitlines()) == 1, f"more than a line: {line!r}"
    for thing in named:
        assert str(thing) in line, f"{thing} is not named: {line!r}"
    return line


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """An empty folder, which is the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)
