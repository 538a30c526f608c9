"""`bertscore` against bert-score's own BERTScorer: CPU time, peak memory and agreement.

    python benchmarks/performance/bertscore.py              # 32, 681 and 2,000 pairs
    python benchmarks/performance/bertscore.py --pairs 10000 --variants bert-score bf16
    python benchmarks/performance/bertscore.py --model DIRECTORY --layer 9

Every variant of every case runs in a fresh process, with its model loaded and warmed up before
the clock starts. CPU time is that of all threads; compare ratios, not seconds. Of 32 and 681
pairs the references are cached and the candidates new, as in training from the second epoch on:
bert-score has no cache, its time is that of the same call. More pairs are scored at once, cold.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import resource
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

CACHED_UP_TO = 1000
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class Measured(TypedDict):
    """What one process found; seconds, and megabytes (10^6 bytes)."""

    cpu: float
    wall: float
    peak_mb: float
    f1: list[float]


class Texts(NamedTuple):
    """References, and two sets of candidates for them."""

    references: list[str]
    first: list[str]
    second: list[str]


def main() -> None:
    options = _options()
    if options.child:
        variant, pairs = options.child
        result = measure(variant, int(pairs), options.model, options.layer)
        Path(options.out).write_text(json.dumps(result), encoding="utf-8")
        return
    print(f"model {options.model}, layer {options.layer}, {os.cpu_count()} CPUs\n")
    print("  pairs  variant      CPU s   wall s  peak MB   CPU ratio  memory   max |dF1|")
    for pairs in options.pairs:
        compare(pairs, options.variants, options.model, options.layer)


def compare(pairs: int, variants: Sequence[str], model: str, layer: int) -> None:
    """Print a row for each variant; the first is what the others are compared with."""
    base: Measured | None = None
    for variant in variants:
        found = in_fresh_process(variant, pairs, model, layer)
        base = base or found
        apart = max(abs(a - b) for a, b in zip(found["f1"], base["f1"], strict=True))
        print(
            f"{pairs:7,}  {variant:10} {found['cpu']:7.2f}  {found['wall']:7.2f}  "
            f"{found['peak_mb']:7.0f}   {base['cpu'] / found['cpu']:8.2f}x  "
            f"{found['peak_mb'] / base['peak_mb']:5.2f}x   {apart:.1e}",
            flush=True,
        )


def in_fresh_process(variant: str, pairs: int, model: str, layer: int) -> Measured:
    # Threads that wait actively would count as work.
    environment = {
        "OMP_WAIT_POLICY": "passive",
        "TOKENIZERS_PARALLELISM": "true",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        **os.environ,
    }
    with tempfile.TemporaryDirectory() as scratch:
        out = str(Path(scratch) / "out.json")
        command = [sys.executable, __file__, "--child", variant, str(pairs), "--out", out]
        command += ["--model", model, "--layer", str(layer)]
        subprocess.run(command, check=True, env=environment)
        found: Measured = json.loads(Path(out).read_text(encoding="utf-8"))
    return found


def measure(variant: str, pairs: int, model: str, layer: int) -> Measured:
    texts = make_texts(pairs)
    score = SCORERS[variant](model, layer)
    score(texts.references[:4], texts.references[4:8])
    repeats = 1
    if pairs <= CACHED_UP_TO:
        score(texts.first, texts.references)
        repeats = 3 if pairs < 100 else 1
    times = []
    f1: list[float] = []
    for seed in range(repeats):
        candidates = make_texts(pairs, seed).second
        cpu, wall = sum(os.times()[:4]), time.perf_counter()
        found = score(candidates, texts.references)
        times.append((sum(os.times()[:4]) - cpu, time.perf_counter() - wall))
        f1 = f1 or found
    cpu, wall = min(times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    return {"cpu": cpu, "wall": wall, "peak_mb": peak, "f1": f1}


Score = Callable[[Sequence[str], Sequence[str]], list[float]]


def bert_score_scorer(model: str, layer: int) -> Score:
    from bert_score import BERTScorer

    scorer = BERTScorer(model_type=model, num_layers=layer)

    def score(candidates: Sequence[str], references: Sequence[str]) -> list[float]:
        f1: list[float] = scorer.score(list(candidates), list(references))[2].tolist()
        return f1

    return score


def our_scorer(dtype: str) -> Callable[[str, int], Score]:
    def load(model: str, layer: int) -> Score:
        import harness

        scorer = harness.scorer(f"bertscore:model={model!r},layer={layer},dtype={dtype}")

        def score(candidates: Sequence[str], references: Sequence[str]) -> list[float]:
            completions = [
                harness.Completion(harness.Sample(str(i), "", (reference,)), candidate)
                for i, (candidate, reference) in enumerate(zip(candidates, references, strict=True))
            ]
            return [score.value or 0.0 for score in scorer.score(completions)]

        return score

    return load


SCORERS = {
    "bert-score": bert_score_scorer,
    "fp32": our_scorer("float32"),
    "bf16": our_scorer("bfloat16"),
}


def make_texts(pairs: int, seed: int = 0) -> Texts:
    """Prose of the standard library: spans of 20 to 80 words, and candidates that keep 60 %."""
    words = [word for text in docstrings() for word in text.split()]
    fixed, fresh = random.Random(pairs), random.Random(1 + pairs + seed)
    references = [span(words, fixed) for _ in range(pairs)]
    first = [altered(reference, words, fixed) for reference in references]
    return Texts(references, first, [altered(reference, words, fresh) for reference in references])


def span(words: Sequence[str], chance: random.Random) -> str:
    length = chance.randint(20, 80)
    start = chance.randrange(len(words) - length)
    return " ".join(words[start : start + length])


def altered(reference: str, words: Sequence[str], chance: random.Random) -> str:
    kept = [word for word in reference.split() if chance.random() < 0.6]
    more = span(words, chance).split()
    return " ".join([*kept, *more][: chance.randint(20, 80)])


def docstrings() -> Iterator[str]:
    """Docstrings that read like prose, in the order of the files' names."""
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                text = ast.get_docstring(node) or ""
                letters = sum(c.isalpha() or c.isspace() for c in text)
                if len(text) > 80 and letters > 0.93 * len(text) and ">>>" not in text:
                    yield text


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--model", default="", help="a directory; the packaged minilm if not given")
    parser.add_argument("--layer", type=int, default=5)
    parser.add_argument("--pairs", type=int, nargs="+", default=[32, 681, 2000])
    parser.add_argument("--variants", nargs="+", choices=SCORERS, default=list(SCORERS))
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--out", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.model:
        from harness.models import resolve

        options.model = resolve("minilm")
    return options


if __name__ == "__main__":
    main()
