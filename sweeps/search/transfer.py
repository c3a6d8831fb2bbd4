"""Where a cell's search begins: stated, or carried over from the winners of other cells.

The published study's Phase II freezes what Phase I tasks agree on and tunes the rest; its Phase III predicts by
a power law (arXiv 2509.02046). The policy `transfer` tunes on the smallest scale only.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmark.analysis.law import fit
from benchmark.analysis.settings import serve_all
from benchmark.spec import RECIPE, Value
from benchmark.tasks import TOKENS_PER_PARAMETER, Task
from optimizers.base import Axis
from sweeps.search import width
from sweeps.search.cells import Cell, Opening, Solved
from sweeps.search.contestant import Contestant
from sweeps.search.history import Noise
from sweeps.search.space import Setting, anchored, snapped
from sweeps.search.sweep import Policy, Protocol, Sweep


def opening(cell: Cell, needed: Sequence[Solved], protocol: Protocol) -> Opening:
    """The start and the axes of a cell, from the solved cells it needs (in the order of `Stage.after`)."""
    task, contestant = cell.stage.task, cell.contestant
    space, start = contestant.axes(task.scale), contestant.start(task.scale)
    trained = [solved for solved in needed if solved.winner is not None]
    sensitive, notes, init = tuple(space), {"start": "stated"}, {}
    is_carried = cell.stage.start != "stated" and bool(trained)
    if is_carried:
        carried, sensitive, notes = _carried(cell, trained, space, protocol)
        start |= carried
        init = notes.get("init_ratios", {})
    start = _runnable(start, task, protocol.min_steps)
    names = {
        "all": _whole(contestant, space),
        "essential": contestant.essential,
        "sensitive": _by_swing(sensitive, needed) or contestant.essential,
    }[cell.stage.tune]
    axes = {name: anchored(space[name], start[name]) for name in names}
    return Opening(start, axes, sum((s.noise for s in needed), Noise()), notes, is_carried, init)


def consensus(solved: Sequence[Solved], space: Mapping[str, Axis]) -> tuple[dict[str, Value], tuple[str, ...]]:
    """Values that every cell has within its noise band of its best, and the hyperparameters without one.

    Of several agreed values the one that wins most cells is taken, then the one first in the grid. Only
    hyperparameters that every cell has tuned can be found sensitive.
    """
    agreed: dict[str, Value] = {}
    sensitive = []
    for name, axis in space.items():
        common = serve_all([{setting[name] for setting in s.near} for s in solved])
        if common:
            wins = [s.winner[name] for s in solved if s.winner is not None]
            agreed[name] = min(
                common, key=lambda v: (-wins.count(v), axis.grid.index(v) if v in axis.grid else 99, str(v))
            )
        else:
            sensitive.append(name)
    return agreed, tuple(sensitive)


def transferred(sweep: Sweep, rule: Policy) -> Sweep:
    """The sweep under the policy `transfer`: tuned on its smallest scale, carried to the others by `rule`."""
    smallest = min(sweep.stages, key=lambda s: s.task.scale.num_params).task.scale.name
    tuned = tuple(s for s in sweep.stages if s.task.scale.name == smallest)
    sources = tuple(s.task.name for s in tuned if s.phase != "baseline")
    carried = tuple(
        dataclasses.replace(s, budget=0, start=rule, after=sources)
        for s in sweep.stages
        if s.task.scale.name != smallest
    )
    return dataclasses.replace(sweep, name=f"{sweep.name}-{rule}", stages=(*tuned, *carried))


def nearest(task: Task, solved: Sequence[Solved]) -> Solved:
    """The solved cell nearest in model size, then in data ratio; the first of equals."""

    def distance(other: Solved) -> tuple[float, float]:
        there = other.cell.stage.task
        size = abs(math.log(there.scale.num_params / task.scale.num_params))
        return size, abs(math.log(there.chinchilla_ratio / task.chinchilla_ratio))

    return min(solved, key=distance)


def _carried(
    cell: Cell, trained: Sequence[Solved], space: Mapping[str, Axis], protocol: Protocol
) -> tuple[dict[str, Value], tuple[str, ...], dict[str, Any]]:
    """The start by the stage's rule, the hyperparameters sensitive to scale, and what to say about both."""
    rule, task = cell.stage.start, cell.stage.task
    first_phase = [s for s in trained if s.cell.stage.phase == "I"] or trained
    agreed, sensitive = consensus(first_phase, space)
    source = nearest(task, first_phase if rule == "consensus" else trained[:1] if rule == "winner" else trained)
    start = dict(source.winner or {})
    notes: dict[str, Any] = {"start": rule, "from": source.cell.key}
    if cell.contestant.horizon_free and "warmup_fraction" in start:  # as many tokens of it
        shorter = source.cell.stage.task.tokens / task.tokens
        start["warmup_fraction"] = float(f"{float(start['warmup_fraction']) * shorter:.6g}")
    if rule in ("consensus", "law"):
        start |= agreed
        notes |= {"sensitive": list(sensitive), "agreed": agreed}
    if rule == "law":
        found = {n: by_law for n in sensitive if (by_law := _predict(n, space[n], task, trained))}
        notes |= {
            "predicted": {n: value for n, (value, _) in found.items()},
            "laws": {n: law for n, (_, law) in found.items()},
        }
        start |= notes["predicted"]
    if rule == "width":
        ratio = task.scale.width / source.cell.stage.task.scale.width
        exponents = protocol.width_exponents.get(cell.contestant.name, protocol.width_exponents["*"])
        scaled = {n: snapped(space[n], float(start[n]) * ratio**e) for n, e in exponents.items() if n in space}
        start |= scaled
        notes["scaled"] = scaled
    if rule in width.DECAY:
        ratio = task.scale.width / source.cell.stage.task.scale.width
        scaled = _scaled(cell.contestant, start, width.setting(rule, ratio, cell.contestant.width_free), space)
        start |= scaled
        notes |= {"scaled": scaled, "init_ratios": width.init_ratios(task.scale, ratio)}
    return start, sensitive, notes


def _scaled(
    contestant: Contestant, start: Setting, by: Mapping[str, float], space: Mapping[str, Axis]
) -> dict[str, Value]:
    """The scaled values inside the limits of their axes; not of what the contestant may not vary."""
    own = {n: value for n, value in width.scaled(start, by).items() if n not in contestant.recipe_fixed}
    return {n: min(max(v, space[n].low), space[n].high) if n in space else v for n, v in own.items()}


def _predict(
    name: str, axis: Axis, task: Task, trained: Sequence[Solved]
) -> tuple[Value, dict[str, Any]] | None:
    """A hyperparameter at a task by the law through the winners, followed at most a doubling beyond what won;
    None for one that has no order or no law."""
    if any(isinstance(value, str) for value in axis.grid):
        return None
    points = [
        (
            s.cell.stage.task.scale.num_params,
            s.cell.stage.task.chinchilla_ratio,
            axis.geometric(float(s.winner[name])),
        )
        for s in trained
        if s.winner is not None
    ]
    positive = np.array([point for point in points if point[2] > 0], dtype=float)
    if len(positive) < 2:
        return None
    law = fit("hyperparameter", positive, draws=0)
    size = task.scale.num_params
    value, _, _ = law.predict(size, TOKENS_PER_PARAMETER * size * task.chinchilla_ratio)
    seen = positive[:, 2]
    b, c = law.exponents[0]
    coefficient, floor = law.coefficients[0] * (law.size**-b * law.data**-c, 1.0)  # of N and r themselves
    said = {"scale": float(coefficient), "size_exponent": float(b), "ratio_exponent": float(c)}
    said |= {"floor": float(floor), "points": law.searches, "flags": list(law.flags)}
    return snapped(axis, axis.from_geometric(min(max(value, seen.min() / 2), seen.max() * 2))), said


def _whole(contestant: Contestant, space: Mapping[str, Axis]) -> tuple[str, ...]:
    """Every hyperparameter in the order of a first pass: the essential ones, batch size (the published study
    found it first or second everywhere), the optimizer's own, the rest of the recipe."""
    first = dict.fromkeys(n for n in (*contestant.essential, "batch_size") if n in space)
    return (
        *first,
        *(n for n in space if n not in first and n not in RECIPE),
        *(n for n in RECIPE if n not in first and n in space),
    )


def _by_swing(names: Sequence[str], solved: Sequence[Solved]) -> tuple[str, ...]:
    """The names, largest mean swing in these cells first: a small budget must not go to what is flat."""
    swings = {name: [s.swings[name] for s in solved if name in s.swings] for name in names}
    means = {name: math.fsum(found) / len(found) if found else math.inf for name, found in swings.items()}
    return tuple(sorted(names, key=lambda name: -means[name]))


def _runnable(start: dict[str, Value], task: Task, min_steps: int) -> dict[str, Value]:
    """The start with the largest batch size, not above its own, that leaves enough steps; else unchanged."""
    sizes = [
        size
        for size in (*task.scale.batch_sizes, start["batch_size"])
        if float(size) <= float(start["batch_size"])
    ]
    long_enough = [size for size in sizes if task.steps(int(size)) >= min_steps]
    return {**start, "batch_size": max(long_enough, key=float)} if long_enough else start
