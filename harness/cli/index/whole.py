"""`harness index create`, `describe`, `delete` and others: what is done to an index as a whole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.cli._telling import print_json
from harness.cli.index._opening import add_reference, managed, writable
from harness.data.plain import printable
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.datapoints import Datapoint
    from harness.indexing import IndexSpec, ManagedIndex, Work

_NO_ANSWER = ("n", "no", "")


def add_parsers(commands: Commands) -> None:
    """Declare the commands."""
    create = _add(commands, "create", run_create, "make an index, and have it searchable")
    add_specification(create)
    create.add_argument("--source", default="", metavar="URI", help="files to begin with")
    create.add_argument(
        "--updates",
        choices=("stream", "batch"),
        default="stream",
        help="of a service: single datapoints at any time (stream), or files only (batch)",
    )
    create.add_argument("--no-serve", action="store_true", help="make it, but do not serve it yet")

    describe = _add(commands, "describe", run_describe, "say what an index holds and how it works")
    describe.add_argument("--json", action="store_true", help="print JSON")

    delete = _add(commands, "delete", run_delete, "delete an index and all that it holds")
    delete.add_argument("--yes", action="store_true", help="do not ask")

    update = _add(commands, "update", run_update, "have an index read files by itself")
    update.add_argument("source", metavar="URI", help="as gs://bucket/folder, or a table's path")
    update.add_argument("--overwrite", action="store_true", help="in place of all that it holds")

    _add(commands, "serve", run_serve, "make an index searchable (a service bills for that)")
    _add(commands, "withdraw", run_withdraw, "stop serving an index; what it holds stays")
    listing = _add(commands, "list", run_list, "name the indexes that are where this one is")
    listing.add_argument("--json", action="store_true", help="print JSON")
    wait = _add(commands, "wait", run_wait, "wait for work that was left running")
    wait.add_argument("operation", metavar="OPERATION", help="its name, as it was told")


def _add(
    commands: Commands, name: str, run: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    sentence = f"{text[0].upper()}{text[1:]}."
    parser = commands.add_parser(name, help=text, description=sentence)
    add_reference(parser)
    parser.set_defaults(command=run)
    return parser


def add_specification(parser: argparse.ArgumentParser) -> None:
    """Declare what an index that is to be made can be."""
    add = parser.add_argument
    add("--dimensions", type=int, metavar="N", help="numbers of a vector (those of the encoder)")
    add(
        "--measure",
        choices=("dot_product", "cosine", "squared_l2", "l1"),
        default="dot_product",
        help="how near two vectors are (dot_product)",
    )
    add("--normalise", choices=("none", "unit_l2"), default="none", help="compare by direction")
    add("--engine", choices=("tree", "exact"), default="tree", help="approximate, or exact (tree)")
    add("--leaf-size", type=int, metavar="N", help="datapoints of a leaf of the tree")
    add("--leaves-fraction", type=float, metavar="SHARE", help="share of leaves to look at")
    add("--approximate-count", type=int, metavar="N", help="candidates to rank exactly")


def specification(options: argparse.Namespace, first: Datapoint | None = None) -> IndexSpec:
    """The index that the options describe; `first` has its dimensions, if they do not."""
    from harness.indexing import IndexSpec

    vector = () if first is None else first.vector
    return IndexSpec(
        options.dimensions or len(vector) or _dimensions(options.reference),
        options.measure,
        options.normalise,
        options.engine,
        getattr(options, "updates", "stream"),
        getattr(options, "source", ""),
        options.leaf_size,
        options.leaves_fraction,
        options.approximate_count,
    )


def _dimensions(reference: str) -> int:
    """Those of the encoder that a reference names, or of the default one."""
    from harness.encoding import DEFAULT, load_encoder
    from harness.references import parse

    name = str(parse(reference).settings.get("encoder", DEFAULT))
    if name == "none":
        raise HarnessError(f"{reference} has no encoder; say --dimensions N")
    return load_encoder(name).dimensions


def tell(line: str) -> None:
    """Say on standard error what goes on."""
    print(printable(line), file=sys.stderr, flush=True)


def report(work: Work) -> None:
    """Tell of work as it stands."""
    parts = {
        "running": "…",
        "done": "",
        "there": " (nothing to do)",
        "left": " (goes on without us)",
    }
    seconds = f", {work.seconds:.0f} s" if work.seconds >= 1 else ""
    detail = f": {work.detail}" if work.detail else ""
    named = f"; harness index wait REF {work.operation}" if work.state == "left" else ""
    tell(f"{work.doing}{parts[work.state]}{seconds}{detail}{named}")


def run_create(options: argparse.Namespace) -> int:
    """Make the index, and serve it."""
    with managed(options.reference) as index:
        index.create(specification(options), report=report)
        if not options.no_serve:
            index.serve(report=report)
    return 0


def run_describe(options: argparse.Namespace) -> int:
    """Print what the index is."""
    with writable(options.reference) as index:
        described = asdict(index.describe())
    if options.json:
        print_json(described)
        return 0
    for name, value in _flat(described):
        print(printable(f"{name}: {value}"))
    return 0


def run_delete(options: argparse.Namespace) -> int:
    """Delete the index, if the user means it."""
    with managed(options.reference) as index:
        if not options.yes and not _confirmed(options.reference):
            raise HarnessError(f"{options.reference} is not deleted; add --yes to delete it")
        index.delete(report=report)
    return 0


def run_update(options: argparse.Namespace) -> int:
    """Have the index read files."""
    return _manage(
        options, lambda i: i.update(options.source, overwrite=options.overwrite, report=report)
    )


def run_serve(options: argparse.Namespace) -> int:
    """Serve the index."""
    return _manage(options, lambda index: index.serve(report=report))


def run_withdraw(options: argparse.Namespace) -> int:
    """Stop serving the index."""
    return _manage(options, lambda index: index.withdraw(report=report))


def run_wait(options: argparse.Namespace) -> int:
    """Wait for work."""
    return _manage(options, lambda index: index.wait(options.operation, report=report))


def run_list(options: argparse.Namespace) -> int:
    """Print the names of indexes."""
    with managed(options.reference) as index:
        names = list(index.listed())
    if options.json:
        print_json(names)
    else:
        print(printable("\n".join(names)))
    return 0


def _manage(options: argparse.Namespace, work: Callable[[ManagedIndex], None]) -> int:
    with managed(options.reference) as index:
        work(index)
    return 0


def _confirmed(reference: str) -> bool:
    if not sys.stdin.isatty():
        return False
    answer = input(f"Delete {reference} and all that it holds? [y/N] ")
    return answer.strip().lower() not in _NO_ANSWER


def _flat(values: Mapping[str, object], at: str = "") -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{at}{name}." if name != "details" else at)
        elif value is not None and value != "":
            yield f"{at}{name}", value
