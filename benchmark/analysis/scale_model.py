"""What one scale's runs say of its cells, with the noise of any comparison of them (fitted by residuals.py)."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.arrays import Bools, Floats, Ints
from benchmark.analysis.components import Components
from benchmark.analysis.two_way import Shared


@dataclass(frozen=True)
class ScaleModel:
    """The fits of one scale's tasks, and the noise they share. Arrays have one entry per cell, sorted by ratio
    and optimizer.

    names: the scale's optimizers, sorted. optimizer, ratio: the cell. searches: those with a run.
    n, diverged, failed: its numbers of runs by outcome. seeds: different ones, whatever came of them.
    mean: over the finished runs, each search counting the same, adjusted by least squares for seeds the task
        has and the cell lacks (`adjusted`), the plain mean where none is missing; inf where all diverged, NaN
        where none finished. sd: of the finished runs, NaN for one.
    weights: (finite cells, finite cells, components): the covariance of the finite means given their tasks'
        seed effects is `weights @ components.values`.
    seed_weights: (finite cells, seeds), how much each seed's effect counts in the cell's task.
    """

    names: NDArray[Any]
    optimizer: NDArray[Any]
    ratio: Floats
    searches: Ints
    n: Ints
    diverged: Ints
    failed: Ints
    seeds: Ints
    mean: Floats
    sd: Floats
    adjusted: Bools
    weights: Floats
    components: Components
    seed_weights: Floats
    shared: Shared

    @property
    def finite(self) -> Bools:
        """Which cells have a finite mean."""
        return np.isfinite(self.mean)

    @property
    def df(self) -> float:
        """Degrees of freedom of the pooled residual: infinite for a stand-in, 0 where nothing is known."""
        return self.components.pooled_df

    @property
    def residual_sd(self) -> float:
        """Standard deviation of one run's residual in nats, pooled; NaN where nothing is known."""
        return float(np.sqrt(self.components.pooled)) if self.components.known else float("nan")

    @property
    def choosing_sd(self) -> float:
        """Standard deviation of what one search adds, in nats."""
        return float(np.sqrt(self.components.values[-1]))

    @property
    def covariance(self) -> Floats:
        """Of the finite means, given their tasks' seed effects, in nats squared."""
        return self.components.variance(self.weights)

    def differences(self) -> tuple[Floats, Floats]:
        """Standard error and degrees of freedom of the difference of any two finite cells of one task."""
        own = np.diagonal(self.weights).T
        weights = own[:, None] + own[None, :] - 2 * self.weights
        error = np.sqrt(np.maximum(self.components.variance(weights), 0.0))
        return error, self.components.degrees(weights)

    def draw(self, draws: int, rng: np.random.Generator) -> Floats:
        """Draw means of the finite cells from their sampling distribution around the estimates.

        Shape (draws, finite cells). Each draw scales the noise by its uncertainty, so that the spread of a
        difference is Student's t, not normal. The cells of one task share their seed effects: these cancel
        between optimizers at one ratio, but a baseline curve through several ratios carries each ratio's own.
        What a seed does alike to every ratio moves the whole curve and cancels too.
        """
        mean = self.mean[self.finite]
        covariance = self.covariance
        own = np.diagonal(self.weights).T
        df = float(np.median(self.components.degrees(own))) if len(mean) else np.inf
        scale = _draw_variance(1.0, df, draws, rng)
        root = np.linalg.cholesky(covariance + 1e-18 * np.eye(len(mean)))
        noise = np.sqrt(scale)[:, None] * (rng.standard_normal((draws, len(mean))) @ root.T)
        return mean + noise + self._draw_seed_effects(scale * self.components.pooled, draws, rng)

    def _draw_seed_effects(self, variance: Floats, draws: int, rng: np.random.Generator) -> Floats:
        shared = self.shared
        if not shared.c_df:
            return np.zeros((draws, len(self.seed_weights)))
        total = _draw_variance(shared.c_ms, shared.c_df, draws, rng)
        own_sd = np.sqrt(np.maximum(total - variance, 0.0) / shared.c_size)
        _, first, task = np.unique(self.ratio[self.finite], return_index=True, return_inverse=True)
        weights = self.seed_weights[first]
        spread = np.sqrt((weights**2).sum(axis=1))
        effect = own_sd[:, None] * rng.standard_normal((draws, len(weights))) * spread
        if np.ptp(weights, axis=0).any():  # else every ratio has the same seeds, and what they share cancels
            mean_square = shared.a_ss / max(shared.a_df, 1)
            shared_sd = np.sqrt(_draw_variance(mean_square, shared.a_df, draws, rng))
            uneven = weights - weights.mean(axis=0)
            effect += shared_sd[:, None] * (rng.standard_normal((draws, weights.shape[1])) @ uneven.T)
        return effect[:, task]


def _draw_variance(mean_square: float, df: float, draws: int, rng: np.random.Generator) -> Floats:
    if np.isinf(df) or not df:
        return np.full(draws, mean_square)
    return mean_square * df / rng.chisquare(df, draws)
