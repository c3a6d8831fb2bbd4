"""A scale's runs as restricted maximum likelihood sees them (Patterson & Thompson 1971): reduced to what tells
variances, and what given variances predict of them. components.py fits with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.analysis.arrays import Floats, Ints

SMALL = 1e-9  # share of a variance, or of an eigenvalue, that is taken for nothing


@dataclass(frozen=True)
class TaskRuns:
    """The finished runs of one task, one entry per run.

    optimizer: index among those of the scale. row: index of the (optimizer, search) pair within the task.
    seed: index among the task's seeds. paired: whether seeds connect all its optimizers.
    """

    optimizer: Ints
    row: Ints
    seed: Ints
    loss: Floats
    paired: bool


@dataclass(frozen=True)
class Block:
    """Seeds at which the same rows were run. Differences between these seeds know nothing of optimizers and
    searches: `count` independent ones, `square` (rows, rows) the sum of their cross products."""

    optimizer: Ints
    square: Floats
    count: int
    paired: bool


@dataclass(frozen=True)
class Means:
    """The mean of each row over the seeds of each block: all that is known of optimizers and searches.

    size: runs behind each. rows: (means, rows), which row each is of. fixed: design of optimizers and seeds.
    """

    optimizer: Ints
    size: Floats
    rows: Floats
    fixed: Floats
    loss: Floats


Reduced = tuple[list[Block], Means]


def reduced(task: TaskRuns, optimizers: int) -> Reduced:
    """The runs without loss of information, which is independent of how many seeds there are."""
    pattern: dict[tuple[int, ...], list[int]] = {}
    for seed in np.unique(task.seed):
        pattern.setdefault(tuple(np.sort(task.row[task.seed == seed])), []).append(int(seed))
    loss = task.loss - task.loss.mean()
    blocks, means = [], []
    for number, (rows, seeds) in enumerate(pattern.items()):
        at = np.isin(task.seed, seeds)
        order = np.lexsort((task.seed[at], task.row[at]))
        table = loss[at][order].reshape(len(rows), len(seeds))
        own = task.optimizer[at][order].reshape(table.shape)[:, 0]
        away = table - table.mean(axis=1, keepdims=True)
        if len(seeds) > 1:
            blocks.append(Block(own, away @ away.T, len(seeds) - 1, task.paired))
        means += [(o, r, number, len(seeds), m) for o, r, m in zip(own, rows, table.mean(axis=1), strict=True)]
    optimizer, row, block, size, mean = (np.array(column) for column in zip(*means, strict=True))
    fixed = np.eye(optimizers)[optimizer]
    fixed = np.hstack([fixed, np.eye(len(pattern))[block]]) if task.paired else fixed
    return blocks, Means(optimizer, size.astype(float), np.eye(task.row.max() + 1)[row], fixed, mean)


def scored(data: Sequence[Reduced], theta: Floats) -> tuple[Floats, Floats]:
    """Twice the expected information of the components, and the quadratic forms that it predicts."""
    size = len(theta)
    info, score = np.zeros((size, size)), np.zeros(size)
    for blocks, means in data:
        for block in blocks:
            own = np.eye(size - 1)[block.optimizer]
            project = np.diag(1 / theta[block.optimizer])
            if block.paired:
                weight = 1 / theta[block.optimizer]
                project = project - np.outer(weight, weight) / weight.sum()
            info[:-1, :-1] += block.count * own.T @ (project * project) @ own
            score[:-1] += own.T @ np.einsum("ij,jk,ki->i", project, block.square, project)
        project = _projection(means, theta)
        own = np.eye(size - 1)[means.optimizer] / means.size[:, None]
        by_row = project @ means.rows
        info[:-1, :-1] += own.T @ (project * project) @ own
        cross = own.T @ (by_row * by_row).sum(axis=1)
        info[:-1, -1] += cross
        info[-1, :-1] += cross
        info[-1, -1] += ((means.rows.T @ by_row) ** 2).sum()
        residual = project @ means.loss
        score[:-1] += own.T @ residual**2
        score[-1] += ((means.rows.T @ residual) ** 2).sum()
    return info, score


def _projection(means: Means, theta: Floats) -> Floats:
    """REML's P: the inverse covariance of the means with the fixed effects taken out; (means, means)."""
    precision = means.size / theta[means.optimizer]
    inverse = np.diag(precision)
    if theta[-1] > 0:
        rows = means.rows * precision[:, None]
        inverse -= (rows / (1 / theta[-1] + rows.sum(axis=0))) @ rows.T
    fixed = means.fixed[:, means.fixed.any(axis=0)]
    weighted = inverse @ fixed
    return inverse - weighted @ np.linalg.pinv(fixed.T @ weighted, hermitian=True, rcond=1e-10) @ weighted.T


def inverted(info: Floats) -> Floats:
    """The inverse of an information matrix; of what it does not tell, none."""
    return np.asarray(np.linalg.pinv(info, hermitian=True, rcond=SMALL), float)
