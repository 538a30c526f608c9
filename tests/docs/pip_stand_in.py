"""What `pip install` does on a page: no index is asked.

A folder is installed into `PIP_TARGET`, without what it depends on. The tests run in samescore
itself, so of `samescore[EXTRA]` the extras must be there.
"""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys

from packaging.requirements import Requirement

INSTALL = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target")


def main(arguments: list[str]) -> None:
    """Install each of what is named; the options `-c FILE` and `-e` mean nothing here."""
    assert arguments[0] == "install"
    names = [a for a in arguments[1:] if not a.startswith("-") and a != "constraints.txt"]
    assert names
    for name in names:
        if "[" in name:
            requirement = Requirement(name.replace(".[", "samescore[", 1))
            extras = importlib.metadata.metadata("samescore").get_all("Provides-Extra") or []
            assert requirement.name == "samescore"
            assert requirement.extras <= set(extras), f"{name}: there is no such extra"
        else:
            command = [sys.executable, *INSTALL, os.environ["PIP_TARGET"], name]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
