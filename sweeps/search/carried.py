"""Who takes part in which stage, and as what: a contestant that is carried is tuned under its usual name at a
smaller width, and only reported at larger ones (optimizers/shared/carried.py)."""

import dataclasses
from collections.abc import Sequence

from sweeps.search import width
from sweeps.search.contestant import Contestant, carried_by
from sweeps.search.sweep import Stage, Sweep


def stage_of(sweep: Sweep, contestant: Contestant, stage: Stage) -> Stage | None:
    """A stage as this contestant has it; None where it does not take part."""
    if stage.phase == "baseline" and contestant.name != sweep.baseline:
        return None
    if stage.only and contestant.name not in stage.only:
        return None
    if not contestant.policy:
        return stage
    after = _sources(sweep, contestant, stage)
    start = contestant.policy
    return dataclasses.replace(stage, budget=0, start=start, after=after, committed=False) if after else None


def _sources(sweep: Sweep, contestant: Contestant, stage: Stage) -> tuple[str, ...]:
    """The tasks from which a setting is carried: those of the smallest width, for a law those of all widths
    below the stage's, of which it needs two."""
    tuned = [
        s
        for s in sweep.stages
        if s.budget and s.phase != "baseline" and (not s.only or contestant.tuned_as in s.only)
    ]
    narrower = [s for s in tuned if s.task.scale.width < stage.task.scale.width]
    widths = sorted({s.task.scale.width for s in narrower})
    if contestant.policy == "law":
        return tuple(s.task.name for s in narrower) if len(widths) > 1 else ()
    return tuple(s.task.name for s in narrower if s.task.scale.width == widths[0])


def with_policies(contestants: Sequence[Contestant], policies: Sequence[str]) -> tuple[Contestant, ...]:
    """The contestants, and behind each but copies and those that are carried already the same carried by every
    one of these rules that does with it what none before has done: of rules that scale nothing but the rates of
    the head and of initial values, the first."""
    found: dict[str, Contestant] = {}
    for contestant in contestants:
        found.setdefault(contestant.name, contestant)
        seen = []
        for policy in policies if not contestant.policy and "~" not in contestant.name else ():
            does = width.setting(policy, 2.0, contestant.width_free) if policy in width.DECAY else policy
            if does not in seen:
                seen.append(does)
                carried = carried_by(contestant, policy)
                found.setdefault(carried.name, carried)
    return tuple(found.values())
