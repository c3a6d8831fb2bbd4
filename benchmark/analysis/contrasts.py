"""Every pair of optimizers on one task, with simultaneous intervals (Tukey with unequal variances).

With K optimizers there are K (K - 1) / 2 pairs, and the luckiest of them looks significant by itself. Tukey's
studentized range says how strict each must be for all pairs of a task to hold at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize, special, stats

from benchmark.analysis.components import Floats
from benchmark.analysis.residuals import ScaleModel
from benchmark.analysis.simultaneous import student

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
        error, df = (part[np.ix_(here, here)] for part in model.differences())
        apart = ~np.eye(len(mean), dtype=bool)
        single = pair_level((1 - LEVEL) / frames, len(mean), float(np.median(df[apart])))
        half[apart] = error[apart] * student(single / 2, df[apart])
        np.fill_diagonal(half, 0.0)
    return Contrasts([str(name) for name in names], mean, half)


def pair_level(alpha: float, groups: int, df: float) -> float:
    """The two-sided level of one pair, so that all pairs of so many groups hold with probability 1 - alpha."""
    if groups == 2:
        return alpha
    rounded = float(f"{min(df, 1e4):.2g}")  # levels hardly depend on it, and are kept
    return _pair_level(alpha, groups, np.inf if rounded >= 1e4 else rounded)


@cache
def _pair_level(alpha: float, groups: int, df: float) -> float:
    at, beyond = _range_tail(groups)
    scale, weight = _scales(df)

    def excess(q: float) -> float:  # the tail of the range of normals beyond q estimated standard deviations
        return float(np.interp(q * scale, at, beyond, right=0.0) @ weight) - alpha

    q = float(optimize.root_scalar(excess, bracket=(1e-3, 1e6), method="brentq").root)
    return float(2 * (special.stdtr(df, -q / np.sqrt(2)) if np.isfinite(df) else special.ndtr(-q / np.sqrt(2))))


def _scales(df: float) -> tuple[Floats, Floats]:
    """Values of an estimated standard deviation over the true one, and their probabilities."""
    if np.isinf(df):
        return np.ones(1), np.ones(1)
    low, high = np.log(stats.chi2.ppf([1e-12, 1 - 1e-12], df))
    edges = np.exp(np.linspace(low, high, 401))
    square = np.sqrt(edges[1:] * edges[:-1])
    return np.sqrt(square / df), np.diff(stats.chi2.cdf(edges, df))


@cache
def _range_tail(groups: int) -> tuple[Floats, Floats]:
    """Probability that the range of so many standard normals is beyond each of a grid of widths."""
    width = np.linspace(0.0, 14.0, 1401)
    z = np.linspace(-9.0, 9.0, 361)
    inner = special.ndtr(z) - special.ndtr(z - width[:, None])
    density = groups * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    # 1 - inner ** (groups - 1), so that a small tail keeps its digits
    missing = -np.expm1((groups - 1) * np.log(np.maximum(inner / special.ndtr(z), 1e-300)))
    whole = special.ndtr(z) ** (groups - 1)
    return width, (missing * whole * density).sum(axis=1) * (z[1] - z[0])
