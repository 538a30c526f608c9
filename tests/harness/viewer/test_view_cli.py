"""`harness view` as a process: it says where, answers, ends at Ctrl-C; its help loads nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from harness.cli import main

HARNESS = [sys.executable, "-m", "harness"]


def test_it_serves_at_a_free_port_until_it_is_interrupted(file: Path) -> None:
    command = [*HARNESS, "view", "--store", str(file), "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        line = process.stdout.readline()
        place = line.split()[2]
        with urllib.request.urlopen(place, timeout=60) as answer:
            assert b"towns[old]" in answer.read()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert line.startswith("viewing at http://127.0.0.1:")


def test_what_cannot_be_served_is_named(
    tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", "--store", str(tmp_path / "none.db")]) == 2
    assert "there is no store" in capsys.readouterr().err
    assert main(["view", "--store", str(file), "--host", "192.0.2.1", "--port", "0"]) == 2
    assert "cannot listen at 192.0.2.1" in capsys.readouterr().err


def test_a_missing_library_is_named_with_its_extra(file: Path) -> None:
    code = (
        "import sys; sys.modules['starlette'] = sys.modules['jinja2'] = None\n"
        "from harness.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    for command in (["view"], ["report", "last", "-o", "x.html"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, "--store", str(file)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert "pip install 'samescore[view]'" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["view", "report"])
def test_help_loads_nothing_of_it(command: str) -> None:
    heavy = ["starlette", "uvicorn", "jinja2", "plotly", "sqlalchemy", "numpy"]
    code = (
        "import json, sys\nfrom harness.cli import main\n"
        f"try: main(['{command}', '--help'])\nexcept SystemExit: pass\n"
        f"print(json.dumps([n for n in {heavy} if n in sys.modules]), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stderr) == []
