"""`plan(sweep, records) -> trials still to run`: pure, and defined whatever the records are.

Each cell's search is replayed on the records until it asks for one that is not there. Resuming, adapting
and a dry run are therefore the same call.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from benchmark.spec import Record, Trial
from sweeps.search import looks
from sweeps.search.cells import Cell, Known, Solved, cells_of, solve, status_and_loss
from sweeps.search.failures import given_up
from sweeps.search.summary import summarize
from sweeps.search.sweep import Sweep
from sweeps.search.transfer import opening


@dataclass
class Memory:
    """What a caller that plans again and again may hand in each time; it saves time and changes nothing.

    solved: by cell, the solved cells that a search rested on, and what came of it.
    looked: what looks.py made of report losses that it has seen before.
    """

    sweep: Sweep | None = None
    cells: tuple[Cell, ...] = ()
    solved: dict[str, tuple[tuple[Solved, ...], Solved]] = field(default_factory=dict)
    looked: looks.Looked = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What to do next.

    ready: every trial that can run now and has no record, the most urgent first.
    purposes: trial id -> purpose, for each of them.
    left: cell key -> trials still to run there, blocked ones included; remaining: in all. Both are the least
        there can be: a verdict that stays open asks for more report runs.
    remaining_tokens: their tokens.
    solved: by key, what came of each cell so far, with the report runs of its looks so far; the cell itself
        while others hold it up.
    due: cell key -> report runs of its looks so far.
    reach: which searches of one's own optimizer are under way (looks.py); cells beyond them are nowhere here.
    """

    ready: tuple[Trial, ...]
    purposes: Mapping[str, str]
    left: Mapping[str, int]
    remaining_tokens: int
    solved: Mapping[str, Solved | Cell]
    known: Known = field(repr=False)
    due: Mapping[str, int] = field(default_factory=dict)
    reach: looks.Reach = field(default_factory=looks.Reach)

    @property
    def remaining(self) -> int:
        return sum(self.left.values())

    @property
    def done(self) -> bool:
        return self.remaining == 0

    @cached_property
    def cells(self) -> dict[str, dict[str, Any]]:
        """A JSON-able summary of every cell."""
        return {name: summarize(solved, self.known) for name, solved in self.solved.items()}


def plan(sweep: Sweep, records: Known | Iterable[Record], memory: Memory | None = None) -> Plan:
    """The trials that `sweep` still needs, given trial id -> record (or the records themselves).

    A diverged or failed trial counts as spent, with an infinite loss. Raises ValueError only for a sweep
    that is wrong in itself.
    """
    known: Known = (
        cast(Known, records) if isinstance(records, Mapping) else {r.trial.trial_id: r for r in records}
    )
    memory = Memory() if memory is None else memory
    if memory.sweep is not sweep:
        memory.sweep, memory.cells, memory.solved, memory.looked = sweep, cells_of(sweep), {}, {}
    reach = looks.begun(sweep, memory.cells)
    while True:
        cells = tuple(cell for cell in memory.cells if reach.tunes(cell))
        solved, due = _settled(sweep, cells, reach, memory, known)
        wider = looks.widened(sweep, reach, solved, due, known, memory.looked)
        if wider is None:
            break
        reach = wider
    for key, state in solved.items():
        if isinstance(state, Solved):
            solved[key] = dataclasses.replace(state, reports=state.reports[: due[key]])
    return _gather(sweep, cells, solved, known, due, reach)


def _settled(
    sweep: Sweep, cells: tuple[Cell, ...], reach: looks.Reach, memory: Memory, known: Known
) -> tuple[dict[str, Solved | Cell], dict[str, int]]:
    """These cells as far as they have come, and of each how many report runs are due."""
    hopeless: dict[tuple[str, str], str] = {}
    solved = _states(sweep, cells, memory, known, hopeless)
    while (found := given_up(solved.values(), known)) != hopeless:
        hopeless = found
        solved = _states(sweep, cells, memory, known, hopeless)
    due = looks.due(sweep, solved, known, memory.looked)
    return solved, {cell.key: due[cell.key] if reach.reports(cell) else 0 for cell in cells}


def _states(
    sweep: Sweep, cells: tuple[Cell, ...], memory: Memory, known: Known, hopeless: Mapping[tuple[str, str], str]
) -> dict[str, Solved | Cell]:
    """Every cell as far as it has come; those of `hopeless` (contestant, task) go no further."""
    solved: dict[str, Solved | Cell] = {}
    for cell in cells:
        needed = tuple(n for n in map(solved.__getitem__, cell.after) if isinstance(n, Solved) and n.complete)
        free = len(needed) == len(cell.after)
        state = _solve(sweep, cell, needed, known, memory) if free else cell
        why = hopeless.get((cell.contestant.name, cell.stage.task.name))
        if why and isinstance(state, Solved):
            state = dataclasses.replace(state, complete=True, winner=None, reports=(), skipped=why)
        solved[cell.key] = state
    return solved


def _solve(sweep: Sweep, cell: Cell, needed: tuple[Solved, ...], known: Known, memory: Memory) -> Solved:
    """The cell's search, from memory where nothing that it rests on has changed."""
    if cell.key in memory.solved:
        before, result = memory.solved[cell.key]
        same = len(before) == len(needed) and all(a is b for a, b in zip(before, needed, strict=True))
        if same and all(status_and_loss(known, a.trial_id) == (a.status, a.entry.loss) for a in result.asked):
            return result
    result = solve(sweep, cell, opening(cell, needed, sweep.protocol), known)
    memory.solved[cell.key] = needed, result
    return result


def _gather(
    sweep: Sweep,
    cells: tuple[Cell, ...],
    solved: Mapping[str, Solved | Cell],
    known: Known,
    due: Mapping[str, int],
    reach: looks.Reach,
) -> Plan:
    """Collect what is ready, the longest remaining chain of tokens first, and count what remains."""
    urgent: dict[str, tuple[tuple[float, bool, int], Trial, str]] = {}
    counts: dict[str, int] = {}
    tokens = 0
    held_up: dict[str, float] = {}  # the longest chain that waits for a cell
    for place, cell in reversed(list(enumerate(cells))):
        cost = cell.stage.task.tokens
        left, waiting = _left(cell, solved[cell.key], known, due[cell.key])
        counts[cell.key], tokens = left, tokens + left * cost
        path = left * cost + held_up.get(cell.key, 0.0)
        for name in cell.after:
            held_up[name] = max(held_up.get(name, 0.0), path)
        for trial, trial_id, purpose in waiting:
            urgency = cost if purpose == "report" else path  # nothing waits for a report
            behind = cell.contestant.name != sweep.baseline
            urgent.setdefault(trial_id, ((-urgency, behind, place), trial, purpose))
    ordered = sorted(urgent.items(), key=lambda item: item[1][0])
    return Plan(
        ready=tuple(trial for _, (_, trial, _) in ordered),
        purposes={trial_id: purpose for trial_id, (_, _, purpose) in ordered},
        left=counts,
        remaining_tokens=tokens,
        solved=solved,
        known=known,
        due=due,
        reach=reach,
    )


def _left(cell: Cell, state: Solved | Cell, known: Known, due: int) -> tuple[int, list[tuple[Trial, str, str]]]:
    """How many trials a cell still needs, and those of them that can run now."""
    if isinstance(state, Cell):
        return cell.budget + due, []
    if state.complete:
        missing = [(trial, trial_id, "report") for trial, trial_id in state.reports if trial_id not in known]
        return len(missing), missing
    waiting = [(a.trial, a.trial_id, a.entry.purpose) for a in state.asked if a.status is None]
    spent = len(state.asked) - len(waiting)
    return max(cell.budget - spent, len(waiting)) + due, waiting
