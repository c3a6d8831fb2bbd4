"""Sweeps made of another: with other numbers of searches, fewer tasks, or more."""

import dataclasses
from collections.abc import Sequence

from benchmark.tasks import parse
from optimizers.shared.near import near
from sweeps.search.sweep import Phase, Stage, Sweep


def searched(sweep: Sweep, searches: int) -> Sweep:
    """The sweep with another number of independent searches, each as large and on as many report seeds as
    before: a sweep with a name of its own."""
    protocol, before = sweep.protocol, sweep.protocol.searches

    def share(number: int) -> int:
        return max(1, round(number * searches / before)) if number else 0

    return dataclasses.replace(
        sweep,
        name=f"{sweep.name}-{searches}-searches",
        stages=tuple(dataclasses.replace(s, budget=share(s.budget)) for s in sweep.stages),
        protocol=dataclasses.replace(protocol, searches=searches, looks=tuple(map(share, protocol.looks))),
    )


def trained(sweep: Sweep, backend: str | None, precision: str | None) -> Sweep:
    """The sweep trained by another framework or in another precision; None: as it declares."""
    asked = {"backend": backend, "precision": precision}
    return dataclasses.replace(sweep, **{name: value for name, value in asked.items() if value})  # pyright: ignore[reportArgumentType]


def extended(sweep: Sweep, tasks: Sequence[str]) -> Sweep:
    """The sweep with further tasks, at the settings that won where it tunes first, and with the baseline at
    half the least and twice the most data of every scale, since its curve turns nats into tokens.

    Raises ValueError for what is no task, or one of another ladder, whose settings are others.
    """
    if not tasks:
        return sweep
    source = next(s for s in sweep.stages if s.budget and s.phase != "baseline")
    stages = {s.task.name: s for s in sweep.stages}

    def add(name: str, phase: Phase) -> None:
        carried = Stage(parse(name), phase, 0, start="winner", tune="essential", after=(source.task.name,))
        if carried.task.scale.ladder != source.task.scale.ladder:
            raise ValueError(
                f"--at {name}: settings of {source.task.name} are carried to scales of its own ladder only;"
                " the sweeps micro, gpu and paper tune on one each"
            )
        before = stages.get(carried.task.name)
        if before is None:
            stages[carried.task.name] = carried
        elif before.phase == "baseline" != phase:
            stages[carried.task.name] = dataclasses.replace(before, phase=phase)

    for name in tasks:
        add(name, "II")
    ratios: dict[str, list[float]] = {}
    for task in [s.task for s in stages.values() if s.phase != "baseline"]:
        ratios.setdefault(task.scale.name, []).append(task.chinchilla_ratio)
    for scale, found in ratios.items():
        add(f"{scale}-{min(found) / 2:g}x", "baseline")
        add(f"{scale}-{max(found) * 2:g}x", "baseline")
    return dataclasses.replace(sweep, stages=tuple(stages.values()))


def select(sweep: Sweep, tasks: Sequence[str] = ()) -> Sweep:
    """The part of a sweep on these tasks (all if none are given), with the tasks that they start from, and
    the baseline's further ratios at the same scales that need nothing else. Raises ValueError for a task that
    it does not have."""
    if not tasks:
        return sweep
    by_name = {s.task.name: s for s in sweep.stages}
    unknown = [name for name in tasks if name not in by_name]
    if unknown:
        like, there = near(unknown[0], by_name), ", ".join(by_name)
        raise ValueError(f"sweep {sweep.name} has no task {unknown[0]!r}{like}; choose from {there}")
    wanted, queue = set(), [*tasks]
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue += by_name[name].after
    scales = {by_name[name].task.scale.name for name in wanted}
    alone = [s for s in sweep.stages if s.phase == "baseline" and s.task.scale.name in scales]
    beyond = {s.task.name for s in alone if wanted.issuperset(s.after)}
    kept = tuple(s for s in sweep.stages if s.task.name in wanted | beyond)
    return dataclasses.replace(sweep, stages=kept)
