"""What came of one cell, as plain JSON: for the manifest beside the records, and for the pages."""

import functools
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from benchmark.analysis import edges
from benchmark.spec import Value
from sweeps.search.box import Line
from sweeps.search.cells import Cell, Solved
from sweeps.search.space import Grid, Key, Setting, key


def summarize(state: Solved | Cell, known: Mapping[str, Any]) -> dict[str, Any]:
    """One cell's summary; `known` says which report runs are there."""
    cell = state if isinstance(state, Cell) else state.cell
    facts: dict[str, Any] = {
        "optimizer": cell.contestant.name,
        "task": cell.stage.task.name,
        "phase": cell.stage.phase,
        "budget": cell.budget,
        "search": cell.search,
        "complete": False,
        "winner": None,
        "tuning_loss": None,
        "spent": {},
        "diverged": 0,
        "failed": 0,
        "badges": [],
        "tuning": [],
        "reports": [],
        "unbracketed": {},
        "noise": {"sd": None, "df": 0, "band": None},
        "swings": {},
        "near": {},
        "tuned": [],
        "start": cell.stage.start,
    }
    if isinstance(state, Cell):
        return facts
    finished = [asked for asked in state.asked if asked.status is not None]
    open_sides = unbracketed(state) if state.complete and state.winner and cell.budget else {}
    reported = [known[trial_id].status for _, trial_id in state.reports if trial_id in known]
    facts |= {
        "complete": state.complete and len(reported) == len(state.reports),
        "winner": dict(state.winner) if state.winner else None,
        "tuning_loss": state.tuning_loss,
        "spent": dict(Counter(_account(asked.entry.purpose) for asked in finished)),
        "diverged": sum(asked.status == "diverged" for asked in finished),
        "failed": sum(asked.status == "failed" for asked in finished),
        "badges": _badges(state, open_sides, reported),
        "tuning": [asked.trial_id for asked in finished],
        "reports": [trial_id for _, trial_id in state.reports],
        "unbracketed": open_sides,
        "noise": {"sd": state.noise.sd, "df": state.noise.df, "band": _finite(state.band)},
        "swings": dict(state.swings),
        "near": _near(state),
        "tuned": [
            n for n in state.opening.axes if len({asked.trial.hyperparameters[n] for asked in finished}) > 1
        ],
        **state.opening.notes,
    }
    predicted = facts.get("predicted")
    if predicted and state.complete and state.winner:
        facts["prediction"] = _prediction_error(state)
    return facts


def unbracketed(state: Solved) -> dict[str, str]:
    """Hyperparameter -> the sides on which its winner's value is not bracketed (`analysis.edges`). Coordinate
    descent moves one hyperparameter at a time; a model, and draws, do not."""
    winner, axes = state.winner, state.opening.axes
    assert winner is not None
    tried: dict[Key, tuple[Setting, dict[int, float]]] = {}
    for entry in state.entries:
        _, losses = tried.setdefault(key(entry.setting), (entry.setting, {}))
        losses[entry.seed] = math.inf if entry.loss is None else entry.loss
    paired = state.method == "coordinate"

    def goes_on(name: str, upward: bool) -> bool:
        if not paired:
            return upward in Line(axes[name]).open_sides(winner[name], ())
        steps = {e.setting[name] for e in state.entries if not e.purpose.endswith("refinement")}
        grid = functools.reduce(Grid.extended, steps - {*axes[name].grid}, Grid.of(axes[name]))
        return grid.step(winner[name], upward) is not None

    return edges.unbracketed(winner, list(tried.values()), axes, goes_on, paired)


def _near(state: Solved) -> dict[str, list[Value]]:
    """Hyperparameter -> its values among the settings within the noise band of the winner."""
    names = state.opening.axes if state.near else ()
    return {name: list(dict.fromkeys(setting[name] for setting in state.near)) for name in names}


def _badges(state: Solved, open_sides: Mapping[str, str], reported: list[str]) -> list[str]:
    badges = [f"{edges.BADGE}: {name}" for name in open_sides]
    if state.skipped:
        badges.append(f"skipped: {state.skipped}")
    elif state.complete and len(state.asked) < state.cell.budget:
        badges.append(f"unequal budget: {len(state.asked)} of {state.cell.budget}, its space is exhausted")
    if state.complete and state.winner is None and not state.skipped:
        badges.append("no trial finished")
    bad = sum(status != "finished" for status in reported)
    if bad:
        badges.append(f"{bad} of {len(reported)} report runs did not finish")
    return badges


def _prediction_error(state: Solved) -> dict[str, Any]:
    """How far the law was off: loss at the predicted setting against the best found around it."""
    first = state.entries[0].loss if state.entries else None
    found = state.tuning_loss
    gap = first - found if first is not None and found is not None else None
    return {"loss": _finite(first), "best": found, "excess": _finite(gap)}


def _account(purpose: str) -> str:
    """What a trial is booked under: the hyperparameter it varies, or bracket, replicate, race, ..."""
    first, _, second = purpose.partition(" ")
    return second if second in ("extension", "refinement", "bracket") else first


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
