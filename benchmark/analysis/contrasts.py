"""Differences of losses at one task, in nats, with intervals that hold all at once.

`gaps`: every contestant against the baseline, over all tasks of a study (a Dunnett with unequal variances),
which a verdict rests on. `contrasts`: every pair of a task (a Tukey with unequal variances), which ranks and
flips rest on. No curve enters.

Of many intervals the luckiest looks significant by itself. For pairs the studentized range says how strict each
must be. A contrast with the baseline has its own degrees of freedom (Satterthwaite) and shares the baseline's
noise with the others: the smallest p-value of a study in which nothing differs is simulated, and its quantiles
are the levels that single intervals need (min-p; Westfall & Young 1993). The random numbers are fixed, so that
the same study always has the same level.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy import optimize, special, stats

from benchmark.analysis.arrays import Bools, Floats, Ints
from benchmark.analysis.scale_model import ScaleModel

ALPHA = 0.05  # of all intervals together
DRAWS = 10_000
_GRID = np.linspace(-4.5, 4.5, 91)
Gap = tuple[float, float, float]  # a difference and the ends of its interval, nats


@dataclass(frozen=True)
class Family:
    """Contrasts of one scale, whose estimates are independent of other scales'.

    gap, error, df: of each contrast: the estimate in nats, its standard error and degrees of freedom.
    correlation: of the estimates. variance_correlation: of the estimated variances.
    """

    gap: Floats
    error: Floats
    df: Floats
    correlation: Floats
    variance_correlation: Floats


@dataclass(frozen=True)
class Gaps:
    """The contrasts of one scale. cell: index among the model's cells; the rest as in `Family`.

    level: of each two-sided interval, so that all of the study's hold at once. Intervals are
    gap -/+ error * student(level / 2, df); NaN where the noise is unknown.
    """

    cell: Ints
    family: Family
    level: Floats

    def interval(self, levels: Floats | float | None = None) -> tuple[Floats, Floats]:
        """Ends at the simultaneous level, or at `levels`."""
        tail = np.asarray(self.level if levels is None else levels) / 2
        half = self.family.error * student(tail, self.family.df)
        return self.family.gap - half, self.family.gap + half


def gaps(models: Sequence[ScaleModel], baseline: str, looks: Sequence[int] = ()) -> list[Gaps]:
    """The contrasts of each scale, with levels that hold over all the scales of `models` together.

    looks: numbers of report seeds at which cells were judged and might have stopped; each has its share of .05.
    """
    found = [_against(model, baseline) for model in models]
    smallest = smallest_p([family for _, family in found if np.isfinite(family.error).all()])
    total = sum(len(cell) for cell, _ in found)
    tables = []
    for model, (cell, family) in zip(models, found, strict=True):
        spent = spending(looks, model.seeds[cell])
        levels = {alpha: level(smallest, alpha, total) for alpha in np.unique(spent)}
        tables.append(Gaps(cell, family, np.array([levels[alpha] for alpha in spent])))
    return tables


def spending(looks: Sequence[int], seeds: Ints) -> Floats:
    """The error that a cell of so many seeds may spend: by `ALPHA * (n / n_max)**2` up to each look, less what
    the looks before it have spent (Lan & DeMets 1983, power family). Without looks all of it."""
    if not len(looks):
        return np.full(len(seeds), ALPHA)
    at = np.sort(np.asarray(looks, float))
    spent = np.diff(ALPHA * (at / at[-1]) ** 2, prepend=0.0)
    return spent[np.minimum(np.searchsorted(at, seeds), len(at) - 1)]


def _against(model: ScaleModel, baseline: str) -> tuple[Ints, Family]:
    place = np.cumsum(model.finite) - 1
    own = {r: i for i, r in enumerate(model.ratio) if model.optimizer[i] == baseline and model.finite[i]}
    others: Bools = model.finite & (model.optimizer != baseline) & np.isin(model.ratio, list(own))
    cell = np.flatnonzero(others)
    base = np.array([own[r] for r in model.ratio[cell]], int)
    pick = np.zeros((len(cell), int(model.finite.sum())))
    pick[np.arange(len(cell)), place[cell]] = 1.0
    pick[np.arange(len(cell)), place[base]] -= 1.0
    parts = model.components
    covariance = pick @ model.covariance @ pick.T
    weights = np.einsum("ci,ijk,cj->ck", pick, model.weights, pick)
    error = np.sqrt(np.maximum(np.diag(covariance), 1e-24))
    between = weights @ parts.covariance @ weights.T
    if not parts.known:
        error = np.full(len(cell), np.nan)
    gap = model.mean[cell] - model.mean[base]
    return cell, Family(gap, error, parts.degrees(weights), _correlation(covariance), _correlation(between))


def _correlation(covariance: Floats) -> Floats:
    sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    safe = np.where(sd > 0, sd, 1.0)
    found = covariance / np.outer(safe, safe)
    np.fill_diagonal(found, 1.0)
    return found


@dataclass(frozen=True)
class Contrasts:
    """One task's pairs. names: the K optimizers with a finite mean, sorted. mean: their losses in nats.

    half_width: (K, K), of the interval of `mean[i] - mean[j]`; NaN where the noise is unknown.
    """

    names: Sequence[str]
    mean: Floats
    half_width: Floats

    def interval(self, a: str, b: str) -> Gap:
        """Loss of a minus loss of b, with the ends of its interval."""
        i, j = self.names.index(a), self.names.index(b)
        gap, half = float(self.mean[i] - self.mean[j]), float(self.half_width[i, j])
        return gap, gap - half, gap + half


def contrasts(model: ScaleModel, ratio: float, frames: int = 1) -> Contrasts:
    """The pairs of one task. The level is 95 % for all of them at once, and for all of `frames` such tables at
    once where a conclusion is picked out of several (Bonferroni over tables)."""
    here = model.ratio[model.finite] == ratio
    mean, names = model.mean[model.finite][here], model.optimizer[model.finite][here]
    half = np.full((len(mean), len(mean)), np.nan)
    if len(mean) > 1 and model.df:
        error, df = (part[np.ix_(here, here)] for part in model.differences())
        apart = ~np.eye(len(mean), dtype=bool)
        single = pair_level(ALPHA / frames, len(mean), float(np.median(df[apart])))
        half[apart] = error[apart] * student(single / 2, df[apart])
        np.fill_diagonal(half, 0.0)
    return Contrasts([str(name) for name in names], mean, half)


def pair_level(alpha: float, groups: int, df: float) -> float:
    """The two-sided level of one pair, so that all pairs of so many groups hold with probability 1 - alpha."""
    if groups == 2:
        return alpha
    rounded = float(f"{min(df, 1e4):.2g}")  # levels hardly depend on it, and are kept
    return _pair_level(alpha, groups, np.inf if rounded >= 1e4 else rounded)


@cache
def _pair_level(alpha: float, groups: int, df: float) -> float:
    at, beyond = _range_tail(groups)
    scale, weight = _scales(df)

    def excess(q: float) -> float:  # the tail of the range of normals beyond q estimated standard deviations
        return float(np.interp(q * scale, at, beyond, right=0.0) @ weight) - alpha

    q = float(optimize.root_scalar(excess, bracket=(1e-3, 1e6), method="brentq").root)
    return float(2 * (special.stdtr(df, -q / np.sqrt(2)) if np.isfinite(df) else special.ndtr(-q / np.sqrt(2))))


def _scales(df: float) -> tuple[Floats, Floats]:
    """Values of an estimated standard deviation over the true one, and their probabilities."""
    if np.isinf(df):
        return np.ones(1), np.ones(1)
    low, high = np.log(stats.chi2.ppf([1e-12, 1 - 1e-12], df))
    edges = np.exp(np.linspace(low, high, 401))
    square = np.sqrt(edges[1:] * edges[:-1])
    return np.sqrt(square / df), np.diff(stats.chi2.cdf(edges, df))


@cache
def _range_tail(groups: int) -> tuple[Floats, Floats]:
    """Probability that the range of so many standard normals is beyond each of a grid of widths."""
    width = np.linspace(0.0, 14.0, 1401)
    z = np.linspace(-9.0, 9.0, 361)
    inner = special.ndtr(z) - special.ndtr(z - width[:, None])
    density = groups * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    # 1 - inner ** (groups - 1), so that a small tail keeps its digits
    missing = -np.expm1((groups - 1) * np.log(np.maximum(inner / special.ndtr(z), 1e-300)))
    whole = special.ndtr(z) ** (groups - 1)
    return width, (missing * whole * density).sum(axis=1) * (z[1] - z[0])


def smallest_p(families: list[Family], draws: int = DRAWS) -> Floats:
    """The smallest two-sided p-value over all contrasts in each of `draws` studies without any difference."""
    rng = np.random.default_rng(20_250_902)
    largest = np.zeros(draws)
    for family in families:
        if not len(family.df):
            continue
        z = rng.standard_normal((draws, len(family.df))) @ _root(family.correlation).T
        if np.isfinite(family.df).any():
            shared = rng.standard_normal((draws, len(family.df))) @ _root(family.variance_correlation).T
            for i, df in enumerate(family.df):
                if np.isfinite(df):
                    scale = np.sqrt(special.chdtri(df, special.ndtr(-_GRID)) / df)
                    t = np.abs(z[:, i]) / np.interp(shared[:, i], _GRID, scale)
                    z[:, i] = deviate(t, df)
        np.maximum(largest, np.abs(z).max(axis=1), out=largest)
    return 2 * special.ndtr(-largest)


def level(smallest: Floats, alpha: float, contrasts: int) -> float:
    """The two-sided level of each single interval, so that all hold with probability 1 - alpha: never stricter
    than Bonferroni's, never laxer than alpha."""
    if contrasts <= 1:
        return alpha
    return float(np.clip(np.quantile(smallest, alpha), alpha / contrasts, alpha))


def student(probability: float | Floats, df: Floats) -> Floats:
    """Upper quantile of Student's t; of the normal where df is infinite, NaN where it is 0."""
    finite = np.isfinite(df) & (df > 0)
    t = stats.t.isf(probability, np.where(finite, df, 1.0))
    return np.where(finite, t, np.where(np.isinf(df), stats.norm.isf(probability), np.nan))


def deviate(t: Floats, df: Floats | float) -> Floats:
    """The normal deviate with t's tail, by Wallace's approximation (1959; within .1 % from 3 df on)."""
    d = np.where(np.isfinite(df), df, 1.0)
    z = np.sqrt(d * np.log1p(t * t / d)) * (8 * d + 1) / (8 * d + 3)
    return np.where(np.isfinite(df), np.copysign(z, t), t)


def _root(correlation: Floats) -> Floats:
    """A square root of a correlation matrix that need not have full rank, and changes little where it does."""
    return np.asarray(np.linalg.cholesky(correlation + 1e-6 * np.eye(len(correlation))), float)
