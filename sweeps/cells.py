"""Cells: one optimizer on one task, what its search starts from, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from typing import Any

from benchmark.spec import Status, Trial
from optimizers.base import Axis
from sweeps.ledger import Entry, Noise
from sweeps.space import Setting
from sweeps.sweep import Contestant, Stage, Sweep


@dataclass(frozen=True)
class Cell:
    """One search. seed_offset: added to the tuning seeds, for a search that is repeated."""

    contestant: Contestant
    stage: Stage
    seed_offset: int = 0

    @cached_property
    def key(self) -> str:
        repeat = f"#{self.seed_offset}" if self.seed_offset else ""
        return f"{self.contestant.name}/{self.stage.task.name}{repeat}"

    @cached_property
    def after(self) -> tuple[str, ...]:
        """Keys of the cells whose winners this one needs."""
        return tuple(f"{self.contestant.name}/{name}" for name in self.stage.after)


@dataclass(frozen=True)
class Opening:
    """Where a search begins. axes: what it tunes, in the order of its first pass; notes: for the manifest."""

    start: Setting
    axes: Mapping[str, Axis]
    prior: Noise = field(default_factory=Noise)
    notes: Mapping[str, Any] = field(default_factory=dict)


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
    itself included. swings: hyperparameter -> largest loss difference of one step. skipped: why it was not
    searched at all, or empty.
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
    cells = [
        Cell(contestant, stages[name])
        for name in order
        for contestant in sweep.contestants
        if stages[name].phase != "baseline" or contestant.name == sweep.baseline
    ]
    repeats = [
        Cell(cell.contestant, cell.stage, offset)
        for cell in cells
        if (cell.contestant.name, cell.stage.task.name) in sweep.protocol.repeats
        for offset in sweep.protocol.repeat_offsets
    ]
    return (*cells, *repeats)
