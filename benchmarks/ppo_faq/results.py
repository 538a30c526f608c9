"""What a study leaves behind: results.json, results.md and curve.svg."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.data.plain import plain
from harness.data.writing import replacing

from . import curve, rows
from .compare import Comparison, claims
from .settings import Settings
from .study import Study, cpu_minutes
from .tables import tables, tables_over_seeds

_MODELS = ("reference", "good", "bad")


@dataclass(frozen=True, slots=True)
class Results:
    """The comparisons of a study by seed, and what they were made with."""

    out: Path
    settings: Settings
    comparisons: Mapping[int, Comparison]
    same_scorer: bool

    def text(self) -> str:
        """What is printed: a block a seed, and one over seeds."""
        blocks = [f"{self._head(seed)}\n\n{tables(c)}" for seed, c in self.comparisons.items()]
        if len(self.comparisons) > 1:
            blocks.append(tables_over_seeds(self.comparisons))
        return "\n\n".join([*blocks, self._foot()])

    def write(self) -> None:
        """Write the three files into the study's folder, each whole or not at all."""
        told = json.dumps(plain(self._as_dict()), indent=2, ensure_ascii=False) + "\n"
        for name, text in (("results.json", told), ("results.md", self._markdown())):
            with replacing(self.out / name) as temporary:
                temporary.write_text(text, "utf-8")
        curve.draw({seed: curve.steps(self._study(seed)) for seed in self.comparisons}, self.curve)

    @property
    def curve(self) -> Path:
        """The file of the training curve."""
        return self.out / "curve.svg"

    def _study(self, seed: int) -> Study:
        return Study(self.out, seed, self.settings)

    def _head(self, seed: int) -> str:
        found = self.comparisons[seed]
        source = rows.read_card(self.out)["source"]
        clusters = f", in {found.clusters} clusters" if found.clusters else ""
        minutes = sum(cpu_minutes(self._study(seed)).values())
        attempts = f"{found.attempts} answer{'s' * (found.attempts > 1)} each"
        return (
            f"{source}, seed {seed}: {found.rows} held-out rows, {attempts}{clusters}; "
            f"{minutes:.1f} CPU-minutes"
        )

    def _foot(self) -> str:
        unscored = sum(c.unscored for c in self.comparisons.values())
        kept = "is the object that trained" if self.same_scorer else "IS NOT the one that trained"
        return "\n".join(
            [
                "± is half of the 95 % interval; beside it stands p, two-sided.",
                "Over seeds: mean, lowest and highest difference, and the largest p.",
                "A specific part is a score less what the text earns against other rows' answers.",
                f"The reward that evaluates {kept} (fingerprint); {unscored} scores are missing.",
            ]
        )

    def _markdown(self) -> str:
        lines = ["# Reference, [good] and [bad]", "", "```text", self.text(), "```", ""]
        lines += [f"![Reward and KL over the steps of PPO]({self.curve.name})", ""]
        for seed, comparison in self.comparisons.items():
            for example in comparison.examples:
                lines += [f"> seed {seed}: {_one_line(example['question'])}", ""]
                lines += [f"- {n}: {_one_line(example[n])}" for n in ("answer", *_MODELS)] + [""]
        return "\n".join(lines)

    def _as_dict(self) -> dict[str, object]:
        full = self.settings.size == "full"
        return {
            "settings": asdict(self.settings),
            "rows": dict(rows.read_card(self.out)),
            "same_scorer": self.same_scorer,
            "seeds": {
                str(seed): {
                    "missed": claims(comparison, full=full),
                    "cpu_minutes": dict(cpu_minutes(self._study(seed))),
                    **comparison.as_dict(),
                }
                for seed, comparison in self.comparisons.items()
            },
        }


def _one_line(text: str) -> str:
    return " ".join(text.split()) or "(empty)"
