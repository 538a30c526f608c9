"""Comparing models: paired differences with their uncertainty, gates, and parity certificates.

`compare` takes evaluations or other sides; `harness compare` is its command.
"""

from harness.comparison.comparing import compare, compare_suites
from harness.comparison.files import ScoreColumns, read_scores
from harness.comparison.gate import Gate, Outcome, check, parse_gate
from harness.comparison.results import Comparison, Options, Result
from harness.comparison.sides import Side
from harness.comparison.stored import stored

__all__ = [
    "Comparison",
    "Gate",
    "Options",
    "Outcome",
    "Result",
    "ScoreColumns",
    "Side",
    "check",
    "compare",
    "compare_suites",
    "parse_gate",
    "read_scores",
    "stored",
]
