"""The power laws (law.py) through each optimizer's losses, and through its best hyperparameters, as tables."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from benchmark import scales
from benchmark.analysis.law import Law, fit
from benchmark.analysis.settings import cells, rows, table

SAID = ("residual_sd", "search_sd", "held_out")


def loss_laws(losses: pd.DataFrame, draws: int = 300, seed: int = 0) -> dict[str, Law]:
    """The loss law of each optimizer, from a losses frame (see `speedups`; seeds are averaged, diverged runs
    left out; with a column `search` searches are replicates). Scales that are not on our ladders need a column
    num_params."""
    found = {}
    for labels, group in cells(_sized(losses), ["optimizer"]):
        finite = rows(group, np.isfinite(group["val_loss"].to_numpy(float)))
        by = ["num_params", "chinchilla_ratio", *(c for c in ("search",) if c in finite)]
        points = [
            (cell["num_params"], cell["chinchilla_ratio"], same["val_loss"].to_numpy(float).mean())
            for cell, same in cells(finite, by)
        ]
        if points:
            found[labels["optimizer"]] = fit("loss", np.array(points), draws, seed)
    return found


def hyperparameter_laws(best: pd.DataFrame, draws: int = 300, seed: int = 0) -> dict[tuple[str, str], Law]:
    """The law of each positive numeric hyperparameter that varies, by (optimizer, hyperparameter). Averaging
    coefficients (betas, momentum) are fitted as 1 - value, the share of the new, so that none reaches 1.

    best: one row per (optimizer, scale, chinchilla_ratio) with `hp.*`, and per `search` where there is such a
    column; repeats of one search count once.
    """
    found = {}
    for labels, group in cells(_sized(best), ["optimizer"]):
        for name in (c for c in map(str, group.columns) if c.startswith("hp.")):
            search = group["search"] if "search" in group else [1] * len(group)
            seen = zip(group["num_params"], group["chinchilla_ratio"], group[name], search, strict=True)
            points = np.array([row[:3] for row in set(seen) if isinstance(row[2], int | float)], dtype=float)
            points = points.reshape(-1, 3)[np.lexsort(points.reshape(-1, 3).T)]
            complement = "beta" in name or name == "hp.momentum"
            points[:, 2] = 1 - points[:, 2] if complement else points[:, 2]
            kept = points[points[:, 2] > 0]
            if len(np.unique(kept[:, 2])) > 1:
                law = fit("hyperparameter", kept, draws, seed)
                off = len(points) - len(kept)
                flags = (*law.flags, f"{off} of 0 left out") if off else law.flags
                found[labels["optimizer"], name[3:]] = replace(law, complement=complement, flags=flags)
    return found


def summary(laws: Mapping[Any, Law]) -> pd.DataFrame:
    """One row per law: key, form, tasks, searches; B, C and E with 95 % intervals (B_lo, B_hi, ...), NaN where
    the tasks do not identify them; residual_sd, search_sd, held_out and flags as in `Law`."""
    found = []
    for key, law in laws.items():
        row: dict[str, Any] = {"key": key, "form": law.form, "tasks": law.tasks, "searches": law.searches}
        values = {"B": law.exponents[:, 0], "C": law.exponents[:, 1], "E": law.coefficients[:, -1]}
        for (name, whole), told in zip(values.items(), law.identified, strict=True):
            column = whole if told else np.full(len(whole), np.nan)
            drawn = column[1:] if len(column) > 1 else np.array([np.nan])
            row[name], row[f"{name}_lo"], row[f"{name}_hi"] = column[0], *np.quantile(drawn, [0.025, 0.975])
        said = {k: getattr(law, k) for k in SAID} | {"flags": "; ".join(law.flags)}
        found.append({**row, **said})
    ends = [f"{name}{end}" for name in "BCE" for end in ("", "_lo", "_hi")]
    return table(found, ["key", "form", "tasks", "searches", *ends, *SAID, "flags"])


def _sized(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with num_params, from our ladders where it has none."""
    if "num_params" in frame and frame["num_params"].notna().to_numpy().all():
        return frame
    return frame.assign(num_params=[float(scales.get(str(s)).num_params) for s in frame["scale"]])
