"""A Gaussian process on a handful of trials: small, exact, and the same on every machine.

A Matérn-5/2 kernel with a length for every axis and a constant mean (Rasmussen and Williams 2006, chapters 2
and 5). Lengths and noise are chosen from short lists by marginal likelihood with a prior, one at a time: with
no optimizer's tolerances in between, two machines choose alike. Thousands of fits cost seconds, which a
search that is replayed and simulated needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.stats import norm

LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of an axis, in lengths of its declared grid
USUAL_LENGTH, LENGTH_SPREAD = 1.5, 1.0  # log-normal prior: most grids hold one valley; spread in nats of log
SHARES, USUAL_SHARE = (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0), 0.03  # noise variance over that of the surface
USUAL_NOISE, NOISE_SPREAD = 0.012, 1.0  # nats, of one run at equal seeds: committed records have .007 to .020
ROUNDS = 2  # over all axes and the noise
LEAST_VARIANCE = 1e-10  # nats squared: of losses that are all equal


@dataclass(frozen=True)
class Model:
    """A fitted process. lengths: by axis; noise_sd: of one trial, in nats."""

    points: np.ndarray
    lengths: np.ndarray
    owners: Sequence[int]
    variance: float
    noise_share: float
    mean: float
    factor: np.ndarray
    weights: np.ndarray

    @property
    def noise_sd(self) -> float:
        return float(np.sqrt(self.noise_share * self.variance))

    def predict(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the surface itself, without a run's noise, at [n, columns] points."""
        cross = _matern(_scaled(points, self.points, self.lengths, self.owners))
        means = self.mean + cross @ self.weights
        inner = cho_solve((self.factor, True), cross.T)
        ones = cho_solve((self.factor, True), np.ones(len(self.points)))
        unsure = 1 - cross @ ones  # the constant mean is an estimate too
        spread = 1 - np.sum(cross * inner.T, axis=1) + unsure**2 / ones.sum()
        return means, np.sqrt(self.variance * np.maximum(spread, 1e-12))


def fit(points: np.ndarray, losses: np.ndarray, owners: Sequence[int]) -> Model:
    """The process through trials at [n, columns] points; owners: the axis of each column (see box.py)."""
    axes = max(owners) + 1
    gaps = (points[:, None, :] - points[None, :, :]) ** 2
    squares = np.stack([gaps[..., [o == a for o in owners]].sum(-1) for a in range(axes)])
    lengths, share = np.full(axes, USUAL_LENGTH), USUAL_SHARE
    for _ in range(ROUNDS):
        for axis in range(axes):
            tried = np.tile(lengths, (len(LENGTHS), 1))
            tried[:, axis] = LENGTHS
            lengths = tried[_most_likely(squares, tried, np.full(len(tried), share), losses)]
        tried = np.tile(lengths, (len(SHARES), 1))
        share = SHARES[_most_likely(squares, tried, np.array(SHARES), losses)]
    correlations = _matern(np.sqrt(np.tensordot(lengths**-2, squares, axes=1)))
    factor = np.linalg.cholesky(correlations + share * np.eye(len(losses)))
    ones = cho_solve((factor, True), np.ones(len(losses)))
    mean = float(ones @ losses / ones.sum())
    weights = cho_solve((factor, True), losses - mean)
    variance = max(float((losses - mean) @ weights) / len(losses), LEAST_VARIANCE)
    return Model(points, lengths, owners, variance, share, mean, factor, weights)


def expected_improvement(mean: np.ndarray, sd: np.ndarray, best: float) -> np.ndarray:
    """How far below `best` the surface is expected to lie (Jones et al. 1998), in nats."""
    z = (best - mean) / sd
    return sd * (z * norm.cdf(z) + norm.pdf(z))


def _most_likely(squares: np.ndarray, lengths: np.ndarray, shares: np.ndarray, losses: np.ndarray) -> int:
    """Which of several choices, [choices, axes] and [choices], has the highest log marginal likelihood, the
    mean and the variance at their best, and log prior together; the first of those equal but for rounding."""
    count = len(losses)
    correlations = _matern(np.sqrt(np.tensordot(lengths**-2, squares, axes=1)))
    factors = np.linalg.cholesky(correlations + shares[:, None, None] * np.eye(count))
    both = np.linalg.solve(factors, np.stack([np.ones(count), losses], axis=1))
    ones, values = both[..., 0], both[..., 1]
    mean = (ones * values).sum(-1) / (ones**2).sum(-1)
    variance = np.maximum(((values - mean[:, None] * ones) ** 2).sum(-1) / count, LEAST_VARIANCE)
    likelihood = -0.5 * count * np.log(variance) - np.log(np.diagonal(factors, axis1=1, axis2=2)).sum(-1)
    prior = ((np.log(lengths / USUAL_LENGTH) / LENGTH_SPREAD) ** 2).sum(-1)
    prior += (np.log(np.sqrt(shares * variance) / USUAL_NOISE) / NOISE_SPREAD) ** 2
    return int(np.argmax(np.round(likelihood - 0.5 * prior, 6)))


def _scaled(a: np.ndarray, b: np.ndarray, lengths: np.ndarray, owners: Sequence[int]) -> np.ndarray:
    scale = lengths[list(owners)]
    x, y = a / scale, b / scale
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0.0))


def _matern(distance: np.ndarray) -> np.ndarray:
    r = np.sqrt(5.0) * distance
    return (1 + r + r**2 / 3) * np.exp(-r)
