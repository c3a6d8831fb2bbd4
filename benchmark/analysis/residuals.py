"""What one scale's runs say: `loss = optimizer + search + seed + residual` within each task.

At one seed every optimizer sees the same initialization and the same data order, so part of a run's luck is
shared by all of them and cancels in a comparison. The two-way fit takes the shared part out; what is left, of
the runs and of the searches that chose their settings, is the noise of a comparison (components.py).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmark.analysis.components import Bools, Components, Floats, Ints, TaskRuns, estimate

KEY = ["optimizer", "scale", "chinchilla_ratio", "search", "seed"]
NEEDED = ["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"]
NOISE_COLUMNS = [
    "scale", "optimizer", "residual_sd", "residual_df", "pooled_sd", "pooled_df", "choosing_sd", "choosing_df",
    "heterogeneity_p",
]  # fmt: skip


def check_losses(losses: pd.DataFrame) -> pd.DataFrame:
    """Return the losses sorted, exact duplicates dropped, `search` 0 where absent; the input is left alone.

    An infinite `val_loss` is a diverged run, a missing one a failed run. Raises ValueError if a column is
    missing, a ratio is not positive, a loss is -inf, or one run has two different losses.
    """
    missing = [c for c in NEEDED if c not in losses.columns]
    if missing:
        raise ValueError(f"losses lack the column(s) {', '.join(missing)}; needed are {', '.join(NEEDED)}")
    if "search" not in losses.columns:
        losses = losses.assign(search=0)
    frame = losses.reindex(columns=[*KEY, "val_loss"]).drop_duplicates().sort_values(by=KEY, ignore_index=True)
    frame = frame.astype({"chinchilla_ratio": float, "val_loss": float})
    ratio, loss = frame["chinchilla_ratio"].to_numpy(), frame["val_loss"].to_numpy()
    if not (np.isfinite(ratio) & (ratio > 0)).all():
        raise ValueError("chinchilla_ratio must be positive and finite in every row")
    if np.isneginf(loss).any():
        raise ValueError("a val_loss of -inf is no loss; give inf for a diverged run, NaN for a failed one")
    twice = frame.duplicated(KEY).to_numpy()
    if twice.any():
        optimizer, scale, ratio, _, seed = frame[KEY].iloc[int(twice.argmax())]
        raise ValueError(
            f"{twice.sum()} run(s) have two different losses, first {optimizer} at {scale} {ratio:g}x, "
            f"seed {seed}; keep one row per run"
        )
    return frame


def by_scale(
    losses: pd.DataFrame, noise_sd: float | None = None, choosing_sd: float | None = None
) -> Iterator[tuple[str, "ScaleModel"]]:
    """Yield each scale with its model; `losses` is any frame that `check_losses` accepts."""
    yield from checked_by_scale(check_losses(losses), noise_sd, choosing_sd)


def checked_by_scale(
    losses: pd.DataFrame, noise_sd: float | None = None, choosing_sd: float | None = None
) -> Iterator[tuple[str, "ScaleModel"]]:
    """The same for a frame that `check_losses` has returned, whatever losses were put into it since."""
    for scale, part in losses.groupby("scale", sort=True):
        yield str(scale), fit_scale(part, noise_sd, choosing_sd)


def noise(
    losses: pd.DataFrame, noise_sd: float | None = None, choosing_sd: float | None = None
) -> pd.DataFrame:
    """What is known of the noise, one row per (scale, optimizer).

    Returns residual_sd (nats, of one run, moderated towards the pool) and residual_df, pooled_sd and pooled_df
    (of all optimizers), choosing_sd (nats, what one search adds; pooled over the scale) and choosing_df, and
    heterogeneity_p (Bartlett's test of equal residual variances; NaN for fewer than three optimizers). Degrees
    of freedom are 0 where nothing could be estimated and the stand-in, or 0, is used.
    """
    found = []
    for scale, model in by_scale(losses, noise_sd, choosing_sd):
        parts = model.components
        common = (model.residual_sd, parts.pooled_df, model.choosing_sd, parts.choosing_df, parts.p_equal)
        for i, name in enumerate(model.names):
            own = float(np.sqrt(parts.values[i])) if parts.known else float("nan")
            found.append((scale, name, own, parts.df[i], *common))
    return pd.DataFrame(found, columns=pd.Index(NOISE_COLUMNS))


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

    def standard_errors(self) -> Floats:
        """Standard error of the difference of any two finite cells of one task: (finite, finite)."""
        return self.differences()[0]

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


def fit_scale(
    losses: pd.DataFrame, noise_sd: float | None = None, choosing_sd: float | None = None
) -> ScaleModel:
    """Fit the tasks of one scale; `losses` as `check_losses` returns them.

    noise_sd: standard deviation of one run's residual in nats, used only where it cannot be estimated.
    choosing_sd: of what a search adds, used only where no optimizer has two searches; 0 without it.
    Where seeds do not connect a task's optimizers (each has seeds of its own) there are no shared seed effects,
    and the residual is a run's whole deviation from its cell's mean.
    """
    for name, value in (("noise_sd", noise_sd), ("choosing_sd", choosing_sd)):
        if value is not None and not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be a standard deviation in nats, 0 or more, not {value}")
    losses = losses.loc[~_told_twice(losses)]
    loss = losses["val_loss"].to_numpy(float)
    finite = np.isfinite(loss)
    names, optimizer = np.unique(losses["optimizer"].to_numpy(str), return_inverse=True)
    ratios, task = np.unique(losses["chinchilla_ratio"].to_numpy(float), return_inverse=True)
    _, seed = np.unique(losses["seed"].to_numpy(), return_inverse=True)
    _, search = np.unique(losses["search"].to_numpy(), return_inverse=True)
    cell, index = np.unique(task * len(names) + optimizer, return_inverse=True)
    outcomes = (finite, np.isposinf(loss), np.isnan(loss))
    n, diverged, failed = (np.bincount(index[outcome], minlength=len(cell)) for outcome in outcomes)
    mean = np.where(diverged > 0, np.inf, np.nan)
    fits: list[_TaskFit] = []
    for t in range(len(ratios)):
        here = finite & (task == t)
        if here.any():
            of_runs = (optimizer[here], search[here], seed[here], loss[here])
            fits.append(_fit_task(*of_runs, seeds=seed.max() + 1, optimizers=len(names)))
            mean[np.unique(index[here])] = fits[-1].mean
    components = estimate([f.runs for f in fits], len(names), noise_sd, choosing_sd)
    seeds = np.array([len(np.unique(seed[task == t])) for t in range(len(ratios))])
    own_seeds = _distinct(index, seed, len(cell))
    return ScaleModel(
        names=names,
        optimizer=names[cell % len(names)],
        ratio=ratios[cell // len(names)],
        searches=_distinct(index[finite], search[finite], len(cell)),
        n=n,
        diverged=diverged,
        failed=failed,
        seeds=own_seeds,
        mean=mean,
        sd=_spread(index[finite], loss[finite], n),
        adjusted=(n > 0) & (_distinct(index[finite], seed[finite], len(cell)) < seeds[cell // len(names)]),
        weights=_block_diagonal([f.weights for f in fits], len(names) + 1),
        components=components,
        seed_weights=np.vstack([np.tile(f.seed_weights, (len(f.mean), 1)) for f in fits])
        if fits
        else np.zeros((0, 0)),
        shared=_shared_effects(fits),
    )


def _told_twice(losses: pd.DataFrame) -> Bools:
    """Runs that a later search of the same cell shares with an earlier one, because both chose alike: the same
    run is one measurement, and these searches count as one."""
    twice = losses.duplicated(["optimizer", "scale", "chinchilla_ratio", "seed", "val_loss"]).to_numpy()
    return twice & np.isfinite(losses["val_loss"].to_numpy(float))


def _distinct(index: Ints, value: Ints, cells: int) -> Ints:
    """How many different values each cell has."""
    pairs = np.unique(np.stack([index, value]), axis=1)
    return np.bincount(pairs[0], minlength=cells)


def _spread(index: Ints, loss: Floats, n: Ints) -> Floats:
    """Standard deviation of each cell's losses; NaN for fewer than two."""
    mean = np.bincount(index, loss, len(n)) / np.maximum(n, 1)
    squares = np.bincount(index, (loss - mean[index]) ** 2, len(n))
    return np.sqrt(np.where(n > 1, squares, np.nan) / np.maximum(n - 1, 1))


@dataclass(frozen=True)
class _TaskFit:
    runs: TaskRuns
    mean: Floats  # (optimizers of the task,)
    weights: Floats  # (optimizers, optimizers, components of the scale)
    seed_weights: Floats  # (seeds of the scale,): they sum to 1, 0 for seeds the task lacks
    effects: Floats  # (seeds of the scale,), NaN where the task has no such seed
    count: Floats  # (seeds of the scale,): runs


def _fit_task(optimizer: Ints, search: Ints, seed: Ints, loss: Floats, seeds: int, optimizers: int) -> _TaskFit:
    _, row = np.unique(optimizer * (search.max() + 1) + search, return_inverse=True)
    used, own_seed = np.unique(seed, return_inverse=True)
    design = _two_way(optimizer.tobytes(), row.tobytes(), own_seed.tobytes(), optimizers)
    center = loss.mean()  # keeps the arithmetic at the size of the differences
    effects, count, weights = np.full(seeds, np.nan), np.zeros(seeds), np.zeros(seeds)
    if design.paired:
        effects[used] = design.effects @ (loss - center)
    count[used] = np.bincount(own_seed)
    weights[used] = design.seed_weights
    runs = TaskRuns(optimizer, row, own_seed, loss, design.paired)
    return _TaskFit(runs, design.means @ (loss - center) + center, design.weights, weights, effects, count)


@dataclass(frozen=True)
class _TwoWay:
    """What the two-way fit of a task needs of its design alone: linear maps of the runs' losses."""

    means: Floats
    effects: Floats
    weights: Floats
    seed_weights: Floats
    paired: bool


@lru_cache(maxsize=256)  # most tasks, and all points along training, have the same runs
def _two_way(optimizer_bytes: bytes, row_bytes: bytes, seed_bytes: bytes, optimizers: int) -> _TwoWay:
    """The design of a task from its runs' optimizer, (optimizer, search) and seed, as int64 bytes."""
    optimizer, row, seed = (np.frombuffer(b, np.int64) for b in (optimizer_bytes, row_bytes, seed_bytes))
    names, own = np.unique(optimizer, return_inverse=True)
    k, s, r = len(names), int(seed.max()) + 1, int(row.max()) + 1
    in_row = np.bincount(row)
    of_row = own[np.unique(row, return_index=True)[1]]
    average = np.bincount(own) / np.bincount(of_row)
    weight = average[own] / in_row[row]  # every search of an optimizer counts the same
    design = np.hstack([np.eye(k)[own], np.eye(s)[seed]])
    paired = int(np.linalg.matrix_rank(design)) == k + s - 1
    table = np.zeros((k, s))
    np.add.at(table, (own, seed), weight)
    with np.errstate(invalid="ignore"):
        share = np.where(table > 0, table, np.nan)
    seed_weights = np.nanmean(share, axis=0)
    seed_weights = seed_weights / seed_weights.sum()
    if not paired:
        design = design[:, :k]
    solve = np.linalg.pinv(design.T @ (weight[:, None] * design), hermitian=True) @ (weight[:, None] * design).T
    means = solve[:k] + (seed_weights @ solve[k:] if paired else 0.0)
    weights = np.zeros((k, k, optimizers + 1))
    for name in names:
        part = means[:, optimizer == name]
        weights[:, :, name] = part @ part.T
    by_row = means @ np.eye(r)[row]
    weights[:, :, -1] = by_row @ by_row.T
    return _TwoWay(means, solve[k:], weights, seed_weights, bool(paired))


def _shared_effects(fits: list[_TaskFit]) -> Shared:
    """Fit the tasks' seed effects by task and seed. A weight is the number of runs behind an effect, so that
    where no effect is a ratio's own the weighted mean square estimates the residual variance alone."""
    effects = np.array([f.effects for f in fits])
    if not np.isfinite(effects).any():
        return Shared()
    task, seed = np.nonzero(np.isfinite(effects))
    design = np.hstack([np.eye(len(fits))[task], np.eye(effects.shape[1])[seed]])
    y, weight = effects[task, seed], np.array([f.count for f in fits])[task, seed]
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


def _block_diagonal(blocks: list[Floats], depth: int) -> Floats:
    size = sum(len(b) for b in blocks)
    matrix, at = np.zeros((size, size, depth)), 0
    for block in blocks:
        matrix[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return matrix
