"""`harness show`: one run: results, settings, and the rows that have no score."""

from __future__ import annotations

import argparse
import json

from harness.cli.run import Commands


def add_parser(commands: Commands[argparse.ArgumentParser]) -> None:
    """Declare the command."""
    parser = commands.add_parser("show", help="show a run", description="Show one run.")
    parser.add_argument("run", metavar="RUN", help="the start of a run's id, or `last`")
    parser.add_argument("--store", metavar="URL", help="the store to read")
    parser.add_argument("--rows", type=int, default=3, metavar="N", help="show N rows (3)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Print a run's results, where it came from, and some of its rows."""
    import itertools

    from harness.evaluation import Evaluation
    from harness.report import evaluation_table
    from harness.store import Store

    with Store(options.store, readonly=True) as store:
        record = store.run(options.run)
        evaluation = Evaluation(record, store)
        if options.json:
            extra = {"config": record.config, "provenance": record.provenance}
            print(json.dumps({**evaluation.as_dict(), **extra}, indent=2, ensure_ascii=False))
            return 0
        print(f"run {record.id} · {record.name or 'unnamed'} · {record.status}")
        print(evaluation_table([evaluation]))
        for label, summary in evaluation.summaries.items():
            causes = ", ".join(f"{n} {cause}" for cause, n in summary.causes.items())
            if causes:
                print(f"{label} unscored: {causes}")
        git = record.provenance.get("git")
        print(f"git {git}" if git else "not in a git repository")
        for row in itertools.islice(store.rows(record), options.rows):
            print(f"\n[{row.completion.sample.id}] {row.completion.sample.prompt}")
            print(f"  → {row.completion.text or row.completion.error}")
            for label, score in row.scores.items():
                shown = f"{score.value:.4f}" if score.value is not None else f"{score.unscored}"
                print(f"  {label}: {shown} {score.reason}".rstrip())
    return 0
