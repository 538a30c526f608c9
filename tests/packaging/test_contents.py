"""What is in the sdist and the wheel, and what their metadata says."""

from __future__ import annotations

import configparser
import re
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import BytesParser
from pathlib import Path

import pytest
from packaging.metadata import Metadata
from packaging.utils import parse_sdist_filename, parse_wheel_filename

from tests.packaging.conftest import PROJECT, run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def files(distributions: tuple[Path, Path]) -> dict[str, bytes]:
    """The wheel's files by name."""
    with zipfile.ZipFile(distributions[1]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def metadata(files: dict[str, bytes]) -> bytes:
    """The core metadata of the wheel."""
    (name,) = [name for name in files if name.endswith(".dist-info/METADATA")]
    return files[name]


@pytest.fixture(scope="module")
def headers(metadata: bytes) -> Message:
    """The metadata's headers and description, as a mail."""
    return BytesParser().parsebytes(metadata)


def shipped(folder: Path) -> dict[str, Path]:
    """The files of a source folder that are no by-products, by their path in it."""
    every = (path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): p for p in every if "__pycache__" not in p.parts}


def test_the_wheel_has_every_file_of_the_packages_and_nothing_else(
    files: dict[str, bytes],
) -> None:
    """Templates, rubrics and markers as well; it is made from the sdist, so that has them too."""
    packages = {f"harness/{name}": path for name, path in shipped(PROJECT / "harness").items()}
    packages |= shipped(PROJECT / "plugins")
    inside = {name: data for name, data in files.items() if ".dist-info/" not in name}
    assert set(inside) == set(packages)
    assert [n for n, path in packages.items() if path.read_bytes() != inside[n]] == []
    for needed in (
        *("harness/py.typed", "harness/viewer/templates/run.html"),
        *("harness/viewer/static/viewer.js", "harness/judging/rubrics/score.toml"),
        "harness/scaffold/templates/package/pyproject.toml.tmpl",
    ):
        assert needed in inside
    assert all(f"{name.partition('/')[0]}/py.typed" in inside for name in inside)
    assert not [
        name
        for name in inside
        if re.match(r"(.*/)?(tests?/test_|conftest)", name) and "/templates/" not in name
    ]


def test_the_sdist_can_be_tested_and_tells_its_licence(distributions: tuple[Path, Path]) -> None:
    with tarfile.open(distributions[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "constraints.txt"):
        assert needed in names
    tests = {f"tests/{n}" for n in shipped(PROJECT / "tests") if n.endswith(".py")}
    assert tests <= names
    assert not [name for name in names if name.endswith((".pyc", ".db")) or ".venv" in name]


def test_the_file_names_say_the_version(distributions: tuple[Path, Path]) -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    name, found, _, tags = parse_wheel_filename(distributions[1].name)
    assert (name, str(found)) == ("samescore", version)
    assert [str(tag) for tag in tags] == ["py3-none-any"]
    assert str(parse_sdist_filename(distributions[0].name)[1]) == version


def test_an_index_would_take_them_and_can_show_the_readme(
    distributions: tuple[Path, Path],
) -> None:
    files = map(str, distributions)
    assert run(sys.executable, "-m", "twine", "check", "--strict", *files).count("PASSED") == 2


def test_the_metadata_is_what_an_index_takes(metadata: bytes, headers: Message) -> None:
    """Names, versions, specifiers, licence expression and classifiers are checked by packaging."""
    read = Metadata.from_email(metadata, validate=True)
    assert read.name == "samescore"
    assert read.license_expression == "Apache-2.0"
    assert read.license_files == ["LICENSE"]
    assert str(read.requires_python) == ">=3.11"
    assert read.description_content_type == "text/markdown"
    assert (read.description or "").strip() == (PROJECT / "README.md").read_text("utf-8").strip()
    assert headers["Summary"]


def test_every_entry_point_leads_to_what_is_shipped(files: dict[str, bytes]) -> None:
    (name,) = [name for name in files if name.endswith(".dist-info/entry_points.txt")]
    points = configparser.ConfigParser()
    points.read_string(files[name].decode())
    plugins = {p.parent.name for p in (PROJECT / "plugins").glob("*/__init__.py")}
    assert set(points["samescore"].values()) == plugins | {"harness.executors"}
    assert points["console_scripts"]["harness"] == "harness.cli:main"
    for module in (*points["samescore"].values(), *points["pytest11"].values(), "harness.cli"):
        path = module.replace(".", "/")
        assert {f"{path}.py", f"{path}/__init__.py"} & set(files)


def test_every_extra_that_a_message_names_is_there(
    files: dict[str, bytes], headers: Message
) -> None:
    """`pip install 'samescore[x]'` for an extra that is not there installs nothing, with rc 0."""
    extras = set(headers.get_all("Provides-Extra") or ())
    told = {
        extra
        for name, data in files.items()
        if name.endswith(".py")
        for extra in re.findall(r"samescore\[([a-z0-9-]+)\]", data.decode())
    }
    assert told
    assert told <= extras
