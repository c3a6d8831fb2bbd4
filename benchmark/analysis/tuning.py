"""What tuning shows of hyperparameters: sensitivity, what must be tuned anew, learning-rate tolerance.

Functions of frames like `store.Results.runs`. Beside it: best_of_k.py has what searches came to
along their budget, choosing.py how repeated ones differ, edges.py the values that no trial brackets, and
whatif.py what other settings would have cost.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from benchmark.analysis.arrays import Floats
from benchmark.analysis.choosing import first_searches
from benchmark.analysis.level import level, run_noise, single_runs
from benchmark.analysis.settings import CELL, STUDY_BAND, cells, serve_all, table, tuned


def sensitivity(runs: pd.DataFrame, noise_sd: float | None = None) -> pd.DataFrame:
    """How much loss rises when one hyperparameter leaves the best setting and the others stay.

    noise_sd: of one run in nats, used where no setting ran on several seeds.
    Returns CELL, hyperparameter, best_value, n (finished one-at-a-time neighbours), diverged, min_rise,
    median_rise and max_rise in nats over the finished ones (NaN without any), and error, the standard error of
    one such rise. A rise is counted from what the best setting is expected to reach (see level.py), so that a
    hyperparameter without effect has a median rise about 0; where the noise is unknown, which error NaN says,
    from the lowest loss.
    """
    found = []
    known = tuned(runs)
    noise = run_noise(known, noise_sd)
    for cell in known:
        sd, df = noise[cell.labels["optimizer"]]
        single = single_runs(cell)
        reference = level(single, sd, df)
        for name in cell.names:
            _, line = cell.along(0, name)
            line = line[line != 0]
            rise = reference.rise(single[line])
            finite = rise[np.isfinite(rise)]
            low, middle, high = np.quantile(finite, [0, 0.5, 1]) if len(finite) else [np.nan] * 3
            counts = {"n": len(finite), "diverged": len(rise) - len(finite)}
            sizes = {"min_rise": low, "median_rise": middle, "max_rise": high}
            what = {"hyperparameter": name, "best_value": cell.column(name)[0]}
            if len(rise):
                error = float(np.hypot(sd, reference.error))
                found.append({**cell.labels, **what, **counts, **sizes, "error": error})
    columns = ["hyperparameter", "best_value", "n", "diverged", "min_rise", "median_rise", "max_rise", "error"]
    return table(found, [*CELL, *columns])


def scaling_sensitive(
    runs: pd.DataFrame, band: float = STUDY_BAND, searched: Mapping[str, Mapping[str, Any]] | None = None
) -> pd.DataFrame:
    """Which hyperparameters need tuning again on another task (the published study's rule, arXiv 2509.02046).

    A hyperparameter is insensitive if one value occurs in every task among the settings within the noise band
    of the best. searched: the cells of a sweep's manifest; what the first search of a cell says is near its
    winner counts, so that this is the rule by which the sweep itself froze and tuned (older manifests: its
    winner and measured band); elsewhere `band` nats around the lowest loss. Returns optimizer, hyperparameter,
    tasks (where it was varied), agreed (the values that serve all, a tuple) and sensitive. A hyperparameter
    that varied in fewer than two tasks is left out.
    """
    known = {(c["optimizer"], c["task"]): c for c in first_searches(searched or {})}
    near: dict[tuple[str, str], list[set[Any]]] = {}
    for cell in tuned(runs):
        search = known.get((cell.labels["optimizer"], cell.labels["task"]), {})
        best = cell.index(search.get("winner") or {}) or 0
        measured = search.get("noise", {}).get("band")
        good = cell.near(best, band if measured is None else float(measured))
        for name in cell.names:
            values = cell.column(name)
            if len(set(values) - {None}) > 1:
                close = search.get("near", {}).get(name) or set(values[good]) - {None}
                near.setdefault((cell.labels["optimizer"], name), []).append(set(close))
    found = []
    for (optimizer, name), values in near.items():
        agreed = tuple(sorted(serve_all(values), key=str))
        verdict = {"tasks": len(values), "agreed": agreed, "sensitive": not agreed}
        if len(values) > 1:
            found.append({"optimizer": optimizer, "hyperparameter": name, **verdict})
    return table(found, ["optimizer", "hyperparameter", "tasks", "agreed", "sensitive"])


def lr_curves(runs: pd.DataFrame) -> pd.DataFrame:
    """Loss against the peak learning rate with everything else at the best setting, aligned at the optimum.

    Returns CELL, peak_lr, octaves (log2 of the rate over the best of the curve), val_loss (infinite where it
    diverged), rise (nats above the lowest of the curve), diverged, seeds.
    """
    found = []
    for cell in tuned(runs):
        rates, line = cell.along(0, "peak_lr")
        loss, rates = cell.loss[line], rates.astype(float)
        best = int(np.argmin(loss))
        for rate, value, seeds in zip(rates, loss, cell.seeds[line], strict=True):
            point = {"peak_lr": rate, "octaves": np.log2(rate / rates[best]), "val_loss": value}
            ends = {"rise": value - loss[best], "diverged": np.isinf(value), "seeds": seeds}
            found.append({**cell.labels, **point, **ends})
    return table(found, [*CELL, "peak_lr", "octaves", "val_loss", "rise", "diverged", "seeds"])


def lr_tolerance(runs: pd.DataFrame, gap: float) -> pd.DataFrame:
    """How many octaves of learning rate stay within `gap` nats of the curve's lowest loss.

    Loss is interpolated linearly in log2 of the rate. Returns CELL, gap, rates (tried), low_lr, high_lr,
    octaves, low_end and high_end: "crossed" (interpolated), "diverged" (the next rate diverged: the range ends
    at the last that did not) or "censored" (the rates tried end first). The latter two make `octaves` a lower
    bound, which `at_least` says. Raises ValueError unless gap is positive.
    """
    if not gap > 0:
        raise ValueError(f"gap must be a positive number of nats, not {gap}")
    found = []
    for cell, curve in cells(lr_curves(runs)):
        x, rise = curve["octaves"].to_numpy(float), curve["rise"].to_numpy(float)
        start = int(np.argmin(rise))
        low, low_end = _reach(-x[start::-1], rise[start::-1], gap)
        high, high_end = _reach(x[start:], rise[start:], gap)
        best = float(curve["peak_lr"].to_numpy()[start])
        spans = {"low_lr": best * 2**-low, "high_lr": best * 2**high, "octaves": low + high}
        open_end = low_end != "crossed" or high_end != "crossed"
        ends = {"low_end": low_end, "high_end": high_end, "at_least": open_end}
        found.append({**cell, "gap": gap, "rates": len(curve), **spans, **ends})
    columns = ["gap", "rates", "low_lr", "high_lr", "octaves", "low_end", "high_end", "at_least"]
    return table(found, [*CELL, *columns])


def _reach(x: Floats, rise: Floats, gap: float) -> tuple[float, str]:
    """Octaves from the first point to where the rise passes the gap, and how that end is known."""
    beyond = np.flatnonzero(rise > gap)
    if not len(beyond):
        return float(x[-1]), "censored"
    i = int(beyond[0])
    if np.isinf(rise[i]):
        return float(x[i - 1]), "diverged"
    share = (gap - rise[i - 1]) / (rise[i] - rise[i - 1])
    return float(x[i - 1] + share * (x[i] - x[i - 1])), "crossed"
