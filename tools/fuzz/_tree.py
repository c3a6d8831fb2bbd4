"""A small results folder, whole: two sweeps of two optimizers, measurements and a parity table."""

import json
from pathlib import Path
from typing import Any

from benchmark import files, measurements, store, tasks
from benchmark.spec import SCHEMA, Cost, Evaluation, Point, Record, Trial

RECIPE = {"warmup_fraction": 0.1, "decay_kind": "cosine", "decay_fraction": 1.0, "final_lr_ratio": 0.0}
PLANTED = {"adamw": 0.0, "muon": -0.1}  # nats per token
WHERE = {"machine": "m1", "cpu": "c", "device": "cpu", "commit": "abc", "load": 0.1}


def write(results: Path) -> None:
    """Write the folder: "quick" as an archive, "fresh" as record files, each with a manifest."""
    quick, fresh = _runs(("0.5", "1", "2")), _runs(("1",), first=200)
    lines = "".join(r.to_json() + "\n" for r in quick)
    files.write_atomically(results / "quick" / "trials.jsonl", lines)
    for record in fresh:
        store.save(record, results / "fresh")
    for name, runs in (("quick", quick), ("fresh", fresh)):
        files.write_atomically(results / name / "sweep.json", json.dumps(_manifest(name, runs)))
    figure = measurements.measurement("throughput", "steps", "1/s", [1.0, 2.0, 3.0])
    measurements.write([figure], WHERE, results / "bench" / "throughput.json")
    row = {"optimizer": "adamw", "steps": 20, "dtype": "float64", "max_abs_deviation_per_step": 1e-9}
    files.write_atomically(results / "quick" / "parity.json", json.dumps({"rows": [row]}))


def _runs(ratios: tuple[str, ...], first: int = 100) -> list[Record]:
    found = []
    for optimizer, gain in PLANTED.items():
        for number, ratio in enumerate(ratios):
            loss = 4.0 + gain - 0.3 * number
            found += [_run(optimizer, ratio, first, "tuning", lr, loss + lr) for lr in (0.01, 0.02, 0.04)]
            found += [_run(optimizer, ratio, first + s, "report", 0.01, loss + 0.003 * s**2) for s in (1, 2, 3)]
    return found


def _run(optimizer: str, ratio: str, seed: int, use: Any, lr: float, loss: float) -> Record:
    task = tasks.parse(f"27k-{ratio}x")
    batch, split = task.scale.batch_size, "test" if use == "report" else "validation"
    setting = {"peak_lr": lr, "weight_decay": 0.1, "beta1": 0.9, **RECIPE, "batch_size": batch}
    shape = (task.tokens, task.steps(batch), task.scale.seq_len, task.scale.vocab)
    trial = Trial(
        *(optimizer, f"{optimizer}@1", task.scale.name, task.chinchilla_ratio, *shape, setting, seed, use),
        *("gcide", "c" * 16, "t" * 16, Evaluation(split, 1024, 4 if use == "report" else 0)),
    )
    points = [Point(trial.steps * k // 4, trial.tokens * k // 4, 0.5 * k, loss + 4 - k) for k in (1, 2, 3, 4)]
    return Record(
        trial=trial,
        status="finished",
        val_loss=loss,
        bits_per_byte=loss / 2,
        train_loss=loss,
        curve=tuple(points) if use == "report" else (),
        cost=Cost(9.0, 2.0, 0.5, 0.5, 9e4, 0.004, 10**8, 10**5, 1e12, 1e9),
        purpose=use,
        facts=_facts(optimizer),
        environment={"machine": "m1", "packages": {"jax": "1"}},
        finished_at=f"2026-01-01T00:00:{seed % 60:02d}+00:00",
    )


def _facts(optimizer: str) -> dict[str, Any]:
    return {
        **{"title": optimizer.title(), "paper": "P", "url": "https://arxiv.org/abs/0", "family": "matrix"},
        **{"summary": "It moves.", "essential": ["peak_lr"], "rule": f"{optimizer}@1"},
        "space": {"peak_lr": {"grid": [0.01, 0.02, 0.04], "start": 0.01, "scale": "log"}},
    }


def _manifest(name: str, runs: list[Record]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for run in runs:
        key = f"{run.trial.optimizer}/{run.trial.task}"
        empty = {"optimizer": run.trial.optimizer, "task": run.trial.task, "budget": 3, "complete": True}
        notes = {
            "winner": dict(run.trial.hyperparameters),
            "badges": [],
            "near": {},
            "swings": {"peak_lr": 0.1},
        }
        cell = cells.setdefault(key, {**empty, **notes, "tuning": [], "reports": [], "unbracketed": {}})
        cell["tuning" if run.trial.use == "tuning" else "reports"].append(run.trial.trial_id)
    named = {r.trial.task: tasks.parse(r.trial.task) for r in runs}
    return {
        **{"schema": SCHEMA, "name": name, "title": name.title(), "corpus": "gcide", "corpus_hash": "c" * 16},
        **{"tokenizer_hash": "t" * 16, "backend": "jax", "precision": "float32", "baseline": "adamw"},
        "tasks": [
            {
                **{"name": t.name, "scale": t.scale.name, "chinchilla_ratio": t.chinchilla_ratio},
                **{"tokens": t.tokens, "num_params": t.scale.num_params, "phase": "I"},
            }
            for t in named.values()
        ],
        "optimizers": {o: _facts(o) for o in PLANTED},
        "protocol": {"search": "gp", "looks": [3], "report_seeds": [101, 102, 103], "max_hours": None},
        "cells": cells,
        "trial_ids": [r.trial.trial_id for r in runs],
    }
