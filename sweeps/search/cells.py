"""Cells: one optimizer on one task, searched several times over, and each search replayed on the records."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any, Protocol

from benchmark.data import sources
from benchmark.spec import Status, Trial, Use
from optimizers.base import Axis
from sweeps.search.carried import stage_of
from sweeps.search.contestant import Contestant
from sweeps.search.coordinate_search import Found, coordinate_descent
from sweeps.search.gp_search import gp_search
from sweeps.search.history import Entry, History, Noise, Waiting
from sweeps.search.random_search import random_search
from sweeps.search.seeds import report_seeds
from sweeps.search.space import Setting
from sweeps.search.sweep import Stage, Sweep

SEED_STRIDE = 100  # between the tuning seeds of one search and of the next
BRACKETS = 6  # trials above its budget that the baseline may spend, at most, to take its rate off an edge


class HasOutcome(Protocol):
    """What planning reads of a record: `benchmark.spec.Outcome` is enough."""

    @property
    def status(self) -> Status: ...
    @property
    def reason(self) -> str: ...
    @property
    def val_loss(self) -> float | None: ...


Known = Mapping[str, HasOutcome]


@dataclass(frozen=True)
class Cell:
    """One search of an optimizer on a task. `searches` of them share the stage's budget and the report seeds;
    a `search` beyond them has the share of the one that many before it, once more."""

    contestant: Contestant
    stage: Stage
    search: int = 0
    searches: int = 1

    @cached_property
    def key(self) -> str:
        return _key(self.contestant.name, self.stage.task.name, self.search)

    @cached_property
    def after(self) -> tuple[str, ...]:
        """Keys of the searches whose winners this one needs: those of its own number."""
        return tuple(_key(self.contestant.tuned_as, name, self.search) for name in self.stage.after)

    @cached_property
    def budget(self) -> int:
        """Its tuning trials; those of a stage that cannot be divided go to the first searches."""
        return len(self.share(range(self.stage.budget)))

    def reports(self, seeds: int) -> int:
        """Its report runs of so many that all searches share."""
        return len(self.share(range(seeds)))

    def share(self, whole: Sequence[int]) -> Sequence[int]:
        """This search's part of what all of them share, dealt out in turn: a longer list with the same
        beginning gives a longer part with the same beginning."""
        return whole[self.search % self.searches :: self.searches]


@dataclass(frozen=True)
class Opening:
    """Where a search begins. axes: what it tunes, in the order of its first pass; notes: for the manifest.

    carried: the start comes from another task, so that what is best lies near it. init_ratios: those of its
    trials.
    """

    start: Setting
    axes: Mapping[str, Axis]
    prior: Noise = field(default_factory=Noise)
    notes: Mapping[str, Any] = field(default_factory=dict)
    carried: bool = False
    init_ratios: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """An entry of a search's history as a complete trial. status: None until it has a record, as the entry's
    loss."""

    entry: Entry
    trial: Trial
    trial_id: str
    status: Status | None


@dataclass(frozen=True)
class Solved:
    """A cell's search as far as the records take it.

    complete: it will ask for no further tuning trial. near: settings within the noise band of the winner,
    itself included. swings: hyperparameter -> largest loss difference of one step. reports: (trial, id) of its
    report runs, those of the later looks last. method: `Protocol.search`. skipped: why it was not searched at
    all, or empty.
    """

    cell: Cell
    opening: Opening
    asked: tuple[Asked, ...]
    complete: bool
    winner: Setting | None
    tuning_loss: float | None
    near: tuple[Setting, ...]
    noise: Noise
    band: float
    swings: Mapping[str, float]
    reports: tuple[tuple[Trial, str], ...]
    method: str = "coordinate"
    skipped: str = ""

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """What its search has asked for, in order."""
        return tuple(asked.entry for asked in self.asked)


def cells_of(sweep: Sweep) -> tuple[Cell, ...]:
    """Every cell, after those that it needs. Raises ValueError for tasks that need each other or one that is
    not there, or when the baseline, or whom another is carried from, does not take part."""
    stages = {stage.task.name: stage for stage in sweep.stages}
    own = {
        (c.name, name): stage_of(sweep, c, stage) for c in sweep.contestants for name, stage in stages.items()
    }
    needs = {name: set(stage.after) for name, stage in stages.items()}
    for (_, name), stage in own.items():
        needs[name] |= set(stage.after if stage else ())
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        raise ValueError(f"sweep {sweep.name}: tasks need each other's winners: {error.args[1]}") from None
    missing = [name for name in order if name not in stages]
    if missing:
        raise ValueError(
            f"sweep {sweep.name} needs the winner of {missing[0]}, which it does not tune; add that task"
        )
    if sweep.baseline not in {c.name for c in sweep.contestants}:
        raise ValueError(f"sweep {sweep.name} has no baseline {sweep.baseline!r} among its optimizers; add it")
    names = {c.name for c in sweep.contestants}
    if lone := [c for c in sweep.contestants if c.tuned_as not in names]:
        raise ValueError(f"{lone[0].name} is carried from {lone[0].tuned_as}, which does not take part; add it")
    usual = sweep.protocol.searches
    most = max((usual * sweep.protocol.baseline_times, *sweep.search_looks))
    return tuple(
        Cell(contestant, stage, search, usual)
        for name in order
        for search in range(most)
        for contestant in sweep.contestants
        if (stage := own[contestant.name, name]) and search < sweep.searches(contestant, stage.phase)
    )


def solve(sweep: Sweep, cell: Cell, begin: Opening, known: Known) -> Solved:
    """Take a cell's search as far as `known` (trial id -> record) goes."""
    protocol, stage = sweep.protocol, cell.stage
    looked_up: list[tuple[Trial, str, Status | None]] = []

    def lookup(setting: Setting, seed: int, purpose: str) -> float | None:
        trial = trial_of(sweep, cell, setting, seed, "tuning", begin.init_ratios)
        trial_id = trial.trial_id
        status, loss = status_and_loss(known, trial_id)
        looked_up.append((trial, trial_id, status))
        return loss

    def possible(setting: Setting) -> bool:
        return stage.task.steps(int(setting["batch_size"])) >= protocol.min_steps

    seeds = [seed + SEED_STRIDE * cell.search for seed in protocol.tuning_seeds]
    history = History(lookup, cell.budget, seeds, possible, begin.prior, protocol.band)
    runnable, complete = possible(begin.start), True
    found = Found(begin.start if runnable else None, {})
    if runnable and cell.budget:
        try:
            found = _search(sweep, cell, begin, history)
        except Waiting:
            found, complete = Found(None, {}), False
    winner = found.winner
    noise = found.noise or (history.noise() if complete else Noise())
    band = history.band() if complete and found.noise is None else noise.band
    near = found.near if found.near is not None else tuple(history.near(winner)) if winner else ()
    own = cell.share(report_seeds(sweep)) if winner else ()
    of = begin.init_ratios
    reports = [trial_of(sweep, cell, winner, seed, "report", of) for seed in own if winner]
    return Solved(
        cell=cell,
        opening=begin,
        asked=tuple(Asked(entry, *trial) for entry, trial in zip(history.entries, looked_up, strict=True)),
        complete=complete,
        winner=winner,
        tuning_loss=history.loss(winner) if winner and cell.budget else None,
        near=near,
        noise=noise,
        band=band if complete else math.inf,
        swings=found.swings,
        reports=tuple((trial, trial.trial_id) for trial in reports),
        method=protocol.search,
        skipped="" if runnable else f"fewer than {protocol.min_steps} steps with every batch size tried",
    )


def status_and_loss(known: Known, trial_id: str) -> tuple[Status | None, float | None]:
    """Status and loss of a trial: (None, None) without a record, +inf for a loss that is no finite number."""
    record = known.get(trial_id)
    if record is None:
        return None, None
    loss = record.val_loss if record.status == "finished" else None
    return record.status, loss if loss is not None and math.isfinite(loss) else math.inf


def trial_of(
    sweep: Sweep,
    cell: Cell,
    setting: Setting,
    seed: int,
    use: Use,
    init_ratios: Mapping[str, float] = MappingProxyType({}),
) -> Trial:
    """The complete trial of a setting in a cell. init_ratios: `Trial.init_ratios`."""
    task = cell.stage.task
    return Trial(
        optimizer=cell.contestant.name,
        rule=cell.contestant.rule,
        scale=task.scale.name,
        chinchilla_ratio=task.chinchilla_ratio,
        tokens=task.tokens,
        steps=task.steps(int(setting["batch_size"])),
        seq_len=task.scale.seq_len,
        vocab=task.scale.vocab,
        hyperparameters=setting,
        seed=seed,
        use=use,
        corpus=sources.identity(sweep.corpus),
        corpus_hash=sweep.corpus_hash,
        tokenizer_hash=sweep.tokenizer_hash,
        evaluation=sweep.tuning_evaluation if use == "tuning" else sweep.report_evaluation,
        backend=sweep.backend,
        precision=sweep.precision,
        eval_corpus=sources.identity(sweep.eval_corpus),
        eval_corpus_hash=sweep.eval_corpus_hash,
        init_ratios=dict(init_ratios),
    )


def _search(sweep: Sweep, cell: Cell, begin: Opening, history: History) -> Found:
    protocol, salt = sweep.protocol, f"{sweep.protocol.salt}{cell.key}"
    if protocol.search == "random":
        return random_search(history, begin.axes, begin.start, salt)
    if protocol.search == "coordinate":
        return coordinate_descent(history, begin.axes, begin.start, tuple(begin.axes), salt)
    beyond = BRACKETS if cell.contestant.name == sweep.baseline else 0
    return gp_search(history, begin.axes, begin.start, salt, begin.carried, beyond)


def _key(optimizer: str, task: str, search: int) -> str:
    return f"{optimizer}/{task}#{search}" if search else f"{optimizer}/{task}"
