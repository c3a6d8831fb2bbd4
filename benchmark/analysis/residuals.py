"""What one scale's runs say: `loss = optimizer + search + seed + residual` within each task.

At one seed every optimizer sees the same initialization and the same data order, so part of a run's luck is
shared by all of them and cancels in a comparison. The two-way fit takes the shared part out; what is left, of
the runs and of the searches that chose their settings, is the noise of a comparison (components.py).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmark.analysis.arrays import Bools, Floats, Ints
from benchmark.analysis.components import estimate
from benchmark.analysis.scale_model import ScaleModel
from benchmark.analysis.two_way import TaskFit, block_diagonal, fit_task, shared_effects
from benchmark.frames import CELL, RUN

NEEDED = [*CELL, "seed", "val_loss"]
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
    frame = losses.reindex(columns=[*RUN, "val_loss"]).drop_duplicates().sort_values(by=RUN, ignore_index=True)
    frame = frame.astype({"chinchilla_ratio": float, "val_loss": float})
    ratio, loss = frame["chinchilla_ratio"].to_numpy(), frame["val_loss"].to_numpy()
    if not (np.isfinite(ratio) & (ratio > 0)).all():
        raise ValueError("chinchilla_ratio must be positive and finite in every row")
    if np.isneginf(loss).any():
        raise ValueError("a val_loss of -inf is no loss; give inf for a diverged run, NaN for a failed one")
    twice = frame.duplicated(RUN).to_numpy()
    if twice.any():
        optimizer, scale, ratio, _, seed = frame[RUN].iloc[int(twice.argmax())]
        raise ValueError(
            f"{twice.sum()} run(s) have two different losses, first {optimizer} at {scale} {ratio:g}x, "
            f"seed {seed}; keep one row per run"
        )
    return frame


def by_scale(
    losses: pd.DataFrame, noise_sd: float | None = None, choosing_sd: float | None = None
) -> Iterator[tuple[str, ScaleModel]]:
    """Yield each scale with its model; `losses` is any frame that `check_losses` accepts."""
    yield from checked_by_scale(check_losses(losses), noise_sd, choosing_sd)


def checked_by_scale(
    losses: pd.DataFrame, noise_sd: float | None = None, choosing_sd: float | None = None
) -> Iterator[tuple[str, ScaleModel]]:
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
    fits: list[TaskFit] = []
    for t in range(len(ratios)):
        here = finite & (task == t)
        if here.any():
            of_runs = (optimizer[here], search[here], seed[here], loss[here])
            fits.append(fit_task(*of_runs, seeds=seed.max() + 1, optimizers=len(names)))
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
        weights=block_diagonal([f.weights for f in fits], len(names) + 1),
        components=components,
        seed_weights=np.vstack([np.tile(f.seed_weights, (len(f.mean), 1)) for f in fits])
        if fits
        else np.zeros((0, 0)),
        shared=shared_effects(fits),
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
