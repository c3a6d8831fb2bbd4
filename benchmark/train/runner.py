"""Run a pack of trials and turn whatever happens into Records: the one place where any exception is caught."""

import dataclasses
import datetime
import importlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark import scales
from benchmark.data.corpora import Corpus
from benchmark.extras import install
from benchmark.spec import Cost, Outcome, Record, Trial
from benchmark.train import checkpoint, environment, parameters
from benchmark.train.upkeep import Watch
from optimizers.base import Info, Optimizer
from optimizers.shared.copies import title_of
from optimizers.user import identity


def run(
    trials: Sequence[Trial],
    optimizer: type[Optimizer],
    corpus: Corpus,
    purposes: Mapping[str, str] | None = None,
    checkpoints: Path | None = None,
    session: str = "",
    watch: Watch | None = None,
    devices: int = 1,
    nodes: int = 1,
) -> list[Record]:
    """Train a pack and return its records; a trial that raises is a `failed` record with its reason.

    trials: of one task, optimizer and static shape (see trainer_jax.py).
    purposes: trial_id -> what the trial was for.
    checkpoints: folder for the state of long runs, or None for none.
    watch: where to say what long runs have come to; the device is filled in here.
    session: what all runs of one start of a sweep share; seconds compare within it (`machine.conditions`).
    devices: how many train a trial, those of all its nodes; jax only where more than one. nodes: how many.
    """
    trainer = trainer_of(trials[0].backend)
    started = time.perf_counter()
    try:
        settings = [setting(optimizer, trial) for trial in trials]
        path = checkpoint.place(checkpoints, trials) if checkpoints else None
        watch = dataclasses.replace(watch, device=trainer.device()) if watch else None
        over = {"devices": devices} if devices > 1 else {}
        outcomes = trainer.train(trials, settings, corpus, path, watch=watch, **over)
    except Exception as error:
        lines = str(error).strip().splitlines()
        reason = environment.without_folders(f"{type(error).__name__}: {lines[0] if lines else 'no message'}")
        cost = Cost(wall_seconds=(time.perf_counter() - started) / len(trials))
        outcomes = [Outcome("failed", reason, cost=cost) for _ in trials]
    where = environment.describe(trainer.device()) | ({"session": session} if session else {})
    where = {**where, "attention": trainer.attention(trials[0])}
    if devices > 1:
        where = {**where, "devices": devices, **({"nodes": nodes} if nodes > 1 else {})}
    if corpus.name != trials[0].corpus:  # the label of the user's own text, which is no part of a trial
        where = {**where, "corpus": corpus.name}
    return [
        record(trial, optimizer, outcome, where, (purposes or {}).get(trial.trial_id, ""))
        for trial, outcome in zip(trials, outcomes, strict=True)
    ]


def record(
    trial: Trial,
    optimizer: type[Optimizer],
    outcome: Outcome,
    where: Mapping[str, Any] | None = None,
    purpose: str = "",
) -> Record:
    """A trial's outcome with the facts that a reader needs beside it."""
    fields = {f.name: getattr(outcome, f.name) for f in dataclasses.fields(outcome)}
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")
    return Record(
        trial=trial,
        purpose=purpose,
        facts=facts(optimizer, trial),
        environment=where or {},
        finished_at=now,
        **fields,
    )


def facts(optimizer: type[Optimizer], trial: Trial) -> dict[str, Any]:
    """What a leaderboard says about the method, so that pages need no optimizer code."""
    title = title_of(optimizer.info.title, trial.optimizer)
    params = parameters.roles(scales.get(trial.scale))
    count = sum(param.size for param in params.values())
    own = setting(optimizer, trial)
    return {
        **about(dataclasses.replace(optimizer.info, title=title)),
        "ablation_of": optimizer.ablation_of,
        "state_floats_per_param": own.state_floats(params) / count,
        "gradients_per_step": 1 + own.extra_gradients(params),
        **({"source": source} if (source := identity.registered(optimizer.__module__)) else {}),
    }


def about(info: Info) -> dict[str, str]:
    """What a record and a sweep's manifest say of a method."""
    return {name: getattr(info, name) for name in ("title", "paper", "url", "family", "summary")}


def setting(optimizer: type[Optimizer], trial: Trial) -> Optimizer:
    """The optimizer with this trial's hyperparameters. Raises ValueError if one is missing or out of range."""
    names = [field.name for field in dataclasses.fields(optimizer)]
    missing = [name for name in names if name not in trial.hyperparameters]
    if missing:
        raise ValueError(f"trial {trial.trial_id} lacks the hyperparameters {missing} of {trial.optimizer}")
    built = optimizer(**{name: trial.hyperparameters[name] for name in names})
    built.validate()
    return built


def trainer_of(backend: str) -> ModuleType:
    """A backend's trainer_*.py. Raises ValueError where its framework is not installed."""
    try:
        return importlib.import_module(f"benchmark.train.trainer_{backend}")
    except ImportError as error:
        extra = "torch" if backend == "torch" else ""
        raise ValueError(f"backend {backend!r} is not installed ({error}): {install(extra)}") from None
