"""Every pair of optimizers on one task, with simultaneous intervals (Tukey-Kramer, pooled residual).

With K optimizers there are K (K - 1) / 2 pairs, and the luckiest of them looks significant by itself. Tukey's
intervals hold for all pairs of a task at once. Next: flips.py, which compares two such tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import stats

from benchmark.analysis.residuals import Floats, ScaleModel

LEVEL = 0.95
Gap = tuple[float, float, float]  # a difference and the ends of its interval, nats


@dataclass(frozen=True)
class Contrasts:
    """One task's pairs. names: the K optimizers with a finite mean, sorted. mean: their losses in nats.

    half_width: (K, K), of the interval of `mean[i] - mean[j]`; NaN where the noise is unknown.
    """

    names: Sequence[str]
    mean: Floats
    half_width: Floats

    def interval(self, a: str, b: str) -> Gap:
        """Loss of a minus loss of b, with the ends of its interval."""
        i, j = self.names.index(a), self.names.index(b)
        gap, half = float(self.mean[i] - self.mean[j]), float(self.half_width[i, j])
        return gap, gap - half, gap + half


def contrasts(model: ScaleModel, ratio: float, frames: int = 1) -> Contrasts:
    """The pairs of one task. The level is 95 % for all of them at once, and for all of `frames` such tables at
    once where a conclusion is picked out of several (Bonferroni over tables)."""
    here = model.ratio[model.finite] == ratio
    mean, names = model.mean[model.finite][here], model.optimizer[model.finite][here]
    half = np.full((len(mean), len(mean)), np.nan)
    if len(mean) > 1 and model.df:
        error = model.standard_errors()[np.ix_(here, here)]
        half = error * _studentized_range(1 - (1 - LEVEL) / frames, len(mean), model.df) / np.sqrt(2)
    return Contrasts([str(name) for name in names], mean, half)


@cache  # each value takes a quarter of a second, and tasks of one scale ask for the same
def _studentized_range(level: float, groups: int, df: float) -> float:
    return float(stats.studentized_range.ppf(level, groups, df))
