"""The search within one cell by a model of the loss: an equal opening, then what a Gaussian process proposes.

1. Opening: the start and Sobol points over all axes at once, about half of the budget. A start
   that is carried from another task opens in a box of one grid step around it.
2. A process through all trials so far (gp.py) proposes the next: the highest expected improvement among a
   finite set of candidates. A trial that diverged counts as bad as the worst that trained. Where the best
   rate is the most extreme one tried, the next trial goes one step beyond it.
3. Race: the settings with the lowest posterior means run again on fresh tuning seeds, side by side.
4. The winner has the lowest posterior mean of them, race included: not the luckiest run.

A pure function of the answers: it is replayed after every record, so proposals are kept by their history.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from optimizers.base import Axis
from sweeps.search.box import coordinates
from sweeps.search.coordinate_search import Found
from sweeps.search.history import History, Noise
from sweeps.search.proposals import Point, Space, Trials, fitted, incumbent, opening, points_of, propose
from sweeps.search.space import Setting, moved

RATE = "peak_lr"
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


def gp_search(
    history: History,
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
    runnable = {name: _runnable(history, axis, name, start) for name, axis in axes.items()}
    if not runnable:
        history.ask([(start, history.seeds[0], "start")])
        return Found(start if math.isfinite(history.first(start)) else None, {})
    search = _Search(history, Space(tuple(runnable), tuple(runnable.values())), start, salt, rules)
    search.open(carried)
    search.improve()
    while beyond and (step := search.off_the_edge()) is not None:
        beyond, history.budget = beyond - 1, history.budget + 1
        search.ask([step], "peak_lr bracket")
    return search.found()


class _Search:
    """Where a search stands; everything it knows is in the history."""

    def __init__(self, history: History, space: Space, start: Setting, salt: str, rules: Rules) -> None:
        self.history, self.space, self.start, self.salt, self.rules = history, space, start, salt, rules
        self.racers: tuple[Point, ...] = ()

    @property
    def trials(self) -> Trials:
        """Every setting at the first seed, in the order in which they were asked for."""
        first = self.history.seeds[0]
        entries = [e for e in self.history.entries if e.seed == first and e.loss is not None]
        return tuple((self.space.point(e.setting), float(e.loss or 0.0)) for e in entries)

    def ask(self, points: Sequence[Point], purpose: str) -> None:
        wants = [(self.space.setting(self.start, p), self.history.seeds[0], purpose) for p in points]
        self.history.ask(wants)

    def open(self, carried: bool) -> None:
        """Ask for the whole opening at once: its trials do not wait for each other."""
        count = max(2, round(self.rules.opening * self.history.budget))
        points = opening(self.space, self.space.point(self.start), count, self.salt, carried)
        first, rest = points[0], points[1:]
        seed = self.history.seeds[0]
        wants = [(self.space.setting(self.start, first), seed, "start")]
        self.history.ask([*wants, *((self.space.setting(self.start, p), seed, "opening") for p in rest)])

    def improve(self) -> None:
        """One proposal at a time, then the race: with what is kept for it, or all where no setting is left."""
        kept = self._kept()
        while self.history.left:
            edge = self.off_the_edge()
            whole = self.history.left <= kept and self.history.left % self.rules.racers == 0
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
        means = dict(zip(points_of(trials), fitted(self.space, trials)[1], strict=True))
        if not self.rules.smoothed:
            means = {p: self.history.loss(self.space.setting(self.start, p)) for p, _ in trials}
        best = min(self.racers or self._candidates(), key=means.__getitem__)
        return self._described(best, trials)

    def _propose(self) -> bool:
        """Ask for another setting; False where there is none left that was not tried."""
        best = self._best()
        if best is None:
            point, purpose = _lower_rate(self.space, self.trials), f"{RATE} down"
        else:
            point, purpose = propose(self.space, self.trials, self.salt), "proposal"
        if point is None or not self.history.possible(self.space.setting(self.start, point)):
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
        budget, rules = self.history.budget, self.rules
        if budget < rules.fewest or not rules.race:
            return 0
        rounds = max(1, int(rules.race * budget) // rules.racers)
        return min(rounds, len(self.history.seeds) - 1) * rules.racers

    def _candidates(self) -> list[Point]:
        """Settings that trained, lowest posterior mean first, those with an open rate after others."""
        trials = self.trials
        means = dict(zip(points_of(trials), fitted(self.space, trials)[1], strict=True))
        trained = [point for point, loss in trials if math.isfinite(loss)]
        best = incumbent(self.space, trials)
        return sorted(trained, key=lambda p: (p != best and bool(self._beyond(p)), means[p]))

    def _race(self) -> bool:
        """The best candidates on one more seed; False where there are no two or no seed is left."""
        if self._best() is None:
            return False
        racers = self.racers or tuple(self._candidates()[: self.rules.racers])
        settings = [self.space.setting(self.start, point) for point in racers]
        fresh = [s for s in self.history.seeds[1:] if any(s not in self.history.losses(x) for x in settings)]
        if len(racers) < 2 or not fresh or self.history.left < len(racers):
            return False
        self.history.ask([(setting, fresh[0], "race") for setting in settings])
        self.racers = racers
        return True

    def _with_race(self) -> Trials:
        """All trials, those of the race less what its seed does to the racers' mean; one that diverged in the
        race counts as infinite."""
        trials = list(self.trials)
        if not self.racers:
            return self.trials
        smooth = dict(zip(points_of(self.trials), fitted(self.space, self.trials)[1], strict=True))
        level = math.fsum(smooth[p] for p in self.racers) / len(self.racers)
        for seed in self.history.seeds[1:]:
            losses = [self.history.losses(self.space.setting(self.start, p)).get(seed) for p in self.racers]
            known = [loss for loss in losses if loss is not None]
            if len(known) < len(losses):
                continue
            finite = [loss for loss in known if math.isfinite(loss)]
            shift = level - math.fsum(finite) / len(finite) if finite else 0.0
            trials += [(p, loss + shift) for p, loss in zip(self.racers, known, strict=True)]
        return tuple(trials)

    def _described(self, best: Point, trials: Trials) -> Found:
        """What the model says around the winner: how much a grid step of each axis matters, what is near."""
        model = fitted(self.space, trials)[0]
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


def _lower_rate(space: Space, trials: Trials) -> Point | None:
    """Where nothing trains: one step below the lowest rate that was tried, all else as in that trial."""
    if RATE not in space.names:
        return None
    place = space.names.index(RATE)
    lowest = min((p for p, _ in trials), key=lambda p: float(p[place]))
    value = space.lines[place].moved(lowest[place], -1.0)
    return None if value is None else (*lowest[:place], value, *lowest[place + 1 :])


def _runnable(history: History, axis: Axis, name: str, start: Setting) -> Axis:
    """The axis without fixed values that cannot be run, such as a batch size that leaves too few steps."""
    if axis.spacing != "fixed":
        return axis
    return Axis(tuple(v for v in axis.grid if history.possible(moved(start, name, v))), axis.start)
