"""Grids that a user writes, and grids for a signature that nobody wrote one for, as axes."""

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from optimizers.base import RATIOS, Axis, Value

FIRST, LATER = (0.8, 0.9, 0.95, 0.98), (0.9, 0.95, 0.98, 0.99)  # coefficients of the average of g, of others
LONGEST = 0.98  # where the longest average starts, as AdamW's does: runs of small models are some hundred steps
FROM_NONE = (0.0, *FIRST[1:])  # where the constructor has it off
DECAYS, EPSILONS = (0.0, 0.01, 0.1, 0.3), (1e-10, 1e-8, 1e-6)
# Factors on the constructor's own rate; the third is the start. A default is meant for larger models, small
# ones take more. A rate near 1 is a factor on a step that the rule finds itself. Searches go beyond the ends.
RATE_FACTORS, UNIT_FACTORS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0), (0.25, 0.5, 1.0, 2.0, 4.0)
UNIT_RATE = 0.25  # from here on
USUAL_RATE = 1e-3  # where a constructor has no rate of its own
RATES = ("lr", "learning_rate")  # what a constructor calls its rate; here it is peak_lr
LONGEST_GRID = 1000  # values: more is a mistake, and slow to search
LIMITS = ("max_learning_rate", "max_lr", "step_size")  # a number that caps or scales a step found otherwise
_AVERAGE = re.compile(r"(b|beta)_?\d?|momentum|rho|alpha|mu")


@dataclass(frozen=True)
class Axes:
    """The axes of a short form, and how their values become arguments again.

    choices: hyperparameter -> label -> value, of values that are neither number nor text (pairs, None, True).
    pairs: argument -> the hyperparameters that it is made of, of a tuple that was taken apart.
    """

    axes: Mapping[str, Axis]
    choices: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pairs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def written(label: str, grids: Mapping[str, Any], starts: Any = None) -> Axes:
    """Axes from grids as a file declares them, each started in its middle or where `starts` says.

    Raises ValueError, with `label` in front, for a grid that is none or a start that is not in its grid.
    """
    starts = starts or {}
    if not isinstance(starts, Mapping) or not set(starts) <= set(grids):
        raise ValueError(f"{label}: starts = {starts!r} must be a dict whose keys are in `space`")
    axes, choices = {}, {}
    for name, values in grids.items():
        axes[name], found = _axis(label, name, values)
        choices |= {name: found} if found else {}
        if name in starts:
            start = starts[name] if not found else repr(starts[name])
            if start not in axes[name].grid:
                raise ValueError(f"{label}: starts[{name!r}] = {start!r} is not in its grid {axes[name].grid}")
            axes[name] = dataclasses.replace(axes[name], start=start)
    return Axes(axes, choices)


def generic(build: Callable[..., Any]) -> Axes:
    """Axes for a constructor or function that says nothing of its own: its rate, decay, averages and eps, each
    around its default. Every other argument keeps its default. A pair of betas is taken apart."""
    axes: dict[str, Axis] = {}
    pairs: dict[str, tuple[str, ...]] = {}
    for name, argument in inspect.signature(build).parameters.items():
        default: Any = argument.default
        if name in (*RATES, *LIMITS) and "peak_lr" not in axes:
            usual = default if _number(default) and default > 0 else USUAL_RATE
            factors = UNIT_FACTORS if usual >= UNIT_RATE else RATE_FACTORS
            grid = [float(f"{usual * factor:.4g}") for factor in factors]
            axes["peak_lr"] = Axis(tuple(grid), grid[2], "log")
        elif name == "betas" and isinstance(default, tuple) and all(_share(b) for b in default):
            names = tuple(f"beta{i}" for i in range(1, len(default) + 1))
            axes |= {n: _average(b, i) for i, (n, b) in enumerate(zip(names, default, strict=True))}
            pairs[name] = names
        elif name == "weight_decay" and _number(default):
            axes[name] = Axis(DECAYS, 0.1 if default else 0.0, "log")
        elif name in ("eps", "epsilon") and _number(default) and default > 0:
            axes[name] = Axis(tuple(sorted({*EPSILONS, float(default)})), float(default), "log")
        elif _AVERAGE.fullmatch(name) and _share(default):
            axes[name] = _average(default, int(name[-1] in "23456789" or name in ("alpha", "rho")))
    return Axes(axes, {}, pairs)


def essential(axes: Mapping[str, Axis]) -> tuple[str, ...]:
    """Of generic axes those that the smallest search tunes, as the registry's optimizers name them: the rate,
    the decay, the coefficient of the average that becomes the step, and the recipe's two ratios."""
    averages = [name for name, axis in axes.items() if axis.grid in (FIRST, FROM_NONE, _others(FIRST))]
    own = [name for name in ("peak_lr", "weight_decay", *averages[:1]) if name in axes]
    return (*own, *RATIOS)


def _average(default: float, place: int) -> Axis:
    """The coefficient of an average: the nearest grid value to its default is the start. One that is near 0 is
    the share of what is new, as some packages write it, not of what is kept."""
    grid = (FIRST if place == 0 else LATER) if default else FROM_NONE
    if 0 < default < 0.5:
        shares = _others(grid)
        return Axis(shares, min(shares, key=lambda value: abs(math.log(value / default))), "log", high=1.0)
    start = min(grid, key=lambda value: abs(math.log((1 - value) / (1 - default))))
    return Axis(grid, min(start, LONGEST), "log1m", high=0.9999)


def _others(grid: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted(round(1 - value, 4) for value in grid))


def _axis(label: str, name: str, grid: Any) -> tuple[Axis, dict[str, Any]]:
    """The grid as an axis that starts in its middle, and the values behind its labels where it has labels.
    Grids of floats are traced, all others are static."""
    if isinstance(grid, Axis):
        if grid.start not in grid.grid:
            raise ValueError(f"{label}: space[{name!r}] starts at {grid.start!r}, which is not in its grid")
        return grid, {}
    if not isinstance(grid, tuple | list) or not grid:
        raise ValueError(f"{label}: space[{name!r}] must be a tuple of values, not {grid!r}")
    if len(grid) > LONGEST_GRID:
        raise ValueError(
            f"{label}: space[{name!r}] has {len(grid)} values; a search tries those between, too:"
            f" give at most {LONGEST_GRID}"
        )
    values: list[Any] = list(grid)
    middle = (len(values) - 1) // 2
    if not all(_plain(v) for v in values):
        found = {repr(v): v for v in values}
        if any(" at 0x" in text for text in found):
            raise ValueError(
                f"{label}: space[{name!r}] holds an object without a name of its own; give it __repr__"
            )
        return Axis(tuple(found), repr(values[middle])), found
    if not any(isinstance(v, float) for v in values):
        return Axis(tuple(values), values[middle]), {}
    numbers = [v for v in values if _number(v)]
    if len(numbers) < len(values):
        raise ValueError(f"{label}: space[{name!r}] = {grid!r} holds a value that is not a finite number")
    if all(0 < v < 1 for v in numbers) and name.startswith(("beta", "momentum")):
        return Axis(tuple(numbers), values[middle], "log1m", high=0.9999), {}
    spacing = "log" if min(numbers) >= 0 else "fixed"
    return Axis(tuple(numbers), values[middle], spacing, low=min(0.0, *numbers)), {}


def check_limits(label: str, added: Mapping[str, Axis], declared: Mapping[str, Axis]) -> None:
    """Raises ValueError for a grid that leaves the limits of the axis whose place it takes: a coefficient of an
    average is below 1, a rate, a decay or an eps not below 0. An axis that does not go on has no limits."""
    for name, axis in added.items():
        limits = declared.get(name)
        if limits is None or limits.spacing == "fixed":
            continue
        average = limits.spacing == "log1m"  # its `high` is where a search stops, below what one may write
        for value in filter(_number, axis.grid):
            if value < limits.low or (value >= 1 if average else value > limits.high):
                high = "below 1" if average else f"at most {limits.high:g}"
                ends = f"at least {limits.low:g}" + (
                    f" and {high}" if average or limits.high < math.inf else ""
                )
                raise ValueError(
                    f"{label}: --axis {name}: {value!r} is outside its limits; give values of {ends}"
                )


def is_static(axis: Axis) -> bool:
    """Whether a value of this axis compiles a program of its own."""
    return not any(isinstance(value, float) for value in axis.grid)


def _plain(value: Any) -> bool:
    return isinstance(value, Value) and not isinstance(value, bool)


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _share(value: Any) -> TypeGuard[float]:
    return _number(value) and 0 <= value < 1
