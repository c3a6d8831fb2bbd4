"""The baseline's loss against its data: `L(r) = alpha * r**-B + beta`, fitted and inverted.

Written as `L = a + b * h_B(r)` with `h_B(r) = ((r/r0)**-B - 1) / B` and r0 the ratios' geometric mean, the same
curve passes smoothly through B = 0, where it is log-linear. For each B the best a and b are in closed form, so
only B is searched for: on a grid, then by golden section and a last parabola, for thousands of draws at once.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmark.analysis.arrays import Floats

# B times the logarithm of (largest / smallest ratio): from a curve that gets steeper with data to a step
_RANGE = (-5.0, 15.0)
_GRID = 81
_FLAT = 1e-9  # share of alpha within which a loss is at the floor: finer than the fit can tell
_GOLDEN = (np.sqrt(5) - 1) / 2


@dataclass(frozen=True)
class Curve:
    """One fitted curve per draw: `a`, `b` and `exponent` (B) have shape (draws,).

    flag: what a reader must know about the fit, empty for four ratios or more.
    """

    r0: float
    a: Floats
    b: Floats
    exponent: Floats
    flag: str

    @property
    def falls(self) -> NDArray[np.bool_]:
        """Whether more data lowers the loss; a curve that does not fall cannot be inverted."""
        return self.b > 0

    @property
    def floor(self) -> Floats:
        """beta: what more data cannot get below; infinite where B is 0."""
        with np.errstate(divide="ignore"):
            return self.a - self.b / self.exponent

    def loss(self, ratio: Floats) -> Floats:
        """Loss at each ratio: (draws, ratios)."""
        return self.a[:, None] + self.b[:, None] * _basis(self.exponent, np.log(ratio / self.r0))

    def d_eff(self, loss: Floats) -> Floats:
        """The ratio at which the baseline reaches each loss: `loss` is (draws, cells), and so is the result.

        Infinite at or below the floor, 0 above every loss the curve has, NaN where the curve does not fall.
        """
        exponent = self.exponent[:, None]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            u = (loss - self.a[:, None]) / self.b[:, None]
            inner = exponent * u
            t = np.where(np.abs(exponent) < 1e-9, -u, -np.log1p(np.maximum(inner, -1.0)) / exponent)
            out = self.r0 * np.exp(t)
        out = np.where(inner <= -1.0 + _FLAT, np.where(exponent > 0, np.inf, 0.0), out)
        return np.where(self.falls[:, None], out, np.nan)


def fit(ratios: Floats, losses: Floats) -> Curve:
    """Fit one curve to each row of `losses` (draws, ratios) by unweighted least squares.

    Four ratios or more: all three parameters free. Three: .05 <= B <= 2 and beta >= 0. Two: log-linear (B = 0).
    Raises ValueError for fewer than two ratios, through which no curve is defined.
    """
    if len(ratios) < 2:
        raise ValueError(f"a curve needs two ratios or more, not {len(ratios)}")
    r0 = float(np.exp(np.log(ratios).mean()))
    t = np.log(ratios / r0)
    if len(ratios) == 2:
        exponent = np.zeros(len(losses))
        a, b, _ = _profile(exponent, t, losses, floor=False)
        return Curve(r0, a, b, exponent, "two baseline ratios")
    floor = len(ratios) == 3
    grid = np.linspace(0.05, 2.0, _GRID) if floor else np.linspace(*_RANGE, _GRID) / (t.max() - t.min())
    exponent = _search(grid, t, losses, floor)
    a, b, _ = _profile(exponent, t, losses, floor)
    return Curve(r0, a, b, exponent, "three baseline ratios" if floor else "")


def _basis(exponent: Floats, t: Floats) -> Floats:
    e = exponent[:, None]
    safe = np.where(np.abs(e) < 1e-9, 1.0, e)
    return np.where(np.abs(e) < 1e-9, -t, np.expm1(-e * t) / safe)


def _profile(exponent: Floats, t: Floats, losses: Floats, floor: bool) -> tuple[Floats, Floats, Floats]:
    """The best a and b for each row's exponent, and the residual sum of squares."""
    h = _basis(exponent, t)
    h_mean, y_mean = h.mean(axis=1), losses.mean(axis=1)
    h_c, y_c = h - h_mean[:, None], losses - y_mean[:, None]
    b = (h_c * y_c).sum(axis=1) / (h_c * h_c).sum(axis=1)
    a = y_mean - b * h_mean
    if floor:
        power = 1 + exponent[:, None] * h
        alpha = (power * losses).sum(axis=1) / (power * power).sum(axis=1)
        below = a - b / exponent < 0
        a, b = np.where(below, alpha, a), np.where(below, alpha * exponent, b)
    residual = losses - a[:, None] - b[:, None] * h
    return a, b, (residual * residual).sum(axis=1)


def _search(grid: Floats, t: Floats, losses: Floats, floor: bool) -> Floats:
    """Each row's best exponent: the best of the grid, refined between its neighbours by golden section."""
    y = losses - losses.mean(axis=1, keepdims=True) if not floor else losses
    if floor:
        best = np.stack([_profile(np.array([g]), t, y, floor)[2] for g in grid]).argmin(axis=0)
    else:  # what the best a and b explain, for the whole grid in one product
        h = _basis(grid, t)
        h -= h.mean(axis=1, keepdims=True)
        h /= np.linalg.norm(h, axis=1, keepdims=True)
        best = np.abs(y @ h.T).argmax(axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    f_left, f_right = _profile(left, t, y, floor)[2], _profile(right, t, y, floor)[2]
    for _ in range(18):  # .618**18 of two grid cells, which the parabola squares
        go_left = f_left < f_right
        low, high = np.where(go_left, low, left), np.where(go_left, right, high)
        new = np.where(go_left, high - _GOLDEN * (high - low), low + _GOLDEN * (high - low))
        f_new = _profile(new, t, y, floor)[2]
        left, right = np.where(go_left, new, right), np.where(go_left, left, new)
        f_left, f_right = np.where(go_left, f_new, f_right), np.where(go_left, f_left, f_new)
    middle, half = (low + high) / 2, (high - low) / 2
    ends = [_profile(x, t, y, floor)[2] for x in (low, middle, high)]
    bend = ends[0] - 2 * ends[1] + ends[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        vertex = middle + half * (ends[0] - ends[2]) / (2 * bend)
    vertex = np.where((bend > 0) & (low < vertex) & (vertex < high), vertex, middle)
    found = np.stack([vertex, low, high])  # an end of the grid can be best: it has not moved
    errors = np.stack([_profile(vertex, t, y, floor)[2], ends[0], ends[2]])
    return found[errors.argmin(axis=0), np.arange(len(y))]
