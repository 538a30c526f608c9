"""A new plugin's names, and its folder: whole or not there, and over nothing."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from harness.building import Role
from harness.cli import main
from harness.errors import HarnessError
from harness.scaffold import Names, names_for, write_plugin, writing
from harness.scaffold.names import ROLES_WRITTEN


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("acme-rouge", Names("acme-rouge", "acme_rouge", "rouge", "Rouge")),
        ("Acme.Rouge__L", Names("acme-rouge-l", "acme_rouge_l", "rouge-l", "RougeL")),
        ("acmerouge", Names("acmerouge", "acmerouge", "acmerouge", "Acmerouge")),
    ],
)
def test_names_are_normalised_as_pypi_does(name: str, names: Names) -> None:
    assert names_for(name, "rewarder") == names


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "cannot name a package"),
        ("-acme", "cannot name a package"),
        ("../acme", "cannot name a package"),
        ("acme rouge", "cannot name a package"),
        ("acme\n", "cannot name a package"),
        ("äcme", "cannot name a package"),
        ("a" * 101, "cannot name a package"),
        ("2acme", "cannot be imported as '2acme'"),
        ("class", "cannot be imported as 'class'"),
        ("acme-2rouge", "must begin with a letter"),
        ("harness-rouge", "begins as what samescore itself installs"),
        ("json", "there is a package 'json' here already"),
        ("pytest", "there is a package 'pytest' here already"),
        ("acme-match", "gives a rewarder called 'match', and that is the name of one of match"),
    ],
)
def test_names_that_cannot_be_used_are_refused_and_nothing_is_written(
    name: str, told: str, tmp_path: Path
) -> None:
    with pytest.raises(HarnessError, match=re.escape(told)):
        write_plugin(name, "rewarder", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_plugin_that_is_installed_can_be_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere: what is left of a first try in the environment must not stand in the way."""
    for name, group in (("acmefirst-thing", "samescore"), ("acmeother-thing", "console_scripts")):
        module = name.replace("-", "_")
        (tmp_path / f"{module}.py").write_text("")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\nthing = {module}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert names_for("acmefirst-thing", "rewarder").component == "thing"
    with pytest.raises(HarnessError, match="there is a package 'acmeother_thing' here already"):
        names_for("acmeother-thing", "rewarder")


def test_a_name_is_taken_only_where_it_would_be_looked_up() -> None:
    """Rewarders and judges are both scorers; nobody asks for a generator where one is meant."""
    assert names_for("acme-match", "generator").component == "match"
    with pytest.raises(HarnessError, match="'match'"):
        names_for("acme-match", "judge")


@pytest.mark.parametrize("role", ROLES_WRITTEN)
def test_a_package_is_whole(role: Role, tmp_path: Path) -> None:
    folder, names = write_plugin("acme-thing", role, tmp_path)
    files = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    module = f"src/{names.module}"
    assert files == {
        *(".gitignore", "README.md", "pyproject.toml"),
        *(f"{module}/__init__.py", f"{module}/py.typed", f"tests/test_{names.module}.py"),
    }
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"] == {"samescore": {"thing": "acme_thing"}}
    code = ast.parse((folder / module / "__init__.py").read_text("utf-8"))
    assert f"harness_{role}s" in {n.name for n in code.body if isinstance(n, ast.FunctionDef)}
    assert list(tmp_path.iterdir()) == [folder]


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "acme-rouge").symlink_to(tmp_path / "nowhere")
    with pytest.raises(HarnessError, match="is there already"):
        write_plugin("acme-rouge", "rewarder", tmp_path)
    mine = tmp_path / "acme-thing" / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(HarnessError, match="is there already"):
        write_plugin("acme-thing", "rewarder", tmp_path)
    assert [p.name for p in mine.parent.iterdir()] == ["mine.txt"]


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def files(names: Names, role: Role) -> Iterator[tuple[PurePosixPath, str]]:
        yield PurePosixPath("README.md"), "half"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_files", files)
    with pytest.raises(HarnessError, match="cannot be written: No space left on device"):
        write_plugin("acme-rouge", "rewarder", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_to_do_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new-plugin", "acme-rouge", "--role", "judge", "--output", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "the judge 'rouge', in acme_rouge" in told
    assert f"pip install -e {tmp_path}/acme-rouge" in told


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new-plugin", "acme-rouge", "--output", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "none does not exist; create it first" in error
