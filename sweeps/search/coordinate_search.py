"""The search within one cell, one optimizer on one task: coordinate descent with a budget.

The published study's Phase I (arXiv 2509.02046) changes one hyperparameter at a time until no single change
helps. Here too, with four differences: every search has the same budget, which everything counts against; a
lead inside the measured noise buys more seeds before it is believed; a grid goes on while the best value lies
at its end; and what is left over starts again elsewhere.
"""

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.spec import Value
from optimizers.base import Axis
from sweeps.search.history import History, Noise
from sweeps.search.space import Grid, Key, Setting, Step, key, moved

RESTART_LEAST = 5  # a start and both neighbours of two hyperparameters: fewer trials refine instead
RESTART_DRAWS = 20  # draws of another start before there is none that is new
LEAST_SHARE = 0.01  # of a grid step: finer values are the same value


@dataclass(frozen=True)
class Found:
    """What a search chose. swings: hyperparameter -> largest loss difference that one step made.

    near: settings that are as good within the noise, and noise: of a paired difference, where the search has
    a model of both; None where the history's own comparisons say it.
    """

    winner: Setting | None
    swings: Mapping[str, float]
    near: tuple[Setting, ...] | None = None
    noise: Noise | None = None


def coordinate_descent(
    history: History, axes: Mapping[str, Axis], start: Setting, order: Sequence[str], salt: str
) -> Found:
    """Search from `start` along `axes`, in `order` at first and by measured sensitivity afterwards.

    salt: names the search; the coins of its restarts depend on it and on nothing else.
    Raises Waiting while answers are missing.
    """
    descent = _Descent(history, {name: Grid.of(axes[name]) for name in order}, start)
    descent.open(order)
    descent.run(order)
    best, share, coins = descent.at, 0.5, random.Random(salt)
    while history.left and order and share > LEAST_SHARE:
        other = descent.elsewhere(best, coins) if history.left >= RESTART_LEAST else None
        if other is not None:
            best = descent.restart(best, other)
        else:
            best = descent.refine(best, share)
            share /= 2
    return Found(best if math.isfinite(history.loss(best)) else None, descent.swings())


class _Descent:
    """Where a search stands: its grids as extended so far, its incumbent, what it knows about each axis."""

    def __init__(self, history: History, grids: dict[str, Grid], start: Setting) -> None:
        self.history, self.grids, self.at = history, grids, start
        self._first = next(iter(grids), "")
        self._settled: set[str] = set()  # axes along which the incumbent is best
        self._given_up: Counter[Key] = Counter()  # incumbents, how often
        self._differences: dict[str, list[float]] = {name: [] for name in grids}

    def open(self, order: Sequence[str]) -> None:
        """Ask for the start and its first neighbours at once, and measure the noise on the best two."""
        wants = [(self.at, self.history.seeds[0], "start")]
        if order:
            wants += self._wants(order[0], self.grids[order[0]].steps(self.at[order[0]]))
        self.history.ask(wants)
        if len(self.history.seeds) > 1 and not self.history.prior.df and len(wants) > 1:
            runner_up = min((w[0] for w in wants[1:]), key=self.history.first)
            self.history.replicate((self.at, runner_up), keep=self._due(order[1:]))

    def run(self, order: Sequence[str]) -> None:
        """One pass in `order`, then the axis with the largest swing first, until every axis is settled."""
        for position, name in enumerate(order):
            self.line(name, keep=self._due(order[position + 1 :]))
        while waiting := [name for name in self.by_swing() if name not in self._settled]:
            self.line(waiting[0])

    def line(self, name: str, keep: int = 0) -> None:
        """Go along one axis for as long as the next value is better.

        Both neighbours may use the whole budget; what goes further leaves `keep` trials for other axes.
        """
        steps = self.grids[name].steps(self.at[name])
        ahead = [
            (loss, step) for loss, step in zip(self._try(name, steps), steps, strict=True) if loss is not None
        ]
        for _, step in sorted(ahead, key=lambda pair: pair[0]):
            if self._advance(name, step, keep):
                while (further := self.grids[name].step(self.at[name], step.upward)) and (
                    self._try(name, [further], keep)[0] is not None and self._advance(name, further, keep)
                ):
                    pass
                break
        else:
            if not math.isfinite(self.history.loss(self.at)):
                self._retreat(name, keep)
        self._settled.add(name)

    def by_swing(self) -> list[str]:
        swings = self.swings()
        return sorted(self.grids, key=lambda name: -swings.get(name, math.inf))

    def swings(self) -> dict[str, float]:
        """Axis -> largest finite loss difference of one step; an axis without one is left out."""
        return {name: max(found) for name, found in self._differences.items() if found}

    def elsewhere(self, best: Setting, coins: random.Random) -> Setting | None:
        """Another start: each hyperparameter at its best or, by a coin, its runner-up value that trained."""
        others = {name: value for name in self.grids if (value := self._runner_up(name, best)) is not None}
        for _ in range(RESTART_DRAWS if len(self.grids) > 1 else 0):
            start = {**best, **{name: value for name, value in others.items() if coins.random() < 0.5}}
            if not self.history.losses(start) and self.history.possible(start):
                return start
        return None

    def restart(self, best: Setting, start: Setting) -> Setting:
        """Descend from another start, most sensitive axes first; return the better of both ends."""
        self.at, self._settled = start, set()
        self.history.ask([(start, self.history.seeds[0], "restart")])
        self.run(self.by_swing())
        return self.at if key(self.at) != key(best) and self.history.better(self.at, best) else best

    def refine(self, best: Setting, share: float) -> Setting:
        """Try a `share` of a grid step on both sides of the best, along every axis that can be divided."""
        for name in self.by_swing():
            values = (self.grids[name].between(best[name], upward, share) for upward in (False, True))
            tries = [moved(best, name, value) for value in values if value is not None]
            losses = self.history.ask([(t, self.history.seeds[0], f"{name} refinement") for t in tries])
            known = sorted(((x, i) for i, x in enumerate(losses) if x is not None))
            for _, index in known:
                if self.history.better(tries[index], best):
                    best = tries[index]
                    break
        return best

    def _try(self, name: str, steps: Sequence[Step], keep: int = 0) -> list[float | None]:
        losses = self.history.ask(self._wants(name, steps), keep)
        here = self.history.first(self.at)
        for step, loss in zip(steps, losses, strict=True):
            if loss is not None and step.extension:
                self.grids[name] = self.grids[name].extended(step.value)
            if loss is not None and math.isfinite(loss) and math.isfinite(here):
                self._differences[name].append(abs(loss - here))
        return losses

    def _wants(self, name: str, steps: Sequence[Step]) -> list[tuple[Setting, int, str]]:
        label = {True: f"{name} up", False: f"{name} down"}
        return [
            (
                moved(self.at, name, s.value),
                self.history.seeds[0],
                f"{name} extension" if s.extension else label[s.upward],
            )
            for s in steps
        ]

    def _advance(self, name: str, step: Step, keep: int) -> bool:
        candidate = moved(self.at, name, step.value)
        # a setting that was given up may return when more seeds speak for it, not for ever: no cycles
        often = self._given_up[key(candidate)] >= len(self.history.seeds)
        if often or not self.history.better(candidate, self.at, keep):
            return False
        self._given_up[key(self.at)] += 1
        self.at, self._settled = candidate, {name}
        return True

    def _retreat(self, name: str, keep: int) -> None:
        """Nothing trains here: go on along the axis until something does. The first axis is a rate: it goes
        down, beyond its grid if need be. Along others any declared value may help, and none beyond."""
        here = self.at
        for upward in (False,) if name == self._first else (False, True):
            step = self.grids[name].step(here[name], upward)
            while step and (name == self._first or not step.extension):
                loss = self._try(name, [step], keep)[0]
                if loss is None:
                    break
                if math.isfinite(loss):
                    self.at, self._settled = moved(here, name, step.value), set()
                    return
                step = self.grids[name].step(step.value, upward)

    def _runner_up(self, name: str, best: Setting) -> Value | None:
        """The value of an axis, other than the best one, with the lowest loss seen; None if none trained."""
        others = [entry for entry in self.history.entries if entry.setting[name] != best[name]]
        losses = [math.inf if entry.loss is None else entry.loss for entry in others]
        place = min(range(len(others)), key=losses.__getitem__, default=None)
        return None if place is None or not math.isfinite(losses[place]) else others[place].setting[name]

    def _due(self, names: Sequence[str]) -> int:
        """Trials to leave to the axes still to be visited: a first try of each, but at most two thirds of
        what is left, because the best rate of an optimizer matters more than its other settings."""
        tries = sum(min(2, len(self.grids[name].steps(self.at[name]))) for name in names)
        return min(tries, 2 * self.history.left // 3)
