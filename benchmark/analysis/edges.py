"""Is a best value bracketed, or may a better one lie beyond what was tried?

`unbracketed` is the rule. A sweep asks it when a search ends and writes the answer and a badge into its
manifest; `edges` takes that, and asks only for records whose manifest does not say, such as others' results.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.analysis.choosing import Searches, searches
from benchmark.analysis.settings import CELL, Tuned, cells, rows, table, tuned
from benchmark.recorded import SPACING
from optimizers.base import Axis

Setting = Mapping[str, Any]
Losses = Mapping[int, float]  # seed -> nats per token
AxisFacts = Mapping[str, Any]  # one axis as a manifest has it: grid and, where known, spacing
COLUMNS = [*CELL, "search", "searches", "hyperparameter", "best_value", "low", "high", "side"]
BADGE = "optimum on edge"


def unbracketed(
    winner: Setting,
    tried: Sequence[tuple[Setting, Losses]],
    names: Iterable[str],
    goes_on: Callable[[str, bool], bool],
    paired: bool,
) -> dict[str, str]:
    """Hyperparameter -> the sides ("down", "up", or both) on which there are values beyond the winner's, but
    nobody knows what they do. Words, and hyperparameters that no trial varied, are not judged.

    Args:
        tried: the search's settings and their losses, infinite where a run diverged or failed.
        goes_on: (name, upward) -> whether there is any value on that side of the winner's.
        paired: a side is known by a trial that differs from another at the winner's value in this
            hyperparameter alone and is no better on the seeds of both (a search that moves one at a time);
            otherwise by any trial beyond the winner's value (a model of the loss, random draws).
    """
    losses = {_key(setting): by_seed for setting, by_seed in tried}
    found = {}
    for name in names:
        best = winner[name]
        if isinstance(best, str) or all(setting.get(name) == best for setting, _ in tried):
            continue
        open_sides = []
        for side, upward in (("down", False), ("up", True)):
            beyond = [(s, by_seed) for s, by_seed in tried if _is_beyond(s.get(name), best, upward)]
            if paired:
                lines = ((there, losses.get(_key({**s, name: best}), {})) for s, there in beyond)
                known = any(_is_no_better(there, here) for there, here in lines)
            else:
                known = bool(beyond)
            if not known and goes_on(name, upward):
                open_sides.append(side)
        if open_sides:
            found[name] = ", ".join(open_sides)
    return found


def edges(
    runs: pd.DataFrame, spaces: Mapping[str, Mapping[str, AxisFacts]], searched: Searches
) -> pd.DataFrame:
    """The best values that no trial brackets, one row per search and hyperparameter.

    Args:
        runs: as in `store.Results.runs`.
        spaces: optimizer -> hyperparameter -> its grid and, where known, its spacing, as in a manifest.
        searched: the cells of a manifest. What a search says of itself counts; of others, and of cells without
            a search, the trials are judged one hyperparameter at a time.

    Returns CELL, search and searches (which of how many), hyperparameter, best_value, low and high (ends of
    what was declared or tried) and side ("down", "up" or both).
    """
    found = []
    known = searches(searched)
    for labels, group in cells(rows(runs, runs["use"] == "tuning")):
        space = spaces.get(labels["optimizer"], {})
        entries = known.get(f"{labels['optimizer']}/{labels['task']}", [{}])
        for number, entry in enumerate(entries, 1):
            own = rows(group, group["trial_id"].isin(list(entry["tuning"]))) if "tuning" in entry else group
            winner, sides = entry.get("winner") or {}, entry.get("unbracketed")
            if sides is None:
                winner, sides = _judged(own, space, winner)
            for name, side in sides.items():
                grid = space.get(name, {}).get("grid", ())
                tried: Any = own.get(f"hp.{name}", ())
                values = [float(v) for v in (*grid, *tried) if _is_number(v)]
                what = {"hyperparameter": name, "best_value": winner[name], "side": side}
                ends = {"low": min(values), "high": max(values)}
                found.append({**labels, "search": number, "searches": len(entries), **what, **ends})
    return table(found, COLUMNS)


def _judged(
    runs: pd.DataFrame, space: Mapping[str, AxisFacts], chosen: Setting
) -> tuple[Setting, dict[str, str]]:
    """The winner of these tuning runs, the setting of the lowest loss unless another was chosen, and its open
    sides."""
    for cell in tuned(runs):  # one, or none where nothing finished
        winner = cell.setting(cell.index(chosen) or 0)
        names = [n for n in space if isinstance(winner.get(n), float)]

        def goes_on(name: str, upward: bool, cell: Tuned = cell, winner: Setting = winner) -> bool:
            return _goes_on(space[name], cell.column(name), winner[name], upward)

        return winner, unbracketed(winner, _tried(cell), names, goes_on, paired=True)
    return {}, {}


def _tried(cell: Tuned) -> list[tuple[Setting, Losses]]:
    by_setting = (enumerate(losses.tolist()) for losses in cell.by_seed)
    return [
        (cell.setting(i), {seed: loss for seed, loss in by_seed if not math.isnan(loss)})
        for i, by_seed in enumerate(by_setting)
    ]


def _goes_on(axis: Mapping[str, Any], tried: Iterable[Any], best: float, upward: bool) -> bool:
    """Whether an axis has a value beyond one: declared, tried, or a step further where its spacing is
    known. Of one without a spacing only 0 is taken for an end."""
    numbers = tuple(sorted({float(v) for v in (*axis["grid"], *tried) if _is_number(v)}))
    if any(_is_beyond(v, best, upward) for v in numbers):
        return True
    if SPACING not in axis:
        return upward or best > 0
    return Axis(numbers, best, axis[SPACING]).beyond(numbers, upward) is not None


def _key(setting: Setting) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(setting.items()))


def _is_no_better(there: Losses, here: Losses) -> bool:
    seeds = there.keys() & here.keys()
    return bool(seeds) and math.fsum(there[s] for s in seeds) >= math.fsum(here[s] for s in seeds)


def _is_beyond(value: Any, best: float, upward: bool) -> bool:
    return _is_number(value) and (value > best if upward else value < best)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)
