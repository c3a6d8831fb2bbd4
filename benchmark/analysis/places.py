"""Where an order of optimizers can be looked at, each as a losses frame: a point of training, or equal time."""

import numpy as np
import pandas as pd

from benchmark.analysis import curve
from benchmark.analysis.residuals import KEY, check_losses, checked_by_scale

FRACTIONS = tuple(i / 10 for i in range(1, 11))


def along_training(curves: pd.DataFrame, losses: pd.DataFrame) -> dict[float, pd.DataFrame]:
    """Losses at each tenth of training, from the recorded points on either side (linear between them).

    Only runs that are in `losses` and did not fail; a diverged one is infinite beyond its last point. All
    tenths, the end included, come from the curve: the same sequences everywhere. Empty without curves.
    """
    if curves.empty:
        return {}
    if "role" in curves:
        curves = curves.loc[curves["role"] == "report"]
    known = check_losses(losses).rename(columns={"val_loss": "final"})
    by = [c for c in KEY if c in curves]
    points = curves.loc[:, [*by, "fraction", "val_loss"]].merge(known.dropna(subset=["final"]), on=by)
    points = points.sort_values(by=[*KEY, "fraction"], ignore_index=True)
    fraction, loss = points["fraction"].to_numpy(float), points["val_loss"].to_numpy(float)
    first = np.flatnonzero(~points.duplicated(KEY).to_numpy())
    cells = points.loc[first, KEY]
    beyond = np.where(np.isposinf(points["final"].to_numpy(float)[first]), np.inf, np.nan)
    ends = np.append(first, len(points))[1:]
    at = np.full((len(first), len(FRACTIONS)), np.nan)
    for i, (start, end) in enumerate(zip(first, ends, strict=True)):
        at[i] = np.interp(FRACTIONS, fraction[start:end], loss[start:end], left=np.nan, right=beyond[i])
    return {f: cells.assign(val_loss=at[:, j]) for j, f in enumerate(FRACTIONS)}


def in_seconds(losses: pd.DataFrame, runs: pd.DataFrame, baseline: str) -> dict[str, pd.DataFrame]:
    """Losses at equal time, per machine: what each run would have reached with the baseline's seconds.

    A run that takes twice the baseline's seconds per token gets half the data it had, counted on the
    baseline's curve: loss -> d_eff -> d_eff x (baseline's seconds per token / its own) -> loss. Training time
    alone counts, the median over a cell's report runs. Needs the baseline on the same machine and task. A run
    that diverged is infinite here too; one at or below the curve's floor has no equal time and is left out.
    """
    speed = seconds_per_token(runs)
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


def seconds_per_token(runs: pd.DataFrame) -> pd.DataFrame:
    """Median training seconds per token of each cell's finished report runs on each machine that is named.

    Columns machine, optimizer, scale, chinchilla_ratio, seconds_per_token.
    """
    timed = runs.loc[(runs["role"] == "report") & (runs["status"] == "finished")]
    timed = timed.loc[(timed["train_seconds"] > 0) & (timed["tokens"] > 0) & (timed["machine"] != "")]
    by = ["machine", "optimizer", "scale", "chinchilla_ratio"]
    timed = timed.assign(seconds_per_token=timed["train_seconds"].astype(float) / timed["tokens"].astype(float))
    return timed.groupby(by, as_index=False, sort=True)["seconds_per_token"].median()


def decay_recipes(runs: pd.DataFrame) -> dict[tuple[str, str, float], str]:
    """How the learning rate decays in each (scale, optimizer, ratio), where all report runs agree."""
    report = runs.loc[runs["role"] == "report"]
    if not {"hp.decay_kind", "hp.decay_fraction"} <= set(report.columns):
        return {}
    found: dict[tuple[str, str, float], set[str]] = {}
    columns = ["scale", "optimizer", "chinchilla_ratio", "hp.decay_kind", "hp.decay_fraction"]
    for scale, optimizer, ratio, kind, fraction in report[columns].itertuples(index=False, name=None):
        text = f"{kind} over the last {fraction:.0%}" if fraction < 1 else f"{kind} throughout"
        found.setdefault((scale, optimizer, ratio), set()).add(text)
    return {cell: texts.pop() for cell, texts in found.items() if len(texts) == 1}
