"""How noisy is a loss? `loss = optimizer + seed + residual` within each task, pooled over a scale.

At one seed every optimizer sees the same initialization and the same data order, so part of a run's luck is
shared by all of them and cancels in a comparison. The two-way fit takes the shared part out; what is left,
pooled over a scale's tasks, is the noise of a comparison. Next: speedup.py and flips.py, which use it.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

KEY = ["optimizer", "scale", "chinchilla_ratio", "seed"]
Floats = NDArray[np.float64]


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
    frame = losses[[*KEY, "val_loss"]].drop_duplicates().sort_values(KEY, ignore_index=True)
    frame = frame.astype({"chinchilla_ratio": float, "val_loss": float})
    if not (np.isfinite(frame.chinchilla_ratio) & (frame.chinchilla_ratio > 0)).all():
        raise ValueError("chinchilla_ratio must be positive and finite in every row")
    if np.isneginf(frame.val_loss).any():
        raise ValueError("a val_loss of -inf is no loss; give inf for a diverged run, NaN for a failed one")
    twice = frame[frame.duplicated(KEY)]
    if len(twice):
        first = twice.iloc[0]
        raise ValueError(
            f"{len(twice)} run(s) have two different losses, first {first.optimizer} at {first.scale} "
            f"{first.chinchilla_ratio:g}x seed {first.seed}; keep one row per run"
        )
    return frame


@dataclass(frozen=True)
class ScaleModel:
    """The two-way fits of one scale's tasks, and the noise they share.

    cells: one row per (optimizer, chinchilla_ratio), sorted: optimizer, chinchilla_ratio, n (finished seeds),
        diverged, failed (numbers of seeds), val_loss (mean adjusted for missing seeds; the plain mean where
        none is missing; inf where all diverged; NaN where none finished), val_loss_sd, adjusted.
    covariance: of the finite cells' means given their tasks' seed effects, in units of the residual
        variance; rows as in `cells[isfinite(val_loss)]`.
    residual_ss, df: pooled residual sum of squares and its degrees of freedom; df is infinite where
        `noise_sd` was given because no residual could be estimated; both are 0 where nothing is known.
    seed_weights: (finite cells, seeds), the weight of each seed in the cell's task: 1 / number of seeds.
    seed_a, seed_a_df: sum of squares and df of the seed effects that all ratios of the scale share.
    seed_c_ms, seed_c_df, seed_c_size: mean square and df of seed x ratio effects; it estimates
        residual variance + seed_c_size * variance of one seed x ratio effect.
    """

    cells: pd.DataFrame
    covariance: Floats
    residual_ss: float
    df: float
    seed_weights: Floats
    seed_a: float
    seed_a_df: int
    seed_c_ms: float
    seed_c_df: int
    seed_c_size: float

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which rows of `cells` have a finite mean."""
        return np.isfinite(self.cells.val_loss.to_numpy())

    @property
    def residual_sd(self) -> float:
        """Standard deviation of one run's residual in nats; NaN where nothing is known."""
        if np.isinf(self.df):
            return float(np.sqrt(self.residual_ss))
        return float(np.sqrt(self.residual_ss / self.df)) if self.df else float("nan")

    def draw(self, draws: int, rng: np.random.Generator) -> Floats:
        """Draw means of the finite cells from their sampling distribution around the estimates.

        Shape (draws, finite cells). Each draw takes its variances from scaled inverse chi-squares, so that the
        spread of a difference is Student's t, not normal. The cells of one task share their seed effects:
        they cancel between optimizers at one ratio, but a baseline curve through several ratios carries each
        ratio's own. What a seed does alike to every ratio moves the whole curve and cancels too.
        """
        mean = self.cells.val_loss.to_numpy()[self.finite]
        tasks = self.cells.chinchilla_ratio.to_numpy()[self.finite]
        variance = self._variance(self.residual_ss, self.df, draws, rng)
        root = np.linalg.cholesky(self.covariance)
        noise = np.sqrt(variance)[:, None] * (rng.standard_normal((draws, len(mean))) @ root.T)
        return mean + noise + self._draw_seed_effects(tasks, variance, draws, rng)

    def _draw_seed_effects(
        self, tasks: Floats, variance: Floats, draws: int, rng: np.random.Generator
    ) -> Floats:
        if not self.seed_c_df:
            return np.zeros((draws, len(tasks)))
        total = self._variance(self.seed_c_ms * self.seed_c_df, self.seed_c_df, draws, rng)
        own = np.sqrt(np.maximum(total - variance, 0.0) / self.seed_c_size)
        _, first, task = np.unique(tasks, return_index=True, return_inverse=True)
        seeds = (self.seed_weights[first] > 0).sum(axis=1)
        effect = own[:, None] * rng.standard_normal((draws, len(seeds))) / np.sqrt(seeds)
        # only the part in which the tasks' seeds differ moves one ratio against another
        weights = self.seed_weights[first] - self.seed_weights[first].mean(axis=0)
        shared = np.sqrt(self._variance(self.seed_a, self.seed_a_df, draws, rng))
        effect += shared[:, None] * (rng.standard_normal((draws, weights.shape[1])) @ weights.T)
        return effect[:, task]

    @staticmethod
    def _variance(ss: float, df: float, draws: int, rng: np.random.Generator) -> Floats:
        if np.isinf(df) or not df:
            return np.full(draws, ss)
        return ss / rng.chisquare(df, draws)


def fit_scale(losses: pd.DataFrame, noise_sd: float | None = None) -> ScaleModel:
    """Fit one scale's tasks; `losses` as `check_losses` returns them, of one scale.

    noise_sd: standard deviation of one run's loss in nats, used only where the residual cannot be estimated
        (one seed). Runs are then taken to be independent.
    Tasks whose seeds do not connect the optimizers (each with seeds of its own) have no shared seed effects:
    there the residual is a run's whole deviation from its cell's mean.
    """
    if noise_sd is not None and not (np.isfinite(noise_sd) and noise_sd >= 0):
        raise ValueError(f"noise_sd must be a standard deviation in nats, 0 or more, not {noise_sd}")
    cells = _cells(losses)
    finished = losses[np.isfinite(losses.val_loss)]
    seeds = {s: i for i, s in enumerate(sorted(finished.seed.unique()))}
    fits = [_fit_task(task, seeds) for _, task in finished.groupby("chinchilla_ratio", sort=True)]
    merged = cells.merge(
        pd.concat([f.means for f in fits])
        if fits
        else pd.DataFrame(columns=["optimizer", "chinchilla_ratio", "mean"]),
        how="left",
        on=["optimizer", "chinchilla_ratio"],
    )
    cells["val_loss"] = np.where(cells.n > 0, merged["mean"].to_numpy(float), cells.val_loss)
    cells = cells.sort_values(["chinchilla_ratio", "optimizer"], ignore_index=True)
    ss, df = sum(f.ss for f in fits), float(sum(f.df for f in fits))
    if df == 0 and noise_sd is not None:
        ss, df = noise_sd**2, np.inf
    weights = np.vstack([np.tile(f.weights, (len(f.means), 1)) for f in fits]) if fits else np.zeros((0, 0))
    covariance = _block_diagonal([f.covariance for f in fits])
    return ScaleModel(cells, covariance, float(ss), df, weights, *_seed_effects(fits))


def _cells(losses: pd.DataFrame) -> pd.DataFrame:
    loss = losses.val_loss.to_numpy()
    marked = losses.assign(
        n=np.isfinite(loss),
        diverged=np.isinf(loss),
        failed=np.isnan(loss),
        finite=losses.val_loss.where(np.isfinite(loss)),
    )
    groups = marked.groupby(["optimizer", "chinchilla_ratio"], sort=True)
    cells = groups[["n", "diverged", "failed"]].sum().astype(int)
    cells["val_loss"] = np.where(
        cells.diverged > 0, np.inf, np.nan
    )  # where a seed finished, its mean replaces this
    cells["val_loss_sd"] = groups["finite"].std(ddof=1)
    seeds = losses.groupby("chinchilla_ratio").seed.nunique()
    cells = cells.reset_index()
    cells["adjusted"] = (cells.n > 0) & (cells.n < cells.chinchilla_ratio.map(seeds))
    return cells


@dataclass(frozen=True)
class _TaskFit:
    means: pd.DataFrame
    covariance: Floats
    ss: float
    df: int
    weights: Floats  # (seeds of the scale,)
    effects: Floats  # (seeds of the scale,), NaN where the task has no such seed
    counts: Floats  # (seeds of the scale,), runs of each seed


def _fit_task(task: pd.DataFrame, seeds: dict[int, int]) -> _TaskFit:
    names, optimizer = np.unique(task.optimizer.to_numpy(), return_inverse=True)
    seed = np.array([seeds[s] for s in task.seed])
    present = np.bincount(seed, minlength=len(seeds)).astype(float)
    y = task.val_loss.to_numpy()
    x = np.eye(len(names))[optimizer]
    contrast = np.eye(len(names))
    weights = (present > 0) / (present > 0).sum()
    z = np.eye(len(seeds))[seed]
    rank = np.linalg.matrix_rank(np.hstack([x, z]))
    paired = rank == len(names) + (present > 0).sum() - 1
    if paired:
        x = np.hstack([x, z])
        contrast = np.hstack([contrast, np.tile(weights, (len(names), 1))])
    center = y.mean()  # keeps the arithmetic at the size of the differences
    inverse = np.linalg.pinv(x)
    solution = inverse @ (y - center)
    residual = y - center - x @ solution
    df = len(y) - (rank if paired else len(names))
    root = contrast @ inverse
    effects = np.full(len(seeds), np.nan)
    if paired:
        effects[present > 0] = solution[len(names) :][present > 0]
    means = pd.DataFrame(
        {
            "optimizer": names,
            "chinchilla_ratio": task.chinchilla_ratio.iloc[0],
            "mean": contrast @ solution + center,
        }
    )
    return _TaskFit(
        means, root @ root.T, float(residual @ residual) if df else 0.0, int(df), weights, effects, present
    )


def _seed_effects(fits: list[_TaskFit]) -> tuple[float, int, float, int, float]:
    """Split the tasks' seed effects into what all ratios share (a) and what is a ratio's own (c).

    Weighted two-way fit of the estimated effects on seed and task; a weight is the number of runs behind an
    effect, so that without any seed x ratio effect the weighted mean square estimates the residual variance.
    """
    if not fits:
        return 0.0, 0, 0.0, 0, 1.0
    effects, counts = np.array([f.effects for f in fits]), np.array([f.counts for f in fits])
    task, seed = np.nonzero(np.isfinite(effects))
    if not len(task):
        return 0.0, 0, 0.0, 0, 1.0
    x = np.hstack([np.eye(len(fits))[task], np.eye(effects.shape[1])[seed]])
    y, root = effects[task, seed], np.sqrt(counts[task, seed])
    rank = int(np.linalg.matrix_rank(x))
    df = len(y) - rank
    inverse = np.linalg.pinv(root[:, None] * x)
    solution = inverse @ (root * y)
    shared = solution[len(fits) :][np.unique(seed)]
    a = float(((shared - shared.mean()) ** 2).sum())
    if df == 0:
        return a, len(shared) - 1, 0.0, 0, 1.0
    residual = root * (y - x @ solution)
    hat = (root[:, None] * x) @ inverse
    size = float((root**2 * (1 - np.diag(hat))).sum() / df)
    return a, len(shared) - 1, float(residual @ residual / df), df, size


def _block_diagonal(blocks: list[Floats]) -> Floats:
    size = sum(len(b) for b in blocks)
    matrix, at = np.zeros((size, size)), 0
    for block in blocks:
        matrix[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return matrix
