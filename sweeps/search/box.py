"""The search space as a box with one unit for all axes: positions counted in grid steps, and back to values.

Coordinate descent walks from grid value to grid value (space.py); a model of the loss and an opening that
fills the space need what lies between.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import qmc

from benchmark.spec import Value
from optimizers.base import Axis
from sweeps.search.space import is_ordered

DIGITS = 3  # of a proposed value: finer ones train alike


@dataclass(frozen=True)
class Line:
    """One axis, with positions in mean steps of its grid. A value without a logarithm, such as a decay of 0,
    lies one step beyond the last that has one. Words have no positions, only places in the grid."""

    axis: Axis

    @cached_property
    def ordered(self) -> bool:
        return is_ordered(self.axis)

    @cached_property
    def divisible(self) -> bool:
        """Whether there are values between those of the grid."""
        return self.axis.spacing != "fixed" and len(self._logs) > 1

    @cached_property
    def values(self) -> tuple[Value, ...]:
        return tuple(sorted(self.axis.grid, key=float)) if self.ordered else self.axis.grid

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Positions of the first and the last value of the declared grid."""
        places = [self.position(value) for value in self.values]
        return min(places), max(places)

    @property
    def span(self) -> float:
        low, high = self.ends
        return max(high - low, 1.0)

    def position(self, value: Value) -> float:
        """Where a value lies."""
        if not self.divisible:
            return float(self.values.index(value)) if value in self.values else self._between(value)
        log = self._log(value)
        if log is None:
            return -1.0 if self.axis.spacing == "log" else len(self._logs)
        return (log - self._logs[0]) / self._step

    def value(self, position: float) -> Value | None:
        """The value at a position, to `DIGITS` digits; None where the axis does not go so far."""
        if not self.divisible:
            place = round(position)
            return self.values[place] if 0 <= place < len(self.values) else None
        if position < -0.5 and self._has_zero:
            return 0.0 if position > -1.5 else None
        log = self._logs[0] + position * self._step
        number = float(f"{math.exp(-log if self.axis.spacing == 'log1m' else log):.{DIGITS}g}")
        found = float(f"{self.axis.from_geometric(number):.6g}")
        return self._declared(found) if self.axis.low <= found <= self.axis.high and found < math.inf else None

    def moved(self, value: Value, steps: float) -> Value | None:
        """The value so many steps away, or None where there is none."""
        return self.value(self.position(value) + steps) if self.ordered else None

    def at(self, share: float) -> Value:
        """The value at a share in [0, 1) of the declared grid; words, fixed values and a value without a
        logarithm have equal parts of it."""
        if not self.divisible:
            return self.values[int(share * len(self.values))]
        zero = 1 / len(self.values) if self._has_zero else 0.0
        if share < zero:
            return 0.0
        found = self.value((share - zero) / (1 - zero) * (len(self._logs) - 1))
        return self.values[-1] if found is None else found

    def open_sides(self, best: Value, tried: Iterable[Value]) -> list[bool]:
        """The sides (upward or not) of a value beyond which nothing was tried though the axis goes on."""
        if not self.ordered:
            return []
        found = []
        for upward in (False, True):
            beyond = any(float(v) > float(best) if upward else float(v) < float(best) for v in tried)
            if not beyond and self.moved(best, 1.0 if upward else -1.0) not in (None, best):
                found.append(upward)
        return found

    def around(self, value: Value) -> Axis:
        """The axis cut to one step on both sides of a value; words and what has no order stay whole."""
        if not self.ordered:
            return self.axis
        beside = [v for steps in (-1.0, 1.0) if (v := self.moved(value, steps)) is not None]
        grid = tuple(sorted({value, *beside}, key=float))
        return Axis(grid, value, self.axis.spacing, self.axis.low, self.axis.high)

    def _log(self, value: Value) -> float | None:
        """The logarithm of a value in the axis' own spacing, rising with the value."""
        number = self.axis.geometric(float(value))
        if number <= 0:
            return None
        return -math.log(number) if self.axis.spacing == "log1m" else math.log(number)

    @cached_property
    def _logs(self) -> list[float]:
        if not self.ordered or self.axis.spacing == "fixed":
            return []
        return [log for value in self.values if (log := self._log(value)) is not None]

    @cached_property
    def _step(self) -> float:
        return (self._logs[-1] - self._logs[0]) / (len(self._logs) - 1)

    @property
    def _has_zero(self) -> bool:
        return self.axis.spacing == "log" and any(float(v) <= 0 for v in self.values)

    def _between(self, value: Value) -> float:
        """A place for a number that is no member of a fixed grid: between its neighbours."""
        return sum(float(v) < float(value) for v in self.values) - 0.5 if self.ordered else -1.0

    def _declared(self, value: float) -> Value:
        """A grid's own spelling of a value that is one of it but for rounding."""
        return next((v for v in self.values if math.isclose(float(v), value, rel_tol=1e-3)), value)


def coordinates(lines: Sequence[Line], settings: Iterable[Sequence[Value]]) -> tuple[np.ndarray, list[int]]:
    """Settings as points, [settings, columns], in which a declared grid has length 1, and which axis each
    column belongs to. Words get a column each, a distance of 1 apart."""
    columns, owners = [], []
    rows = list(settings)
    for index, line in enumerate(lines):
        values = [row[index] for row in rows]
        if line.ordered:
            columns.append([line.position(v) / line.span for v in values])
            owners.append(index)
        else:
            columns += [[math.sqrt(0.5) * (v == word) for v in values] for word in line.values]
            owners += [index] * len(line.values)
    return np.array(columns, dtype=float).T.reshape(len(rows), len(owners)), owners


def sobol(dimensions: int, count: int, seed: int) -> np.ndarray:
    """So many scrambled Sobol points, [count, dimensions], in [0, 1)."""
    power = max(0, math.ceil(math.log2(max(count, 1))))
    return qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed)).random_base2(power)[:count]
