"""The search within one cell by a model of the loss: an equal opening, then what a Gaussian process proposes.

1. Opening: the start and Sobol points over all axes at once, about half of the budget (`OPENING`). A start
   that is carried from another task opens in a box of one grid step around it.
2. A process through all trials so far (gp.py) proposes the next: the highest expected improvement among a
   finite set of candidates. A trial that diverged counts as bad as the worst that trained. Where the best
   rate is the most extreme one tried, the next trial goes one step beyond it.
3. Race: the settings with the lowest posterior means run again on fresh tuning seeds, side by side.
4. The winner has the lowest posterior mean of them, race included: not the luckiest run.

A pure function of the answers: it is replayed after every record, so proposals are kept by their history.
"""

import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from benchmark.spec import Value
from optimizers.base import Axis
from sweeps import gp
from sweeps.box import Line, coordinates, sobol
from sweeps.ledger import Ledger, Noise
from sweeps.protocol import Found
from sweeps.space import Setting, moved

RATE = "peak_lr"
GLOBAL, LOCAL = 64, 192  # candidates over the whole box, and around the best
LOCAL_STEPS = 0.7  # grid steps: spread of the latter
LOCAL_AXES = 3.0  # of them, how many axes move at once in the mean
EDGE = 0.25  # of a grid step: nearer to the end of the box, the best is at its end
NEAR = 1.3  # sd of a difference of two runs: what may be noise in 80 % of cases


@dataclass(frozen=True)
class Rules:
    """How a budget is divided, and how a winner is chosen: what regret.py compares.

    opening: share of the budget, the start included. racers: settings in the last race. race: share of the
    budget that it may take; fewest: trials of a search below which there is none, because another setting is
    worth more than a second seed. smoothed: chosen by posterior means, not by the lowest losses.
    """

    opening: float = 0.5
    racers: int = 2
    race: float = 0.2
    fewest: int = 32
    smoothed: bool = True


RULES = Rules()
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


def gp_search(
    ledger: Ledger,
    axes: Mapping[str, Axis],
    start: Setting,
    salt: str,
    carried: bool = False,
    beyond: int = 0,
    rules: Rules = RULES,
) -> Found:
    """Search from `start` along `axes`.

    salt: names the search; its opening and candidates depend on it and on nothing else.
    carried: the start comes from another task. beyond: trials above the budget that may be spent to take the
    best rate off an edge. Raises Waiting while answers are missing.
    """
    runnable = {name: _runnable(ledger, axis, name, start) for name, axis in axes.items()}
    if not runnable:
        ledger.ask([(start, ledger.seeds[0], "start")])
        return Found(start if math.isfinite(ledger.first(start)) else None, {})
    search = _Search(ledger, Space(tuple(runnable), tuple(runnable.values())), start, salt, rules)
    search.open(carried)
    search.improve()
    while beyond and (step := search.off_the_edge()) is not None:
        beyond, ledger.budget = beyond - 1, ledger.budget + 1
        search.ask([step], "peak_lr bracket")
    return search.found()


class _Search:
    """Where a search stands; everything it knows is in the ledger."""

    def __init__(self, ledger: Ledger, space: Space, start: Setting, salt: str, rules: Rules) -> None:
        self.ledger, self.space, self.start, self.salt, self.rules = ledger, space, start, salt, rules
        self.racers: tuple[Point, ...] = ()

    @property
    def trials(self) -> Trials:
        """Every setting at the first seed, in the order in which they were asked for."""
        first = self.ledger.seeds[0]
        entries = [e for e in self.ledger.entries if e.seed == first and e.loss is not None]
        return tuple((self.space.point(e.setting), float(e.loss or 0.0)) for e in entries)

    def ask(self, points: Sequence[Point], purpose: str) -> None:
        wants = [(self.space.setting(self.start, p), self.ledger.seeds[0], purpose) for p in points]
        self.ledger.ask(wants)

    def open(self, carried: bool) -> None:
        """Ask for the whole opening at once: its trials do not wait for each other."""
        count = max(2, round(self.rules.opening * self.ledger.budget))
        points = opening(self.space, self.space.point(self.start), count, self.salt, carried)
        first, rest = points[0], points[1:]
        seed = self.ledger.seeds[0]
        wants = [(self.space.setting(self.start, first), seed, "start")]
        self.ledger.ask([*wants, *((self.space.setting(self.start, p), seed, "opening") for p in rest)])

    def improve(self) -> None:
        """One proposal at a time, then the race: with what is kept for it, or all where no setting is left."""
        kept = self._kept()
        while self.ledger.left:
            edge = self.off_the_edge()
            whole = self.ledger.left <= kept and self.ledger.left % self.rules.racers == 0
            if edge is not None:
                self.ask([edge], f"{RATE} bracket")
            elif not (whole and self._race()) and not self._propose() and not self._race():
                break

    def off_the_edge(self) -> Point | None:
        """The setting one step beyond the best, if its rate is the most extreme one tried and could go on."""
        best = self._best()
        return None if best is None else next(iter(self._beyond(best)), None)

    def found(self) -> Found:
        """The winner: of the racers, or of all where none raced, the one with the lowest posterior mean."""
        if not any(math.isfinite(loss) for _, loss in self.trials):
            return Found(None, {})
        trials = self._with_race()
        means = dict(zip(_settings(trials), _fitted(self.space, trials)[1], strict=True))
        if not self.rules.smoothed:
            means = {p: self.ledger.loss(self.space.setting(self.start, p)) for p, _ in trials}
        best = min(self.racers or self._candidates(), key=means.__getitem__)
        return self._described(best, trials)

    def _propose(self) -> bool:
        """Ask for another setting; False where there is none left that was not tried."""
        best = self._best()
        if best is None:
            point, purpose = _lower_rate(self.space, self.trials), f"{RATE} down"
        else:
            point, purpose = propose(self.space, self.trials, self.salt), "proposal"
        if point is None or not self.ledger.possible(self.space.setting(self.start, point)):
            return False
        self.ask([point], purpose)
        return True

    def _best(self) -> Point | None:
        trials = self.trials
        return incumbent(self.space, trials) if any(math.isfinite(loss) for _, loss in trials) else None

    def _beyond(self, point: Point) -> list[Point]:
        """One step of the rate beyond a setting, on each side where nothing was tried."""
        if RATE not in self.space.names:
            return []
        place = self.space.names.index(RATE)
        line, rate = self.space.lines[place], point[place]
        sides = line.open_sides(rate, [p[place] for p, _ in self.trials])
        values = [line.moved(rate, 1.0 if upward else -1.0) for upward in sides]
        return [(*point[:place], value, *point[place + 1 :]) for value in values if value is not None]

    def _kept(self) -> int:
        """Trials kept for the race: whole rounds of all racers, as many as its share pays, at least one."""
        budget, rules = self.ledger.budget, self.rules
        if budget < rules.fewest or not rules.race:
            return 0
        rounds = max(1, int(rules.race * budget) // rules.racers)
        return min(rounds, len(self.ledger.seeds) - 1) * rules.racers

    def _candidates(self) -> list[Point]:
        """Settings that trained, lowest posterior mean first, those with an open rate after others."""
        trials = self.trials
        means = dict(zip(_settings(trials), _fitted(self.space, trials)[1], strict=True))
        trained = [point for point, loss in trials if math.isfinite(loss)]
        best = incumbent(self.space, trials)
        return sorted(trained, key=lambda p: (p != best and bool(self._beyond(p)), means[p]))

    def _race(self) -> bool:
        """The best candidates on one more seed; False where there are no two or no seed is left."""
        if self._best() is None:
            return False
        racers = self.racers or tuple(self._candidates()[: self.rules.racers])
        settings = [self.space.setting(self.start, point) for point in racers]
        fresh = [s for s in self.ledger.seeds[1:] if any(s not in self.ledger.losses(x) for x in settings)]
        if len(racers) < 2 or not fresh or self.ledger.left < len(racers):
            return False
        self.ledger.ask([(setting, fresh[0], "race") for setting in settings])
        self.racers = racers
        return True

    def _with_race(self) -> Trials:
        """All trials, those of the race less what its seed does to the racers' mean; one that diverged in the
        race counts as infinite."""
        trials = list(self.trials)
        if not self.racers:
            return self.trials
        smooth = dict(zip(_settings(self.trials), _fitted(self.space, self.trials)[1], strict=True))
        level = math.fsum(smooth[p] for p in self.racers) / len(self.racers)
        for seed in self.ledger.seeds[1:]:
            losses = [self.ledger.losses(self.space.setting(self.start, p)).get(seed) for p in self.racers]
            known = [loss for loss in losses if loss is not None]
            if len(known) < len(losses):
                continue
            finite = [loss for loss in known if math.isfinite(loss)]
            shift = level - math.fsum(finite) / len(finite) if finite else 0.0
            trials += [(p, loss + shift) for p, loss in zip(self.racers, known, strict=True)]
        return tuple(trials)

    def _described(self, best: Point, trials: Trials) -> Found:
        """What the model says around the winner: how much a grid step of each axis matters, what is near."""
        model = _model(self.space, trials)
        moves: dict[str, list[Point]] = {}
        for place, (name, line) in enumerate(zip(self.space.names, self.space.lines, strict=True)):
            others = [line.moved(best[place], steps) for steps in (-1.0, 1.0)] if line.ordered else line.values
            values = [v for v in dict.fromkeys([*others, *line.values]) if v is not None and v != best[place]]
            moves[name] = [(*best[:place], value, *best[place + 1 :]) for value in values]
        points = [best, *(p for found in moves.values() for p in found)]
        means, _ = model.predict(coordinates(self.space.lines, points)[0])
        excess = dict(zip(points, np.round(means - means[0], 6), strict=True))
        varied = {n for i, n in enumerate(self.space.names) if len({p[i] for p, _ in trials}) > 1}
        swings = {
            n: max(abs(float(excess[p])) for p in ps[:2]) for n, ps in moves.items() if ps and n in varied
        }
        band = NEAR * math.sqrt(2) * model.noise_sd
        near = [p for name, ps in moves.items() for p in ps if name in varied and excess[p] <= band]
        settings = [self.space.setting(self.start, p) for p in (best, *near)]
        df = max(1, len(trials) - len(self.space.names) - 1)
        noise = Noise(2 * model.noise_sd**2 * df, df)
        return Found(settings[0], swings, tuple(settings), noise)


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
    model, means = _fitted(space, trials)
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
    _, means = _fitted(space, trials)
    losses = dict(trials)
    order = np.argsort(np.round(means, 9), kind="stable")
    points = _settings(trials)
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
def _fitted(space: Space, trials: Trials) -> tuple[gp.Model, np.ndarray]:
    """The model, and its mean at every trial."""
    points, owners = coordinates(space.lines, [point for point, _ in trials])
    model = gp.fit(points, bad_as_the_worst([loss for _, loss in trials]), owners)
    return model, model.predict(points)[0]


def _model(space: Space, trials: Trials) -> gp.Model:
    return _fitted(space, trials)[0]


def _settings(trials: Trials) -> list[Point]:
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


def _lower_rate(space: Space, trials: Trials) -> Point | None:
    """Where nothing trains: one step below the lowest rate that was tried, all else as in that trial."""
    if RATE not in space.names:
        return None
    place = space.names.index(RATE)
    lowest = min((p for p, _ in trials), key=lambda p: float(p[place]))
    value = space.lines[place].moved(lowest[place], -1.0)
    return None if value is None else (*lowest[:place], value, *lowest[place + 1 :])


def _runnable(ledger: Ledger, axis: Axis, name: str, start: Setting) -> Axis:
    """The axis without fixed values that cannot be run, such as a batch size that leaves too few steps."""
    if axis.scale != "fixed":
        return axis
    return Axis(tuple(v for v in axis.grid if ledger.possible(moved(start, name, v))), axis.start)


def _seed(salt: str) -> int:
    return int.from_bytes(hashlib.sha256(salt.encode()).digest()[:8], "big")
