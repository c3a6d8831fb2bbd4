"""How much does a speedup rest on single points of the baseline's curve? Offered by speedup.py."""

import numpy as np
import pandas as pd

from benchmark.analysis import conversion, curve
from benchmark.analysis.residuals import by_scale

COLUMNS = [
    "scale", "baseline_ratio", "baseline_loss", "fitted", "residual", "optimizer", "chinchilla_ratio",
    "speedup", "speedup_without", "change",
]  # fmt: skip


def fit_quality(losses: pd.DataFrame, baseline: str = "adamw") -> pd.DataFrame:
    """How much each speedup rests on single baseline points: three parameters on four points are fragile.

    Returns one row per (scale, baseline_ratio, optimizer, chinchilla_ratio): baseline_loss, fitted and residual
    (nats) of that baseline point, speedup with all points, speedup_without it (in the curve; the difference to
    the baseline at the task stays), and their difference `change`. The last two are NaN where fewer than four
    points would remain; scales with one baseline ratio and tasks without a baseline are left out.
    """
    rows = []
    for scale, model in by_scale(losses):
        base = model.finite & (model.optimizer == baseline)
        ratios, means = model.ratio[base], model.mean[base]
        if len(ratios) < 2:
            continue
        other = model.finite & (model.optimizer != baseline) & np.isin(model.ratio, ratios)
        at = model.ratio[other]
        gap = model.mean[other] - means[np.searchsorted(ratios, at)]
        full = curve.fit(ratios, means[None])
        speedup = conversion.anchored(full, at, gap) / at
        for i, fitted in enumerate(full.loss(ratios)[0]):
            without = np.full(len(at), np.nan)
            if len(ratios) > 4:
                rest = curve.fit(np.delete(ratios, i), np.delete(means, i)[None])
                without = conversion.anchored(rest, at, gap) / at
            point = (scale, ratios[i], means[i], fitted, means[i] - fitted)
            cells = zip(model.optimizer[other], at, speedup, without, strict=True)
            rows += [(*point, *cell, cell[3] - cell[2]) for cell in cells]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))
