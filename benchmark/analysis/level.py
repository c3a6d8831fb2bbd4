"""What the best of several noisy settings is worth, without the luck that made it the best.

The lowest of N noisy losses is lower than any of them is expected to be: of forty equal settings by 2.2
standard deviations of a run. Whatever is compared with it looks dear. The luck is what the lowest of the
settings that may be the best would have were they equal; simulated, a reference freed of it calls 2.5 % of
equal settings dear, where the minimum itself does 27 %. One run of each setting counts, on the seed that most
have: only settings that were lucky there ran again, and what their other seeds cost more is that luck's end and
not the seeds' doing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import stats

from benchmark.analysis.arrays import Floats
from benchmark.analysis.settings import Tuned

NEAR = (
    3.5  # run sds from the lowest within which a setting may be the best: 2.8 leaves a tenth of an sd of luck
)
PRIOR_DF = 4.0  # weight of all optimizers' replicates in the noise of one
_GRID = np.linspace(-8.0, 8.0, 401)


def single_runs(cell: Tuned) -> Floats:
    """One run's loss of each setting: on the seed that most have, else its mean at that seed's level."""
    first = cell.by_seed[:, _commonest(cell.by_seed)]
    return np.where(np.isnan(first), cell.loss, first)


@dataclass(frozen=True)
class Level:
    """What the best of some settings is expected to reach: loss and its standard error, nats (NaN: unknown).

    near: the loss up to which a setting may be the best. behind: how unlucky one of these others is expected to
    have been, since the luckiest was another.
    """

    loss: float
    error: float
    near: float
    behind: float

    def rise(self, loss: Floats) -> Floats:
        """How far settings other than the best lie above it, by one run's loss of each."""
        return loss - self.loss - np.where(loss <= self.near, self.behind, 0.0)


def level(loss: Floats, sd: float, df: float) -> Level:
    """The level of these settings. loss: of one run of each. sd, df: of a run, and how well that is known: the
    luck is so many sds, so their error is in that of the level. Where sd is NaN the level is the lowest loss.
    """
    lowest = float(loss.min())
    if not np.isfinite(sd):
        return Level(lowest, float("nan"), lowest, 0.0)
    near = lowest + NEAR * sd
    count = int((loss <= near).sum())
    luck, spread = _lowest(count)
    error = sd * float(np.hypot(spread, luck / np.sqrt(2 * df)))
    return Level(lowest - sd * luck, error, near, -sd * luck / max(count - 1, 1))


def _commonest(by_seed: Floats) -> int:
    return int(np.argmax((~np.isnan(by_seed)).sum(axis=0)))


@lru_cache(maxsize=4096)
def _lowest(count: int) -> tuple[float, float]:
    """Mean and standard deviation of the lowest of so many independent standard normals."""
    above = stats.norm.sf(_GRID) ** count
    density, middle = -np.diff(above), (_GRID[1:] + _GRID[:-1]) / 2
    mean = float(density @ middle)
    return mean, float(np.sqrt(density @ (middle - mean) ** 2))


def run_noise(cells: Sequence[Tuned], noise_sd: float | None = None) -> Mapping[str, tuple[float, float]]:
    """The standard deviation of one tuning run and its df by optimizer: from settings that ran on several more
    seeds than the one that most have (see above), moderated towards all optimizers' by PRIOR_DF. `noise_sd`, or
    NaN, where no setting did, with infinite df."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        squares = found.setdefault(cell.labels["optimizer"], [0.0, 0.0])
        again = np.delete(cell.by_seed, _commonest(cell.by_seed), axis=1)
        for i, value in enumerate(_residual(again)):
            squares[i] += value
    ss, df = (sum(part[i] for part in found.values()) for i in (0, 1))
    if not df:
        return dict.fromkeys(found, (float("nan") if noise_sd is None else noise_sd, float("inf")))
    return {
        name: (float(np.sqrt((own + PRIOR_DF * ss / df) / (own_df + PRIOR_DF))), own_df + PRIOR_DF)
        for name, (own, own_df) in found.items()
    }


def _residual(by_seed: Floats) -> tuple[float, float]:
    """Sum of squares and df of (settings, seeds) with setting and seed taken out, over what ran."""
    ran = np.isfinite(by_seed)
    ran &= ran.sum(axis=1, keepdims=True) > 1
    setting, seed = np.nonzero(ran)
    if not len(setting):
        return 0.0, 0.0
    design = np.hstack([np.eye(len(by_seed))[setting], np.eye(by_seed.shape[1])[seed]])
    loss = by_seed[ran] - by_seed[ran].mean()
    solution, _, rank, _ = np.linalg.lstsq(design, loss, rcond=None)
    residual = loss - design @ solution
    df = float(len(loss) - int(rank))
    return (float(residual @ residual), df) if df else (0.0, 0.0)
