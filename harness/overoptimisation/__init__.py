"""Over-optimisation: what a training did to the scorers that it was not trained on.

    from harness.overoptimisation import of_training
    print(of_training("last"))

A scorer with weight 0 is watched only. Where the proxy reward, that is optimised, goes on rising
and a watched scorer falls, the policy gets better at the proxy alone (Gao et al. 2022, "Scaling
Laws for Reward Model Overoptimization", arXiv 2210.10760). `reading` takes the points from a
training's steps, `parting` tests where the two part, `report` writes it down.
"""

from harness.overoptimisation.analysis import analyse, of_training
from harness.overoptimisation.values import ALPHA, Curve, Drift, Overoptimisation, Parting, Point

__all__ = [
    "ALPHA",
    "Curve",
    "Drift",
    "Overoptimisation",
    "Parting",
    "Point",
    "analyse",
    "of_training",
]
