"""The training curve: reward of [good] and [bad] rows, and KL, over the steps of PPO."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import TrainingStep
from harness.data.writing import replacing
from harness.store import Store

from .study import REWARD, Study

_LINES = {f"score/{REWARD}": ("[good]", "tab:blue"), f"score_bad/{REWARD}": ("[bad]", "tab:red")}
_SMOOTH = 5


def steps(study: Study) -> list[TrainingStep]:
    """The steps of a study's PPO, from its store."""
    card = json.loads((study.folder / "ppo" / "samescore.json").read_text("utf-8"))
    with Store(study.store, readonly=True) as store:
        return store.trainings.steps(str(card["training"]))


def draw(curves: Mapping[int, Sequence[TrainingStep]], file: Path) -> None:
    """Write an SVG: a thin line a step, a thick one for the mean of five; a seed is a line."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with matplotlib.rc_context({"svg.hashsalt": "ppo_faq", "svg.fonttype": "none"}):
        figure, (above, below) = pyplot.subplots(
            2, 1, sharex=True, figsize=(7, 4.5), height_ratios=(2, 1), layout="constrained"
        )
        for number, found in enumerate(curves.values()):
            for metric, (label, colour) in _LINES.items():
                x, y = _points(found, metric)
                above.plot(x, y, color=colour, linewidth=0.5, alpha=0.4)
                shown = label if number == 0 else None
                above.plot(x, smooth(y), color=colour, linewidth=1.8, label=shown)
            below.plot(*_points(found, "kl"), color="tab:gray", linewidth=1.2)
        above.set_ylabel("reward, unscaled")
        above.legend(frameon=False)
        below.set_ylabel("KL, nats an answer")
        below.set_xlabel("step of PPO")
        with replacing(file) as temporary:
            figure.savefig(temporary, format="svg", metadata={"Date": None})
        pyplot.close(figure)


def smooth(values: Sequence[float]) -> list[float]:
    """Each value as the mean of itself and its neighbours: five values, fewer at the ends."""
    half = _SMOOTH // 2
    windows = (values[max(0, i - half) : i + half + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _points(found: Sequence[TrainingStep], metric: str) -> tuple[list[int], list[float]]:
    known = [(s.step, s.metrics[metric]) for s in found if metric in s.metrics]
    return [step for step, _ in known], [value for _, value in known]
