"""Pictures as Plotly figures, made without Plotly: dictionaries of `data` and `layout`.

    from harness.plots import figure, score_histograms
    figure(score_histograms({"f1": [0.2, 0.7, 0.9]})).show()

Every value in them is a JSON value, so a page can hand them to plotly.js as they are. Grounds are
transparent and colours are told apart by the colour-blind, on white and on black; what a page has
its own mind about (fonts, template) it sets in `layout`.
"""

from harness.plots.layout import COLOURS, GREY, Plot, figure
from harness.plots.retrieval import recall_latency
from harness.plots.scores import paired_differences, score_histograms
from harness.plots.training import overoptimisation_curves, training_curves

__all__ = [
    "COLOURS",
    "GREY",
    "Plot",
    "figure",
    "overoptimisation_curves",
    "paired_differences",
    "recall_latency",
    "score_histograms",
    "training_curves",
]
