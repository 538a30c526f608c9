"""The audit of CI, by the real pip-audit, which asks a service on loopback for its advisories."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from tests.packaging.conftest import PROJECT

PINNED = [
    f"{canonicalize_name(name)}=={version}"
    for name, version in (
        line.split("==") for line in (PROJECT / "constraints.txt").read_text("utf-8").splitlines()
    )
]
OLD = "jinja2==2.4.1"
pytestmark = pytest.mark.slow


class Advisories(ThreadingHTTPServer):
    """Answers as the OSV service does."""

    holes: Collection[str] = ()
    asked: Collection[str] = ()


class Answer(BaseHTTPRequestHandler):
    """To one question, for a name and a version."""

    server: Advisories

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        one = f"{asked['package']['name']}=={asked['version']}"
        self.server.asked = {*self.server.asked, one}
        hole = {"id": "PYSEC-2014-8", "summary": "a hole", "affected": [asked]}
        body = json.dumps({"vulns": [hole]} if one in self.server.holes else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def advisories() -> Iterator[Advisories]:
    with ThreadPoolExecutor(1) as pool, Advisories(("127.0.0.1", 0), Answer) as server:
        pool.submit(server.serve_forever)
        yield server
        server.shutdown()


def test_the_audit(advisories: Advisories, tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    for name in (".ci/audit", "constraints.txt"):
        (tmp_path / name).write_bytes((PROJECT / name).read_bytes())
    env = {
        **os.environ,
        "BIN": str(Path(sys.executable).parent),
        "XDG_CACHE_HOME": str(tmp_path),
        "PIP_AUDIT_VULNERABILITY_SERVICE": "osv",
        "PIP_AUDIT_OSV_URL": f"http://127.0.0.1:{advisories.server_port}/",
    }

    def audit(*holes: str) -> subprocess.CompletedProcess[str]:
        advisories.holes = holes
        command = ["bash", str(tmp_path / ".ci/audit")]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)

    ignorant = audit()
    assert ignorant.returncode == 3, "a service that knows no holes at all finds none here"
    assert "NOT AUDITED" in ignorant.stderr
    sound = audit(OLD)
    assert sound.returncode == 0, sound.stderr
    assert {OLD, *PINNED} == set(advisories.asked)
    unsound = audit(OLD, PINNED[-1])
    assert unsound.returncode == 1
    assert " ".join(PINNED[-1].split("==")) in unsound.stdout
    parts = json.loads((tmp_path / "sbom.json").read_text())["components"]
    # Ray, once imported, has others on its path.
    installed = distributions(path=[sysconfig.get_path("purelib")])
    there = {(canonicalize_name(one.name), one.version) for one in installed}
    assert {(canonicalize_name(part["name"]), part["version"]) for part in parts} == there
