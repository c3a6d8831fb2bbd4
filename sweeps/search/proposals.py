"""What a search by a model tries: its opening, and the best of a finite set of candidates.

A process through all trials so far (gp.py) is asked for the expected improvement of candidates over the whole
box, along each axis through the best, and near the best. Pure functions, kept by their arguments: a search is
replayed after every record.
"""

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from benchmark.spec import Value
from optimizers.base import Axis
from sweeps.search import gp
from sweeps.search.box import Line, coordinates, sobol
from sweeps.search.space import Setting

GLOBAL, LOCAL = 64, 192  # candidates over the whole box, and around the best
LOCAL_STEPS = 0.7  # grid steps: spread of the latter
LOCAL_AXES = 3.0  # of them, how many axes move at once in the mean
EDGE = 0.25  # of a grid step: nearer to the end of the box, the best is at its end

Point = tuple[Value, ...]
Trials = tuple[tuple[Point, float], ...]


@dataclass(frozen=True)
class Space:
    """Names and axes that are searched, in order; hashable, so that what follows from it can be kept."""

    names: tuple[str, ...]
    axes: tuple[Axis, ...]

    @functools.cached_property
    def lines(self) -> tuple[Line, ...]:
        return tuple(Line(axis) for axis in self.axes)

    def point(self, setting: Setting) -> Point:
        return tuple(setting[name] for name in self.names)

    def setting(self, start: Setting, point: Point) -> Setting:
        return {**start, **dict(zip(self.names, point, strict=True))}


def opening(space: Space, start: Point, count: int, salt: str, carried: bool) -> list[Point]:
    """The start and Sobol points of the whole box, or of a box of one step around a carried start; without
    those that come twice."""
    lines = space.lines
    if carried:
        lines = tuple(Line(line.around(value)) for line, value in zip(lines, start, strict=True))
    shares = sobol(len(lines), 4 * count, _seed(salt))
    drawn = [tuple(line.at(float(u)) for line, u in zip(lines, row, strict=True)) for row in shares]
    return list(dict.fromkeys([start, *drawn]))[:count]


@functools.lru_cache(maxsize=4096)
def propose(space: Space, trials: Trials, salt: str) -> Point | None:
    """The candidate of the highest expected improvement that was not tried; None where all were."""
    model, means = fitted(space, trials)
    best = incumbent(space, trials)
    tried = {point for point, _ in trials}
    found = [point for point in _candidates(space, trials, best, salt) if point not in tried]
    if not found:
        return None
    mean, sd = model.predict(coordinates(space.lines, found)[0])
    gain = gp.expected_improvement(mean, sd, float(means.min()))
    # what differs by rounding alone is equal, and the first of equals is taken
    return found[int(np.argmax(np.round(gain / max(gain.max(), 1e-300), 6)))]


@functools.lru_cache(maxsize=4096)
def incumbent(space: Space, trials: Trials) -> Point:
    """The setting that trained with the lowest posterior mean."""
    _, means = fitted(space, trials)
    losses = dict(trials)
    order = np.argsort(np.round(means, 9), kind="stable")
    points = points_of(trials)
    return next(points[i] for i in order if math.isfinite(losses[points[i]]))


def bad_as_the_worst(losses: Sequence[float]) -> np.ndarray:
    """Losses as the model sees them: what lies above the best by more than most do is drawn in, because how
    bad it is says nothing of the valley, and what diverged is as bad as the worst that trained."""
    values = np.array(losses, dtype=float)
    finite = values[np.isfinite(values)]
    values = np.where(np.isfinite(values), values, finite.max())
    best = finite.min()
    scale = max(float(np.median(finite)) - best, 1e-6)
    return best + scale * np.log1p((values - best) / scale)


@functools.lru_cache(maxsize=4096)
def fitted(space: Space, trials: Trials) -> tuple[gp.Model, np.ndarray]:
    """The model, and its mean at every trial."""
    points, owners = coordinates(space.lines, [point for point, _ in trials])
    model = gp.fit(points, bad_as_the_worst([loss for _, loss in trials]), owners)
    return model, model.predict(points)[0]


def points_of(trials: Trials) -> list[Point]:
    return [point for point, _ in trials]


def _candidates(space: Space, trials: Trials, best: Point, salt: str) -> list[Point]:
    """Over the whole box, along each axis through the best, and near the best; in this order, each once."""
    lines = space.lines
    ends = [_ends(line, best[i], [p[i] for p, _ in trials]) for i, line in enumerate(lines)]
    dimensions = len(lines)
    shares = sobol(2 * dimensions, GLOBAL + LOCAL, _seed(f"{salt} {len(trials)}"))
    found = [
        tuple(_at(line, u, e) for line, u, e in zip(lines, row, ends, strict=False)) for row in shares[:GLOBAL]
    ]
    for place, line in enumerate(lines):
        if not line.ordered:
            values = list(line.values)
        else:
            values = [line.moved(best[place], steps) for steps in (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)]
            values = [v for v in values if v is not None and _inside(line, v, ends[place])]
        found += [(*best[:place], v, *best[place + 1 :]) for v in values]
    chance = min(1.0, LOCAL_AXES / dimensions)
    local = shares[GLOBAL:]
    shifts = ndtri(np.clip(local[:, :dimensions], 1e-6, 1 - 1e-6))
    for row, shift in zip(local, shifts, strict=True):
        point = list(best)
        for place in np.flatnonzero(row[dimensions:] < chance):
            line = lines[place]
            point[place] = (
                _near(line, best[place], shift[place], ends[place]) if line.ordered else line.at(row[place])
            )
        found.append(tuple(point))
    return list(dict.fromkeys(found))


def _ends(line: Line, best: Value, tried: Sequence[Value]) -> tuple[float, float]:
    """The box along an axis: the declared grid and what was tried, and a step more where the best is at its
    end."""
    if not line.ordered:
        return 0.0, float(len(line.values) - 1)
    places = [*line.ends, *(line.position(v) for v in tried)]
    low, high, here = min(places), max(places), line.position(best)
    return low - (here < low + EDGE), high + (here > high - EDGE)


def _inside(line: Line, value: Value, ends: tuple[float, float]) -> bool:
    return ends[0] - 1e-9 <= line.position(value) <= ends[1] + 1e-9


def _at(line: Line, share: float, ends: tuple[float, float]) -> Value:
    """The value at a share of the box."""
    if not line.divisible:
        return line.at(share)
    low, high = ends
    found = line.value(low + share * (high - low))
    return line.at(share) if found is None else found


def _near(line: Line, value: Value, shift: float, ends: tuple[float, float]) -> Value:
    """A value near another, inside the box, by a standard normal `shift`."""
    if line.divisible:
        shift *= LOCAL_STEPS
    else:
        shift = math.copysign(max(1.0, abs(shift)), shift)  # less than a step would lead nowhere
    found = line.value(min(max(line.position(value) + shift, ends[0]), ends[1]))
    return value if found is None else found


def _seed(salt: str) -> int:
    return int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "big")
