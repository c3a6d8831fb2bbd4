"""A search space between two ladders, from the two that are written down: one rule for every optimizer.

What both ladders search, `weight` of the way from the lower to the upper one:
- The ends of a grid are moved geometrically (of 1 - value for betas), each on its own, and rounded to the
  lower ladder's steps, which are the same for every optimizer: its grid is cut, or goes on by steps of its own.
  An end never leaves the interval between the two ladders' ends.
- The start is moved in the same way and rounded to a value of that grid.
- Of a fixed grid the steps are the values of both ladders. Words, and numbers that have no logarithm, are those
  of the nearer ladder.
What one ladder alone searches is not searched in between. It is moved as above, from where the other ladder
leaves it, the optimizer's default.

A weight of 0 or 1 gives a ladder's own space. A space that is written down for a ladder is never replaced.
"""

import math
from collections.abc import Mapping

from optimizers.base import Axis, Value

Space = Mapping[str, Axis]


def between(lower: Space, upper: Space, weight: float, defaults: Mapping[str, Value]) -> dict[str, Axis]:
    """The space `weight` of the way from one ladder's to another's, in the lower's order.

    defaults: the optimizer's hyperparameters where nothing is said.
    """
    if weight <= 0:
        return dict(lower)
    if weight >= 1:
        return dict(upper)
    found = {}
    for name in dict.fromkeys((*lower, *upper)):
        if name in lower and name in upper:
            found[name] = _axis(lower[name], upper[name], weight)
        elif name in defaults:
            found[name] = _unsearched(lower.get(name), upper.get(name), weight, defaults[name])
    return found


def _axis(lower: Axis, upper: Axis, weight: float) -> Axis:
    """An axis that both ladders search."""
    if lower == upper:
        return lower
    nearer = lower if weight < 0.5 else upper
    ours, theirs = _positive(lower), _positive(upper)
    if lower.spacing != upper.spacing or not (ours and theirs) or _words(lower) or _words(upper):
        return nearer
    steps = _steps(lower, upper)
    ends = [_nearest(lower, steps, a, b, weight) for a, b in zip(_ends(ours), _ends(theirs), strict=True)]
    inside = [v for v in steps if float(ends[0]) <= float(v) <= float(ends[1])]
    off = [v for v in lower.grid if v in upper.grid and v not in ours]  # 0, or a beta of 1
    grid = tuple(sorted((*off, *inside), key=float))
    start = _start(lower, (lower.start, upper.start), inside, weight)
    if start is None:  # one of them starts at 0: as the nearer ladder does
        start = min(grid, key=lambda v: abs(float(v) - float(nearer.start)))
    return Axis(grid, start, lower.spacing, max(lower.low, upper.low), min(lower.high, upper.high))


def _unsearched(lower: Axis | None, upper: Axis | None, weight: float, default: Value) -> Axis:
    """One value for what only one of the ladders searches; the other one leaves it at its default."""
    axis = lower or upper
    assert axis is not None
    starts = (axis.start, default) if lower else (default, axis.start)
    start = _start(axis, starts, _reach(axis, default), weight)
    if start is None:  # words, or a size of which 0 means none
        start = starts[weight >= 0.5]
    return Axis((start,), start, "fixed", axis.low, axis.high)


def _start(axis: Axis, starts: tuple[Value, Value], steps: list[Value], weight: float) -> Value | None:
    """The step nearest to the point between two starts; None where they have no logarithm."""
    if starts[0] == starts[1]:
        return starts[0]
    if any(isinstance(v, str) or axis.geometric(v) <= 0 for v in starts):
        return None
    return _nearest(axis, steps, *starts, weight)


def _nearest(axis: Axis, steps: list[Value], a: Value, b: Value, weight: float) -> Value:
    """Of the steps from a to b the nearest to the point `weight` of the way, in logarithms."""
    log_a, log_b = _log(axis, a), _log(axis, b)
    goal, slack = log_a + weight * (log_b - log_a), 1e-9
    inside = [v for v in steps if min(log_a, log_b) - slack <= _log(axis, v) <= max(log_a, log_b) + slack]
    return min(inside or steps, key=lambda v: abs(_log(axis, v) - goal))


def _steps(lower: Axis, upper: Axis) -> list[Value]:
    """The values that a grid in between may have: the lower ladder's, gone on as far as the upper's; of fixed
    grids those of both."""
    if lower.spacing == "fixed":
        return sorted({*_positive(lower), *_positive(upper)}, key=float)
    first, last = _ends(_positive(upper))
    return _reach(lower, first, last)


def _reach(axis: Axis, *values: Value) -> list[Value]:
    """The positive values of a grid, gone on by its own steps up to these values."""
    found = _positive(axis)
    for value in values:
        if isinstance(value, str) or axis.geometric(value) <= 0:
            continue
        for upward in (False, True):
            while (value > float(found[-1])) if upward else (value < float(found[0])):
                step = axis.beyond(tuple(found), upward)
                if step is None:
                    break
                found = [*found, step] if upward else [step, *found]
    return found


def _positive(axis: Axis) -> list[Value]:
    """The values of a grid that have a logarithm in its spacing, sorted."""
    return sorted((v for v in axis.grid if not isinstance(v, str) and axis.geometric(v) > 0), key=float)


def _ends(values: list[Value]) -> tuple[Value, Value]:
    return values[0], values[-1]


def _words(axis: Axis) -> bool:
    return any(isinstance(v, str) for v in axis.grid)


def _log(axis: Axis, value: Value) -> float:
    return math.log(axis.geometric(float(value)))
