"""The components: the `openai` ones, over a server that is up when they call it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib import metadata
from pathlib import Path

from harness import (
    Completion,
    Generator,
    HarnessError,
    Judge,
    PluginError,
    Sample,
    Score,
    Unscored,
    Usage,
)
from harness.building import Built, Role
from harness.calls import run
from harness.fingerprint import digest, file_digest
from harness.loader import default_plugins
from harness.models import packaged, path_of
from harness.references import Reference
from harness_local import LocalJudgeSettings, LocalPairwiseSettings, LocalSettings, Served
from harness_local._server import Server, Serving, server_of

_MAGIC = b"GGUF"
_OWN = {"model", "context", "slots", "threads"}
_TOO_LONG = "context size"  # of llama.cpp's error


class LocalJudge:
    """A judge over a local server, as many judgements at a time as it has slots.

    With one slot and no sampling a verdict hangs on the answer alone: what the server keeps of the
    request before changes no bit, unless that was the same request. So an answer that comes twice
    in a row is judged once.

    Args:
        inner: What judges.
        server: What it calls.
        told: Its identity.
        slots: How many requests the server computes together.
        sampled: Whether the same request may bring another verdict.
    """

    def __init__(
        self, inner: Judge, server: Server, told: Mapping[str, str], *, slots: int, sampled: bool
    ) -> None:
        self._inner, self._server, self._told = inner, server, told
        self._repeatable = slots == 1 and not sampled
        self._last: tuple[object, Score] | None = None
        self.concurrency = slots

    def identity(self) -> Mapping[str, str]:
        """The model, llama.cpp's version, and the inner judge's fingerprint."""
        return self._told

    async def judge(self, completion: Completion) -> Score:
        """The inner judge's verdict.

        Raises:
            HarnessError: if the model cannot be served.
        """
        asked = (completion.sample.prompt, completion.sample.references, completion.text)
        if self._last is not None and self._last[0] == asked:
            score = self._last[1]
            calls = tuple(replace(call, cached=True) for call in score.calls)
            return replace(score, usage=score.usage and Usage(cost_usd=0.0), calls=calls)
        await self._server.up()
        score = await self._inner.judge(completion)
        if self._repeatable and score.value is not None:
            self._last = asked, score
        return _explained(score)


class LocalGenerator:
    """A generator over a local server."""

    def __init__(self, inner: Generator, server: Server, told: Mapping[str, str]) -> None:
        self._inner, self._server, self._told = inner, server, told

    def identity(self) -> Mapping[str, str]:
        """The model, llama.cpp's version, and the inner generator's fingerprint."""
        return self._told

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        """One completion a sample, in order.

        Raises:
            HarnessError: if the model cannot be served.
        """
        run(self._server.up())
        answered = self._inner.generate(samples, attempt=attempt)
        return [replace(c, error=_hinted(c.error)) for c in answered]


def judge(of: str, settings: LocalJudgeSettings | LocalPairwiseSettings) -> Judge:
    """The judge `of`, over the model that the settings name.

    Raises:
        HarnessError: for a model that is not there, or is no GGUF file.
        ModuleNotFoundError: if a package is missing.
    """
    server, inner, told = _served(of, "judge", settings)
    sampled = bool(settings.temperature) or getattr(settings, "method", "") == "votes"
    return LocalJudge(inner.instance, server, told, slots=settings.slots, sampled=sampled)


def generator(settings: LocalSettings) -> Generator:
    """The generator; raises as `judge`."""
    server, inner, told = _served("openai", "generator", settings)
    return LocalGenerator(inner.instance, server, told)


def _served(of: str, role: Role, settings: Served) -> tuple[Server, Built, Mapping[str, str]]:
    """The server of the model, what calls it, and what both are known by."""
    _needed("xllamacpp", "openai")
    path, name = _gguf(settings.model)
    serving = Serving(str(path), name, settings.context, settings.slots, settings.threads)
    server = server_of(serving)
    told = {"model": file_digest(path), "xllamacpp": metadata.version("xllamacpp")}
    shape = {"context": str(settings.context), "slots": str(settings.slots)}
    forwarded: dict[str, object] = {
        f.name: getattr(settings, f.name) for f in fields(settings) if f.name not in _OWN
    }
    forwarded |= {
        "model": name,
        "base_url": server.address,
        "served_as": ", ".join(f"{key} {value}" for key, value in (told | shape).items()),
        "key_env": "",
        "sampling": "on",
        "concurrency": min(settings.concurrency, settings.slots),
    }
    built = default_plugins().build(Reference(of, forwarded), role)
    return server, built, {**told, of: digest(built.description)}


def _needed(*packages: str) -> None:
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _gguf(model: str) -> tuple[Path, str]:
    """The GGUF file that a setting names, and what it is called."""
    path = path_of(model)
    if path.is_dir():
        found = sorted(path.glob("*.gguf"))
        if len(found) != 1:
            raise PluginError(f"local: {model} is no GGUF file{_there_are(path, found)}")
        path = found[0]
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise HarnessError(f"local: the model {path} cannot be read: {error}") from error
    if magic != _MAGIC:
        raise PluginError(f"local: {path} is no GGUF file: it does not begin with GGUF")
    return path.resolve(), model if model in packaged() else path.name


def _there_are(folder: Path, found: Sequence[Path]) -> str:
    if found:
        return f"; the folder has several: {', '.join(file.name for file in found)}"
    names = [name for name, known in packaged().items() if known.file.endswith(".gguf")]
    return f", and {folder} has none in it; packaged: {', '.join(sorted(names))}"


def _explained(score: Score) -> Score:
    if score.unscored is not Unscored.SCORER_ERROR:
        return score
    return replace(score, reason=_hinted(score.reason))


def _hinted(error: str) -> str:
    return f"{error}; give local more with context=TOKENS" if _TOO_LONG in error else error
