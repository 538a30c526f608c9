"""Judging through the harness against the bare SDK: judgements a second, in good weather and bad.

    python benchmarks/performance/judging.py
    python benchmarks/performance/judging.py --judgements 200 --rounds 1

A server on loopback, in a process of its own, replies after 100 ms; each variant is a process too.
`serial` asks one after the other, as a loop over a synchronous client does; it is measured on a
tenth of the judgements. `sdk` is AsyncOpenAI alone with the very requests that the harness
sends, 64 at once: no retries, nothing recorded, nothing checked. `harness` is `harness.evaluate`,
every reply and score in the store. `weather` is the same with 19.5 % of the replies faulty; its
scores that differ from those of good weather are counted: what the server says of a question is
always the same, so there must be none.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness import Sample

LATENCY_S, AT_ONCE, TIMEOUT_S = 0.1, 64, 1.0
VARIANTS = ("serial", "sdk", "harness", "weather")
MODEL = "small"


def samples(count: int) -> list[Sample]:
    """Questions with the answer to be judged in their metadata."""
    return [
        Sample(
            str(i),
            f"What does the function number {i} of the module do, and what does it give back?",
            (f"It opens the file number {i} and gives back a handle that must be closed.",),
            {"answer": f"Function {i} opens a file and returns a handle; close it afterwards."},
        )
        for i in range(count)
    ]


def judge(url: str) -> str:
    """The reference of the judge."""
    return f'openai:model={MODEL},base_url="{url}",timeout_s={TIMEOUT_S},concurrency={AT_ONCE}'


def through_the_harness(url: str, count: int) -> dict[str, object]:
    """Evaluate with a store, and count what came of it."""
    from harness import evaluate, generator, scorer

    scored = scorer(judge(url))
    answers = generator("recorded:field=answer")
    with tempfile.TemporaryDirectory() as folder:
        began, cpu = time.perf_counter(), time.process_time()
        found = evaluate(
            samples(count),
            generator=answers,
            scorers=[scored],
            store=Path(folder) / "store.db",
            max_unscored=1,
        )
        took = time.perf_counter() - began, time.process_time() - cpu
        values = [row.value for row in found.values(next(iter(found.summaries)))]
        causes = Counter(
            str(row.unscored)
            for row in found.values(next(iter(found.summaries)))
            if row.value is None
        )
    return {"wall": took[0], "cpu": took[1], "values": values, "causes": dict(causes)}


def by_the_sdk(url: str, count: int) -> dict[str, object]:
    """The same requests by the asynchronous client alone."""
    import openai

    bodies = [body_for(i) for i in range(count)]

    async def story() -> None:
        client = openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, timeout=TIMEOUT_S)
        slots = asyncio.Semaphore(AT_ONCE)

        async def one(body: Mapping[str, object]) -> None:
            async with slots:
                reply = await client.chat.completions.create(**body)  # type: ignore[call-overload]
                json.loads(reply.choices[0].message.content)

        await asyncio.gather(*(one(body) for body in bodies))
        await client.close()

    began, cpu = time.perf_counter(), time.process_time()
    asyncio.run(story())
    return {"wall": time.perf_counter() - began, "cpu": time.process_time() - cpu}


def one_by_one(url: str, count: int) -> dict[str, object]:
    """The same requests by the synchronous client, one after the other."""
    import openai

    bodies = [body_for(i) for i in range(count)]
    client = openai.OpenAI(base_url=url, api_key="none", max_retries=0)
    began, cpu = time.perf_counter(), time.process_time()
    for body in bodies:
        reply = client.chat.completions.create(**body)  # type: ignore[call-overload]
        json.loads(reply.choices[0].message.content)
    wall, spent = time.perf_counter() - began, time.process_time() - cpu
    client.close()
    return {"wall": wall, "cpu": spent}


_SENT: dict[str, object] = {}


def body_for(index: int) -> dict[str, object]:
    """What the harness's judge sends for a sample, as it reached a server."""
    if not _SENT:
        from harness import Completion, scorer
        from harness.testing.faults import FaultServer

        sample = samples(1)[0]
        with FaultServer() as server:
            asked = scorer(judge(server.openai_url))
            asked.score([Completion(sample, str(sample.metadata["answer"]))])
            _SENT.update(server.ledger.requests[0].body)
    text = json.dumps(_SENT).replace("number 0", f"number {index}")
    return dict(json.loads(text.replace("Function 0", f"Function {index}")))


@contextmanager
def serving(*options: str) -> Iterator[Mapping[str, str]]:
    """A fault server in a process of its own."""
    command = [sys.executable, "-m", "harness.testing.faults", "--latency", str(LATENCY_S)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def measured(variant: str, count: int) -> dict[str, object]:
    """One variant, in a process of its own, against a server of its own."""
    with serving(*(["--mix"] if variant == "weather" else [])) as server:
        command = [sys.executable, __file__, "--child", variant, "--url", server["openai_url"]]
        child = subprocess.run(
            [*command, "--judgements", str(count)], capture_output=True, text=True, check=False
        )
        if child.returncode:
            sys.exit(child.stderr)
        with urllib.request.urlopen(server["ledger_url"]) as reply:
            ledger = json.loads(reply.read())
    return {**json.loads(child.stdout.splitlines()[-1]), "ledger": ledger}


def main() -> None:
    options = _options()
    if options.child:
        work = {"serial": one_by_one, "sdk": by_the_sdk}.get(options.child, through_the_harness)
        print(json.dumps(work(options.url, options.judgements)))
        return
    count = options.judgements
    print(f"{count} judgements, {LATENCY_S * 1000:.0f} ms each, {AT_ONCE} at once, ", end="")
    print(f"{os.cpu_count()} CPUs, median of {options.rounds} rounds\n")
    found: dict[str, list[dict[str, object]]] = {variant: [] for variant in VARIANTS}
    for _ in range(options.rounds):
        for variant in VARIANTS:
            found[variant].append(measured(variant, _count(variant, count)))
    _print(found, count)


def _count(variant: str, count: int) -> int:
    return max(count // 10, 1) if variant == "serial" else count


def _print(found: Mapping[str, list[dict[str, object]]], count: int) -> None:
    walls = {
        variant: statistics.median(
            float(str(r["wall"])) * count / _count(variant, count) for r in rounds
        )
        for variant, rounds in found.items()
    }
    print("  variant     wall s   a second   CPU ms each   times serial   of the SDK's rate")
    for variant, rounds in found.items():
        cpu = min(float(str(r["cpu"])) for r in rounds) / _count(variant, count)
        wall = walls[variant]
        print(
            f"  {variant:9} {wall:8.2f} {count / wall:10.0f} {1000 * cpu:13.2f}"
            f" {walls['serial'] / wall:14.1f} {walls['sdk'] / wall:19.2f}"
        )
    print(f"\n  bad weather takes {walls['weather'] / walls['harness']:.2f} times as long")
    for result in found["weather"]:
        wrong = _wrong(result["values"], found["harness"][0]["values"])
        print(f"  wrong scores: {wrong}; unscored: {result['causes']}; server: {result['ledger']}")


def _wrong(given: object, true: object) -> int:
    assert isinstance(given, list)
    assert isinstance(true, list)
    return sum(a is not None and a != b for a, b in zip(given, true, strict=True))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--judgements", type=int, default=1000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
