"""The geometry of a search space: neighbours on a grid, steps beyond its ends, halves of its steps."""

import math
from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from benchmark.spec import Value
from optimizers.base import Axis

Setting = Mapping[str, Value]
Key = tuple[tuple[str, Value], ...]


def key(setting: Setting) -> Key:
    """The setting as something hashable: equal for equal settings, whatever the order of their names."""
    return tuple(sorted(setting.items()))


def moved(setting: Setting, name: str, value: Value) -> Setting:
    """The setting with one hyperparameter changed."""
    return {**setting, name: value}


@dataclass(frozen=True)
class Step:
    """One grid step: the value it leads to, its direction, and whether it leaves the grid as declared."""

    value: Value
    upward: bool
    extension: bool


@dataclass(frozen=True)
class Grid:
    """An axis and the values it has by now, sorted; extensions are added as they are taken."""

    axis: Axis
    values: tuple[Value, ...]

    @classmethod
    def of(cls, axis: Axis) -> "Grid":
        return cls(axis, tuple(sorted(axis.grid)) if is_ordered(axis) else axis.grid)

    def steps(self, value: Value) -> list[Step]:
        """Where one step leads: down and up on an ordered grid, else to every other value."""
        if not is_ordered(self.axis):
            return [Step(v, True, False) for v in self.values if v != value]
        return [step for upward in (False, True) if (step := self.step(value, upward))]

    def step(self, value: Value, upward: bool) -> Step | None:
        """The next value in one direction, beyond the end where the axis allows it, or None."""
        if not is_ordered(self.axis):
            return None
        side = [
            v for v in self.values if (_number(v) > _number(value) if upward else _number(v) < _number(value))
        ]
        if side:
            found = min(side, key=_number) if upward else max(side, key=_number)
            return Step(found, upward, not self._declared(found))
        beyond = self.axis.beyond(self.values, upward)
        return None if beyond is None else Step(beyond, upward, True)

    def extended(self, value: Value) -> "Grid":
        """The grid with one more value in its place."""
        if value in self.values:
            return self
        values = list(self.values)
        insort(values, value, key=_number)
        return replace(self, values=tuple(values))

    def between(self, value: Value, upward: bool, share: float) -> Value | None:
        """The value a `share` of a step away in the axis' own spacing; None where it cannot be divided."""
        step = self.step(value, upward) if self.axis.spacing != "fixed" else None
        if step is None:
            return None
        here, there = (self.axis.geometric(_number(v)) for v in (value, step.value))
        if here <= 0 or there <= 0:
            return None
        found = float(f"{self.axis.from_geometric(here * (there / here) ** share):.4g}")
        return None if found in (value, step.value) else found

    def _declared(self, value: Value) -> bool:
        return value in self.axis.grid


def anchored(axis: Axis, start: Value) -> Axis:
    """The axis with its grid moved so that `start` lies on it: a search keeps its step size wherever it begins.

    A fixed grid does not move; a start outside it is added to it.
    """
    if start in axis.grid:
        return replace(axis, start=start)
    if axis.spacing == "fixed" or isinstance(start, str):
        return replace(axis, grid=(*axis.grid, start), start=start)
    origin = axis.geometric(_number(start))
    used = [number for v in axis.grid if (number := axis.geometric(_number(v))) > 0]
    if origin <= 0 or not used:
        return replace(axis, grid=tuple(sorted({*axis.grid, start})), start=start)
    factor = origin / min(used, key=lambda x: abs(math.log(x / origin)))
    nearest = origin / factor
    shifted = {float(f"{axis.from_geometric(x * factor):.4g}") for x in used if x != nearest} | {start}
    zeros = {v for v in axis.grid if axis.geometric(_number(v)) <= 0}
    inside = {v for v in shifted if axis.low <= _number(v) <= axis.high}
    return replace(axis, grid=tuple(sorted(inside | zeros)), start=start)


def snapped(axis: Axis, value: float) -> Value:
    """`value` inside the limits of the axis, to three digits; on a fixed grid the nearest of its values."""
    if axis.spacing == "fixed":
        return min(axis.grid, key=lambda v: abs(math.log(max(_number(v), 1e-30) / max(value, 1e-30))))
    number = float(f"{axis.geometric(min(max(value, axis.low), axis.high)):.3g}")
    return float(f"{axis.from_geometric(number):.6g}")


def is_ordered(axis: Axis) -> bool:
    """Whether the values of an axis are numbers, not words."""
    return not any(isinstance(value, str) for value in axis.grid)


def _number(value: Any) -> float:
    return float(value)
