"""How noisy is a loss? `loss = optimizer + seed + residual` within each task, pooled over a scale.

At one seed every optimizer sees the same initialization and the same data order, so part of a run's luck is
shared by all of them and cancels in a comparison. The two-way fit takes the shared part out; what is left,
pooled over a scale's tasks, is the noise of a comparison. Next: speedup.py and flips.py, which use it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEY = ["optimizer", "scale", "chinchilla_ratio", "seed"]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


def check_losses(losses: pd.DataFrame) -> pd.DataFrame:
    """Return the losses sorted, exact duplicates dropped; the input is left alone.

    An infinite `val_loss` is a diverged run, a missing one a failed run. Raises ValueError if a column is
    missing, a ratio is not positive, a loss is -inf, or one run has two different losses.
    """
    missing = [c for c in [*KEY, "val_loss"] if c not in losses.columns]
    if missing:
        raise ValueError(
            f"losses lack the column(s) {', '.join(missing)}; needed are {', '.join(KEY)}, val_loss"
        )
    frame = losses.reindex(columns=[*KEY, "val_loss"]).drop_duplicates().sort_values(by=KEY, ignore_index=True)
    frame = frame.astype({"chinchilla_ratio": float, "val_loss": float})
    ratio, loss = frame["chinchilla_ratio"].to_numpy(), frame["val_loss"].to_numpy()
    if not (np.isfinite(ratio) & (ratio > 0)).all():
        raise ValueError("chinchilla_ratio must be positive and finite in every row")
    if np.isneginf(loss).any():
        raise ValueError("a val_loss of -inf is no loss; give inf for a diverged run, NaN for a failed one")
    twice = frame.duplicated(KEY).to_numpy()
    if twice.any():
        optimizer, scale, ratio, seed = frame[KEY].iloc[int(twice.argmax())]
        raise ValueError(
            f"{twice.sum()} run(s) have two different losses, first {optimizer} at {scale} {ratio:g}x, "
            f"seed {seed}; keep one row per run"
        )
    return frame


def by_scale(losses: pd.DataFrame, noise_sd: float | None = None) -> Iterator[tuple[str, "ScaleModel"]]:
    """Yield each scale with its model; `losses` is any frame that `check_losses` accepts."""
    yield from checked_by_scale(check_losses(losses), noise_sd)


def checked_by_scale(losses: pd.DataFrame, noise_sd: float | None = None) -> Iterator[tuple[str, "ScaleModel"]]:
    """The same for a frame that `check_losses` has returned, whatever losses were put into it since."""
    for scale, part in losses.groupby("scale", sort=True):
        yield str(scale), fit_scale(part, noise_sd)


@dataclass(frozen=True)
class Shared:
    """What the seeds of one scale do to several optimizers at once, split by a weighted two-way fit.

    a_ss, a_df: sum of squares and df of the effects that all ratios share.
    c_ms, c_df, c_size: mean square and df of the effects that are a ratio's own; the mean square estimates
        residual variance + c_size * variance of one such effect.
    """

    a_ss: float = 0.0
    a_df: int = 0
    c_ms: float = 0.0
    c_df: int = 0
    c_size: float = 1.0


@dataclass(frozen=True)
class ScaleModel:
    """The two-way fits of one scale's tasks, and the noise they share. Arrays have one entry per cell,
    sorted by ratio and optimizer.

    optimizer, ratio: the cell. n, diverged, failed: its numbers of seeds by outcome.
    mean: over the finished seeds, adjusted by least squares for seeds the task has and the cell lacks
        (`adjusted`), the plain mean where none is missing; inf where all diverged, NaN where none finished.
    sd: of the finished seeds, NaN for one.
    covariance: of the finite means, given their tasks' seed effects, in units of the residual variance.
    residual_ss, df: pooled residual sum of squares and its df. Where `noise_sd` stands in for a residual, df is
        infinite and residual_ss the variance itself; where nothing is known both are 0.
    seed_weights: (finite cells, seeds), how much each seed's effect counts in the cell's task.
    """

    optimizer: NDArray[Any]
    ratio: Floats
    n: Ints
    diverged: Ints
    failed: Ints
    mean: Floats
    sd: Floats
    adjusted: Bools
    covariance: Floats
    residual_ss: float
    df: float
    seed_weights: Floats
    shared: Shared

    @property
    def finite(self) -> Bools:
        """Which cells have a finite mean."""
        return np.isfinite(self.mean)

    @property
    def residual_sd(self) -> float:
        """Standard deviation of one run's residual in nats; NaN where nothing is known."""
        if np.isinf(self.df):
            return float(np.sqrt(self.residual_ss))
        return float(np.sqrt(self.residual_ss / self.df)) if self.df else float("nan")

    def standard_errors(self) -> Floats:
        """Standard error of the difference of any two finite cells of one task: (finite, finite)."""
        own = np.diag(self.covariance)
        variance = own[:, None] + own[None, :] - 2 * self.covariance
        return self.residual_sd * np.sqrt(np.maximum(variance, 0.0))

    def draw(self, draws: int, rng: np.random.Generator) -> Floats:
        """Draw means of the finite cells from their sampling distribution around the estimates.

        Shape (draws, finite cells). Each draw takes its variances from scaled inverse chi-squares, so that the
        spread of a difference is Student's t, not normal. The cells of one task share their seed effects:
        these cancel between optimizers at one ratio, but a baseline curve through several ratios carries each
        ratio's own. What a seed does alike to every ratio moves the whole curve and cancels too.
        """
        mean = self.mean[self.finite]
        variance = _draw_variance(self.residual_ss, self.df, draws, rng)
        root = np.linalg.cholesky(self.covariance)
        noise = np.sqrt(variance)[:, None] * (rng.standard_normal((draws, len(mean))) @ root.T)
        return mean + noise + self._draw_seed_effects(variance, draws, rng)

    def _draw_seed_effects(self, variance: Floats, draws: int, rng: np.random.Generator) -> Floats:
        shared = self.shared
        if not shared.c_df:
            return np.zeros((draws, len(self.seed_weights)))
        total = _draw_variance(shared.c_ms * shared.c_df, shared.c_df, draws, rng)
        own_sd = np.sqrt(np.maximum(total - variance, 0.0) / shared.c_size)
        _, first, task = np.unique(self.ratio[self.finite], return_index=True, return_inverse=True)
        weights = self.seed_weights[first]
        spread = np.sqrt((weights**2).sum(axis=1))
        effect = own_sd[:, None] * rng.standard_normal((draws, len(weights))) * spread
        if np.ptp(weights, axis=0).any():  # else every ratio has the same seeds, and what they share cancels
            shared_sd = np.sqrt(_draw_variance(shared.a_ss, shared.a_df, draws, rng))
            uneven = weights - weights.mean(axis=0)
            effect += shared_sd[:, None] * (rng.standard_normal((draws, weights.shape[1])) @ uneven.T)
        return effect[:, task]


def _draw_variance(ss: float, df: float, draws: int, rng: np.random.Generator) -> Floats:
    if np.isinf(df) or not df:
        return np.full(draws, ss)
    return ss / rng.chisquare(df, draws)


def fit_scale(losses: pd.DataFrame, noise_sd: float | None = None) -> ScaleModel:
    """Fit the tasks of one scale; `losses` as `check_losses` returns them.

    noise_sd: standard deviation of one run's loss in nats, used only where the residual cannot be estimated
        (one seed). Runs are then taken to be independent.
    Where seeds do not connect a task's optimizers (each has seeds of its own) there are no shared seed effects,
    and the residual is a run's whole deviation from its cell's mean.
    """
    if noise_sd is not None and not (np.isfinite(noise_sd) and noise_sd >= 0):
        raise ValueError(f"noise_sd must be a standard deviation in nats, 0 or more, not {noise_sd}")
    loss = losses["val_loss"].to_numpy(float)
    finite = np.isfinite(loss)
    names, optimizer = np.unique(losses["optimizer"].to_numpy(str), return_inverse=True)
    ratios, task = np.unique(losses["chinchilla_ratio"].to_numpy(float), return_inverse=True)
    _, seed = np.unique(losses["seed"].to_numpy(), return_inverse=True)
    cell, index = np.unique(task * len(names) + optimizer, return_inverse=True)
    outcomes = (finite, np.isposinf(loss), np.isnan(loss))
    n, diverged, failed = (np.bincount(index[outcome], minlength=len(cell)) for outcome in outcomes)
    mean = np.where(diverged > 0, np.inf, np.nan)
    fits = []
    for t in range(len(ratios)):
        here = finite & (task == t)
        if here.any():
            fits.append(_fit_task(optimizer[here], seed[here], loss[here], seed.max() + 1))
            mean[np.unique(index[here])] = fits[-1].mean
    ss, df = sum(f.ss for f in fits), float(sum(f.df for f in fits))
    if df == 0 and noise_sd is not None:
        ss, df = noise_sd**2, np.inf
    seeds = np.array([len(np.unique(seed[task == t])) for t in range(len(ratios))])
    return ScaleModel(
        optimizer=names[cell % len(names)],
        ratio=ratios[cell // len(names)],
        n=n,
        diverged=diverged,
        failed=failed,
        mean=mean,
        sd=_spread(index[finite], loss[finite], n),
        adjusted=(n > 0) & (n < seeds[cell // len(names)]),
        covariance=_block_diagonal([f.covariance for f in fits]),
        residual_ss=float(ss),
        df=df,
        seed_weights=np.vstack([np.tile(f.weights, (len(f.mean), 1)) for f in fits])
        if fits
        else np.zeros((0, 0)),
        shared=_shared_effects(fits),
    )


def _spread(index: Ints, loss: Floats, n: Ints) -> Floats:
    """Standard deviation of each cell's losses; NaN for fewer than two."""
    mean = np.bincount(index, loss, len(n)) / np.maximum(n, 1)
    squares = np.bincount(index, (loss - mean[index]) ** 2, len(n))
    return np.sqrt(np.where(n > 1, squares, np.nan) / np.maximum(n - 1, 1))


@dataclass(frozen=True)
class _TaskFit:
    mean: Floats  # (optimizers of the task,)
    covariance: Floats
    ss: float
    df: int
    weights: Floats  # (seeds of the scale,): 1 / number of seeds of the task, 0 for others
    effects: Floats  # (seeds of the scale,), NaN where the task has no such seed
    runs: Floats  # (seeds of the scale,)


def _fit_task(optimizer: Ints, seed: Ints, loss: Floats, seeds: int) -> _TaskFit:
    names, row = np.unique(optimizer, return_inverse=True)
    k = len(names)
    counts = np.zeros((k, seeds))
    np.add.at(counts, (row, seed), 1)
    design = _two_way(counts.tobytes(), k, seeds)
    center = loss.mean()  # keeps the arithmetic at the size of the differences
    y = loss - center
    sums = np.concatenate([np.bincount(row, y, k), np.bincount(seed, y, seeds)])
    solution = design.inverse @ sums
    residual = y - solution[:k][row] - solution[k:][seed]
    df = len(loss) - design.rank
    runs = counts.sum(axis=0)
    return _TaskFit(
        mean=design.contrast @ solution + center,
        covariance=design.covariance,
        ss=float((residual**2).sum()) if df else 0.0,
        df=df,
        weights=design.contrast[0, k:],
        effects=np.where(design.paired & (runs > 0), solution[k:], np.nan),
        runs=runs,
    )


@dataclass(frozen=True)
class _TwoWay:
    """What the two-way fit of a task needs of its design alone. contrast: solution -> means."""

    inverse: Floats
    contrast: Floats
    covariance: Floats
    rank: int
    paired: bool  # whether seeds connect the optimizers


@lru_cache(maxsize=256)  # most tasks, and all points along training, have the same runs
def _two_way(counts: bytes, k: int, seeds: int) -> _TwoWay:
    """The design of a task from its (k optimizers, seeds) numbers of runs, as float64 bytes."""
    table = np.frombuffer(counts).reshape(k, seeds)
    runs = table.sum(axis=0)
    gram = np.block([[np.diag(table.sum(axis=1)), table], [table.T, np.diag(runs)]])
    contrast = np.hstack([np.eye(k), np.tile((runs > 0) / (runs > 0).sum(), (k, 1))])
    rank = int(np.linalg.matrix_rank(gram, hermitian=True))
    paired = rank == k + (runs > 0).sum() - 1
    if not paired:
        gram[:, k:], gram[k:] = 0.0, 0.0
    inverse = np.linalg.pinv(gram, hermitian=True)
    return _TwoWay(inverse, contrast, contrast @ inverse @ contrast.T, rank if paired else k, bool(paired))


def _shared_effects(fits: list[_TaskFit]) -> Shared:
    """Fit the tasks' seed effects by task and seed. A weight is the number of runs behind an effect, so that
    where no effect is a ratio's own the weighted mean square estimates the residual variance alone."""
    effects = np.array([f.effects for f in fits])
    if not np.isfinite(effects).any():
        return Shared()
    task, seed = np.nonzero(np.isfinite(effects))
    design = np.hstack([np.eye(len(fits))[task], np.eye(effects.shape[1])[seed]])
    y, weight = effects[task, seed], np.array([f.runs for f in fits])[task, seed]
    gram = design.T @ (weight[:, None] * design)
    inverse = np.linalg.pinv(gram, hermitian=True)
    solution = inverse @ (design.T @ (weight * y))
    shared = solution[len(fits) :][np.unique(seed)]
    a_ss, a_df = float(((shared - shared.mean()) ** 2).sum()), len(shared) - 1
    df = len(y) - int(np.linalg.matrix_rank(gram, hermitian=True))
    if df == 0:
        return Shared(a_ss, a_df)
    residual = y - design @ solution
    leverage = weight * np.einsum("ij,jk,ik->i", design, inverse, design)
    size = float((weight * (1 - leverage)).sum() / df)
    return Shared(a_ss, a_df, float((weight * residual) @ residual) / df, df, size)


def _block_diagonal(blocks: list[Floats]) -> Floats:
    size = sum(len(b) for b in blocks)
    matrix, at = np.zeros((size, size)), 0
    for block in blocks:
        matrix[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return matrix
