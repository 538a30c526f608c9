"""Pictures: what Plotly takes, what JSON has, and what the numbers say."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from typing import cast

import pytest

from harness import Sample, evaluate
from harness.components import Completion, TrainingStep
from harness.errors import HarnessError
from harness.plots import (
    COLOURS,
    GREY,
    Plot,
    figure,
    overoptimisation_curves,
    paired_differences,
    recall_latency,
    score_histograms,
    training_curves,
)
from harness.plots.training import smoothed
from harness.stats import paired

from .test_overoptimisation import WEIGHTS, gamed

VALUES = [i / 99 for i in range(100)]


def drawn(plot: Plot) -> list[dict[str, object]]:
    """The traces, once plotly.py found nothing wrong, nor JSON."""
    figure(plot)
    assert json.loads(json.dumps(plot, allow_nan=False)) == plot
    return cast(list[dict[str, object]], plot["data"])


def numbers(trace: dict[str, object], axis: str) -> list[float]:
    return cast(list[float], trace[axis])


def layout(plot: Plot) -> dict[str, object]:
    return cast(dict[str, object], plot["layout"])


def test_a_histogram_counts_what_has_a_score() -> None:
    plot = score_histograms({"f1": [*VALUES, None, math.nan], "match": [0.0, 1.0, 1.0]})
    f1, match = drawn(plot)
    assert sum(numbers(f1, "y")) == 100
    assert max(numbers(f1, "y")) - min(numbers(f1, "y")) <= 1, "the values are spread evenly"
    assert (match["x"], match["y"]) == ([0.0, 1.0], [1, 2])
    assert "f1, n = 100" in json.dumps(plot)
    assert len(numbers(drawn(score_histograms({"f1": VALUES * 5000}))[0], "x")) <= 60


def test_two_runs_share_their_bins() -> None:
    first, other = drawn(score_histograms({"f1": VALUES}, other={"f1": [v + 1 for v in VALUES]}))
    assert first["x"] == other["x"]
    assert (sum(numbers(first, "y")), sum(numbers(other, "y"))) == (100, 100)


@pytest.mark.parametrize("scores", [{}, {"f1": []}, {"f1": [None]}, {"f1": [0.5]}, {"f1": [2] * 9}])
def test_little_to_show_is_no_error(scores: dict[str, Sequence[float | None]]) -> None:
    drawn(score_histograms(scores))


def test_a_difference_is_shown_with_its_interval_and_coloured_where_it_is_sure() -> None:
    up, none, one = paired(VALUES, [v / 2 for v in VALUES]), paired(VALUES, VALUES[::-1]), None
    one = paired([1.0], [0.5])
    *bars, marks = drawn(paired_differences({"up": up, "none": none, "one": one}))
    assert marks["x"] == [up.mean, none.mean, 0.5]
    assert [bar["x"] for bar in bars] == [[up.low, up.high], [none.low, none.high]]
    assert cast(dict[str, object], marks["marker"])["color"] == [COLOURS[0], GREY, GREY]
    drawn(paired_differences({}))


def test_training_curves_show_what_was_reported_raw_and_smoothed() -> None:
    steps = [
        TrainingStep(
            i,
            9,
            {
                "reward": float(i),
                "kl": math.nan if i == 3 else 1.0,
                "score/f1": i / 10,
                "score_bad/f1": -i / 10,
                **({"held_out/f1": 0.5, "held_out_se/f1": 0.1} if i == 8 else {}),
            },
        )
        for i in range(1, 10)
    ]
    plot = training_curves(steps, {"f1": 0.0})
    traces = drawn(plot)
    assert [t["yaxis"] for t in traces] == ["y", "y", "y2", "y2", "y3", "y3", "y3", "y3", "y3"]
    assert traces[0]["y"] == [float(i) for i in range(1, 10)]
    assert len(numbers(traces[2], "x")) == 8
    assert cast(dict[str, object], traces[-1]["error_y"])["array"] == [pytest.approx(0.196)]
    assert "f1, watched" in json.dumps(plot)
    domains = [cast(list[float], cast(dict[str, object], layout(plot)[f"yaxis{i}"])["domain"])
               for i in ("", 2, 3)]  # fmt: skip
    assert domains[0][0] > domains[1][1] > domains[1][0] > domains[2][1] > domains[2][0] >= 0
    drawn(training_curves([]))


def test_smoothing_keeps_a_straight_line_straight_to_its_ends() -> None:
    assert smoothed([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 5) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert smoothed([0.0, 3.0, 0.0], 3) == [0.0, 1.0, 0.0]
    assert smoothed([], 5) == []


@pytest.mark.parametrize("points", [12, 60])
def test_overoptimisation_is_drawn_against_the_root_of_kl(points: int) -> None:
    from harness.overoptimisation import analyse

    found = analyse(gamed(points), WEIGHTS)
    plot = overoptimisation_curves(found)
    traces = drawn(plot)
    assert traces[0]["x"] == [float(i) for i in range(points)]
    assert len(traces) == (4 if points == 12 else 6)
    parting = found.watched[0].parting
    assert parting is not None
    (mark,) = cast(list[dict[str, object]], layout(plot)["shapes"])
    assert mark["x0"] == math.sqrt(cast(float, parting.point.kl))
    assert mark["yref"] == "y2 domain"
    assert drawn(overoptimisation_curves(found, x="step"))[0]["x"] == list(range(1, points + 1))


def test_recall_is_drawn_against_latency_in_its_order() -> None:
    points: list[dict[str, object]] = [
        {"recall": 0.99, "latency_us": 900, "label": "leaves=9"},
        {"recall": 0.8, "latency_us": 100.0, "label": "leaves=1"},
        {"recall": None, "latency_us": 5},
    ]
    (line,) = drawn(recall_latency({"tree": points}))
    assert (line["x"], line["y"]) == ([100.0, 900.0], [0.8, 0.99])


def test_names_cannot_bring_markup_of_their_own() -> None:
    evil = "<a href='javascript:alert(1)'>x</a>"
    d = {evil: paired([1.0, 2.0], [0.0, 0.5])}
    steps = [TrainingStep(1, 1, {f"score/{evil}": 1.0})]
    points: dict[str, list[dict[str, object]]] = {
        evil: [{"recall": 1, "latency_us": 1, "label": evil}]
    }
    plots = [score_histograms({evil: VALUES}), training_curves(steps), recall_latency(points)]
    for plot in [*plots, paired_differences(d)]:
        drawn(plot)
        assert "<a" not in json.dumps(plot)


def luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_text_is_read_on_white_and_on_black() -> None:
    """Contrasts of WCAG 2.2; its 3 for lines is not had on both grounds by six colours at once."""
    for colour, least in [(GREY, 4.2), *((c, 2.0) for c in COLOURS)]:
        own = luminance(colour)
        assert min(1.05 / (own + 0.05), (own + 0.05) / 0.05) >= least


def test_without_plotly_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    plot = score_histograms({"f1": VALUES})
    with pytest.raises(HarnessError, match=r"pip install 'samescore\[view\]'"):
        figure(plot)


class Parrot:
    """Repeats the prompt, or answers 1."""

    def __init__(self, name: str) -> None:
        self.name = name

    def identity(self) -> dict[str, str]:
        return {"name": self.name}

    def generate(self, samples: Sequence[Sample], *, attempt: int = 0) -> list[Completion]:
        return [Completion(s, "1" if self.name == "one" else s.prompt) for s in samples]


@pytest.mark.usefixtures("own_store")
def test_evaluations_and_comparisons_draw_themselves() -> None:
    from harness.comparison import compare

    samples = [Sample(str(i), str(i), (str(i % 2),)) for i in range(6)]
    found = evaluate(samples, generator=Parrot("same"), scorers=["match"])
    (bars,) = found.plot().data
    assert (list(bars.x), list(bars.y)) == ([0.0, 1.0], [4, 2])
    compared = compare(found, evaluate(samples, generator=Parrot("one"), scorers=["match"]))
    marks = compared.plot().data[-1]
    assert (marks.x, marks.y) == ((pytest.approx(1 / 6),), ("match, B − A",))
