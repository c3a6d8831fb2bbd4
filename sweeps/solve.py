"""One cell's search, replayed on the records that there are."""

import math
from collections.abc import Mapping
from typing import Protocol

from benchmark.spec import SearchRole, Status, Trial
from sweeps.cells import Asked, Cell, Opening, Solved
from sweeps.ledger import Ledger, Noise, Waiting
from sweeps.protocol import Found, coordinate_descent
from sweeps.random_search import random_search
from sweeps.space import Setting
from sweeps.sweep import Sweep


class HasOutcome(Protocol):
    """What planning reads of a record: `benchmark.spec.Outcome` is enough."""

    @property
    def status(self) -> Status: ...
    @property
    def val_loss(self) -> float | None: ...


Known = Mapping[str, HasOutcome]


def solve(sweep: Sweep, cell: Cell, begin: Opening, known: Known) -> Solved:
    """Take a cell's search as far as `known` (trial id -> record) goes."""
    protocol, stage = sweep.protocol, cell.stage
    asked: list[Asked] = []

    def lookup(setting: Setting, seed: int, purpose: str) -> float | None:
        trial = trial_of(sweep, cell, setting, seed, "tuning")
        trial_id = trial.trial_id
        status, loss = outcome(known, trial_id)
        asked.append(Asked(trial, trial_id, purpose, status, loss))
        return loss

    def possible(setting: Setting) -> bool:
        return stage.task.steps(int(setting["batch_size"])) >= protocol.min_steps

    seeds = [seed + cell.seed_offset for seed in protocol.tuning_seeds]
    ledger = Ledger(lookup, stage.budget, seeds, possible, begin.prior, protocol.band)
    runnable, complete = possible(begin.start), True
    found = Found(begin.start if runnable else None, {})
    if runnable and stage.budget:
        try:
            found = _search(sweep, cell, begin, ledger)
        except Waiting:
            found, complete = Found(None, {}), False
    winner = found.winner
    reports = [trial_of(sweep, cell, winner, seed, "report") for seed in protocol.report_seeds if winner]
    return Solved(
        cell=cell,
        opening=begin,
        asked=tuple(asked),
        entries=tuple(ledger.entries),
        complete=complete,
        winner=winner,
        tuning_loss=ledger.loss(winner) if winner and stage.budget else None,
        near=tuple(ledger.near(winner)) if winner else (),
        noise=ledger.noise() if complete else Noise(),
        band=ledger.band() if complete else math.inf,
        swings=found.swings,
        reports=tuple((trial, trial.trial_id) for trial in reports),
        skipped="" if runnable else f"fewer than {protocol.min_steps} steps with every batch size tried",
    )


def outcome(known: Known, trial_id: str) -> tuple[Status | None, float | None]:
    """Status and loss of a trial: (None, None) without a record, +inf for a loss that is no finite number."""
    record = known.get(trial_id)
    if record is None:
        return None, None
    loss = record.val_loss if record.status == "finished" else None
    return record.status, loss if loss is not None and math.isfinite(loss) else math.inf


def trial_of(sweep: Sweep, cell: Cell, setting: Setting, seed: int, role: SearchRole) -> Trial:
    """The complete trial of a setting in a cell."""
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
        evaluation=sweep.tuning_evaluation if role == "tuning" else sweep.report_evaluation,
        backend=sweep.backend,
        precision=sweep.precision,
    )


def _search(sweep: Sweep, cell: Cell, begin: Opening, ledger: Ledger) -> Found:
    if sweep.protocol.search == "random":
        return random_search(ledger, begin.axes, begin.start, cell.key)
    return coordinate_descent(ledger, begin.axes, begin.start, tuple(begin.axes), cell.key)
