"""A Gaussian process on a handful of trials: small, exact, and the same on every machine.

A Matérn-5/2 kernel with a length for every axis and a constant mean (Rasmussen and Williams 2006, chapters 2
and 5). Lengths and noise are chosen from short lists by marginal likelihood with a prior, one at a time: with
no optimizer's tolerances in between, two machines choose alike. Thousands of fits cost seconds, which a
search that is replayed and simulated needs. Next: gp_search.py, which asks it what to try.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve
from scipy.stats import norm

LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of an axis, in lengths of its declared grid
USUAL_LENGTH, LENGTH_SPREAD = 1.5, 1.0  # log-normal prior: most grids hold one valley; spread in nats of log
NOISE_SHARES = (1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)  # noise variance over that of the surface
USUAL_NOISE, NOISE_SPREAD = 0.012, 1.0  # nats, of one run at equal seeds: committed records have .007 to .020
ROUNDS = 2  # over all axes and the noise


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
    lengths, share = np.full(axes, USUAL_LENGTH), 0.03
    best = _evidence(squares, lengths, share, losses)
    for _ in range(ROUNDS):
        for axis in range(axes):
            for length in LENGTHS:
                other = np.where(np.arange(axes) == axis, length, lengths)
                if (found := _evidence(squares, other, share, losses)) > best + 1e-6:
                    best, lengths = found, other
        for other_share in NOISE_SHARES:
            if (found := _evidence(squares, lengths, other_share, losses)) > best + 1e-6:
                best, share = found, other_share
    factor, weights, mean, variance = _solved(squares, lengths, share, losses)
    return Model(points, lengths, owners, variance, share, mean, factor, weights)


def expected_improvement(mean: np.ndarray, sd: np.ndarray, best: float) -> np.ndarray:
    """How far below `best` the surface is expected to lie (Jones et al. 1998), in nats."""
    z = (best - mean) / sd
    return sd * (z * norm.cdf(z) + norm.pdf(z))


def _evidence(squares: np.ndarray, lengths: np.ndarray, share: float, losses: np.ndarray) -> float:
    """Log marginal likelihood, with the variance at its best, and log prior."""
    factor, _, _, variance = _solved(squares, lengths, share, losses)
    likelihood = -0.5 * len(losses) * np.log(variance) - np.log(np.diag(factor)).sum()
    prior = np.sum((np.log(lengths / USUAL_LENGTH) / LENGTH_SPREAD) ** 2)
    prior += (np.log(np.sqrt(share * variance) / USUAL_NOISE) / NOISE_SPREAD) ** 2
    return float(likelihood - 0.5 * prior)


def _solved(
    squares: np.ndarray, lengths: np.ndarray, share: float, losses: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Cholesky factor of the correlations, weights of the residuals, the mean and the variance."""
    distance = np.sqrt(np.tensordot(lengths**-2, squares, axes=1))
    factor = np.linalg.cholesky(_matern(distance) + share * np.eye(len(losses)))
    ones = cho_solve((factor, True), np.ones(len(losses)))
    mean = float(ones @ losses / ones.sum())
    weights = cho_solve((factor, True), losses - mean)
    variance = max(float((losses - mean) @ weights) / len(losses), 1e-10)
    return factor, weights, mean, variance


def _scaled(a: np.ndarray, b: np.ndarray, lengths: np.ndarray, owners: Sequence[int]) -> np.ndarray:
    scale = lengths[list(owners)]
    x, y = a / scale, b / scale
    squares = (x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0.0))


def _matern(distance: np.ndarray) -> np.ndarray:
    r = np.sqrt(5.0) * distance
    return (1 + r + r**2 / 3) * np.exp(-r)
