"""Fuzz a parser by its coverage: what reaches new code is kept and changed further (atheris).

    python -m tests.trust.fuzz_coverage TARGET --seconds 60

Without TARGET it lists them; with --every it runs all of them. What they try is what the fuzz
tests try; here cases are found by what they reach. What breaks is printed as bytes.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import functools
import importlib.util
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis.strategies import SearchStrategy

warnings.simplefilter("ignore")
_INSTRUMENTED = ["harness.data", "harness.references", "harness.settings", "harness.judging",
                 "harness.training.config", "harness.training.card", "harness.comparison",
                 "harness.calibration", "harness.retrieval", "harness.viewer", "tomllib", "csv",
                 "json", "harness_vertex._emulator"]  # fmt: skip
T = TypeVar("T")
ByBytes = Callable[[bytes], object]


def main() -> int:
    """Run one target, or name them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--every", action="store_true", help="one target after the other")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed, so nothing is fuzzed by coverage: pip install atheris")
        return 0
    if options.every:
        return max(_alone(target, options.seconds) for target in _targets())
    import atheris

    with atheris.instrument_imports(include=_INSTRUMENTED):
        targets = _targets()
    if options.target not in targets:
        print("\n".join(targets))
        return 0 if options.target is None else 2
    survives = targets[options.target]
    with tempfile.TemporaryDirectory() as corpus:
        for number, token in enumerate([*_of_kind(options.target), *_tokens()]):
            Path(corpus, str(number)).write_bytes(token)
        arguments = [f"-max_total_time={options.seconds}", "-max_len=4096", "-timeout=20",
                     "-rss_limit_mb=2000", f"-artifact_prefix={tempfile.gettempdir()}/fuzz-",
                     "-verbosity=0", "-print_final_stats=1", corpus]  # fmt: skip
        atheris.Setup([sys.argv[0], *arguments], survives)
        atheris.Fuzz()
    return 0


def _alone(target: str, seconds: int) -> int:
    """Run a target in a process of its own: libFuzzer ends the one that it runs in."""
    command = [sys.executable, "-m", "tests.trust.fuzz_coverage", target, f"--seconds={seconds}"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    told = re.search(r"number_of_executed_units: (\d+)", found.stderr)
    broke = found.returncode != 0
    print(f"{target:<14} {int(told[1]) if told else 0:>9,} {'BROKE' if broke else 'survived'}")
    if broke:
        print(found.stderr)
    return int(broke)


def _of_kind(target: str) -> list[bytes]:
    """What is right for a target that knows it by its bytes."""
    from tests.trust import fuzz_files as files
    from tests.trust import fuzz_rows as rows

    point = b'{"id": "a", "embedding": [0.5, 1], "restricts": [{"namespace": "c", "allow": ["r"]}]}'
    return {
        "parquet": files.parquets(),
        "rows-avro": rows.avros(),
        "datapoints": [b"j" + point, b'cid,embedding,text\na,"[1, 2]",b'],
        "conversations": [b'{"messages": [{"role": "user", "content": "a"}]}'],
        "rows-csv": [b"a,0.5,1,c=r,c=!b,#n=5i,crowding_tag=x"],
        "rows-json": [point],
    }.get(target, [])


def _tokens() -> list[bytes]:
    from tests.trust import fuzz_judging as judging
    from tests.trust import fuzz_texts
    from tests.trust.fuzzing import TOKENS

    right = [
        *(fuzz_texts.RIGHT, judging.RUBRIC, b"match:mode=f1,x=[1,2]", b"price<=10"),
        *(b"id,prompt,reference\na,b,c\n", b"/runs/last/samples?q=a&page=1&sort=score"),
        b'{"id": "a", "prompt": "b", "reference": ["c"], "embedding": [0.5, 1]}\n',
    ]
    return [*right, *(token for token in TOKENS if len(token) < 500)]


def _targets() -> dict[str, ByBytes]:
    """Targets that take bytes as they are, and those whose cases Hypothesis makes of bytes."""
    from tests.trust import fuzz_files as files
    from tests.trust import fuzz_judging as judging
    from tests.trust import fuzz_points as points
    from tests.trust import fuzz_records as records
    from tests.trust import fuzz_rows as rows
    from tests.trust import fuzz_texts as texts

    def text(survives: Callable[[str], str]) -> ByBytes:
        return lambda data: survives(data.decode("utf-8", "surrogateescape"))

    return {
        **{suffix[1:]: files.read_file(suffix) for suffix in files.FILES},
        "conversations": files.converse,
        "faq": files.faq,
        "datapoints": lambda data: points.datapoints(data or b"j"),
        "beir": _made(files.BEIRS, files.beir),
        "references": text(texts.refer),
        "configs": texts.configure,
        "changes": text(texts.change),
        "rubrics": judging.rubric,
        "cards": records.read_card,
        "baselines": records.baseline,
        "filters": text(texts.filtered),
        "labels": lambda data: judging.label((data, None, ())),
        "rows-json": lambda data: rows.load((".json", data)),
        "rows-csv": lambda data: rows.load((".csv", data)),
        "rows-avro": lambda data: rows.load((".avro", data)),
        "cells": _when_asked(_cells),
        "pages": _when_asked(_pages),
        "replies": text(_reply),
    }


def _made(strategy: SearchStrategy[T], survives: Callable[[T], str]) -> ByBytes:
    from hypothesis import HealthCheck, given, settings

    @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def one(case: T) -> None:
        survives(case)

    found: ByBytes = one.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
    return found


def _reply(text: str) -> str:
    """A judge's reply: a verdict that is on the menu, or unreadable."""
    from harness.calls import Unreadable
    from harness.judging import load_rubric
    from harness.judging.reading import read_verdict

    rubric = load_rubric("score")
    for code in (None, "12ab34cd"):
        with contextlib.suppress(Unreadable):
            assert read_verdict(text, rubric, code).answers["score"] in range(6)
    return ""


def _when_asked(make: Callable[[], ByBytes]) -> ByBytes:
    """A target that is made when it is used first."""
    made = functools.cache(make)
    return lambda data: made()(data)


def _pages() -> ByBytes:
    from tests.trust.fuzz_pages import Pages
    from tests.trust.fuzz_store import full_store

    pages = Pages(full_store(Path(tempfile.mkdtemp()) / "full.db"))
    serving = pages.serving()
    serving.__enter__()
    atexit.register(serving.__exit__, None, None, None)  # it lives as long as the process
    return pages.survives


def _cells() -> ByBytes:
    from tests.trust import fuzz_records as records
    from tests.trust.fuzz_store import full_store

    spoiling = records.Spoiling(full_store(Path(tempfile.mkdtemp()) / "full.db"))
    return _made(records.CELLS, spoiling.survives)


if __name__ == "__main__":
    sys.exit(main())
