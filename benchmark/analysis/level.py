"""What the best of several noisy settings is worth, without the luck that made it the best.

The lowest of N noisy losses is lower than any of them is expected to be: of forty equal settings by 2.2
standard deviations of a run. Whatever is compared with it looks dear. The luck is what the lowest of the
settings that may be the best would have were they equal; simulated, a reference freed of it calls 2.5 % of
equal settings dear, where the minimum itself does 27 %. Next: whatif.py and tuning.py, which compare with it.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from scipy import stats

from benchmark.analysis.settings import Cell, Floats

NEAR = (
    3.5  # run sds from the lowest within which a setting may be the best: 2.8 leaves a tenth of an sd of luck
)
PRIOR_DF = 4.0  # weight of all optimizers' replicates in the noise of one
_GRID = np.linspace(-8.0, 8.0, 401)


def level(loss: Floats, seeds: Floats, sd: float) -> tuple[float, float]:
    """The expected loss of the best of these settings and its standard error, nats.

    loss, seeds: of each setting its mean and the number of runs in it. sd: of one run's loss; where it is NaN
    the level is the lowest loss and the error NaN.
    """
    best = int(np.argmin(loss))
    if not np.isfinite(sd):
        return float(loss[best]), float("nan")
    apart = sd * np.sqrt((1 / seeds + 1 / seeds[best]) / 2)
    rivals = tuple(sorted(seeds[loss <= loss[best] + NEAR * apart].tolist()))
    mean, spread = _lowest(rivals)
    return float(loss[best] - sd * mean), sd * spread


@lru_cache(maxsize=4096)
def _lowest(seeds: tuple[float, ...]) -> tuple[float, float]:
    """Mean and standard deviation of the lowest of independent means of so many runs, in sds of a run."""
    above = np.exp(stats.norm.logsf(_GRID[:, None] * np.sqrt(seeds)).sum(axis=1))
    density, middle = -np.diff(above), (_GRID[1:] + _GRID[:-1]) / 2
    mean = float(density @ middle)
    return mean, float(np.sqrt(density @ (middle - mean) ** 2))


def run_sds(cells: Sequence[Cell], noise_sd: float | None = None) -> Mapping[str, float]:
    """The standard deviation of one tuning run by optimizer: from settings that ran on several seeds, moderated
    towards all optimizers' by PRIOR_DF. `noise_sd`, or NaN, where no setting did."""
    found: dict[str, list[float]] = {}
    for cell in cells:
        squares = found.setdefault(cell.labels["optimizer"], [0.0, 0.0])
        for i, value in enumerate(_residual(cell.by_seed)):
            squares[i] += value
    ss, df = (sum(part[i] for part in found.values()) for i in (0, 1))
    if not df:
        return dict.fromkeys(found, float("nan") if noise_sd is None else noise_sd)
    return {
        name: float(np.sqrt((own + PRIOR_DF * ss / df) / (own_df + PRIOR_DF)))
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
