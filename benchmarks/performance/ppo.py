"""The trainer `ppo` against TRL's two PPO trainers, at equal work: CPU time, wall time, memory.

    python benchmarks/performance/ppo.py                     # both sizes, about 15 minutes
    python benchmarks/performance/ppo.py --sizes tiny --rounds 1
    python benchmarks/performance/ppo.py --reward vowels     # a reward that costs nothing
    python benchmarks/performance/ppo.py --venvs DIR --json FILE

TRL 0.11.4 runs the loop of the seed notebook, TRL 1.12 its experimental PPO; each has a virtual
environment of its own, made on first use in .bench/ (some GB, from the package index). All
train a GPT-2 with random weights on the same rows: 32 a batch, 4 epochs, minibatches of 16, some
40 new tokens a row. The reward is BERTScore with the packaged MiniLM, bert-score's own in TRL.
`ours bf16` computes the update in bfloat16, `ours all bf16` the score as well.

Each loop runs in a process of its own, one after the other in each round; the order turns round
from round to round. A batch is timed after the models are loaded, and with `tiny` after a batch
that warms up. Compare CPU time, and ratios within a round: they hold on a busy machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path(__file__).with_name("ppo_baselines")
PACKAGE = "benchmarks.performance.ppo_baselines"
BATCH, MINIBATCH, EPOCHS, RATE, LAYER = 32, 16, 4, 1.41e-6, 5
OURS = "ours"


@dataclass(frozen=True)
class Loop:
    """A way to train: the module that does it, its options, and its environment ("": this one)."""

    module: str
    options: tuple[str, ...] = ()
    venv: str = ""
    requirements: str = ""


LOOPS = {
    "TRL 0.11.4": Loop("trl_0_11", venv="trl011", requirements="trl-0.11.4.txt"),
    "TRL 1.12.0": Loop("trl_1_12", venv="trl112", requirements="trl-1.12.0.txt"),
    "ours fp32": Loop("ours", ("off", "float32")),
    "ours bf16": Loop("ours", ("bfloat16", "float32")),
    "ours all bf16": Loop("ours", ("bfloat16", "bfloat16")),
}


@dataclass(frozen=True)
class Size:
    """How much of a size is measured; GPT-2 small takes minutes a batch, so once and cold."""

    title: str
    rounds: int
    warmup: int


SIZES = {
    "tiny": Size("4 layers x 256, vocabulary 5,000", rounds=3, warmup=1),
    "small": Size("GPT-2 small, 12 layers x 768, vocabulary 50,257", rounds=1, warmup=0),
}


class Seconds(TypedDict):
    """Of all threads, and on the wall."""

    cpu: float
    wall: float


class Found(TypedDict):
    """What a process measured: each batch by phase, response tokens a row, 10^6 bytes."""

    batches: list[dict[str, Seconds]]
    tokens: list[float]
    peak_mb: float


def main() -> None:
    options = _options()
    pythons = {name: environment(LOOPS[name], options.venvs) for name in options.loops}
    results = {}
    for name in options.sizes:
        rounds = options.rounds or SIZES[name].rounds
        found = measure(name, rounds, pythons, options)
        results[name] = found
        print(table(name, found, options), flush=True)
    if options.json:
        known = {key: str(value) for key, value in vars(options).items()}
        text = json.dumps({"options": known, "sizes": results}, indent=1)
        Path(options.json).write_text(text + "\n", encoding="utf-8")


def environment(loop: Loop, venvs: Path) -> str:
    """The Python that a loop runs in; its environment is made if what it needs is not there."""
    if not loop.venv:
        return sys.executable
    python = venvs / loop.venv / "bin" / "python"
    wanted = (FOLDER / loop.requirements).read_text(encoding="utf-8")
    if not python.exists():
        run([sys.executable, "-m", "venv", str(venvs / loop.venv)])
    if not installed(python, wanted):
        say(f"installing {loop.requirements} into {venvs / loop.venv}")
        run([str(python), "-m", "pip", "install", "-q", "-r", str(FOLDER / loop.requirements)])
    return str(python)


def installed(python: Path, wanted: str) -> bool:
    frozen = subprocess.run(
        [str(python), "-m", "pip", "freeze"], capture_output=True, text=True, check=True
    )
    # A build without CUDA is named torch==2.13.0+cpu.
    have = {line.partition("+")[0] for line in frozen.stdout.lower().splitlines()}
    return have >= set(wanted.lower().split())


def measure(
    size: str, rounds: int, pythons: dict[str, str], options: argparse.Namespace
) -> dict[str, list[Found]]:
    """What each loop took in each round."""
    found: dict[str, list[Found]] = {name: [] for name in pythons}
    with tempfile.TemporaryDirectory() as scratch:
        task = write_task(size, options, Path(scratch))
        for turn in range(rounds):
            for name in list(pythons)[:: -1 if turn % 2 else 1]:
                say(f"{size}, round {turn + 1} of {rounds}: {name}")
                found[name].append(once(LOOPS[name], pythons[name], task, options.threads))
    return found


def write_task(size: str, options: argparse.Namespace, scratch: Path) -> Path:
    """Make the model and the rows, and write down what every loop is to do."""
    model = options.venvs / "models" / size
    count = BATCH * (SIZES[size].warmup + options.batches)
    make = [sys.executable, "-m", f"{PACKAGE}.task", size, str(model), "--rows", str(count)]
    run(make)
    resolved = run([sys.executable, "-c", "import harness.models as m; print(m.resolve('minilm'))"])
    task = scratch / "task.json"
    known = {
        "model": str(model),
        "rows": json.loads((model / "rows.json").read_text(encoding="utf-8")),
        "batch_size": BATCH,
        "minibatch_size": MINIBATCH,
        "epochs": EPOCHS,
        "learning_rate": RATE,
        "warmup": SIZES[size].warmup,
        "batches": options.batches,
        "reward": options.reward,
        "encoder": resolved.strip(),
        "layer": LAYER,
        "seen": options.references == "seen",
    }
    task.write_text(json.dumps(known), encoding="utf-8")
    return task


def once(loop: Loop, python: str, task: Path, threads: int) -> Found:
    """Run a loop in a fresh process."""
    out = task.with_name("out.json")
    run([python, "-m", f"{PACKAGE}.{loop.module}", str(task), str(out), *loop.options], threads)
    found: Found = json.loads(out.read_text(encoding="utf-8"))
    return found


def run(command: Sequence[str], threads: int = 0) -> str:
    # Threads that wait actively would count as work.
    variables = {
        **os.environ,
        "OMP_WAIT_POLICY": "passive",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if threads:
        variables["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr[-4000:]}\nfailed: {' '.join(command)}")
    return done.stdout


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def table(size: str, found: dict[str, list[Found]], options: argparse.Namespace) -> str:
    rounds = len(next(iter(found.values())))
    lines = [
        f"\n{size}: {SIZES[size].title}",
        f"{BATCH} rows, {EPOCHS} epochs, minibatches of {MINIBATCH}, reward {options.reward}, "
        f"references {options.references}, "
        f"{options.threads} threads; medians of {rounds} x {options.batches} batches\n",
        f"{'':13} {'CPU s a batch':^37} {'wall s':>7} {'peak':>6} {'tokens':>6}  CPU of this / of",
        f"{'':13} {'generate':>8} {'reward':>8} {'step':>8} {'total':>8}    {'':7} {'MB':>6} "
        f"{'a row':>6}  " + "  ".join(f"{name:>9}" for name in found if name.startswith(OURS)),
    ]
    lines += [row(name, found) for name in found]
    for name in (name for name in found if name.startswith(OURS)):
        share = median(found[name], "reward") / median(found[name], "total")
        lines.append(f"{name}: the reward is {share:.1%} of the CPU time of a batch")
    return "\n".join(lines)


def row(name: str, found: dict[str, list[Found]]) -> str:
    of = found[name]
    phases = " ".join(
        f"{median(of, phase):8.2f}" for phase in ("generation", "reward", "step", "total")
    )
    against = "  ".join(
        f"{ratio(of, found[other]):{max(8, len(other) - 1)}.2f}x"
        for other in found
        if other.startswith(OURS)
    )
    tokens = statistics.mean(t for one in of for t in one["tokens"])
    peak = max(one["peak_mb"] for one in of)
    wall = median(of, "total", "wall")
    return f"{name:13} {phases}    {wall:7.2f} {peak:6.0f} {tokens:6.1f}  {against}"


def median(runs: Sequence[Found], phase: str, kind: str = "cpu") -> float:
    return statistics.median(
        seconds(batch, phase, kind) for one in runs for batch in one["batches"]
    )


def seconds(batch: dict[str, Seconds], phase: str, kind: str) -> float:
    spent = batch[phase]
    return spent["cpu"] if kind == "cpu" else spent["wall"]


def ratio(these: Sequence[Found], those: Sequence[Found]) -> float:
    """The median over rounds, of totals that were measured one after the other."""
    pairs = zip(these, those, strict=True)
    return statistics.median(median([a], "total") / median([b], "total") for a, b in pairs)


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--loops", nargs="+", choices=LOOPS, default=list(LOOPS), metavar="LOOP")
    parser.add_argument("--reward", choices=["bertscore", "vowels"], default="bertscore")
    parser.add_argument(
        "--references",
        choices=["new", "seen"],
        default="new",
        help="seen: as from a training's second pass on; the scorer here keeps their embeddings",
    )
    parser.add_argument("--rounds", type=positive, help="in place of 3 for tiny and 1 for small")
    parser.add_argument("--batches", type=positive, default=1, help="timed batches in each process")
    parser.add_argument("--threads", type=positive, default=2)
    parser.add_argument("--venvs", type=Path, default=ROOT / ".bench", help="where they are kept")
    parser.add_argument("--json", help="write what was measured to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
