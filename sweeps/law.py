"""The power law of a hyperparameter in model size and data ratio: h(N, r) = A * N**B * r**C + E."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

FLOORS = 40  # candidates for E between 0 and the smallest value


@dataclass(frozen=True)
class Law:
    """A fitted law. N: non-embedding parameters; r: Chinchilla ratio. points: how many it was fitted on."""

    scale: float
    size_exponent: float
    ratio_exponent: float
    floor: float
    points: int

    def __call__(self, size: float, ratio: float) -> float:
        return self.scale * size**self.size_exponent * ratio**self.ratio_exponent + self.floor


def fit(points: Sequence[tuple[float, float, float]]) -> Law | None:
    """Fit (N, r, h) triples by least squares in log h; None with fewer than two positive values.

    Grids are geometric, so errors are relative. For a given E the law is linear in logarithms and solved
    exactly; E is then scanned, from six points on, since four parameters on fewer explain nothing. An
    exponent whose variable does not vary is 0.
    """
    rows = np.array([p for p in points if p[2] > 0], dtype=float).reshape(-1, 3)
    if len(rows) < 2:
        return None
    size, ratio, value = rows.T
    floors = np.linspace(0.0, 0.98 * value.min(), FLOORS) if len(rows) >= 6 else np.zeros(1)
    fits = [_at_floor(np.log(size), np.log(ratio), value, floor) for floor in floors]
    error, law = min(fits, key=lambda pair: pair[0])
    return law if math.isfinite(error) else None


def _at_floor(size: np.ndarray, ratio: np.ndarray, value: np.ndarray, floor: float) -> tuple[float, Law]:
    used = [column for column in (size, ratio) if np.ptp(column) > 0]
    design = np.column_stack([np.ones_like(size), *used])
    solution = np.linalg.lstsq(design, np.log(value - floor), rcond=None)[0]
    exponents = iter(solution[1:])
    b, c = (float(next(exponents)) if np.ptp(column) > 0 else 0.0 for column in (size, ratio))
    residual = np.log(np.exp(design @ solution) + floor) - np.log(value)
    return float(residual @ residual), Law(math.exp(solution[0]), b, c, float(floor), len(value))
