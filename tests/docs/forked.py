"""`python` and `harness` of a page, forked from a process that has imported what takes long.

    forked.py serve SOCKET                     imports, says that it is ready, and forks
    forked.py run SOCKET harness ARGUMENTS …   stands on the PATH, and has one forked

Most of what a page's commands take is to import torch and transformers, sixty times.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import types
from pathlib import Path

IMPORTS = (
    *("pandas", "scipy.stats", "sqlalchemy.dialects.sqlite", "rich.table", "torch"),
    *("transformers.generation", "transformers.models.auto.modeling_auto"),
    *("transformers.models.bert.modeling_bert", "transformers.models.llama.modeling_llama"),
)


def ask(place: str, command: list[str]) -> int:
    """Have the command run with the files, the folder and the environment of this process."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(place)
        socket.send_fds(connection, [b"."], [0, 1, 2])
        with connection.makefile("rw") as told:
            print(json.dumps([command, str(Path.cwd()), dict(os.environ)]), file=told, flush=True)
            child = int(told.readline())
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda one, _: os.kill(child, one))
            return int(told.readline())


def serve(place: str) -> list[str]:
    """Fork for each that asks, for ever; in the process that is forked, give the command."""
    for name in IMPORTS:
        importlib.import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(place)
        listener.listen()
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                if not os.fork():
                    listener.close()
                    return _attended(connection)


def _attended(connection: socket.socket) -> list[str]:
    """The command, in the process that is to run it; the other one waits and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, files, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rw") as told:
        command, folder, env = json.loads(told.readline())
        child = os.fork()
        if child:
            print(child, file=told, flush=True)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            print(code if code >= 0 else 128 - code, file=told, flush=True)
            os._exit(0)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(env)
    return list(command)


def start(command: list[str]) -> None:
    """Do what `python` or `harness` does with these arguments, as the main program."""
    program, *arguments = command
    sys.path[:1] = [item for item in os.environ.get("PYTHONPATH", "").split(os.pathsep) if item]
    importlib.invalidate_caches()
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.argv = command
    if program == "harness":
        from harness.cli import main

        sys.exit(main())
    option, sys.argv = arguments[0], arguments
    if option in ("-c", "-m"):
        text, sys.argv = arguments[1], [option, *arguments[2:]]
        sys.path.insert(0, "")
        if option == "-m":
            runpy.run_module(text, run_name="__main__", alter_sys=True)
        else:
            exec(compile(text, "<string>", "exec"), vars(sys.modules["__main__"]))
    else:
        sys.path.insert(0, str(Path(option).resolve().parent))
        runpy.run_path(option, run_name="__main__")


if __name__ == "__main__":
    doing, place, *command = sys.argv[1:]
    if doing == "run":
        with contextlib.suppress(BrokenPipeError):
            sys.exit(ask(place, command))
    start(serve(place))
