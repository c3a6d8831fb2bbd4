"""What choosing itself adds: one search repeated on other tuning seeds, and how far its winners lie apart.

Intervals elsewhere hold for the setting that was chosen. Another draw of tuning seeds might have chosen
another, and the report losses of these differ by more than their own noise where the choice matters.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.analysis.frames import report_losses
from benchmark.analysis.residuals import by_scale
from benchmark.analysis.settings import CELL, Floats, rows, table

Searches = Mapping[str, Mapping[str, Any]]
COLUMNS = [
    *CELL, "n", "settings", "seeds", "val_loss", "lowest", "highest", "spread", "noise", "ratio", "adds", "p",
]  # fmt: skip


def first_searches(cells: Searches) -> list[Mapping[str, Any]]:
    """The cells of a manifest that are the first search of a task and say whose they are."""
    return [c for c in cells.values() if "optimizer" in c and not c.get("search") and not c.get("seed_offset")]


def choosing(runs: pd.DataFrame, cells: Searches) -> pd.DataFrame:
    """How far the winners of a repeated search lie apart on the report seeds, one row per repeated search.

    Args:
        runs: as in `store.Results.runs`, those of the repeats included.
        cells: the cells of a sweep's manifest; a repeat has a `seed_offset`.

    Returns CELL, n (searches with a reported winner), settings (different ones among the winners), seeds
    (report seeds that all have), val_loss (mean), lowest and highest (of the n means over these seeds), spread
    (their standard deviation), noise (standard deviation of such a mean by the scale's pooled residual), ratio
    (spread over noise: about 1 where the settings differ and are equally good), adds (the standard deviation
    that choosing adds, 0 where the spread is within the noise), p (F test of no difference; NaN where the noise
    is not known). A winner of which a report run diverged makes the spread infinite.
    """
    firsts = first_searches(cells)
    losses = report_losses(runs, [i for c in firsts for i in c["reports"]])
    models = dict(by_scale(losses)) if len(losses) else {}
    found = []
    for first in firsts:
        same = [c for c in cells.values() if _key(c) == _key(first)]
        means, seeds, labels = _means([r for c in same if len(r := _reported(runs, c))])
        if len(same) < 2 or len(means) < 2:
            continue
        model = models.get(labels["scale"])
        sd, df = (model.residual_sd, model.df) if model else (float("nan"), 0.0)
        spread = float(np.std(means, ddof=1)) if np.isfinite(means).all() else float("inf")
        noise = sd / np.sqrt(seeds) if seeds else float("nan")
        f = (spread / noise) ** 2 if noise > 0 else float("nan")
        different = {tuple(sorted(c["winner"].items())) for c in same if c.get("winner")}
        found.append(
            {
                **labels,
                **{"n": len(means), "settings": len(different), "seeds": seeds, "val_loss": means.mean()},
                **{"lowest": means.min(), "highest": means.max(), "spread": spread, "noise": noise},
                **{"ratio": np.sqrt(f), "adds": np.sqrt(max(spread**2 - noise**2, 0.0)) if noise else spread},
                "p": float(stats.f.sf(f, len(means) - 1, df)) if df else float("nan"),
            }
        )
    return table(found, COLUMNS)


def _key(cell: Mapping[str, Any]) -> tuple[Any, Any]:
    return cell.get("optimizer"), cell.get("task")


def _reported(runs: pd.DataFrame, cell: Mapping[str, Any]) -> pd.DataFrame:
    """A search's report runs that finished or diverged, the latter with an infinite loss."""
    own = rows(
        runs, runs["trial_id"].isin(list(cell["reports"])) & runs["status"].isin(["finished", "diverged"])
    )
    own = own.drop_duplicates("trial_id")
    loss = np.where(own["status"] == "finished", own["val_loss"].to_numpy(float, na_value=np.nan), np.inf)
    return own.assign(val_loss=loss)


def _means(reported: list[pd.DataFrame]) -> tuple[Floats, int, dict[str, Any]]:
    """Each search's mean over the seeds that all have, how many those are, and the labels of the cell."""
    if not reported:
        return np.empty(0), 0, {}
    shared = set.intersection(*(set(frame["seed"]) for frame in reported))
    kept = [rows(frame, frame["seed"].isin(list(shared))) for frame in reported]
    means = np.array([frame["val_loss"].mean() for frame in kept if len(frame)])
    return means, len(shared), reported[0].loc[:, CELL].to_dict("records")[0]
