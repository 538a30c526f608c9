"""How sure a share is: Wilson's interval, also where items come in clusters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from harness.calibration.resampling import Estimate


def share(outcomes: Sequence[bool], clusters: Sequence[Hashable]) -> Estimate:
    """The share of true outcomes with Wilson's 95 % interval (1927), which 0 and 1 have too.

    Where outcomes share a cluster, n is the number of independent ones that would be as sure
    (Korn and Graubard 1998): by the cluster-robust standard error, at most their number; at
    0 and 1, where that is not known, the number of clusters.
    """
    from harness.stats import mean_interval, wilson

    n = len(outcomes)
    if not n:
        return Estimate(None, None, None, 0)
    p, groups = sum(outcomes) / n, len(set(clusters))
    size = float(groups)
    if groups > 1 and 0 < p < 1:
        se = mean_interval([float(o) for o in outcomes], clusters=clusters).se or 0.0
        size = min(float(n), p * (1 - p) / se**2) if se else float(n)
    low, high = wilson(p, size)
    return Estimate(p, low, high, n)
