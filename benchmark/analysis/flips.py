"""Does the order of two optimizers depend on where one looks?

A flip is `confirmed` only where simultaneous intervals exclude zero on opposite sides; a changed sign alone is
`possible`, and with noise and enough pairs there are always some. One task's pairs are in contrasts.py.
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis import curve
from benchmark.analysis.best_of_k import budget_medians
from benchmark.analysis.contrasts import Contrasts, Gap, contrasts
from benchmark.analysis.cost import seconds_per_token
from benchmark.analysis.residuals import check_losses, checked_by_scale
from benchmark.analysis.scale_model import ScaleModel
from benchmark.analysis.settings import cells
from benchmark.frames import RUN

COLUMNS = [
    "optimizer_a", "optimizer_b", "kind", "scale", "chinchilla_ratio", "where_1", "where_2", "diff_1", "diff_2",
    "lo_1", "hi_1", "lo_2", "hi_2", "status", "mechanism",
]  # fmt: skip
FRACTIONS = tuple(i / 10 for i in range(1, 11))  # of training
MEDIAN = ["median", "lo", "hi"]
SIZES = ["diff_1", "diff_2", "lo_1", "hi_1", "lo_2", "hi_2"]
Rows = list[dict[str, Any]]
Given = tuple[float | None, float | None]  # noise_sd, choosing_sd


def flips(
    curves: pd.DataFrame,
    losses: pd.DataFrame,
    runs: pd.DataFrame | None = None,
    baseline: str = "adamw",
    noise_sd: float | None = None,
    choosing_sd: float | None = None,
) -> pd.DataFrame:
    """Pairs of optimizers whose order differs between two places, one row per pair and two

    Args:
        curves: as in `store.Results.curves`; may be empty.
        losses: a losses frame (see speedup.py).
        runs: as in `store.Results.runs`: adds the kinds "budget" and "seconds", and mechanisms.
        baseline: whose curve translates seconds into data.
        noise_sd, choosing_sd: as in speedup.py.

    Kinds: "fraction" (10 % … 90 % of training against its end, on the same validation sequences), "ratio",
    "scale", "budget" (median best of 1, 2, 4 ... random-search trials against that of the most that have an
    interval), "seconds" (equal tokens against equal time, on one machine). Columns diff_* = loss of a minus
    loss of b in nats, with 95 % intervals lo_* to hi_* that hold at once for all pairs and all places of a
    kind; status `confirmed` or `possible`; mechanism, where one is visible ("" if none). For "budget" the
    interval is that of one median less that of the other, each exact.
    """
    given = (noise_sd, choosing_sd)
    tenths = along_training(curves, losses)
    losses = check_losses(losses)
    models = dict(checked_by_scale(losses, *given))
    found = [*_along_training(tenths, given)]
    found += _between_tasks(models)
    if runs is not None and len(runs):
        found += _between_units(models, in_seconds(losses, runs, baseline), given)
        found += _between_budgets(runs)
    recipes = decay_recipes(runs) if runs is not None and len(runs) else {}
    diverged = {(s, m.optimizer[i], m.ratio[i]) for s, m in models.items() for i in np.flatnonzero(m.diverged)}
    for row in found:
        row["mechanism"] = _mechanism(row, recipes, diverged)
    table = pd.DataFrame(found, columns=pd.Index(COLUMNS))
    order = ["status", "kind", "scale", "chinchilla_ratio", "optimizer_a", "optimizer_b", "where_1"]
    return table.sort_values(by=order, ignore_index=True)


def _compare(one: Contrasts, two: Contrasts, **labels: object) -> Rows:
    """The flips between two tables of pairs."""
    rows: Rows = []
    for a, b in combinations(sorted(set(one.names) & set(two.names)), 2):
        rows += _flip(a, b, one.interval(a, b), two.interval(a, b), **labels)
    return rows


def _flip(a: str, b: str, one: Gap, two: Gap, **labels: object) -> Rows:
    """One row if the two differences have opposite signs, none otherwise."""
    if one[0] * two[0] >= 0:
        return []
    apart = one[2] < 0 < two[1] or two[2] < 0 < one[1]
    sizes = dict(zip(SIZES, (one[0], two[0], *one[1:], *two[1:]), strict=True))
    status = "confirmed" if apart else "possible"
    return [{"optimizer_a": a, "optimizer_b": b, **labels, **sizes, "status": status}]


def _along_training(frames: Mapping[float, pd.DataFrame], given: Given) -> Rows:
    models = {fraction: dict(checked_by_scale(frame, *given)) for fraction, frame in frames.items()}
    tables = sum(len(np.unique(m.ratio)) for at in models.values() for m in at.values())
    rows: Rows = []
    for scale, end in models.get(1.0, {}).items():
        for ratio in np.unique(end.ratio):
            last = contrasts(end, ratio, tables)
            task = {"kind": "fraction", "scale": scale, "chinchilla_ratio": ratio, "where_2": "end"}
            for fraction in (f for f in models if f < 1):
                early = contrasts(models[fraction][scale], ratio, tables)
                rows += _compare(early, last, **task, where_1=f"{fraction:.0%}")
    return rows


def _between_tasks(models: Mapping[str, ScaleModel]) -> Rows:
    tasks = [(scale, ratio) for scale, model in models.items() for ratio in np.unique(model.ratio)]
    tables = {task: contrasts(models[task[0]], task[1], len(tasks)) for task in tasks}
    rows: Rows = []
    for one, two in combinations(tasks, 2):
        if one[0] == two[0]:
            where = {"where_1": f"{one[1]:g}x", "where_2": f"{two[1]:g}x"}
            rows += _compare(
                tables[one], tables[two], kind="ratio", scale=one[0], chinchilla_ratio=np.nan, **where
            )
        elif one[1] == two[1]:
            where = {"where_1": one[0], "where_2": two[0]}
            rows += _compare(tables[one], tables[two], kind="scale", scale="", chinchilla_ratio=one[1], **where)
    return rows


def _between_units(models: Mapping[str, ScaleModel], seconds: Mapping[str, pd.DataFrame], given: Given) -> Rows:
    rows: Rows = []
    fits = [(machine, *fit) for machine, frame in seconds.items() for fit in checked_by_scale(frame, *given)]
    tables = 2 * sum(len(np.unique(model.ratio)) for _, _, model in fits)
    for machine, scale, model in fits:
        for ratio in np.unique(model.ratio):
            where = {"where_1": "tokens", "where_2": f"seconds on {machine}"}
            sides = (contrasts(models[scale], ratio, tables), contrasts(model, ratio, tables))
            rows += _compare(*sides, kind="seconds", scale=scale, chinchilla_ratio=ratio, **where)
    return rows


def _between_budgets(runs: pd.DataFrame) -> Rows:
    rows: Rows = []
    for labels, task in cells(budget_medians(runs), ["scale", "chinchilla_ratio"]):
        best: dict[str, dict[int, Gap]] = {}
        for name, k, *median in task[["optimizer", "k", *MEDIAN]].itertuples(index=False, name=None):
            best.setdefault(name, {})[k] = (median[0], median[1], median[2])
        for a, b in combinations(sorted(best), 2):
            common = sorted(best[a].keys() & best[b].keys())
            gaps = {k: _minus(best[a][k], best[b][k]) for k in common}
            for k in common[:-1]:
                where = {"where_1": f"best of {k}", "where_2": f"best of {common[-1]}"}
                rows += _flip(a, b, gaps[k], gaps[common[-1]], kind="budget", **labels, **where)
    return rows


def _minus(a: Gap, b: Gap) -> Gap:
    return a[0] - b[0], a[1] - b[2], a[2] - b[1]


def _mechanism(
    row: Mapping[str, Any],
    recipes: Mapping[tuple[str, str, float], str],
    diverged: set[tuple[str, str, float]],
) -> str:
    names = (row["optimizer_a"], row["optimizer_b"])
    cells = [[c for c in recipes if c[1] == name and _covers(row, c)] for name in names]
    decays = [sorted({recipes[c] for c in found}) for found in cells]
    notes = []
    if all(len(d) == 1 for d in decays) and decays[0] != decays[1]:
        notes.append(f"decay: {decays[0][0]} against {decays[1][0]}")
    lost = sorted({c[1] for c in diverged if c[1] in names and _covers(row, c)})
    return "; ".join([*notes, *(f"diverged seeds of {name}" for name in lost)])


def _covers(row: Mapping[str, Any], cell: tuple[str, str, float]) -> bool:
    """Whether a flip looks at this cell (scale, optimizer, ratio)."""
    scales = {row["where_1"], row["where_2"]} if row["kind"] == "scale" else {row["scale"]}
    ratio = f"{cell[2]:g}x"
    ratios = {row["where_1"], row["where_2"]} if row["kind"] == "ratio" else {f"{row['chinchilla_ratio']:g}x"}
    return cell[0] in scales and ratio in ratios


def along_training(curves: pd.DataFrame, losses: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """Losses at each tenth of training, from the recorded points on either side (linear between them).

    Only runs that are in `losses` and did not fail; a diverged one is infinite beyond its last point. All
    tenths, the end included, come from the curve: the same sequences everywhere. Empty without curves.
    A curve belongs to the searches whose report run it is: told by trial_id where losses and curves have it,
    else by `search`. Raises ValueError where neither tells a cell's searches apart.
    """
    if curves.empty:
        return {}
    if "use" in curves:
        curves = curves.loc[curves["use"] == "report"]
    known = check_losses(losses).rename(columns={"val_loss": "final"}).dropna(subset=["final"])
    curves = _with_search(curves, losses)
    points = curves.loc[:, [*RUN, "fraction", "val_loss"]].merge(known, on=RUN)
    points = points.sort_values(by=[*RUN, "fraction"], ignore_index=True)
    fraction, loss = points["fraction"].to_numpy(float), points["val_loss"].to_numpy(float)
    first = np.flatnonzero(~points.duplicated(RUN).to_numpy())
    cells = points.loc[first, RUN]
    beyond = np.where(np.isposinf(points["final"].to_numpy(float)[first]), np.inf, np.nan)
    ends = np.append(first, len(points))[1:]
    at = np.full((len(first), len(FRACTIONS)), np.nan)
    for i, (start, end) in enumerate(zip(first, ends, strict=True)):
        at[i] = np.interp(FRACTIONS, fraction[start:end], loss[start:end], left=np.nan, right=beyond[i])
    return {f: cells.assign(val_loss=at[:, j]) for j, f in enumerate(FRACTIONS)}


def _with_search(curves: pd.DataFrame, losses: pd.DataFrame) -> pd.DataFrame:
    """The curves with the search that each is of; once for each where several searches chose alike."""
    searches = losses.assign(search=0) if "search" not in losses else losses
    if "trial_id" in curves and "trial_id" in searches:
        owners = searches.loc[:, ["trial_id", "search"]].drop_duplicates()
        return curves.drop(columns="search", errors="ignore").merge(owners, on="trial_id")
    if "search" in curves:
        return curves
    if len(set(searches["search"])) > 1:
        raise ValueError("curves need the column trial_id or search: a cell of the losses was searched twice")
    return curves.assign(search=searches["search"].iloc[0] if len(searches) else 0)


def in_seconds(losses: pd.DataFrame, runs: pd.DataFrame, baseline: str) -> dict[str, pd.DataFrame]:
    """Losses at equal time, per machine: what each run would have reached with the baseline's seconds.

    A run that takes twice the baseline's seconds per token gets half the data it had, counted on the
    baseline's curve: loss -> d_eff -> d_eff x (baseline's seconds per token / its own) -> loss. Training time
    alone counts, the median over a cell's report runs. Needs the baseline on the same machine and task. A run
    that diverged is infinite here too; one at or below the curve's floor has no equal time and is left out.
    """
    speed = seconds_per_token(runs, baseline)
    if speed.empty:
        return {}
    losses = check_losses(losses)
    models = dict(checked_by_scale(losses))
    frames = {}
    for machine, known in speed.groupby("machine", sort=True):
        per_cell = known.set_index(["optimizer", "scale", "chinchilla_ratio"])["seconds_per_token"].to_dict()
        parts = []
        for scale, model in models.items():
            base = model.finite & (model.optimizer == baseline)
            if base.sum() < 2:
                continue
            fitted = curve.fit(model.ratio[base], model.mean[None, base])
            part = losses.loc[losses["scale"] == scale]
            cells = list(zip(part["optimizer"], part["chinchilla_ratio"], strict=True))
            own = np.array([per_cell.get((o, scale, r), np.nan) for o, r in cells])
            yardstick = np.array([per_cell.get((baseline, scale, r), np.nan) for _, r in cells])
            diverged = np.isposinf(part["val_loss"].to_numpy(float)) & np.isfinite(yardstick)
            d_eff = fitted.d_eff(part["val_loss"].to_numpy(float)[None])[0] * yardstick / own
            timed = (d_eff > 0) & np.isfinite(d_eff)
            loss = np.where(diverged, np.inf, fitted.loss(np.where(timed, d_eff, fitted.r0))[0])
            parts.append(part.assign(val_loss=loss).loc[timed | diverged])
        if sum(len(part) for part in parts):
            frames[str(machine)] = pd.concat(parts)
    return frames


def decay_recipes(runs: pd.DataFrame) -> dict[tuple[str, str, float], str]:
    """How the learning rate decays in each (scale, optimizer, ratio), where all report runs agree."""
    report = runs.loc[runs["use"] == "report"]
    if not {"hp.decay_kind", "hp.decay_fraction"} <= set(report.columns):
        return {}
    found: dict[tuple[str, str, float], set[str]] = {}
    columns = ["scale", "optimizer", "chinchilla_ratio", "hp.decay_kind", "hp.decay_fraction"]
    for scale, optimizer, ratio, kind, fraction in report[columns].itertuples(index=False, name=None):
        text = f"{kind} over the last {fraction:.0%}" if fraction < 1 else f"{kind} throughout"
        found.setdefault((scale, optimizer, ratio), set()).add(text)
    return {cell: texts.pop() for cell, texts in found.items() if len(texts) == 1}
