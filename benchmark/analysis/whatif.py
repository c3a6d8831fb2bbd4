"""What would have been: another optimizer's setting used blindly, or a baseline that was left under-tuned.

Both from trials that were run, never from a model of the loss surface. Offered by tuning.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.settings import CELL, Cell, rows, table, tuned
from benchmark.analysis.speedup import speedups

GPT3_LR = 6e-4  # peak rate of the 125M model in the GPT-3 report (arXiv 2005.14165, table 2.1)
TASK = ["task", "scale", "chinchilla_ratio"]


def transfer_cost(runs: pd.DataFrame, shared: Sequence[str] | None = None, band: float = 0.0) -> pd.DataFrame:
    """What it costs to run one optimizer with another's best setting, from trials that were run.

    shared: hyperparameters that are carried over, such as ["peak_lr"]; all that both have by default.
    Returns TASK, source, target, carried (how many), changed (in how many the two best settings differ), others
    (in how many of its remaining ones the trial found differs from the target's best), loss, cost (nats above
    the target's best; infinite where it diverged) and trial_id. The trial is the target's own that agrees with
    the source's best in everything carried and is nearest to the target's best in the rest; where there is
    none, loss and cost are NaN. Pivot `cost` by source and target for the matrix.
    """
    by_task: dict[str, list[tuple[Cell, int]]] = {}
    for cell in tuned(runs):
        by_task.setdefault(cell.labels["task"], []).append((cell, cell.centre(band)))
    found = []
    for members in by_task.values():
        for source, given in members:
            for target, own in members:
                task = {c: target.labels[c] for c in TASK}
                names = {"source": source.labels["optimizer"], "target": target.labels["optimizer"]}
                found.append({**task, **names, **_transferred(target, own, source.setting(given), shared)})
    columns = ["source", "target", "carried", "changed", "others", "loss", "cost", "trial_id"]
    return table(found, [*TASK, *columns])


def _transferred(cell: Cell, own: int, given: dict[str, Any], shared: Sequence[str] | None) -> dict[str, Any]:
    asked = cell.names if shared is None else shared
    mine = cell.setting(own)
    names = [n for n in cell.names if n in asked and mine[n] is not None and given.get(n) is not None]
    carried = np.array([n in names for n in cell.names])
    values = np.array([given[n] for n in names], dtype=object)
    agrees = np.flatnonzero((cell.values[:, carried] == values).all(axis=1))
    counts = {"carried": len(names), "changed": sum(mine[n] != given[n] for n in names)}
    if not len(agrees) or not names:
        return {**counts, "others": np.nan, "loss": np.nan, "cost": np.nan, "trial_id": ""}
    others = cell.differs(own)[:, ~carried].sum(axis=1)
    near = int(agrees[np.lexsort((cell.loss[agrees], others[agrees]))[0]])
    loss = {"loss": cell.loss[near], "cost": cell.loss[near] - cell.loss[own]}
    return {**counts, "others": int(others[near]), **loss, "trial_id": cell.trial_id[near]}


def claimed(
    runs: pd.DataFrame,
    losses: pd.DataFrame,
    baseline: str = "adamw",
    noise_sd: float | None = None,
    reference_lr: float = GPT3_LR,
) -> pd.DataFrame:
    """The speedup that each optimizer would have shown over a baseline whose learning rate was not tuned.

    At each rate that a task's tuning tried, the baseline's loss rises above its best by `rise` nats (the lowest
    of all its trials at that rate, so that the rest of its recipe is tuned: a mild case). Its tuned losses plus
    that rise enter `speedups` as one more contestant; an optimizer's claim is its speedup over that
    one's.

    runs: tuning runs (`store.Results.runs`). losses: as for `speedups`; may be another split than the runs'.
    Returns CELL, peak_lr, reference (the rate nearest to `reference_lr`, GPT-3's by default), rise, tuned (the
    speedup over the tuned baseline), claimed, and extrapolated (the under-tuned loss lies outside what the
    baseline's tuned runs span). The baseline's own row says what tuning the rate alone is worth.
    """
    tried = _rises(rows(runs, runs["optimizer"] == baseline))
    frames = [losses]
    for row in tried.to_dict("records"):
        same = (losses["optimizer"] == baseline) & (losses["scale"] == row["scale"])
        tuned = rows(losses, same & (losses["chinchilla_ratio"] == row["chinchilla_ratio"]))
        frames.append(tuned.assign(optimizer=row["name"], val_loss=tuned["val_loss"] + row["rise"]))
    cell = ["optimizer", "scale", "chinchilla_ratio"]
    speed = speedups(pd.concat(frames, ignore_index=True), baseline, noise_sd, n_bootstrap=100)
    speed = speed.loc[:, [*cell, "speedup", "extrapolated"]]
    under = tried.merge(speed, left_on=["name", *cell[1:]], right_on=cell).drop(columns=["name", "optimizer"])
    over = rows(speed, speed["optimizer"].isin(set(losses["optimizer"]))).drop(columns="extrapolated")
    both = over.rename(columns={"speedup": "tuned"}).merge(under, on=cell[1:])
    gap = np.abs(np.log(both["peak_lr"].to_numpy(float) / reference_lr))
    nearest = gap == both.assign(gap=gap).groupby("task")["gap"].transform("min")
    # relative to the fitted curve at the tuned loss, so that a rise of 0 claims what tuning measured
    tuned_fit = both["speedup"].where(both["rise"] == 0).groupby(both["task"]).transform("max")
    claim = both["tuned"] * tuned_fit / both["speedup"]
    both = both.assign(claimed=claim, reference=nearest)
    columns = [*CELL, "peak_lr", "reference", "rise", "tuned", "claimed", "extrapolated"]
    return both.sort_values([*CELL, "peak_lr"], ignore_index=True).loc[:, columns]


def _rises(runs: pd.DataFrame) -> pd.DataFrame:
    """Per task and finished rate: how far the best trial at that rate lies above the best of all."""
    found = []
    for cell in tuned(runs):
        rates = cell.column("peak_lr")
        for rate in sorted(set(rates[np.isfinite(cell.loss)]) - {None}):
            name = f"{cell.labels['optimizer']} at {rate:g}"
            rise = cell.loss[rates == rate].min() - cell.loss[0]
            found.append({**cell.labels, "name": name, "peak_lr": rate, "rise": rise})
    return table(found, [*CELL, "name", "peak_lr", "rise"]).drop(columns="optimizer")
