"""The two-way fit of one task's runs, by optimizer and seed: linear maps, which depend on the design alone.

Every search of an optimizer counts the same. Where seeds connect the optimizers, what a seed does to all of
them is taken out; `residuals.py` makes a scale's model of its tasks' fits.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from benchmark.analysis.arrays import Floats, Ints
from benchmark.analysis.reml import TaskRuns


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
class TaskFit:
    """What one task's runs say. effects and seed_weights have an entry for each seed of the scale."""

    runs: TaskRuns
    mean: Floats  # (optimizers of the task,)
    weights: Floats  # (optimizers, optimizers, components of the scale)
    seed_weights: Floats  # (seeds of the scale,): they sum to 1, 0 for seeds the task lacks
    effects: Floats  # (seeds of the scale,), NaN where the task has no such seed
    count: Floats  # (seeds of the scale,): runs


def fit_task(optimizer: Ints, search: Ints, seed: Ints, loss: Floats, seeds: int, optimizers: int) -> TaskFit:
    """Fit finished runs, each with the number of its optimizer, search and seed and its loss in nats; `seeds`
    and `optimizers` are how many the scale has."""
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
    return TaskFit(runs, design.means @ (loss - center) + center, design.weights, weights, effects, count)


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


def shared_effects(fits: list[TaskFit]) -> Shared:
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


def block_diagonal(blocks: list[Floats], depth: int) -> Floats:
    """Blocks of shape (n, n, depth) along the diagonal of one array."""
    size = sum(len(b) for b in blocks)
    matrix, at = np.zeros((size, size, depth)), 0
    for block in blocks:
        matrix[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return matrix
