"""`harness compare`: is one run better than another, by how much, and on which samples."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._telling import print_json, tell
from harness.cli._types import count
from harness.errors import DataError, HarnessError

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.comparison import Comparison, Outcome, Side
    from harness.store import Store

_FAILED = 10
_SUMMARY = "GITHUB_STEP_SUMMARY"


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "compare",
        help="compare runs, or files of scores",
        description="Compare runs sample by sample: paired differences with intervals and p, "
        "adjusted by Holm's method, and the samples that moved most. Each other run is compared "
        "with the first. A run is the start of an id, a name, `last` or `last~1`, and STORE#RUN "
        "is one of another store; a table of scores is a file. Exits with 10 if a --fail-if holds.",
    )
    add = parser.add_argument
    add("sides", nargs="*", metavar="RUN", help="a run, or a .csv, .jsonl, … file of scores")
    add("--suite", nargs="+", action="append", default=[], metavar="RUN",
        help="as many runs of another suite, in the same order; repeatable")  # fmt: skip
    add("--store", metavar="URL", help="the store to read")
    add("--score", action="append", default=[], metavar="NAME",
        help="compare this scorer, or column of a file, only; repeatable")  # fmt: skip
    add("--by", metavar="KEY", help="compare the parts of one run or file by this key or column")
    add("--id", metavar="KEY", help="a file's column with ids (id); with --by, the key to match by")
    add("--cluster", metavar="COLUMN", help="a file's column with what samples share")
    add("--all-pairs", action="store_true", help="compare all pairs, not only with the first")
    add("--method", choices=("t", "bootstrap"), default="t", help="intervals and p (t)")
    add("--moved", type=count, default=3, metavar="N", help="show N samples that moved most (3)")
    add("--allow-different-scorers", action="store_true", help="though fingerprints differ")
    add("--allow-different-samples", action="store_true", help="though prompts differ for one id")
    _add_gate(parser)
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def _add_gate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--fail-if", action="append", default=[], metavar="CONDITION",
        help="exit with 10 if it holds: 'bertscore<0' (significantly), 'bertscore.low<-0.01', "
        "'*<0'; repeatable")  # fmt: skip
    add("--alpha", type=float, default=0.05, metavar="P", help="level of a --fail-if (0.05)")
    add("--baseline", metavar="FILE", help="compare with what --save-baseline wrote")
    add("--save-baseline", metavar="FILE", help="write the last run's scores by sample")
    add("--markdown", metavar="FILE",
        help=f"write a summary; it is added to the file ${_SUMMARY} too, if set")  # fmt: skip
    add("--junit", metavar="FILE", help="write JUnit's XML")


def run(options: argparse.Namespace) -> int:
    """Compare, write what is asked for, and say whether a gate failed."""
    from harness.comparison import Options, check, compare_suites, parse_gate
    from harness.comparison.baseline import paired_with, read_baseline, write_baseline

    gates = [parse_gate(text) for text in options.fail_if]
    _check(options)
    how = Options(
        scorers=tuple(options.score),
        all_pairs=options.all_pairs,
        method=options.method,
        moved=options.moved,
        allow_different_scorers=options.allow_different_scorers,
        allow_different_samples=options.allow_different_samples,
    )
    with _reader(options) as read:
        suites = [read(texts) for texts in (options.sides, *options.suite)]
        last = [sides[-1] for sides in suites]
        if options.baseline:
            suites = paired_with(suites, read_baseline(options.baseline))
        if len(suites[0]) == 1 and options.save_baseline:
            write_baseline(options.save_baseline, last)
            if options.json:
                print_json({"baseline": options.save_baseline})
            else:
                print(f"wrote the baseline {options.save_baseline}")
            return 0
        comparison = compare_suites(suites, how)
        outcomes = check(gates, comparison, options.alpha)
        if options.save_baseline:
            write_baseline(options.save_baseline, last)
    _write(options, comparison, outcomes)
    _print(comparison, outcomes, as_json=options.json)
    return _FAILED if any(outcome.failed for outcome in outcomes) else 0


def _check(options: argparse.Namespace) -> None:
    """Refuse, before anything is read, what cannot be compared or written."""
    if not options.sides:
        raise HarnessError("name a run or a file to compare")
    alone = len(options.sides) == 1 and not options.by
    if alone and not options.baseline and not options.save_baseline:
        raise HarnessError("name two or more to compare, or one and --baseline FILE, or --by KEY")
    if options.by and len(options.sides) > 1:
        raise HarnessError("--by compares the parts of one run or file; name only one")
    if not 0 < options.alpha < 1:
        raise HarnessError(f"--alpha is {options.alpha:g}; it lies between 0 and 1, as 0.05 does")
    if any(len(texts) != len(options.sides) for texts in options.suite):
        raise HarnessError(f"--suite: each names {len(options.sides)} runs, as the first does")
    for file in (options.markdown, options.junit, options.save_baseline):
        if file and not Path(file).parent.is_dir():
            raise DataError(f"{file}: the folder {Path(file).parent} does not exist; create it")


class _Reader:
    """Reads sides; a store is opened once and stays open for what is read of it later."""

    def __init__(self, options: argparse.Namespace, stack: ExitStack) -> None:
        self._options, self._stack = options, stack
        self._stores: dict[str | None, Store] = {}

    def __call__(self, texts: Sequence[str]) -> list[Side]:
        """The sides that these arguments name."""
        return [side for text in texts for side in self._sides(text)]

    def _sides(self, text: str) -> Iterator[Side]:
        from harness.comparison.files import is_table
        from harness.comparison.finding import find_run
        from harness.comparison.stored import split, stored

        if is_table(text):
            yield from self._table(text)
            return
        if self._options.cluster:
            raise HarnessError(f"--cluster is for files; the run {text!r} has its own clusters")
        where, mark, name = text.rpartition("#")
        store = self._store(where if mark else self._options.store)
        record = find_run(store, name)
        wanted = self._options.score
        if self._options.by:
            yield from split(store, record, self._options.by, self._options.id, wanted)
        else:
            yield stored(store, record, wanted)

    def _table(self, text: str) -> list[Side]:
        from harness.comparison import ScoreColumns, read_scores

        o = self._options
        columns = ScoreColumns(tuple(o.score), o.id or "id", o.cluster, o.by)
        return read_scores(text, columns)

    def _store(self, url: str | None) -> Store:
        from harness.store import Store

        if url not in self._stores:
            self._stores[url] = self._stack.enter_context(Store(url, readonly=True))
        return self._stores[url]


@contextmanager
def _reader(options: argparse.Namespace) -> Iterator[_Reader]:
    with ExitStack() as stack:
        yield _Reader(options, stack)


def _write(
    options: argparse.Namespace, comparison: Comparison, outcomes: Sequence[Outcome]
) -> None:
    from harness.comparison.junit import write_junit
    from harness.comparison.markdown import as_markdown
    from harness.data.writing import write_text

    summary = os.environ.get(_SUMMARY)
    text = as_markdown(comparison, outcomes) if options.markdown or summary else ""
    if options.markdown:
        write_text(Path(options.markdown), text)
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8", errors="backslashreplace") as handle:
                handle.write(text)
        except OSError as error:
            raise DataError(f"${_SUMMARY} {summary} cannot be written: {error.strerror}") from error
    if options.junit:
        write_junit(options.junit, comparison, outcomes)


def _print(comparison: Comparison, outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    if not as_json:
        tell(str(comparison))
        for outcome in outcomes:
            tell(outcome.told)
        return
    gates = [
        {
            "fail_if": str(o.gate),
            "scorer": o.result.scorer,
            "suite": o.result.suite,
            "pair": [o.result.first, o.result.other],
            "p_holm": o.p_holm,
            "failed": o.failed,
        }
        for o in outcomes
    ]
    print_json({**comparison.as_dict(), "gates": gates})
