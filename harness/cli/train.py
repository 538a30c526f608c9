"""`harness train`: train a model against scorers, as a TOML file says."""

from __future__ import annotations

import argparse
import contextlib
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.components import TrainingResult
    from harness.evaluation import Evaluation
    from harness.training.config import Prepared

_EXAMPLE = """\
the file:
  output = "runs/ppo"          # the folder to write to
  seed = 0
  select = "watched"           # keep the best checkpoint by these scorers; "": the last
  [trainer]
  use = "ppo"                  # the other keys are its settings: harness plugins ppo
  [scorers.bertscore]          # any number, each under a label
  use = "bertscore"            # the other keys but weight are its settings
  weight = 1.0                 # 0: watched only
  [data]
  train = "train.csv"          # or a list of files
  test = "test.csv"            # never trained on; or holdout = 0.1
  prompt = "question"          # columns; id and metadata may be named too
  reference = "answer"
  overlap = "refuse"           # or "drop" rows from train whose prompts are in test
  limit = 1000                 # train on the first rows only
"""


def add_parser(commands: Commands) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "train",
        help="train a model against scorers",
        description="Train a model as a TOML file says. Paths in it are relative to the current\n"
        "folder. The same command goes on with a training that was interrupted.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG.toml", help="the file")
    add = parser.add_argument
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="changes",
        help="change a value of the file, as trainer.learning_rate=1e-5; repeatable",
    )
    add(
        "--select",
        metavar="LABEL",
        help="keep the checkpoint at which this scorer peaks on the held-out rows; `watched`:\n"
        "the mean of those with weight 0",
    )
    add("--no-resume", action="store_true", help="start over, and replace what output holds")
    doing = parser.add_mutually_exclusive_group()
    doing.add_argument("--dry-run", action="store_true", help="check everything, train nothing")
    doing.add_argument(
        "--evaluate",
        action="store_true",
        help="evaluate the trained model on the held-out rows, by the same scorers",
    )
    add(
        "--generator",
        action="append",
        default=[],
        metavar="REF",
        help="with --evaluate: this generator in place of the trained model; repeatable",
    )
    add("--store", metavar="URL", help="a file or database URL to record in")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(command=run)


def run(options: argparse.Namespace) -> int:
    """Read the file, check it, and train."""
    from harness.training.config import prepare, read_config

    if options.generator and not options.evaluate:
        raise HarnessError("--generator is for --evaluate")
    config = read_config(options.config, options.changes)
    if options.select is not None:
        config = replace(config, select=options.select)
    prepared = prepare(config)
    if options.dry_run:
        return _print_checked(prepared, as_json=options.json)
    if options.evaluate:
        return _print_evaluations(list(_evaluations(prepared, options)), as_json=options.json)
    result = _train(prepared, options)
    from harness.training.journal import first_process

    if first_process():
        _print_result(prepared, result, options)
    return 0


def _train(prepared: Prepared, options: argparse.Namespace) -> TrainingResult:
    from harness.progress import shown
    from harness.training import train
    from harness.training.journal import first_process

    config = prepared.config
    with shown() if first_process() else contextlib.nullcontext():
        return train(
            prepared.samples,
            trainer=config.trainer,
            scorers=prepared.scorers,
            output=config.output,
            held_out=prepared.held_out,
            seed=config.seed,
            resume=not options.no_resume,
            name=config.name,
            select=config.select,
            store=options.store,
        )


def _evaluations(prepared: Prepared, options: argparse.Namespace) -> Iterator[Evaluation]:
    from harness.engine import evaluate
    from harness.progress import shown
    from harness.references import label_of

    config = prepared.config
    if not prepared.held_out or not prepared.scorers:
        missing = "scorers" if prepared.held_out else "held-out rows: test or holdout in [data]"
        raise HarnessError(f"{config.file} has no {missing}, so nothing can be evaluated")
    for generator in options.generator or [_trained(config.output)]:
        with shown():
            yield evaluate(
                prepared.held_out,
                generator=generator,
                scorers=[scorer for scorer, _ in prepared.scorers],
                store=options.store,
                name=f"{config.name} held out[{label_of(generator)}]",
            )


def _trained(output: Path) -> str:
    """The reference of the generator that was trained."""
    from harness.building import ROLES
    from harness.loader import default_plugins
    from harness.references import parse
    from harness.training import card

    found = card.read(output)
    if found is None:
        raise HarnessError(f"{output} holds no trained model yet; leave --evaluate out")
    use = str(found["use"])
    if not use:
        raise HarnessError(f"the trainer of {output} does not say how to use it; give --generator")
    role = default_plugins().find(parse(use).name, *ROLES).role
    if role != "generator":
        raise HarnessError(f"{use} is a {role}; harness score FILE --scorer {shlex.quote(use)}")
    return use


def _print_evaluations(evaluations: Sequence[Evaluation], *, as_json: bool) -> int:
    from harness.report import evaluation_table

    if as_json:
        print_json([e.as_dict() for e in evaluations])
    else:
        print(evaluation_table(evaluations))
    return 0


def _print_checked(prepared: Prepared, *, as_json: bool) -> int:
    config, scorers = prepared.config, prepared.scorers
    told: dict[str, object] = {
        "trainer": prepared.trainer.reference,
        "scorers": {scorer.label: weight for scorer, weight in scorers},
        "train": len(prepared.samples),
        "held_out": len(prepared.held_out),
        "left_out": prepared.left_out,
        "output": str(config.output),
        "seed": config.seed,
        **({"select": config.select} if config.select else {}),
    }
    if as_json:
        print_json(told)
        return 0
    told["scorers"] = ", ".join(f"{s.label} {w:g}" for s, w in scorers) or "none"
    told["left_out"] = f"{prepared.left_out} rows whose prompts are held out"
    for key, value in told.items():
        print(f"{key:<9} {value}")
    return 0


def _print_result(prepared: Prepared, result: TrainingResult, options: argparse.Namespace) -> None:
    from harness.training import card

    found = card.read(prepared.config.output) or {}
    if options.json:
        told = {"training": found.get("training"), "model": str(result.model)}
        told["metrics"] = dict(result.metrics)
        kept = {"selected": asdict(result.selected)} if result.selected else {}
        print_json({**told, "use": result.use, **kept})
        return
    own = ["harness", "train", options.config, *(f"--set={c}" for c in options.changes)]
    own += ["--select", options.select] if options.select else []
    store = [f"--store={options.store}"] if options.store else []
    print(f"model     {result.model}")
    if result.selected:
        means = ", ".join(f"{label} {mean:.4f}" for label, mean in result.selected.scores.items())
        print(f"selected  step {result.selected.step} by {result.selected.by}: {means}")
    print(f"steps     {shlex.join(['harness', 'show', str(found.get('training')), *store])}")
    if prepared.held_out and prepared.scorers and result.use:
        print(f"evaluate  {shlex.join([*own, *store, '--evaluate'])}")
    elif result.use:
        print(f"use       {result.use}")
