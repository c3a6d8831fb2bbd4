"""What would have been: another optimizer's setting used blindly, or a baseline that was left under-tuned.

Both from trials that were run, never from a model of the loss surface, and compared with what the best setting
is expected to reach (level.py), not with the lowest of many noisy runs. Offered by tuning.py.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmark.analysis import curve
from benchmark.analysis.arrays import Bools, Floats
from benchmark.analysis.level import Level, level, run_noise, single_runs
from benchmark.analysis.residuals import by_scale
from benchmark.analysis.settings import CELL, Tuned, rows, table, tuned
from benchmark.analysis.speedup import speedups

GPT3_LR = 6e-4  # peak rate of the 125M model in the GPT-3 report (arXiv 2005.14165, table 2.1)
TASK = ["task", "scale", "chinchilla_ratio"]
INFLATION = ["inflation", "inflation_lo", "inflation_hi"]


def transfer_cost(
    runs: pd.DataFrame,
    shared: Sequence[str] | None = None,
    band: float = 0.0,
    noise_sd: float | None = None,
) -> pd.DataFrame:
    """What it costs to run one optimizer with another's best setting, from trials that were run.

    shared: hyperparameters that are carried over, such as ["peak_lr"]; all that both have by default.
    noise_sd: of one tuning run in nats, used where no setting ran on several seeds.
    Returns TASK, source, target, carried (how many), changed (in how many the two best settings differ), others
    (in how many of its remaining ones the trial found differs from the target's best), loss (of one run), cost
    (nats above what the target's best is expected to reach; infinite where it diverged; 0 where the trial is
    the best itself), error (standard error of the cost; NaN where the noise is unknown, and then the reference
    is the lowest loss), dear (beyond what noise does in 2.5 % of equal settings) and trial_id. The trial is the
    target's own that agrees with the source's best in everything carried and is nearest to the target's best in
    the rest; where there is none that keeps most of the rest (`_kept`), loss, cost and error are NaN. Pivot
    `cost` by source and target for the matrix.
    """
    cells = tuned(runs)
    noise = run_noise(cells, noise_sd)
    by_task: dict[str, list[tuple[Tuned, int]]] = {}
    for cell in cells:
        by_task.setdefault(cell.labels["task"], []).append((cell, cell.centre(band)))
    found = []
    for members in by_task.values():
        for target, own in members:
            sd, df = noise[target.labels["optimizer"]]
            single = single_runs(target)
            reference = level(single, sd, df)
            task = {c: target.labels[c] for c in TASK}
            for source, given in members:
                names = {"source": source.labels["optimizer"], "target": target.labels["optimizer"]}
                trial = _transferred(target, own, source.setting(given), shared)
                found.append(
                    {**task, **names, **trial, **_cost(target, single, own, trial["at"], reference, sd, df)}
                )
    columns = ["source", "target", "carried", "changed", "others", "loss", "cost", "error", "dear", "trial_id"]
    return table(found, [*TASK, *columns]).sort_values([*TASK, "source", "target"], ignore_index=True)


def _transferred(cell: Tuned, own: int, given: dict[str, Any], shared: Sequence[str] | None) -> dict[str, Any]:
    """Which of the cell's settings is the given one as far as it is carried; `at` is None where none is."""
    asked = cell.names if shared is None else shared
    mine = cell.setting(own)
    names = [n for n in cell.names if n in asked and mine[n] is not None and given.get(n) is not None]
    carried = np.array([n in names for n in cell.names])
    values = np.array([given[n] for n in names], dtype=object)
    agrees = np.flatnonzero((cell.values[:, carried] == values).all(axis=1) & _kept(cell, own, ~carried))
    counts = {"carried": len(names), "changed": sum(mine[n] != given[n] for n in names)}
    if not len(agrees) or not names:
        return {**counts, "others": np.nan, "at": None}
    others = cell.differs(own)[:, ~carried].sum(axis=1)
    # the nearest, not the luckiest: of equally near ones the first tried, so that no loss has a say
    near = min(agrees.tolist(), key=lambda i: (others[i], cell.trial_id[i]))
    return {**counts, "others": int(others[near]), "at": near}


def _kept(cell: Tuned, own: int, others: Bools) -> Bools:
    """Which settings keep what was varied among `others` as it is in the setting `own`, but for one, or for
    half of it; what was not stated is not counted. What differs in more says nothing of one change: a model's
    search moves everything at once."""
    varied = others & (cell.values != cell.values[0]).any(axis=0)
    stated = np.array([[value is not None for value in setting] for setting in cell.values])
    changed = (cell.differs(own) & stated & stated[own])[:, varied]
    return changed.sum(axis=1) <= max(1, varied.sum() / 2)


def _cost(
    cell: Tuned, single: Floats, own: int, at: int | None, reference: Level, sd: float, df: float
) -> dict[str, Any]:
    """What the trial cost, by one run of every setting."""
    if at is None:
        return {"loss": np.nan, "cost": np.nan, "error": np.nan, "dear": False, "trial_id": ""}
    cost, error = float(reference.rise(single[at])), float(np.hypot(sd, reference.error))
    if at == own:
        cost, error = 0.0, 0.0
    known = 0.0 if np.isnan(error) else error
    dear = cost > stats.t.ppf(0.975, df) * known
    return {"loss": single[at], "cost": cost, "error": error, "dear": dear, "trial_id": cell.trial_id[at]}


def claimed(
    runs: pd.DataFrame,
    losses: pd.DataFrame,
    baseline: str = "adamw",
    noise_sd: float | None = None,
    reference_lr: float = GPT3_LR,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """The speedup that each optimizer would have shown over a baseline whose learning rate was not tuned.

    At each rate that a task's tuning tried, the rest mostly as in its best setting, the baseline's loss rises
    above its best by `rise` nats (with the best of its trials at that rate: a mild case). The baseline's
    curve, through its own loss at that task, says how many times the tokens make up for that rise: the
    inflation. An optimizer's claim is its speedup times the inflation.

    runs: tuning runs (`store.Results.runs`). losses: as for `speedups`; may be another split than the runs'.
    noise_sd: of one run in nats, used where it cannot be estimated. confidence: of the inflation's interval.
    Returns CELL, peak_lr, best (the rate of the best setting, whose rise is 0 by definition), reference (the
    rate nearest to `reference_lr`, GPT-3's by default), rise, error (standard error of the rise, NaN where the
    noise is unknown), inflation, inflation_lo, inflation_hi (the noise of the rise alone), tuned (the speedup
    over the tuned baseline), claimed, and extrapolated (the under-tuned loss lies outside what the baseline's
    tuned runs span). The baseline's own row says what tuning the rate alone is worth.
    """
    tried = _inflated(_rises(rows(runs, runs["optimizer"] == baseline), noise_sd), losses, baseline, confidence)
    cell = ["optimizer", "scale", "chinchilla_ratio"]
    speed = speedups(losses, baseline, noise_sd, n_bootstrap=100).loc[:, [*cell, "speedup"]]
    both = speed.rename(columns={"speedup": "tuned"}).merge(tried, on=cell[1:])
    gap = np.abs(np.log(both["peak_lr"].to_numpy(float) / reference_lr))
    nearest = gap == both.assign(gap=gap).groupby("task")["gap"].transform("min")
    both = both.assign(claimed=both["tuned"] * both["inflation"], reference=nearest)
    columns = [*CELL, "peak_lr", "best", "reference", "rise", "error", *INFLATION, "tuned", "claimed"]
    return both.sort_values([*CELL, "peak_lr"], ignore_index=True).loc[:, [*columns, "extrapolated"]]


def _rises(runs: pd.DataFrame, noise_sd: float | None) -> pd.DataFrame:
    """Per task and finished rate: how far the best at that rate is expected to lie above the best of all."""
    found = []
    known = tuned(runs)
    noise = run_noise(known, noise_sd)
    for cell in known:
        rates, (sd, df) = cell.column("peak_lr"), noise[cell.labels["optimizer"]]
        single = single_runs(cell)
        reference = level(single, sd, df)
        usable = np.isfinite(single) & _kept(cell, 0, np.array([n != "peak_lr" for n in cell.names]))
        for rate in sorted(set(rates[usable]) - {None}):
            here = level(single[(rates == rate) & usable], sd, df)
            row = {**cell.labels, "peak_lr": rate, "best": rate == rates[0], "rise": 0.0, "error": 0.0}
            if rate != rates[0]:
                error = float(np.hypot(here.error, reference.error))
                row |= {"rise": float(reference.rise(np.array(here.loss))), "error": error}
            found.append(row)
    return table(found, [*CELL, "peak_lr", "best", "rise", "error"]).drop(columns="optimizer")


def _inflated(rises: pd.DataFrame, losses: pd.DataFrame, baseline: str, confidence: float) -> pd.DataFrame:
    """How many times the tokens make up for each rise, NaN where the baseline has no curve."""
    models = dict(by_scale(losses))
    far = stats.norm.ppf((1 + confidence) / 2)
    found = []
    for row in rises.to_dict("records"):
        inflation, extrapolated = np.full(3, np.nan), False
        model = models.get(row["scale"])
        own = model.finite & (model.optimizer == baseline) if model else np.zeros(0, bool)
        if model and own.sum() > 1 and row["chinchilla_ratio"] in model.ratio[own]:
            fitted = curve.fit(model.ratio[own], model.mean[None, own])
            tuned_loss = fitted.loss(np.array([row["chinchilla_ratio"]]))
            half = row["error"] * far
            ends = row["rise"] + np.array([0.0, -half, half])
            reached = fitted.d_eff(tuned_loss + ends)[0]
            with np.errstate(divide="ignore"):
                inflation = row["chinchilla_ratio"] / reached
            extrapolated = not model.ratio[own].min() <= reached[0] <= model.ratio[own].max()
        named = dict(zip(INFLATION, inflation, strict=True))
        found.append({**row, **named, "extrapolated": extrapolated})
    return table(found, [*rises.columns, *INFLATION, "extrapolated"])
