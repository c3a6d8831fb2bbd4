"""A small study with planted speedups, written as the records and the manifest of a real sweep."""

import json
import math
import subprocess
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark import files, scales, tasks
from benchmark.report import build
from benchmark.spec import Cost, Evaluation, Point, Record, Trial

# Tokens an optimizer saves, and its best learning rate: what the pages must find again.
PLANTED = {"adamw": (1.0, 0.032), "muon": (1.5, 0.064), "soap": (1.45, 0.016), "lion": (0.8, 0.004)}
RECIPE = {"warmup_fraction": 0.1, "decay_kind": "cosine", "decay_fraction": 1.0, "final_lr_ratio": 0.0}
SHA = "0123456789abcdef" * 4


def facts(name: str) -> dict[str, Any]:
    """An optimizer's facts as a manifest has them."""
    return {
        "title": {"adamw": "AdamW", "muon": "Muon", "soap": "Soap", "lion": "Lion"}.get(name, name),
        "paper": f"A paper about {name}",
        "url": "https://arxiv.org/abs/0000.00000",
        "family": "matrix" if name in ("muon", "soap") else "scalar",
        "summary": f"{name} moves parameters. It does so step by step.",
        "essential": ["peak_lr"],
        "rule": f"{name}@1",
        "space": {"peak_lr": {"grid": [0.004, 0.008, 0.016, 0.032, 0.064], "start": 0.016, "scale": "log"}},
    }


def loss(ratio: float, speedup: float, off: float = 0.0) -> float:
    """The planted law; `off` is the distance from the best learning rate in octaves."""
    return 3.0 + 0.8 * (ratio * speedup) ** -0.5 + 0.02 * off**2


def record(
    optimizer: str, task: tasks.Task, lr: float, seed: int, use: str, number: int, **over: Any
) -> Record:
    """One run of the planted study; `over` replaces fields of the record."""
    noise = np.random.default_rng([seed, zlib.crc32(f"{optimizer}{task.name}".encode()), number]).normal(
        0, 0.006
    )
    speedup, best = PLANTED.get(optimizer, (1.1, 0.016))
    final = loss(task.chinchilla_ratio, speedup, math.log2(lr / best)) + noise + 0.004 * (seed % 3)
    batch, report = task.scale.batch_size, use == "report"
    trial = Trial(
        optimizer,
        f"{optimizer}@1",
        task.scale.name,
        task.chinchilla_ratio,
        task.tokens,
        task.steps(batch),
        task.scale.seq_len,
        task.scale.vocab,
        {"peak_lr": lr, "weight_decay": 0.1, **RECIPE, "clip_norm": 1.0, "batch_size": batch},
        seed,
        "report" if report else "tuning",
        task.corpus,
        SHA,
        SHA[::-1],
        Evaluation("test" if report else "validation", 1024, 16 if report else 0),
    )
    step_seconds = 0.004 * (1.15 if speedup > 1.2 else 1.0)
    curve = (
        [
            Point(
                round(trial.steps * k / 16),
                round(trial.tokens * k / 16),
                trial.steps * step_seconds * k / 16,
                final + 1.5 * (1 - k / 16) ** 2,
            )
            for k in range(1, 17)
        ]
        if report
        else []
    )
    cost = Cost(
        9.0,
        trial.steps * step_seconds,
        0.5,
        0.5,
        90_000.0,
        step_seconds,
        10**8,
        task.scale.total_params * 8,
        6.0 * task.scale.num_params * trial.tokens,
        1e9 * speedup,
    )
    body: dict[str, Any] = {
        "status": "finished",
        "purpose": use,
        "val_loss": final,
        "bits_per_byte": final / 2,
        "curve": tuple(curve),
        "train_loss": final - 0.05,
        "data_epochs": 0.1,
        "cost": cost,
        "facts": facts(optimizer),
        "environment": {"machine": "test-machine", "git_commit": "abc1234", "jax": "0.10.2"},
        "finished_at": f"2025-01-01T00:{number // 60:02d}:{number % 60:02d}.{seed:06d}+00:00",
    }
    return Record(trial=trial, **{**body, **over})


def cell(optimizer: str, task: tasks.Task, seeds: Sequence[int] = (101, 102, 103)) -> list[Record]:
    """An optimizer's runs on a task: five learning rates (one diverged), then the report seeds."""
    best = PLANTED.get(optimizer, (1.1, 0.016))[1]
    tuning = [record(optimizer, task, best * 2.0**k, 0, "peak_lr", i) for i, k in enumerate((-2, -1, 0, 1))]
    broken = {"status": "diverged", "reason": "loss is not finite at step 40", "val_loss": None}
    tuning.append(record(optimizer, task, best * 8, 0, "peak_lr up", 9, **broken))
    return tuning + [record(optimizer, task, best, s, "report", 20 + i) for i, s in enumerate(seeds)]


def cell_entry(runs: Sequence[Record]) -> dict[str, Any]:
    """What a manifest says of these runs."""
    tuning = [r for r in runs if r.trial.use == "tuning"]
    finished = [r for r in tuning if r.val_loss is not None]
    return {
        "phase": "I",
        "winner": dict(min(finished, key=lambda r: r.val_loss or 0).trial.hyperparameters)
        if finished
        else None,
        "tuning_loss": min((r.val_loss for r in finished if r.val_loss is not None), default=None),
        "spent": {"search": len(tuning)},
        "budget": 5,
        "diverged": sum(r.status == "diverged" for r in runs),
        "failed": 0,
        "badges": [],
        "reports": [r.trial.trial_id for r in runs if r.trial.use == "report"],
        "tuning": [r.trial.trial_id for r in tuning],
        "complete": any(r.trial.use == "report" for r in runs),
    }


def write_sweep(results: Path, name: str, runs: Sequence[Record], /, **over: Any) -> Path:
    """Write records (compact) and a manifest that fits them; `over` replaces the manifest's fields."""
    cells: dict[str, list[Record]] = {}
    for run in runs:
        cells.setdefault(f"{run.trial.optimizer}/{run.trial.task}", []).append(run)
    named = {r.trial.task: tasks.parse(r.trial.task, r.trial.corpus) for r in runs}
    manifest = {
        "schema": 1,
        "name": name,
        "title": name.capitalize(),
        "corpus": runs[0].trial.corpus,
        "corpus_hash": SHA,
        "tokenizer_hash": SHA[::-1],
        "backend": "jax",
        "precision": "float32",
        "baseline": "adamw",
        "tasks": [
            {
                "name": t.name,
                "scale": t.scale.name,
                "chinchilla_ratio": t.chinchilla_ratio,
                "tokens": t.tokens,
                "num_params": scales.get(t.scale.name).num_params,
                "phase": "I",
            }
            for t in named.values()
        ],
        "optimizers": {r.trial.optimizer: facts(r.trial.optimizer) for r in runs},
        "protocol": {"search": "coordinate", "tuning_seeds": [0], "report_seeds": [101, 102, 103]},
        "cells": {key: cell_entry(group) for key, group in cells.items()},
        "trial_ids": [r.trial.trial_id for r in runs],
    }
    files.write_atomically(results / name / "trials.jsonl", "".join(r.to_json() + "\n" for r in runs))
    files.write_atomically(results / name / "sweep.json", json.dumps({**manifest, **over}))
    return results


def study(
    optimizers: Sequence[str] = tuple(PLANTED), ratios: Mapping[str, Sequence[str]] | None = None
) -> list[Record]:
    """Every record of the planted study: the baseline at four ratios, the others at two."""
    wide, narrow = ("0.5", "1", "2", "4"), ("1", "2")
    chosen = ratios or {o: wide if o == "adamw" else narrow for o in optimizers}
    return [run for o in optimizers for r in chosen[o] for run in cell(o, tasks.parse(f"27k-{r}x"))]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one complete sweep."""
    return write_sweep(tmp_path_factory.mktemp("results"), "quick", study())


@pytest.fixture(scope="session")
def site(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `results`, to be read; a test that changes it takes a copy."""
    return build(results, tmp_path_factory.mktemp("site")).parent


@pytest.fixture(scope="session")
def writer() -> Callable[..., Path]:
    """`write_sweep`, for tests that need another study."""
    return write_sweep


@pytest.fixture(scope="session")
def study_of() -> Callable[..., list[Record]]:
    """`study`, for tests that need other optimizers or ratios."""
    return study


@pytest.fixture(scope="session")
def imports() -> Callable[[str, set[str]], list[str]]:
    """Which of these modules a piece of code has imported by its end, in a process of its own."""

    def found(code: str, modules: set[str]) -> list[str]:
        told = f"{code}; import sys; print(*sorted({modules!r} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
        return done.stdout.split()

    return found
