"""Simulated searches and sweeps: loss surfaces instead of training runs."""

import math
import random
from collections.abc import Callable, Mapping

import pytest

from benchmark.spec import Outcome, Trial
from optimizers.base import Axis, Info
from sweeps.search.contestant import Contestant
from sweeps.search.coordinate_search import Found, coordinate_descent
from sweeps.search.history import History, Noise, Waiting
from sweeps.search.plan import Memory, Plan, plan
from sweeps.search.space import Setting, key
from sweeps.search.sweep import Sweep, stage

SPACES = {
    "adamw": {
        "peak_lr": Axis((0.008, 0.016, 0.032, 0.064), 0.032, "log"),
        "weight_decay": Axis((0.0, 0.1, 0.2, 0.4), 0.1, "log"),
    },
    "lion": {
        "peak_lr": Axis((0.001, 0.002, 0.004, 0.008), 0.004, "log"),
        "weight_decay": Axis((0.3, 0.6, 1.2), 0.6, "log"),
        "beta": Axis((0.9, 0.95, 0.98), 0.95, "log1m"),
    },
}
Surface = Callable[[Setting, int], float]


class _Counted(History):
    """A history that tells a search that goes round and round from one that takes its time."""

    comparisons = 0

    def better(self, candidate: Setting, incumbent: Setting, keep: int = 0) -> bool:
        self.comparisons += 1
        assert self.comparisons < 10_000, "the search goes round and round"
        return super().better(candidate, incumbent, keep)


def _search(
    surface: Surface,
    axes: Mapping[str, Axis],
    budget: int,
    *,
    start: Setting | None = None,
    seeds: tuple[int, ...] = (0,),
    possible: Callable[[Setting], bool] = lambda setting: True,
    prior: Noise | None = None,
    band: float | None = None,
    arrival: int | None = None,
) -> tuple[Found, History]:
    """Run one search to its end; with `arrival`, answers come one at a time in an order drawn from it."""
    begin = {name: axis.start for name, axis in axes.items()} if start is None else start
    answers: dict = {}
    coins = random.Random(arrival)
    for _ in range(10_000):
        history = _Counted(
            lambda setting, seed, _: answers.get((key(setting), seed)), budget, seeds, possible, prior, band
        )
        try:
            return coordinate_descent(history, axes, begin, tuple(axes), "test"), history
        except Waiting:
            waiting = [e for e in history.entries if e.loss is None]
            for entry in waiting if arrival is None else [coins.choice(waiting)]:
                answers[key(entry.setting), entry.seed] = surface(entry.setting, entry.seed)
    raise AssertionError("the search does not end")


def _contestant(name: str, space: Mapping[str, Axis], essential: tuple[str, ...] = ("peak_lr",)) -> Contestant:
    defaults = {hyperparameter: axis.start for hyperparameter, axis in space.items()}
    ladders = {"micro": space, "paper": space}
    return Contestant(name, f"{name}@1", Info(name, "", "", "scalar", "", essential), ladders, defaults, {})


def _finish(
    sweep: Sweep, outcome: Callable[[Trial], Outcome], known: dict | None = None, arrival: int = 0
) -> tuple[Plan, dict[str, Outcome]]:
    """Run a sweep to its end on simulated outcomes, one trial at a time in a drawn order, from `known` on."""
    known, coins, memory = dict(known or {}), random.Random(arrival), Memory()
    while not (now := plan(sweep, known, memory)).done:
        assert now.ready, "the plan is not done but asks for nothing"
        trial = coins.choice(now.ready)
        assert trial.trial_id not in known, "a trial with a record was asked for again"
        known[trial.trial_id] = outcome(trial)
    return now, known


@pytest.fixture
def search() -> Callable[..., tuple[Found, History]]:
    return _search


@pytest.fixture
def contestant() -> Callable[..., Contestant]:
    return _contestant


@pytest.fixture
def finish() -> Callable[..., tuple[Plan, dict[str, Outcome]]]:
    return _finish


@pytest.fixture
def valley() -> Callable[[Trial], Outcome]:
    """A smooth surface with a best rate that falls with model size, paired seed noise and a divergent end."""

    def outcome(trial: Trial) -> Outcome:
        h, coins = trial.hyperparameters, random.Random(trial.trial_id)
        best = 0.064 * (trial.tokens / trial.chinchilla_ratio / 533_000) ** -0.5
        rate = math.log2(float(h["peak_lr"]) / best)
        if rate > 3.5:
            return Outcome("diverged", "the loss is not finite")
        loss = 3.5 - 0.1 * math.log2(trial.chinchilla_ratio) + 0.03 * rate**2
        loss += 0.02 * math.log2(float(h["batch_size"]) / 8) ** 2 + 0.2 * (float(h["weight_decay"]) - 0.2) ** 2
        return Outcome("finished", val_loss=loss + 0.02 * (trial.seed % 7) + coins.gauss(0, 0.004))

    return outcome


@pytest.fixture
def pair() -> tuple[Contestant, ...]:
    """The baseline, and a contestant with another space and two essential hyperparameters."""
    return (
        _contestant("adamw", SPACES["adamw"]),
        _contestant("lion", SPACES["lion"], ("peak_lr", "weight_decay")),
    )


@pytest.fixture
def small(pair: tuple[Contestant, ...]) -> Sweep:
    """Essential hyperparameters only, as in `quick`."""
    return Sweep(
        "small",
        "",
        (
            stage("27k-1x", "I", 6, tune="essential"),
            stage("27k-2x", "II", 3, start="winner", tune="essential", after=("27k-1x",)),
            stage("27k-4x", "baseline", 2, start="winner", tune="essential", after=("27k-2x",)),
        ),
        contestants=pair,
    )
