"""`python -m benchmarks.ppo_faq`: warm start, PPO on BERTScore, and what came of it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Read by torch when it is loaded: threads that spin slow a busy machine down many times over.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from harness import HarnessError

from .settings import SIZES

if TYPE_CHECKING:
    from .rows import Rows

_STOPPED = "ppo_faq: interrupted; what was done stays, and the same command goes on from it"


def main(arguments: list[str] | None = None) -> int:
    """Run a study; gives 2 for what the user can mend and 130 if interrupted."""
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except HarnessError as error:
        print(f"ppo_faq: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(_STOPPED, file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ppo_faq",
        description="Train a small GPT-2 on questions and answers, then by PPO on BERTScore, and "
        "compare the three models on held-out rows. The same command goes on where it stopped, "
        "and shows what is there when it is done.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--train", metavar="FILE", help="a table to train on (the standard library's questions)")
    add("--test", metavar="FILE", help="a table to test on (a fifth of --train)")
    add("--question", metavar="COLUMN", default="question", help="(question)")
    add("--answer", metavar="COLUMN", default="answer", help="(answer)")
    add("--out", metavar="DIR", type=Path, default=Path("runs/ppo_faq"), help="(runs/ppo_faq)")
    add("--seed", metavar="N", type=int, nargs="+", default=[0], help="one or several (0)")
    add("--size", choices=list(SIZES), default="full", help="demo takes minutes (full)")
    add(
        "--set",
        metavar="KEY=VALUE",
        dest="changes",
        action="append",
        default=[],
        help="change a setting, as ppo.trainer.steps=20, sft.trainer.epochs=3, model.layers=2 "
        "or evaluation.attempts=4; repeatable",
    )
    add("--no-resume", action="store_true", help="train anew, and replace what DIR holds")
    return parser


def _run(options: argparse.Namespace) -> int:
    from . import report, rows
    from .compare import compare
    from .results import Results
    from .settings import settings
    from .study import GOOD, Study, clear, run, same_scorer

    chosen = settings(options.size, options.changes)
    trained = _rows(options)
    print(f"{trained.source}: {trained}", file=sys.stderr)
    if options.no_resume:
        clear(options.out)
    rows.write(trained, options.out)
    comparisons, same, reports = {}, True, []
    for seed in dict.fromkeys(options.seed):
        study = Study(options.out, seed, chosen)
        evaluations = run(study, trained, resume=not options.no_resume)
        comparisons[seed] = compare(evaluations)
        same = same and same_scorer(study, evaluations[GOOD])
        reports.append(report.write(study, evaluations))
    results = Results(options.out, chosen, comparisons, same)
    results.write()
    print(f"{results.text()}\n\n{options.out / 'results.md'} has this, examples and the curve.")
    for file in filter(None, reports):
        print(f"{file} shows it question by question; open it in a browser.")
    print(f"harness view --store {options.out / 'store.db'} shows all of it.")
    return 0


def _rows(options: argparse.Namespace) -> Rows:
    from . import rows

    if options.train:
        return rows.table_rows(options.train, options.test, options.question, options.answer)
    if options.test:
        raise HarnessError("--test is given without --train; name the table to train on too")
    return rows.stdlib_rows()


if __name__ == "__main__":
    sys.exit(main())
