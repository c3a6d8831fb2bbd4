"""Which order of the optimizers is there at all: the ranks that the noise of a task allows each."""

from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.contrasts import contrasts
from benchmark.analysis.residuals import by_scale
from benchmark.analysis.scale_model import ScaleModel
from benchmark.frames import CELL

COLUMNS = [*CELL, "n", "val_loss", "rank", "rank_lo", "rank_hi"]
Rows = list[dict[str, Any]]


def rank_bands(
    losses: pd.DataFrame, noise_sd: float | None = None, choosing_sd: float | None = None
) -> pd.DataFrame:
    """The ranks each optimizer may have on a task, one row per (optimizer, scale, chinchilla_ratio).

    rank_lo is 1 + the number of optimizers significantly better, rank_hi is K - the number significantly worse
    (95 % at once for all pairs of the task). K counts the optimizers with a finished or diverged run; one whose
    seeds all diverged is worse than every one that finished. Where the noise is unknown a band is 1 to K.
    """
    rows: Rows = []
    for scale, model in by_scale(losses, noise_sd, choosing_sd):
        for ratio in np.unique(model.ratio):
            rows += [{"scale": scale, "chinchilla_ratio": ratio, **row} for row in _task_bands(model, ratio)]
    order = ["scale", "chinchilla_ratio", "rank", "optimizer"]
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS)).sort_values(by=order, ignore_index=True)


def _task_bands(model: ScaleModel, ratio: float) -> Rows:
    pairs = contrasts(model, ratio)
    here = model.ratio == ratio
    lost = np.flatnonzero(here & np.isposinf(model.mean))
    count = dict(zip(model.optimizer[here], model.n[here], strict=True))
    total = len(pairs.names) + len(lost)
    gap = pairs.mean[:, None] - pairs.mean[None, :]
    better, worse = (gap > pairs.half_width).sum(axis=1), (-gap > pairs.half_width).sum(axis=1)
    rank = 1 + (gap > 0).sum(axis=1)
    rows: Rows = [
        {"optimizer": name, "n": count[name], "val_loss": pairs.mean[i], "rank": rank[i]}
        | {"rank_lo": 1 + better[i], "rank_hi": total - worse[i] - len(lost)}
        for i, name in enumerate(pairs.names)
    ]
    last = {"n": 0, "val_loss": np.inf, "rank": len(pairs.names) + 1}
    last |= {"rank_lo": len(pairs.names) + 1, "rank_hi": total}
    return [*rows, *({"optimizer": model.optimizer[i], **last} for i in lost)]
