"""What samples cost at a thousand, ten thousand … a million, and by that at a billion.

    python -m benchmarks.performance.scale                      # to 10^6, about 10 minutes
    python -m benchmarks.performance.scale --most 100000

`run` evaluates n samples with an instant generator and exact match into a new store; `read` opens
the store in a fresh process and takes every score with its intervals, as `harness show` does.
Each is a process of its own. Seconds are of the CPU, without imports; memory is what the process
grew by, and of `run` the samples themselves, which the caller holds, apart.

`score` has scorers score so many pairs of new texts, of some 40 words each, and tells what one
costs.

Costs are fitted as a + b·n to the two largest sizes; the sizes below show whether that holds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.performance.overhead import Exact, Instant, samples
from harness import Completion, Sample

Figures = dict[str, float]
_LARGEST = 1_000_000_000
_SCORED = {
    "match:mode=f1": (1_000, 10_000),
    "bertscore:model=minilm": (100, 400),
    "bertscore:model=minilm,dtype=bfloat16": (100, 400),
}
_COLUMNS = {
    "run_s": "run, CPU s",
    "samples_mb": "samples, MB",
    "run_mb": "run, MB",
    "store_mb": "store, MB",
    "read_s": "read, CPU s",
    "read_mb": "read, MB",
}


def main() -> None:
    options = _options()
    if options.child:
        print(json.dumps(_CHILDREN[options.child](options.most, options.folder)))
        return
    if options.scorer:
        print(_scored(options.scorer, options.most))
        return
    sizes = [10**power for power in range(3, 10) if 10**power <= options.most]
    found = {size: _measured(size) for size in sizes}
    print(f"{'samples':>13} " + " ".join(f"{title:>12}" for title in _COLUMNS.values()))
    for size, figures in found.items():
        _print(f"{size:,}", figures)
    if len(sizes) > 1:
        _print_fit(found, *sizes[-2:])
    for scorer, counts in _SCORED.items():
        for count in counts:
            command = ["--scorer", scorer, "--most", str(count)]
            print(_child(command).strip())


def _measured(size: int) -> Figures:
    """All figures of one size."""
    with tempfile.TemporaryDirectory() as folder:
        figures: Figures = {}
        for child in _CHILDREN:
            output = _child(["--child", child, "--folder", folder, "--most", str(size)])
            figures |= json.loads(output.splitlines()[-1])
        stored = sum(file.stat().st_size for file in Path(folder).iterdir())
        return {**figures, "store_mb": stored / 1e6}


def _child(options: list[str]) -> str:
    """What this file prints in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, *options]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _scored(reference: str, count: int) -> str:
    """What a pair costs a scorer that is built, and has scored before."""
    import harness
    from benchmarks.performance.ppo_baselines.task import make_rows

    rows = make_rows(2 * count + 2)
    words = [row.answer.split() for row in rows]
    texts = [" ".join(words[i % len(words)] + [str(i)]) for i in range(2 * count + 2)]
    pairs = [
        Completion(Sample(str(i), "", (texts[2 * i],)), texts[2 * i + 1]) for i in range(count + 1)
    ]
    scorer = harness.scorer(reference)
    scorer.score(pairs[:1])
    began = time.process_time()
    scorer.score(pairs[1:])
    each = (time.process_time() - began) / count
    return f"{reference:<38} {count:>7,} pairs: {1000 * each:8.3f} ms CPU a pair"


def _run(size: int, folder: Path) -> Figures:
    from harness.engine import evaluate
    from harness.stats import mean_interval

    mean_interval([0.0, 1.0])
    before = _peak_mb()
    questions = samples(size)
    held, began = _peak_mb(), time.process_time()
    evaluate(questions, generator=Instant(), scorers=[Exact()], store=folder / "store.db")
    spent = time.process_time() - began
    return {"run_s": spent, "samples_mb": held - before, "run_mb": _peak_mb() - held}


def _read(size: int, folder: Path) -> Figures:
    from harness.evaluation import Evaluation
    from harness.stats import mean_interval
    from harness.store import Store

    mean_interval([0.0, 1.0])
    before, began = _peak_mb(), time.process_time()
    store = Store(folder / "store.db")
    evaluation = Evaluation(store.runs()[0], store)
    [summary] = evaluation.summaries.values()
    if summary.n != size:
        sys.exit(f"{summary.n} scores of {size} were read")
    return {"read_s": time.process_time() - began, "read_mb": _peak_mb() - before}


_CHILDREN: dict[str, Callable[[int, Path], Figures]] = {"run": _run, "read": _read}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def _print(title: str, figures: Figures) -> None:
    print(f"{title:>13} " + " ".join(f"{figures[name]:12,.1f}" for name in _COLUMNS))


def _print_fit(found: dict[int, Figures], smaller: int, larger: int) -> None:
    """The cost of one more sample, and of a billion at that."""
    slope = {
        name: (found[larger][name] - found[smaller][name]) / (larger - smaller) for name in _COLUMNS
    }
    start = {name: found[larger][name] - slope[name] * larger for name in _COLUMNS}
    print("by the line through the last two:")
    for size in (10 * larger, _LARGEST):
        _print(f"{size:,}", {name: start[name] + slope[name] * size for name in _COLUMNS})
    told = {name: f"{1e6 * each:,.1f}" for name, each in slope.items()}
    print(
        f"a sample more: run {told['run_s']} us CPU, read {told['read_s']} us; bytes: "
        f"{told['samples_mb']} of samples, {told['run_mb']} of run, {told['read_mb']} of read, "
        f"{told['store_mb']} of store"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--most", type=int, default=1_000_000, metavar="N", help="the largest n")
    parser.add_argument("--scorer", help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=_CHILDREN, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
