"""From nats to tokens: how much more data would have bought the baseline the same gain?

The baseline's curve is shifted through its own loss at the task, so that a gap of 0 is a speedup of 1 whatever
the curve. It is drawn many times: from the noise of its points, and between the fitted law and the points
themselves, because how a law misses points says how it may miss what lies between them.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from benchmark.analysis import curve
from benchmark.analysis.arrays import Floats
from benchmark.analysis.contrasts import deviate

REACH = np.log(64.0)  # beyond this many times the baseline's data nothing is converted: 0 or infinite
_NODES = 360
_STEPS = 26
_LEAST = 0.1  # of the law's slope: points may not make the curve rise
_BLEND = (-0.2, 1.2)  # from the law (0) to the points (1), and a little beyond either


@dataclass(frozen=True)
class Conversion:
    """Draws of one baseline's curve. log_ratio: (nodes,) evenly spaced; loss: (draws, nodes), falling."""

    log_ratio: Floats
    loss: Floats

    def gap(self, log_ratio: Floats, log_speedup: Floats) -> Floats:
        """Nats that a speedup is worth at a ratio, in each draw: (cells, draws); negative for gains."""
        return self._at(log_ratio + log_speedup) - self._at(log_ratio)

    def _at(self, where: Floats) -> Floats:
        step = self.log_ratio[1] - self.log_ratio[0]
        at = np.clip((where - self.log_ratio[0]) / step, 0.0, len(self.log_ratio) - 1.000001)
        left = at.astype(int)
        part = (at - left)[:, None]
        columns = self.loss.T
        return columns[left] * (1 - part) + columns[left + 1] * part

    def bound(self, log_ratio: Floats, gap: Floats, error: Floats, df: Floats, tail: Floats) -> Floats:
        """The speedup that the true one is below with probability `tail`, one per cell.

        gap, error, df: the difference to the baseline in nats with its standard error and degrees of freedom.
        The noise of the gap is integrated within each draw of the curve, so that the bound is above 1
        where the gap's own bound is below 0. Infinite or 0 beyond REACH.
        """
        low, high = np.full(len(gap), -REACH), np.full(len(gap), REACH)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            below = self._below(log_ratio, middle, gap, error, df)
            low, high = np.where(below < tail, middle, low), np.where(below < tail, high, middle)
        found = np.exp((low + high) / 2)
        edge = REACH * (1 - 1e-6)
        return np.where(low > edge, np.inf, np.where(high < -edge, 0.0, found))

    def _below(self, log_ratio: Floats, log_speedup: Floats, gap: Floats, error: Floats, df: Floats) -> Floats:
        """Probability that the speedup is below this one."""
        t = (gap[:, None] - self.gap(log_ratio, log_speedup)) / error[:, None]
        return special.ndtr(deviate(t, df[:, None])).mean(axis=1)


def anchored(fitted: curve.Curve, ratio: Floats, gap: Floats) -> Floats:
    """The ratio at which the first fitted curve is `gap` nats beyond its own loss at `ratio`; one per cell."""
    return fitted.d_eff((fitted.loss(ratio)[0] + gap)[None])[0]


def draw(ratios: Floats, means: Floats, cells: Floats, rng: np.random.Generator) -> Conversion:
    """Draws of the baseline's curve through `means` (draws, ratios), for cells at these ratios."""
    order = np.argsort(ratios)
    ratios, means = ratios[order], means[:, order]
    fitted = curve.fit(ratios, means)
    t = np.log(ratios)
    ends = np.log([min(cells.min(), ratios[0]), max(cells.max(), ratios[-1])]) + np.array([-REACH, REACH])
    nodes = np.linspace(ends[0], ends[1], _NODES)
    centre = (nodes[1:] + nodes[:-1]) / 2
    with np.errstate(over="ignore"):
        slope = fitted.b[:, None] * np.exp(-fitted.exponent[:, None] * (centre - np.log(fitted.r0)))
    slope = np.where(fitted.falls[:, None], np.minimum(slope, 1e6), 0.0)
    missed = means - fitted.loss(ratios)
    segment = np.clip(np.searchsorted(t, centre) - 1, 0, len(t) - 2)
    miss_slope = (np.diff(missed, axis=1) / np.diff(t))[:, segment]
    near = (centre > t[0] - np.log(2)) & (centre < t[-1] + np.log(2))  # an octave beyond the points, no further
    blend = rng.uniform(*_BLEND, (len(means), 1))
    slope = np.maximum(slope - blend * miss_slope * near, _LEAST * slope)
    steps = slope * np.diff(nodes)
    return Conversion(nodes, -np.hstack([np.zeros((len(means), 1)), np.cumsum(steps, axis=1)]))
