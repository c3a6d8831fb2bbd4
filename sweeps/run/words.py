"""What a running sweep says of its trials: failures as they happen, and of an optimizer of the user's own what
is known before its verdict. Each thing is said once."""

import math
from collections import Counter

from benchmark.spec import Record
from sweeps.search.cells import Solved
from sweeps.search.failures import alike
from sweeps.search.plan import Plan
from sweeps.search.sweep import Contestant, Stage, Sweep

EARLY = 45.0  # seconds after which something is said of an optimizer of one's own, if any trial of it has ended


class Words:
    """Lines for people, from the records and plans of one sweep as they come."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.own = [c for c in sweep.contestants if c.source]
        self.kinds: Counter[tuple[str, str, str]] = Counter()  # optimizer, status, reason
        self.said: set[tuple] = set()

    def about(self, record: Record, plan: Plan, seconds: float) -> list[str]:
        """What one more record and the plan after it add, `seconds` after the start."""
        lines = self._bad(record)
        for contestant in self.own:
            lines += self._given_up(contestant, plan)
            lines += self._tuned(contestant, plan, seconds)
            lines += self._looked(contestant, plan)
        return lines

    def _bad(self, record: Record) -> list[str]:
        """The first failure of each kind; of one's own optimizer also the first divergence."""
        trial = record.trial
        watched = {c.name for c in self.own}
        if record.status == "finished" or (record.status == "diverged" and trial.optimizer not in watched):
            return []
        kind = (trial.optimizer, record.status, alike(record.reason))
        self.kinds[kind] += 1
        if self.kinds[kind] > 1:
            return []
        return [
            f"{record.status}: {trial.optimizer} {trial.task} ({trial.trial_id}): {record.reason}"
            " (others alike are not shown)"
        ]

    def _given_up(self, contestant: Contestant, plan: Plan) -> list[str]:
        lines = []
        for state in plan.solved.values():
            if isinstance(state, Solved) and state.cell.contestant is contestant and state.skipped:
                task = state.cell.stage.task.name
                lines += self._once(
                    ("skipped", contestant.name, task), f"{contestant.name} at {task}: {state.skipped}"
                )
        return lines

    def _tuned(self, contestant: Contestant, plan: Plan, seconds: float) -> list[str]:
        """Its best tuning loss and the baseline's after as many trials of the same searches: when a look's
        tuning has ended, and once before that, when EARLY has passed."""
        stage = next((s for s in self.sweep.stages if s.budget and s.phase != "baseline"), None)
        if stage is None:
            return []
        found = _searched(plan, contestant.name, stage)
        trials = sum(len(_losses(state)) for state in found)
        ended = bool(found) and all(state.complete for state in found)
        if not trials or not (ended or seconds >= EARLY):
            return []
        key = ("tuned" if ended else "early", contestant.name, len(found) if ended else 0)
        return self._once(key, _comparison(plan, self.sweep.baseline, contestant, stage, found))

    def _looked(self, contestant: Contestant, plan: Plan) -> list[str]:
        """What each look at it found."""
        lines, reach = [], plan.reach
        tasks = [s.task.name for s in self.sweep.stages if s.phase != "baseline"]
        for number, still in enumerate(reach.open):
            searches = self.sweep.search_looks[number]
            open_ = [task for task in tasks if (contestant.name, task) in still]
            if number and not any(name == contestant.name for name, _ in reach.open[number - 1]):
                continue  # it had stopped before
            last = number + 1 == len(self.sweep.search_looks)
            what = f"open at {', '.join(open_)}" if open_ else "nothing is open, so it ends here"
            next_ = "" if last or not open_ else f"; goes on to {self.sweep.search_looks[number + 1]} searches"
            text = f"{contestant.name}, looked at after {searches} searches: {what}{next_}."
            lines += self._once(("looked", contestant.name, number), text)
        return lines

    def _once(self, key: tuple, line: str) -> list[str]:
        new = key not in self.said
        self.said.add(key)
        return [line] if new else []


def _comparison(plan: Plan, baseline: str, contestant: Contestant, stage: Stage, found: list[Solved]) -> str:
    mine, theirs, enough = [], [], True
    statuses = Counter(asked.status for state in found for asked in state.asked if asked.status)
    for state in found:
        own = _losses(state)
        other = _searched(plan, baseline, stage)
        there = _losses(next((s for s in other if s.cell.search == state.cell.search), None))
        enough = enough and len(there) >= len(own)
        mine += own
        theirs += there[: len(own)]
    best, target = min(mine, default=math.inf), min(theirs, default=math.inf)
    number = f"{len(mine)} tuning trial{'s' if len(mine) > 1 else ''}"
    said = f"its best validation loss is {best:.4f}" if best < math.inf else "none has finished"
    text = f"{contestant.name}, not a verdict yet: after {number} at {stage.task.name} {said}"
    if enough and target < math.inf:
        text += f", {baseline}'s after as many {target:.4f}"
    bad = [f"{statuses[kind]} {kind}" for kind in ("diverged", "failed") if statuses[kind]]
    return f"{text}; {' and '.join(bad) or 'none diverged or failed'}."


def _searched(plan: Plan, name: str, stage: Stage) -> list[Solved]:
    """An optimizer's searches on a stage that are under way, in the order of their numbers."""
    states = [s for s in plan.solved.values() if isinstance(s, Solved)]
    return [s for s in states if s.cell.contestant.name == name and s.cell.stage.task == stage.task]


def _losses(state: Solved | None) -> list[float]:
    """The losses of a search's trials that have ended, in the order in which it asked for them."""
    return [a.entry.loss for a in state.asked if a.entry.loss is not None] if state else []
