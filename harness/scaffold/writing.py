"""Writing a plugin's folder: all of it or nothing, and over nothing."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template

from harness.building import Role
from harness.errors import HarnessError
from harness.scaffold.names import Names, names_for

_ENDING = ".tmpl"


def write_plugin(
    name: str, role: Role = "rewarder", output: str | Path = "."
) -> tuple[Path, Names]:
    """Write the package of a plugin to a folder of its name in `output`.

    Returns:
        The folder, and what things in it are called.

    Raises:
        HarnessError: for a name that cannot be used, a folder that is there already, or one that
            cannot be written.
    """
    names = names_for(name, role)
    parent = Path(output)
    folder = parent / names.distribution
    if not parent.is_dir():
        raise HarnessError(f"the folder {parent} does not exist; create it first")
    if folder.exists() or folder.is_symlink():
        raise HarnessError(f"{folder} is there already; nothing is written over")
    partial = parent / f".{names.distribution}.{secrets.token_hex(4)}.tmp"
    try:
        for path, text in _files(names, role):
            file = partial / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        partial.rename(folder)
    except OSError as error:
        raise HarnessError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder, names


def _files(names: Names, role: Role) -> Iterator[tuple[PurePosixPath, str]]:
    """The files of a package: where each goes, and its text."""
    known = {
        "distribution": names.distribution,
        "module": names.module,
        "component": names.component,
        "stem": names.stem,
        "role": role,
        "samescore": ".".join(metadata.version("samescore").split(".")[:2]),
    }
    templates = resources.files("harness.scaffold") / "templates"
    for folder in ("package", role):
        for path, template in _walk(templates / folder, PurePosixPath()):
            where = Template(str(path).removesuffix(_ENDING)).substitute(known)
            yield PurePosixPath(where), Template(template).substitute(known)


def _walk(folder: Traversable, under: PurePosixPath) -> Iterator[tuple[PurePosixPath, str]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _walk(item, under / item.name)
        elif item.name.endswith(_ENDING):
            yield under / item.name, item.read_text(encoding="utf-8")
