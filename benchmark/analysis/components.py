"""How much of a loss is luck: variance components of `loss = optimizer + search + seed + residual`.

Restricted maximum likelihood by Fisher scoring (Patterson & Thompson 1971), for any pattern of searches and
seeds: one variance of the residual for each optimizer, and one, `choosing`, of what a search adds. Optimizers
and seeds are fixed effects of each task, so that what a seed does to all of them cancels.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmark.analysis.arrays import Floats
from benchmark.analysis.reml import SMALL, Means, Reduced, TaskRuns, inverted, reduced, scored

PRIOR_DF = 4.0  # weight of the pool beside an optimizer's own runs: noise differs twofold (micro-27k-1x)
FEW = 4  # degrees of freedom with which a choosing estimated as none says little
_STEPS = 12


@dataclass(frozen=True)
class Components:
    """The variances of one scale, in nats squared: `values` has one entry per optimizer, then the choosing.

    covariance: of the estimates; zero where a stand-in was given. pooled: residual variance common to all, and
        pooled_df. df: each optimizer's own, moderation included; infinite for a stand-in, 0 where unknown.
    choosing_df: 0 where no optimizer has two searches. p_equal: Bartlett's test that all residual variances
        are equal; NaN where it cannot be asked.
    """

    values: Floats
    covariance: Floats
    pooled: float
    pooled_df: float
    df: Floats
    choosing_df: float
    p_equal: float

    @property
    def known(self) -> bool:
        """Whether there is any measure of the noise."""
        return self.pooled_df > 0

    def variance(self, weights: Floats) -> Floats:
        """Of combinations of means whose variance is `weights` (..., components) times the components."""
        return weights @ self.values

    def degrees(self, weights: Floats) -> Floats:
        """Satterthwaite's degrees of freedom of such a variance; infinite where every component is given."""
        spread = np.einsum("...i,ij,...j->...", weights, self.covariance, weights)
        with np.errstate(divide="ignore", invalid="ignore"):
            df = 2 * self.variance(weights) ** 2 / spread
        return np.where(spread > 0, np.maximum(df, 1.0), np.inf)


def estimate(
    tasks: Sequence[TaskRuns], optimizers: int, noise_sd: float | None, choosing_sd: float | None
) -> Components:
    """Fit the components of one scale's tasks.

    First one residual variance for all and the choosing's; then each optimizer's own, moderated: the pool
    counts as `PRIOR_DF` degrees of freedom beside those of its own runs (as limma's squeezed variances do;
    Smyth 2004), less for one that is louder than the pool explains. Choosing that the fit finds to be none is
    none, unless it rests on fewer than FEW df. Two optimizers can only show the variance of their difference:
    it is shared equally between them.

    noise_sd, choosing_sd: standard deviations in nats that stand in where nothing can be estimated.
    """
    data = [reduced(task, optimizers) for task in tasks]
    theta = np.full(optimizers + 1, _start(tasks))
    theta[-1] = 0.0
    info, _ = scored(data, theta)
    searched = bool(info[-1, -1] * theta[0] ** 2 > SMALL)
    if not searched:
        theta[-1] = choosing_sd**2 if choosing_sd is not None else 0.0
    if info[:-1, :-1].sum() * theta[0] ** 2 <= SMALL:
        return _without_residual(theta, noise_sd)
    pool = _common(data, theta, searched)
    choosing_df = sum(_between(means) for _, means in data)
    differ = searched and (pool[-1] > 0 or choosing_df < FEW)
    if searched and not differ:  # then the runs of all searches tell the residual
        pool = _common(data, pool, False)
    info, score = scored(data, pool)
    merge = _merge(optimizers, differ)
    both = 2 * inverted(merge @ info @ merge.T)
    pooled_df = 2 * pool[0] ** 2 / both[0, 0]
    raw, raw_df = _apart(info, score, pool)
    theta, covariance = pool, merge.T @ both @ merge
    if optimizers > 2:
        agrees = _belongs(raw, raw_df)
        weight = agrees * np.where(np.isfinite(raw_df), raw_df, 0.0) + SMALL
        theta, covariance = _moderate(data, pool, PRIOR_DF * agrees, weight / weight.sum(), covariance, differ)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = 2 * theta[:-1] ** 2 / np.diag(covariance)[:-1]
    return Components(
        values=theta,
        covariance=covariance,
        pooled=float(pool[0]),
        pooled_df=float(pooled_df),
        df=df,
        choosing_df=float(choosing_df),
        p_equal=_bartlett(raw, raw_df),
    )


def _start(tasks: Sequence[TaskRuns]) -> float:
    """A positive variance to begin with: that of the runs about their (optimizer, search) means."""
    squares = [np.var(t.loss[t.row == r]) for t in tasks for r in np.unique(t.row) if (t.row == r).sum() > 1]
    everything = [np.var(t.loss) for t in tasks]
    return float(max(np.mean(squares or [0.0]), SMALL * np.max(everything, initial=0.0), 1e-16))


def _common(data: Sequence[Reduced], theta: Floats, searched: bool) -> Floats:
    """One residual variance for all optimizers, and the choosing's if there is something to tell it."""
    merge = _merge(len(theta) - 1, searched)
    for _ in range(_STEPS):
        info, score = scored(data, theta)
        given = 0.0 if searched else info[:, -1] * theta[-1]
        solved = inverted(merge @ info @ merge.T) @ (merge @ (score - given))
        new = theta.copy()
        new[:-1] = max(solved[0], SMALL * theta[0])
        if searched:
            new[-1] = max(solved[1], 0.0)
        moved, theta = np.abs(new - theta).max(), new
        if moved <= 1e-4 * theta[0]:
            break
    return theta


def _merge(optimizers: int, searched: bool) -> Floats:
    """From all components to one residual variance and, where it is free, the choosing's."""
    merge = np.zeros((2, optimizers + 1))
    merge[0, :-1], merge[1, -1] = 1.0, 1.0
    return merge if searched else merge[:1]


def _moderate(
    data: Sequence[Reduced],
    pool: Floats,
    prior_df: Floats,
    weight: Floats,
    pool_covariance: Floats,
    searched: bool,
) -> tuple[Floats, Floats]:
    """Each optimizer's own variance, with the others' mean as `prior_df` further observations of it.

    weight: of each optimizer in that mean, in which a loud one counts little. The covariance counts that the
    mean is itself an estimate, from runs that are partly the optimizer's own.
    """
    theta, fixed = pool.copy(), pool[-1]
    active = len(theta) if searched else len(theta) - 1
    for _ in range(_STEPS):
        info, score = scored(data, theta)
        prior = np.append(prior_df / theta[:-1] ** 2, 0.0)
        target = np.append(np.full(len(prior_df), weight @ theta[:-1]), 0.0)
        score = score + prior * target - (0 if searched else info[:, -1] * fixed)
        whole = (info + np.diag(prior))[:active, :active]
        new = theta.copy()
        new[:active] = inverted(whole) @ score[:active]
        new[:-1] = np.maximum(new[:-1], 0.02 * target[0])
        new[-1] = max(new[-1], 0.0)
        moved = np.abs(np.log(new[:-1] / theta[:-1])).max()
        theta = new
        if moved < 1e-3:
            break
    info, _ = scored(data, theta)
    whole = (info + np.diag(np.append(prior_df / theta[:-1] ** 2, 0.0)))[:active, :active]
    covariance = np.zeros((len(theta), len(theta)))
    inverse = inverted(whole)
    own = inverse @ info[:active, :active]
    known = np.append(np.full(len(prior_df), weight @ theta[:-1] / pool[0]), 1.0)
    shared = (pool_covariance * np.outer(known, known))[:active, :active]
    covariance[:active, :active] = 2 * inverse + shared - own @ shared @ own.T
    return theta, covariance


def _apart(info: Floats, score: Floats, pool: Floats) -> tuple[Floats, Floats]:
    """Each optimizer's variance without moderation, from the pooled fit, and its degrees of freedom."""
    inner = info[:-1, :-1]
    inverse = inverted(inner)
    raw = inverse @ (score[:-1] - info[:-1, -1] * pool[-1])
    with np.errstate(divide="ignore", invalid="ignore"):
        return raw, pool[:-1] ** 2 / np.diag(inverse)


def _belongs(variance: Floats, df: Floats) -> Floats:
    """How far each optimizer's variance agrees with the others': 1, or less where it is significantly larger,
    so that a loud one is not talked down by the pool."""
    usable = np.where(np.isfinite(df), df, 0.0)
    total = usable.sum()
    rest_df = np.maximum(total - usable, 1e-9)
    rest = ((usable * variance).sum() - usable * variance) / rest_df
    tail = stats.f.sf(variance / np.maximum(rest, 1e-300), np.maximum(usable, 1e-9), rest_df)
    return np.where((usable > 0) & (variance > 0), np.minimum(1.0, 2 * tail), 1.0)


def _bartlett(variance: Floats, df: Floats) -> float:
    """Bartlett's test of equal variances; a variance estimated below zero counts as small."""
    usable = np.isfinite(df) & (df > 0.5)
    if usable.sum() < 3:  # of two optimizers only the sum is known
        return float("nan")
    s, d = variance[usable], df[usable]
    mean = (d * s).sum() / d.sum()
    if not mean > 0:  # estimates below zero outweigh the others: nothing can be said
        return float("nan")
    s = np.maximum(s, 0.02 * mean)
    statistic = d.sum() * np.log((d * s).sum() / d.sum()) - (d * np.log(s)).sum()
    correction = 1 + ((1 / d).sum() - 1 / d.sum()) / (3 * (len(d) - 1))
    return float(stats.chi2.sf(statistic / correction, len(d) - 1))


def _between(means: Means) -> int:
    """Degrees of freedom between the searches of the same optimizer, beyond what seeds explain."""
    rank = np.linalg.matrix_rank
    return int(rank(np.hstack([means.fixed, means.rows])) - rank(means.fixed))


def _without_residual(theta: Floats, noise_sd: float | None) -> Components:
    size = len(theta)
    known = noise_sd is not None
    theta = theta.copy()
    theta[:-1] = noise_sd**2 if noise_sd is not None else 0.0
    df = np.inf if known else 0.0
    zero = np.zeros((size, size))
    return Components(theta, zero, float(theta[0]), df, np.full(size - 1, df), 0.0, float("nan"))
