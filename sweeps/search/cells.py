"""Cells: one optimizer on one task, searched several times over, and what came of each search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from benchmark.spec import Status, Trial
from optimizers.base import Axis
from sweeps.search.history import Entry, Noise
from sweeps.search.space import Setting
from sweeps.search.sweep import Contestant, Stage, Sweep

SEED_STRIDE = 100  # between the tuning seeds of one search and of the next


@dataclass(frozen=True)
class Cell:
    """One search of an optimizer on a task: number `search` of `searches`, which share the stage's budget."""

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
        return tuple(_key(self.contestant.name, name, self.search) for name in self.stage.after)

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
        return whole[self.search :: self.searches]


@dataclass(frozen=True)
class Opening:
    """Where a search begins. axes: what it tunes, in the order of its first pass; notes: for the manifest.

    carried: the start comes from another task, so that what is best lies near it.
    """

    start: Setting
    axes: Mapping[str, Axis]
    prior: Noise = field(default_factory=Noise)
    notes: Mapping[str, Any] = field(default_factory=dict)
    carried: bool = False


@dataclass(frozen=True)
class Asked:
    """A trial that a cell needs. status and loss are None until it has a record; +inf unless it finished."""

    trial: Trial
    trial_id: str
    purpose: str
    status: Status | None
    loss: float | None


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
    entries: tuple[Entry, ...]
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


def cells_of(sweep: Sweep) -> tuple[Cell, ...]:
    """Every cell, after those that it needs. Raises ValueError for tasks that need each other or one that is
    not there, or when the baseline does not take part."""
    stages = {stage.task.name: stage for stage in sweep.stages}
    try:
        order = list(TopologicalSorter({name: stage.after for name, stage in stages.items()}).static_order())
    except CycleError as error:
        raise ValueError(f"sweep {sweep.name}: tasks need each other's winners: {error.args[1]}") from None
    missing = [name for name in order if name not in stages]
    if missing:
        raise ValueError(
            f"sweep {sweep.name} needs the winner of {missing[0]}, which it does not tune; add that task"
        )
    if sweep.baseline not in {c.name for c in sweep.contestants}:
        raise ValueError(f"sweep {sweep.name} has no baseline {sweep.baseline!r} among its optimizers; add it")
    searches = sweep.protocol.searches
    return tuple(
        Cell(contestant, stages[name], search, searches)
        for name in order
        for search in range(searches)
        for contestant in sweep.contestants
        if stages[name].phase != "baseline" or contestant.name == sweep.baseline
    )


def _key(optimizer: str, task: str, search: int) -> str:
    return f"{optimizer}/{task}#{search}" if search else f"{optimizer}/{task}"
