"""The published study's own speedups, read off the baseline's fitted curve (arXiv:2509.02046).

`d_eff` is where that curve reaches an optimizer's loss, and the speedup is `d_eff` over the data the optimizer
had. The interval is parametric: the noise gives draws of every cell's mean, and the curve is fitted again in
each. The curve's misfit is part of such a speedup, and no interval knows it: speedup.py does without.
"""

import numpy as np
import pandas as pd

from benchmark.analysis import curve
from benchmark.analysis.arrays import Floats
from benchmark.analysis.scale_model import ScaleModel

LEVEL = 0.95


def scale_table(model: ScaleModel, baseline: str, draws: int, rng: np.random.Generator) -> pd.DataFrame:
    """One row per cell: d_eff, lo, hi (95 %, each by itself; lo_one and hi_one are the same) and notes."""
    finite, is_base = model.finite, model.optimizer == baseline
    base, ratios = is_base[finite], model.ratio[finite]
    d_eff, lo, hi = (np.full(len(finite), np.nan) for _ in range(3))
    notes = ""
    if base.sum() >= 2:
        means = model.mean[None, finite]
        if model.df:
            means = np.vstack([means, model.draw(draws, rng)])
        fitted = curve.fit(ratios[base], means[:, base])  # row 0 is the estimate, the others are draws
        notes = fitted.flag if fitted.falls[0] else "undefined: the baseline's loss does not fall with data"
        reached = fitted.d_eff(means)
        d_eff[finite] = reached[0]
        if model.df:
            lo[finite], hi[finite] = interval(reached[1:] / ratios)
        never = np.isposinf(model.mean)  # every seed diverged: no amount of baseline is too small
        d_eff[never], lo[never], hi[never] = 0.0, 0.0, 0.0
    return pd.DataFrame({"d_eff": d_eff, "lo": lo, "hi": hi, "lo_one": lo, "hi_one": hi, "notes": notes})


def interval(draws: Floats, level: float = LEVEL) -> tuple[Floats, Floats]:
    """Lower and upper quantile of each column of (draws, cells).

    Infinite draws count as what they are; an undefined one (a curve that does not fall) as the worst for either
    end. Quantiles are order statistics, because interpolating towards infinity is not defined.
    """
    tail = (1 - level) / 2
    lo = np.quantile(np.where(np.isnan(draws), 0.0, draws), tail, axis=0, method="lower")
    hi = np.quantile(np.where(np.isnan(draws), np.inf, draws), 1 - tail, axis=0, method="higher")
    return lo, hi
