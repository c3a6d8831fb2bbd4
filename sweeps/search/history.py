"""What one search has asked for, what came back, and what it cost.

A search is a plain function that is replayed from its first trial whenever something new is known. It asks
here; an answer that is not known yet stops it with `Waiting`, after everything that can run at once has
been asked. Losses are compared here too, seed by seed, because a comparison may ask for more seeds.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from benchmark.analysis.settings import near
from sweeps.search.space import Key, Setting, key

BAND_QUANTILE = 0.9  # a difference inside the central 80 % of what noise alone makes is worth another seed


class Waiting(Exception):
    """The search cannot go on before the trials that it has asked for are finished."""


@dataclass(frozen=True)
class Noise:
    """Residual variation of a difference between two settings at one seed: sum of squares and its df."""

    squares: float = 0.0
    df: int = 0

    def __add__(self, other: "Noise") -> "Noise":
        return Noise(self.squares + other.squares, self.df + other.df)

    @property
    def sd(self) -> float | None:
        """Standard deviation of a paired difference in nats per token; None where nothing was replicated."""
        return math.sqrt(self.squares / self.df) if self.df else None

    @property
    def band(self) -> float:
        """Half-width of the band in which a difference of two single runs may be noise; infinite at df 0."""
        return (
            float(stdtrit(self.df, BAND_QUANTILE)) * math.sqrt(self.squares / self.df) if self.df else math.inf
        )


@dataclass
class Entry:
    """One trial that was asked for. loss: nats per token; +inf if it diverged or failed; None: not known."""

    setting: Setting
    seed: int
    purpose: str
    loss: float | None


class History:
    """The history of one search.

    lookup: (setting, seed, purpose) -> loss as in `Entry`; called once for each trial.
    possible: whether a setting can be run at all; those that cannot are never asked and cost nothing.
    seeds: tuning seeds; the first is used for every setting, the others for replicates.
    prior: noise that is known from elsewhere.
    band: a stated band in nats per token instead of the measured one.
    """

    def __init__(
        self,
        lookup: Callable[[Setting, int, str], float | None],
        budget: int,
        seeds: Sequence[int] = (0,),
        possible: Callable[[Setting], bool] = lambda setting: True,
        prior: Noise | None = None,
        band: float | None = None,
    ) -> None:
        self.seeds, self.budget, self.possible = tuple(seeds), budget, possible
        self.prior = prior or Noise()
        self.entries: list[Entry] = []
        self._lookup, self._stated_band = lookup, band
        self._losses: dict[Key, dict[int, float]] = {}
        self._asked: set[tuple[Key, int]] = set()
        self._pairs: list[tuple[Key, Key]] = []

    @property
    def left(self) -> int:
        return self.budget - len(self.entries)

    def ask(self, wants: Iterable[tuple[Setting, int, str]], keep: int = 0) -> list[float | None]:
        """Losses of (setting, seed, purpose) in order; None for what the budget, less `keep`, does not pay.

        Raises Waiting once all of them are asked, if one of them is not known.
        """
        answers: list[float | None] = []
        waiting = False
        for setting, seed, purpose in wants:
            name = key(setting)
            if (name, seed) not in self._asked:
                if self.left <= keep or not self.possible(setting):
                    answers.append(None)
                    continue
                self._asked.add((name, seed))
                loss = self._lookup(setting, seed, purpose)
                self.entries.append(Entry(setting, seed, purpose, loss))
                if loss is not None:
                    self._losses.setdefault(name, {})[seed] = loss
            answers.append(self._losses.get(name, {}).get(seed))
            waiting = waiting or answers[-1] is None
        if waiting:
            raise Waiting
        return answers

    def losses(self, setting: Setting) -> dict[int, float]:
        """What is known about a setting: seed -> loss."""
        return self._losses.get(key(setting), {})

    def loss(self, setting: Setting) -> float:
        """Mean loss over the seeds of a setting; +inf if it was never asked for or one seed diverged."""
        known = self.losses(setting)
        return math.fsum(known.values()) / len(known) if known else math.inf

    def first(self, setting: Setting) -> float:
        """The loss at the first tuning seed, which every setting has; +inf if it was never asked for."""
        return self.losses(setting).get(self.seeds[0], math.inf)

    def noise(self) -> Noise:
        """The noise measured by this search's own replicates so far, in the order of the search."""
        total = Noise()
        for one, other in self._pairs:
            gaps = self._gaps(one, other)
            if len(gaps) > 1 and all(map(math.isfinite, gaps)):
                mean = math.fsum(gaps) / len(gaps)
                total += Noise(math.fsum((gap - mean) ** 2 for gap in gaps), len(gaps) - 1)
        return total

    def band(self) -> float:
        """The band of a single paired difference, stated or measured."""
        return self._stated_band if self._stated_band is not None else (self.prior + self.noise()).band

    def near(self, best: Setting) -> list[Setting]:
        """The best one, and the settings that are as good within the band (`analysis.settings.near`)."""
        settings = {key(setting): setting for setting in (best, *(entry.setting for entry in self.entries))}
        losses = [self._losses.get(name, {}) for name in settings]
        by_seed = np.array([[known.get(seed, math.nan) for seed in self.seeds] for known in losses])
        close = near(by_seed, 0, self.band())
        return [setting for setting, is_close in zip(settings.values(), close, strict=True) if is_close]

    def replicate(self, settings: Sequence[Setting], keep: int = 0) -> None:
        """Ask for every tuning seed of two settings, to measure the noise."""
        wants = [(setting, seed, "replicate") for seed in self.seeds[1:] for setting in settings]
        if self.left - keep >= len(wants) and all(math.isfinite(self.first(s)) for s in settings):
            self._pair(settings[0], settings[1])
            self.ask(wants, keep)

    def better(self, candidate: Setting, incumbent: Setting, keep: int = 0) -> bool:
        """Whether the candidate's mean over the seeds of both is lower.

        A lead inside the band buys both another seed, up to all tuning seeds; the band decides nothing else.
        A candidate that is behind buys none: what may be missed so is smaller than the band.
        """
        while True:
            gaps = self._gaps(key(incumbent), key(candidate))
            lead = math.fsum(gaps) / len(gaps) if all(map(math.isfinite, gaps)) and gaps else None
            if lead is None:
                return self.loss(candidate) < self.loss(incumbent)
            missing = [s for s in self.seeds if not all(s in self.losses(x) for x in (candidate, incumbent))]
            if lead <= 0 or not missing or lead > self.band() / math.sqrt(len(gaps)):
                return lead > 0
            wants = [(x, missing[0], "replicate") for x in (candidate, incumbent)]
            wants = [want for want in wants if missing[0] not in self.losses(want[0])]
            if self.left - keep < len(wants):
                return True
            self._pair(incumbent, candidate)
            self.ask(wants, keep)

    def _pair(self, one: Setting, other: Setting) -> None:
        pair = (key(one), key(other))
        if pair not in self._pairs and pair[::-1] not in self._pairs:
            self._pairs.append(pair)

    def _gaps(self, one: Key, other: Key) -> list[float]:
        """Loss of `one` less loss of `other` at every seed that both have."""
        a, b = self._losses.get(one, {}), self._losses.get(other, {})
        return [
            a[seed] - b[seed] if math.isfinite(b[seed]) else math.nan
            for seed in self.seeds
            if seed in a and seed in b
        ]
