"""Judging through the harness against the bare SDK: judgements a second, in good weather and bad.

    python -m benchmarks.performance.judging
    python -m benchmarks.performance.judging --long 4000

A server on loopback, in a process of its own, replies after 100 ms; each variant is a process too,
and has imported its modules when the clock starts. `serial` asks one after the other, as a loop
over a synchronous client does; it is measured on a tenth of the judgements. `sdk` is AsyncOpenAI
alone with the very requests that the harness sends, 64 at once: no retries, nothing recorded,
nothing checked. `harness` is `harness.evaluate`, every reply and score in the store.

`weather` is the same with 19.5 % of the replies faulty, `calm` its counterpart with none; `--long`
is how many both judge. A sample that is told to wait a second, twice over, ends more than two
seconds after it began, whatever the client does, and if it is among the last so does the run: what
that takes of a client that costs nothing is told beside (`ideal_client.py`). The scores of
`weather` that differ from those of `calm` are counted: what the server says of a question is always
the same, so there must be none.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.performance.ideal_client import Weather
from harness import Sample

LATENCY_S, AT_ONCE, TIMEOUT_S = 0.1, 64, 1.0
WAIT_S = 1.0  # what the server tells one to wait that it sends away
VARIANTS = ("serial", "sdk", "harness", "calm", "weather")
LONG = ("calm", "weather")
MODEL = "small"
Result = dict[str, object]


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
    import scipy.special  # noqa: F401  intervals need it

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
    command += ["--retry-after", str(WAIT_S)]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def measured(variant: str, count: int) -> Result:
    """One variant, in a process of its own, against a server of its own."""
    with serving(*(["--mix"] if variant == "weather" else [])) as server:
        command = [
            sys.executable,
            "-m",
            __spec__.name,
            "--child",
            variant,
            "--url",
            server["openai_url"],
        ]
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
    counts = {
        variant: options.long if variant in LONG else options.judgements for variant in VARIANTS
    }
    counts["serial"] = max(options.judgements // 10, 1)
    print(f"{options.judgements} judgements, in {' and '.join(LONG)} {options.long}; ", end="")
    print(f"{LATENCY_S * 1000:.0f} ms each, {AT_ONCE} at once, {os.cpu_count()} CPUs; ", end="")
    print(f"median of {options.rounds} rounds\n")
    found: dict[str, list[Result]] = {variant: [] for variant in VARIANTS}
    for _ in range(options.rounds):
        for variant in VARIANTS:
            found[variant].append(measured(variant, counts[variant]))
    _print(found, counts)


def _print(found: Mapping[str, list[Result]], counts: Mapping[str, int]) -> None:
    each = {
        variant: [
            statistics.median(told(result) for result in rounds) / counts[variant]
            for told in (_wall, _cpu, _server_cpu)
        ]
        for variant, rounds in found.items()
    }
    print("  variant   a second   CPU ms each   the server's   times serial   of the SDK's rate")
    for variant, (wall, cpu, server) in each.items():
        print(
            f"  {variant:9} {1 / wall:8.0f} {1000 * cpu:13.2f} {1000 * server:14.2f}"
            f" {each['serial'][0] / wall:14.1f} {each['sdk'][0] / wall:19.2f}"
        )
    rates = _ratios(found, "sdk", "harness", _wall)
    cpus = _ratios(found, "harness", "sdk", _cpu)
    print(f"\n  harness by sdk, round by round: rate {rates}; CPU time {cpus}")
    print(f"  weather takes {_ratios(found, 'weather', 'calm', _wall)} times as long as calm")
    _print_bound(found, counts)
    for result in found["weather"]:
        wrong = _wrong(result["values"], found["calm"][0]["values"])
        print(f"  wrong scores: {wrong}; unscored: {result['causes']}; server: {result['ledger']}")


def _print_bound(found: Mapping[str, list[Result]], counts: Mapping[str, int]) -> None:
    """What the weather takes of any client, at the rate that was measured."""
    asked = int(str(_ledger(found["weather"][0])["requests"])) / counts["weather"]
    weather = Weather(counts["weather"], AT_ONCE, LATENCY_S, WAIT_S, TIMEOUT_S)
    calm_s = statistics.median(map(_wall, found["calm"]))
    print(f"  a client that costs nothing would take {weather.said(calm_s)} in such weather; here")
    print(f"  {asked:.2f} requests a judgement were made")


def _ratios(
    found: Mapping[str, list[Result]], above: str, below: str, told: Callable[[Result], float]
) -> str:
    pairs = zip(found[above], found[below], strict=True)
    ratios = sorted(told(a) / told(b) for a, b in pairs)
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def _wall(result: Result) -> float:
    return float(str(result["wall"]))


def _cpu(result: Result) -> float:
    return float(str(result["cpu"]))


def _server_cpu(result: Result) -> float:
    return float(str(_ledger(result)["cpu_s"]))


def _ledger(result: Result) -> dict[str, object]:
    ledger = result["ledger"]
    assert isinstance(ledger, dict)
    return ledger


def _wrong(given: object, true: object) -> int:
    assert isinstance(given, list)
    assert isinstance(true, list)
    return sum(a is not None and a != b for a, b in zip(given, true, strict=True))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--judgements", type=int, default=1000, metavar="N")
    parser.add_argument("--long", type=int, default=1000, metavar="N")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--child", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
