"""`--max-hours`: as many tuning trials as fit, the same number for every optimizer."""

import dataclasses
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sweeps.run.calibrate import Speed
from sweeps.run.price import cell_line
from sweeps.search.cells import Cell, cells_of
from sweeps.search.sweep import Sweep

LEAST = 12  # tuning trials of an optimizer on a task: with fewer a rate is hardly bracketed in each search


def within(
    sweep: Sweep, hours: float, workers: int, speed: Callable[[], Speed], results: Path
) -> tuple[Sweep, str]:
    """The sweep under a name of its own, with the largest number of tuning trials above which no search goes
    and with which all of it takes at most so many hours; and a line that says so. It is never given more
    trials than it states. Report seeds are counted up to the last look, though many cells need fewer.

    The number is remembered in the sweep's manifest, so that a sweep that is resumed plans as it did,
    whatever is timed today. Raises ValueError where even LEAST trials take longer.
    """
    named = dataclasses.replace(sweep, name=f"{sweep.name}-{hours:g}h")
    remembered = _remembered(named, hours, results)
    if remembered:
        return capped(named, hours, remembered), f"{_said(hours, remembered)}, as when it was started."
    costs = _costs(sweep, speed())
    most = max(stage.budget for stage in sweep.stages)
    least = min(LEAST, most)
    for trials in range(most, least - 1, -1):
        needed = _hours(costs, trials) / workers
        if needed <= hours:
            line = f"{_said(hours, trials)} of {most}, about {needed:.2g} hours on {workers} workers."
            return capped(named, hours, trials), line
    raise ValueError(_too_little(costs, hours, workers, least))


def begun(sweep: Sweep, hours: float, results: Path) -> bool:
    """Whether this sweep was started with its trials cut to this limit."""
    return _remembered(dataclasses.replace(sweep, name=f"{sweep.name}-{hours:g}h"), hours, results) is not None


def capped(sweep: Sweep, hours: float, trials: int) -> Sweep:
    """The sweep with at most so many tuning trials in a search; its protocol says so."""
    stages = tuple(dataclasses.replace(s, budget=min(s.budget, trials)) for s in sweep.stages)
    protocol = dataclasses.replace(sweep.protocol, max_hours=hours, max_trials=trials)
    return dataclasses.replace(sweep, stages=stages, protocol=protocol)


@dataclass(frozen=True)
class _Cost:
    """Of one cell: hours of one worker, of a tuning trial and of all its report runs."""

    cell: Cell
    tuning: float
    reports: float

    @property
    def optimizer(self) -> str:
        return self.cell.contestant.name

    @property
    def task(self) -> str:
        return self.cell.stage.task.name

    def hours(self, trials: int) -> float:
        """With at most so many tuning trials of all searches together."""
        stage = dataclasses.replace(self.cell.stage, budget=min(self.cell.stage.budget, trials))
        return dataclasses.replace(self.cell, stage=stage).budget * self.tuning + self.reports


def _costs(sweep: Sweep, speed: Speed) -> list[_Cost]:
    """Of every cell, finished trials included."""
    costs = []
    for cell in cells_of(sweep):
        tuning, reports = (
            cell_line(sweep, cell, *counts, speed).worker_seconds / 3600
            for counts in ((1, 0), (0, cell.reports(sweep.protocol.looks[-1])))
        )
        costs.append(_Cost(cell, tuning, reports))
    return costs


def _hours(costs: Iterable[_Cost], trials: int) -> float:
    """Of one worker, with at most so many tuning trials in a cell."""
    return sum(cost.hours(trials) for cost in costs)


def _remembered(sweep: Sweep, hours: float, results: Path) -> int | None:
    """The number in the manifest left by a sweep of the same optimizers and tasks; None if there is none."""
    try:
        manifest = json.loads((results / sweep.name / "sweep.json").read_text(encoding="utf-8"))
        trials = int(manifest["protocol"]["max_trials"])
        tasks = [(task["name"], task["budget"]) for task in manifest["tasks"]]
        rules = {name: facts["rule"] for name, facts in manifest["optimizers"].items()}
        how = (manifest["backend"], manifest["precision"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    fitted = capped(sweep, hours, trials)
    same = (
        tasks == [(stage.task.name, stage.budget) for stage in fitted.stages]
        and rules == {c.name: c.rule for c in fitted.contestants}
        and how == (fitted.backend, fitted.precision)
    )
    return trials if same else None


def _said(hours: float, trials: int) -> str:
    return f"Within {hours:g} hours: at most {trials} tuning trials per optimizer and task"


def _too_little(costs: list[_Cost], hours: float, workers: int, least: int) -> str:
    def most(place: str) -> str:
        sums: dict[str, float] = {}
        for cost in costs:
            name = getattr(cost, place)
            sums[name] = sums.get(name, 0.0) + _hours([cost], least) / workers
        name = max(sums, key=lambda n: sums[n])
        return f"{name} alone takes {sums[name]:.2g}"

    return (
        f"--max-hours {hours:g}: even {least} tuning trials per optimizer and task need about"
        f" {_hours(costs, least) / workers:.2g} hours on {workers} workers; allow them, or choose fewer --tasks"
        f" ({most('task')}) or --optimizers ({most('optimizer')})"
    )
