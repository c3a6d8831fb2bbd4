"""How strict must each of many intervals be, so that all of them hold at once?

A contrast's Student's t has its own degrees of freedom (Satterthwaite), and contrasts share a baseline and its
noise. The smallest p-value of a study in which nothing differs is simulated: its quantiles are the levels that
single intervals need (min-p; Westfall & Young 1993). The random numbers are fixed, so the same study always has
the same level.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from benchmark.analysis.components import Floats

DRAWS = 10_000
_GRID = np.linspace(-4.5, 4.5, 91)


@dataclass(frozen=True)
class Family:
    """Contrasts of one scale, whose estimates are independent of other scales'.

    gap, error, df: of each contrast: the estimate in nats, its standard error and degrees of freedom.
    correlation: of the estimates. variance_correlation: of the estimated variances.
    """

    gap: Floats
    error: Floats
    df: Floats
    correlation: Floats
    variance_correlation: Floats


def smallest_p(families: list[Family], draws: int = DRAWS) -> Floats:
    """The smallest two-sided p-value over all contrasts in each of `draws` studies without any difference."""
    rng = np.random.default_rng(20_250_902)
    largest = np.zeros(draws)
    for family in families:
        if not len(family.df):
            continue
        z = rng.standard_normal((draws, len(family.df))) @ _root(family.correlation).T
        if np.isfinite(family.df).any():
            shared = rng.standard_normal((draws, len(family.df))) @ _root(family.variance_correlation).T
            for i, df in enumerate(family.df):
                if np.isfinite(df):
                    scale = np.sqrt(special.chdtri(df, special.ndtr(-_GRID)) / df)
                    t = np.abs(z[:, i]) / np.interp(shared[:, i], _GRID, scale)
                    z[:, i] = deviate(t, df)
        np.maximum(largest, np.abs(z).max(axis=1), out=largest)
    return 2 * special.ndtr(-largest)


def level(smallest: Floats, alpha: float, contrasts: int) -> float:
    """The two-sided level of each single interval, so that all hold with probability 1 - alpha: never stricter
    than Bonferroni's, never laxer than alpha."""
    if contrasts <= 1:
        return alpha
    return float(np.clip(np.quantile(smallest, alpha), alpha / contrasts, alpha))


def student(probability: float | Floats, df: Floats) -> Floats:
    """Upper quantile of Student's t; of the normal where df is infinite, NaN where it is 0."""
    finite = np.isfinite(df) & (df > 0)
    t = stats.t.isf(probability, np.where(finite, df, 1.0))
    return np.where(finite, t, np.where(np.isinf(df), stats.norm.isf(probability), np.nan))


def deviate(t: Floats, df: Floats | float) -> Floats:
    """The normal deviate with t's tail, by Wallace's approximation (1959; within .1 % from 3 df on)."""
    d = np.where(np.isfinite(df), df, 1.0)
    z = np.sqrt(d * np.log1p(t * t / d)) * (8 * d + 1) / (8 * d + 3)
    return np.where(np.isfinite(df), np.copysign(z, t), t)


def _root(correlation: Floats) -> Floats:
    """A square root of a correlation matrix that need not have full rank, and changes little where it does."""
    return np.asarray(np.linalg.cholesky(correlation + 1e-6 * np.eye(len(correlation))), float)
