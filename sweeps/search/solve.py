"""One cell's search, replayed on the records that there are."""

import math
from collections.abc import Mapping
from typing import Protocol

from benchmark.spec import SearchRole, Status, Trial
from sweeps.search.cells import SEED_STRIDE, Asked, Cell, Opening, Solved
from sweeps.search.coordinate_search import Found, coordinate_descent
from sweeps.search.gp_search import gp_search
from sweeps.search.history import Ledger, Noise, Waiting
from sweeps.search.random_search import random_search
from sweeps.search.seeds import report_seeds
from sweeps.search.space import Setting
from sweeps.search.sweep import Sweep

BRACKETS = 6  # trials above its budget that the baseline may spend, at most, to take its rate off an edge


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

    seeds = [seed + SEED_STRIDE * cell.search for seed in protocol.tuning_seeds]
    ledger = Ledger(lookup, cell.budget, seeds, possible, begin.prior, protocol.band)
    runnable, complete = possible(begin.start), True
    found = Found(begin.start if runnable else None, {})
    if runnable and cell.budget:
        try:
            found = _search(sweep, cell, begin, ledger)
        except Waiting:
            found, complete = Found(None, {}), False
    winner = found.winner
    noise = found.noise or (ledger.noise() if complete else Noise())
    band = ledger.band() if complete and found.noise is None else noise.band
    near = found.near if found.near is not None else tuple(ledger.near(winner)) if winner else ()
    own = cell.share(report_seeds(sweep)) if winner else ()
    reports = [trial_of(sweep, cell, winner, seed, "report") for seed in own if winner]
    return Solved(
        cell=cell,
        opening=begin,
        asked=tuple(asked),
        entries=tuple(ledger.entries),
        complete=complete,
        winner=winner,
        tuning_loss=ledger.loss(winner) if winner and cell.budget else None,
        near=near,
        noise=noise,
        band=band if complete else math.inf,
        swings=found.swings,
        reports=tuple((trial, trial.trial_id) for trial in reports),
        method=protocol.search,
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
    protocol, salt = sweep.protocol, f"{sweep.protocol.salt}{cell.key}"
    if protocol.search == "random":
        return random_search(ledger, begin.axes, begin.start, salt)
    if protocol.search == "coordinate":
        return coordinate_descent(ledger, begin.axes, begin.start, tuple(begin.axes), salt)
    beyond = BRACKETS if cell.contestant.name == sweep.baseline else 0
    return gp_search(ledger, begin.axes, begin.start, salt, begin.carried, beyond)
