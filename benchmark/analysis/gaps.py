"""Contestants against the baseline at the same task, in nats, all at once (a Dunnett with unequal variances).

No curve enters: this is what a verdict rests on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmark.analysis.components import Bools, Floats, Ints
from benchmark.analysis.residuals import ScaleModel
from benchmark.analysis.simultaneous import Family, level, smallest_p, student

ALPHA = 0.05


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
    found = [_contrasts(model, baseline) for model in models]
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


def _contrasts(model: ScaleModel, baseline: str) -> tuple[Ints, Family]:
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
