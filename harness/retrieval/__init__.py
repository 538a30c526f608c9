"""What an index is worth: does it find what is nearest, and is what it finds what was wanted?

    recall(found, exact, k=10)              # against exact search: fidelity, no judgements needed
    relevance(found, data.qrels)["nDCG@10"] # against people's judgements

Tables of datapoints, filters as text, and data sets in BEIR's form are read here too. Light to
import: numpy, scipy and ir-measures come with the first figure that needs them.
"""

from __future__ import annotations

from harness.retrieval.beir import BeirData, read_beir, write_beir
from harness.retrieval.datapoints import Columns, datapoint, read_datapoints
from harness.retrieval.fidelity import distance_ratio, recall
from harness.retrieval.filters import restricts, where
from harness.retrieval.latency import Knobs, Point, figures, recall_latency
from harness.retrieval.relevance import MEASURES, Relevance, relevance, search_all

__all__ = [
    "MEASURES",
    "BeirData",
    "Columns",
    "Knobs",
    "Point",
    "Relevance",
    "datapoint",
    "distance_ratio",
    "figures",
    "read_beir",
    "read_datapoints",
    "recall",
    "recall_latency",
    "relevance",
    "restricts",
    "search_all",
    "where",
    "write_beir",
]
