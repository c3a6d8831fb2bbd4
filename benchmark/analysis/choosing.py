"""What choosing itself adds: one cell searched several times over, and how far its winners lie apart.

Another draw of tuning seeds might have chosen another setting, and the report losses of these differ by more
than their own noise where the choice matters. residuals.py pools this over a scale and carries it into every
interval; here is what each cell shows of it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.analysis.arrays import Floats
from benchmark.analysis.residuals import by_scale
from benchmark.analysis.scale_model import ScaleModel
from benchmark.analysis.settings import CELL, rows, table
from benchmark.analysis.settings import cells as by_cell
from benchmark.losses import report_losses

Searches = Mapping[str, Mapping[str, Any]]
COLUMNS = [
    *CELL, "n", "settings", "seeds", "val_loss", "lowest", "highest", "spread", "noise", "ratio", "adds", "p",
]  # fmt: skip


def first_searches(cells: Searches) -> list[Mapping[str, Any]]:
    """The first search of each cell of a manifest, of those that say whose they are."""
    return [c for c in cells.values() if "optimizer" in c and not c.get("search") and not c.get("seed_offset")]


def searches(cells: Searches) -> dict[str, list[Mapping[str, Any]]]:
    """ "optimizer/task" -> a manifest's entries of its searches, in the order of their numbers."""
    found: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for key, entry in cells.items():
        cell, _, number = key.partition("#")
        found.setdefault(cell, []).append((int(number or 0), entry))
    return {cell: [e for _, e in sorted(all_, key=lambda pair: pair[0])] for cell, all_ in found.items()}


def owners(cells: Searches) -> dict[str, list[int]]:
    """Report trial -> the searches of its cell whose winner it ran, counted from 0, for `report_losses`:
    several where they chose alike."""
    found: dict[str, list[int]] = {}
    for entries in searches(cells).values():
        for number, entry in enumerate(entries):
            for trial_id in entry.get("reports", ()):
                found.setdefault(trial_id, []).append(number)
    return found


def choosing(runs: pd.DataFrame, cells: Searches) -> pd.DataFrame:
    """How far the winners of a cell's searches lie apart on the report seeds, one row per cell with several.

    Args:
        runs: as in `store.Results.runs`. cells: those of a sweep's manifest, one for each search.

    Returns CELL, n (searches with a reported winner), settings (different ones among the winners), seeds (the
    fewest of a search), val_loss (mean of the searches'), lowest and highest (of the n means), spread (their
    standard deviation), noise (what their residuals alone would make it), ratio (spread over noise: about 1
    where the settings differ and are equally good), adds (the standard deviation that choosing adds, 0 where
    the spread is within the noise), p (F test of no difference; NaN where the noise is not known). Where
    searches have seeds in common these alone are compared. Where each has its own, what a seed did to the other
    optimizers is taken out; without others that ran there, the seeds' luck is in the spread. A winner of which
    a report run diverged makes the spread infinite.
    """
    known = [c for c in cells.values() if "optimizer" in c]
    losses = report_losses(runs, [i for c in known for i in c["reports"]], searches=owners(cells))
    losses = rows(losses, losses["status"] != "failed")
    models = dict(by_scale(losses)) if len(losses) else {}
    found = []
    for labels, task in by_cell(losses, ["task", "scale", "chinchilla_ratio"]):
        wide = task.pivot(index=["optimizer", "search"], columns="seed", values="val_loss")
        each = pd.DataFrame(wide.groupby(level="optimizer").mean())
        model = models[labels["scale"]]
        for name in pd.unique(wide.index.get_level_values("optimizer")):
            own = rows(wide, wide.index.get_level_values("optimizer") == name)
            if len(own) > 1:
                same = [c for c in known if _key(c) == (name, labels["task"])]
                settings = {tuple(sorted(c["winner"].items())) for c in same if c.get("winner")}
                others = rows(each, each.index != name).to_numpy(float)
                row = _compared(own.to_numpy(float), others, model, str(name))
                found.append({"optimizer": name, **labels, "settings": len(settings), **row})
    return table(found, COLUMNS)


def _compared(own: Floats, others: Floats, model: ScaleModel, name: str) -> dict[str, Any]:
    """own: (searches, seeds) losses, NaN where a search has no such seed. others: (optimizers, seeds)."""
    shared = ~np.isnan(own).any(axis=0)
    variance = float(model.components.values[list(model.names).index(name)])
    if shared.any():
        used = own[:, shared]
        means, noise = used.mean(axis=1), np.full(len(own), variance / shared.sum())
    else:
        others = others[np.isfinite(others).all(axis=1)]
        luck = others.mean(axis=0) - others.mean() if len(others) else 0.0
        means = np.nanmean(own - luck, axis=1)
        reference = model.components.pooled / max(len(others), 1)
        noise = (variance + reference) / (~np.isnan(own)).sum(axis=1)
    count = shared.sum() if shared.any() else (~np.isnan(own)).sum(axis=1).min()
    sd = float(np.sqrt(noise.mean())) if model.df and count > 1 else float("nan")
    spread = float(np.std(means, ddof=1)) if np.isfinite(means).all() else float("inf")
    f = (spread / sd) ** 2 if sd > 0 else float("nan")
    df = float(model.components.df[list(model.names).index(name)])
    return {
        **{"n": len(own), "seeds": int(count), "val_loss": means.mean(), "lowest": means.min()},
        **{"highest": means.max(), "spread": spread, "noise": sd, "ratio": np.sqrt(f)},
        "adds": np.sqrt(max(spread**2 - sd**2, 0.0)) if np.isfinite(sd) or np.isinf(spread) else float("nan"),
        "p": float(stats.f.sf(f, len(own) - 1, df)) if np.isfinite(f) else float("nan"),
    }


def _key(cell: Mapping[str, Any]) -> tuple[Any, Any]:
    return cell.get("optimizer"), cell.get("task")
