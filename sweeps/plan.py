"""`plan(sweep, records) -> trials still to run`: pure, and defined whatever the records are.

Each cell's search is replayed on the records until it asks for one that is not there. Resuming, adapting
and a dry run are therefore the same call. Next: summary.py, which says what came of each cell.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, cast

from benchmark.spec import Evaluation, Record, Status, Trial
from sweeps.cells import Asked, Cell, Opening, Solved, cells_of
from sweeps.ledger import Ledger, Noise, Waiting
from sweeps.protocol import Found, coordinate_descent
from sweeps.random_search import random_search
from sweeps.space import Setting
from sweeps.summary import summarize
from sweeps.sweep import Sweep
from sweeps.transfer import opening


class HasOutcome(Protocol):
    """What planning reads of a record: `benchmark.spec.Outcome` is enough."""

    @property
    def status(self) -> Status: ...
    @property
    def val_loss(self) -> float | None: ...


Known = Mapping[str, HasOutcome]


@dataclass
class Memory:
    """What a caller that plans again and again may hand in each time; it saves time and changes nothing."""

    sweep: Sweep | None = None
    cells: tuple[Cell, ...] = ()
    solved: dict[str, tuple[tuple[Solved, ...], Solved]] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What to do next.

    ready: every trial that can run now and has no record, the most urgent first.
    purposes: trial id -> purpose, for each of them.
    remaining, remaining_tokens: trials still to run in all, blocked ones included, and their tokens.
    left: the same count for every cell, by key.
    solved: the cells, by key.
    """

    ready: tuple[Trial, ...]
    purposes: Mapping[str, str]
    remaining: int
    remaining_tokens: int
    left: Mapping[str, int]
    solved: Mapping[str, Solved | Cell]
    known: Known = field(repr=False)

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
        memory.sweep, memory.cells, memory.solved = sweep, cells_of(sweep), {}
    solved: dict[str, Solved | Cell] = {}
    for cell in memory.cells:
        needed = [solved[name] for name in cell.after]
        if all(isinstance(n, Solved) and n.complete for n in needed):
            solved[cell.key] = _solve(
                sweep, cell, tuple(n for n in needed if isinstance(n, Solved)), known, memory
            )
        else:
            solved[cell.key] = cell
    return _gather(sweep, memory.cells, solved, known)


def _solve(sweep: Sweep, cell: Cell, needed: tuple[Solved, ...], known: Known, memory: Memory) -> Solved:
    """The cell's search, from memory where nothing that it rests on has changed."""
    if cell.key in memory.solved:
        before, result = memory.solved[cell.key]
        same = len(before) == len(needed) and all(a is b for a, b in zip(before, needed, strict=True))
        if same and all(_outcome(known, a.trial_id) == (a.status, a.loss) for a in result.asked):
            return result
    result = _search(sweep, cell, opening(cell, needed, sweep.protocol), known)
    memory.solved[cell.key] = needed, result
    return result


def _search(sweep: Sweep, cell: Cell, begin: Opening, known: Known) -> Solved:
    protocol, stage = sweep.protocol, cell.stage
    asked: list[tuple[Trial, str, Status | None, float | None]] = []

    def lookup(setting: Setting, seed: int) -> float | None:
        trial = _trial(sweep, cell, setting, seed, "tuning", sweep.tuning_evaluation)
        trial_id = trial.trial_id
        asked.append((trial, trial_id, *_outcome(known, trial_id)))
        return asked[-1][-1]

    def possible(setting: Setting) -> bool:
        return stage.task.steps(int(setting["batch_size"])) >= protocol.min_steps

    seeds = [seed + cell.seed_offset for seed in protocol.tuning_seeds]
    ledger = Ledger(lookup, stage.budget, seeds, possible, begin.prior, protocol.band)
    runnable = possible(begin.start)
    found, complete = Found(begin.start if runnable else None, {}), True
    if runnable and stage.budget:
        try:
            if protocol.search == "random":
                found = random_search(ledger, begin.axes, begin.start, cell.key)
            else:
                found = coordinate_descent(ledger, begin.axes, begin.start, tuple(begin.axes), cell.key)
        except Waiting:
            found, complete = Found(None, {}), False
    noise = ledger.noise() if complete else Noise()
    reports = [
        _trial(sweep, cell, found.winner, seed, "report", sweep.report_evaluation)
        for seed in protocol.report_seeds
        if complete and found.winner is not None
    ]
    skipped = f"fewer than {protocol.min_steps} steps with every batch size tried"
    return Solved(
        cell=cell,
        opening=begin,
        asked=tuple(
            Asked(trial, trial_id, entry.purpose, status, loss)
            for (trial, trial_id, status, loss), entry in zip(asked, ledger.entries, strict=True)
        ),
        entries=tuple(ledger.entries),
        complete=complete,
        winner=found.winner,
        tuning_loss=ledger.loss(found.winner) if found.winner and stage.budget else None,
        noise=noise,
        band=ledger.band() if complete else math.inf,
        swings=found.swings,
        reports=tuple((trial, trial.trial_id) for trial in reports),
        skipped="" if runnable else skipped,
    )


def _trial(sweep: Sweep, cell: Cell, setting: Setting, seed: int, role: Any, evaluation: Evaluation) -> Trial:
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
        role=role,
        corpus=sweep.corpus,
        corpus_hash=sweep.corpus_hash,
        tokenizer_hash=sweep.tokenizer_hash,
        evaluation=evaluation,
        backend=sweep.backend,
        precision=sweep.precision,
    )


def _outcome(known: Known, trial_id: str) -> tuple[Status | None, float | None]:
    """Status and loss of a trial: (None, None) without a record, +inf for a loss that is no finite number."""
    record = known.get(trial_id)
    if record is None:
        return None, None
    loss = record.val_loss if record.status == "finished" else None
    return record.status, loss if loss is not None and math.isfinite(loss) else math.inf


def _gather(sweep: Sweep, cells: tuple[Cell, ...], solved: Mapping[str, Solved | Cell], known: Known) -> Plan:
    """Collect what is ready, the longest remaining chain first, and count what remains."""
    urgent: dict[str, tuple[tuple[float, ...], Trial, str]] = {}
    counts: dict[str, int] = {}
    tokens = 0
    paths: dict[str, float] = {}
    for place, cell in reversed(list(enumerate(cells))):
        state, cost = solved[cell.key], cell.stage.task.tokens
        left, waiting = _left(sweep, cell, state, known)
        counts[cell.key], tokens = left, tokens + left * cost
        dependents = (paths[c.key] for c in cells[place + 1 :] if cell.key in c.after and not c.seed_offset)
        paths[cell.key] = left * cost + max(dependents, default=0.0)
        for trial, trial_id, purpose in waiting:
            path = float(cost) if purpose == "report" else paths[cell.key]
            behind = cell.contestant.name != sweep.baseline
            urgent.setdefault(trial_id, ((-path, behind, place), trial, purpose))
    ordered = sorted(urgent.items(), key=lambda item: item[1][0])
    return Plan(
        ready=tuple(trial for _, (_, trial, _) in ordered),
        purposes={trial_id: purpose for trial_id, (_, _, purpose) in ordered},
        remaining=sum(counts.values()),
        remaining_tokens=tokens,
        left=counts,
        solved=solved,
        known=known,
    )


def _left(
    sweep: Sweep, cell: Cell, state: Solved | Cell, known: Known
) -> tuple[int, list[tuple[Trial, str, str]]]:
    """How many trials a cell still needs, and those of them that can run now."""
    if isinstance(state, Cell):
        return cell.stage.budget + len(sweep.protocol.report_seeds), []
    if state.complete:
        missing = [(trial, trial_id, "report") for trial, trial_id in state.reports if trial_id not in known]
        return len(missing), missing
    waiting = [(a.trial, a.trial_id, a.purpose) for a in state.asked if a.status is None]
    finished = len(state.asked) - len(waiting)
    return cell.stage.budget - finished + len(sweep.protocol.report_seeds), waiting
