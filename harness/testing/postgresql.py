"""A PostgreSQL server of its own for tests and measurements: it is gone when they end."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError

_DEBIAN = Path("/usr/lib/postgresql")
# As little as a server can do: what it holds is worth nothing after the tests.
_SETTINGS = ("listen_addresses=", "max_connections=200", "fsync=off", "shared_buffers=64MB")


class PostgresServer:
    """A server that listens on a socket in `folder`, and nowhere else."""

    def __init__(self, folder: Path, user: str) -> None:
        self.folder, self._user = folder, user

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases."""
        return f"postgresql://{self._user}@/{database}?host={self.folder}"

    def new_database(self) -> str:
        """The URL of a database with nothing in it."""
        import psycopg

        name = f"t{uuid.uuid4().hex[:12]}"
        with psycopg.connect(self.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)


def programs() -> Path | None:
    """The folder of PostgreSQL's programs, the newest of them; None where there are none."""
    found = [p.parent for p in sorted(_DEBIAN.glob("*/bin/initdb"), key=_version)]
    onpath = shutil.which("initdb")
    if not found and onpath:
        return Path(onpath).resolve().parent
    return found[-1] if found else None


@contextmanager
def temporary_postgres(settings: Sequence[str] = ()) -> Iterator[PostgresServer]:
    """A server with `NAME=VALUE` settings, made and started, and at the end stopped and removed.

    Raises:
        HarnessError: where PostgreSQL is not installed, or does not start; says why.
    """
    where, user = programs(), _user()
    if where is None:
        raise HarnessError("PostgreSQL is not installed: no initdb was found")
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # a socket's path must be short
    try:
        if user is not None:
            shutil.chown(folder, user)
        data, log = folder / "data", folder / "log"
        name = user or pwd.getpwuid(os.getuid()).pw_name
        _run(
            [str(where / "initdb"), "-D", str(data), "-A", "trust", "-E", "UTF8", "-N", "-U", name],
            user,
        )
        options = " ".join(f"-c {s}" for s in (*_SETTINGS, f"unix_socket_directories={folder}"))
        options += "".join(f" -c {setting}" for setting in settings)
        control = [str(where / "pg_ctl"), "-D", str(data), "-w"]
        _run([*control, "-l", str(log), "-o", options, "start"], user)
        try:
            yield PostgresServer(folder, name)
        finally:
            _run([*control, "-m", "immediate", "stop"], user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: Sequence[str], user: str | None) -> None:
    done = subprocess.run(
        command, user=user, cwd="/", capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split())
        raise HarnessError(f"{Path(command[0]).name} failed: {told[-300:]}")


def _user() -> str | None:
    """Who runs the server: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _version(initdb: Path) -> float:
    try:
        return float(initdb.parent.parent.name)
    except ValueError:
        return 0.0
