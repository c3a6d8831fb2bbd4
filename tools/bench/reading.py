"""How long reading takes: a made-up sweep of many records is loaded, analysed and made into pages."""

import dataclasses
import json
import math
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import optimizers
from benchmark import files, store, tasks
from benchmark.measurements import Measurement, measurement
from benchmark.recorded import SPACING
from benchmark.spec import SCHEMA, Cost, Evaluation, Point, Record
from benchmark.train import runner
from optimizers.base import Optimizer
from tools.bench import trials
from tools.bench.turns import ask

RATIOS, SCALES = (1, 2, 4, 8), ("27k", "55k", "100k")
SEEDS = (1000, 1001, 1002)
HASH = "0" * 64
CURVE_POINTS = 16


def reading(count: int, rounds: int) -> list[Measurement]:
    """Seconds and peak memory of reading `count` records, each time in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        written = ask(write, Path(folder) / "results" / "made-up", count)
        measured = [ask(_read, Path(folder)) for _ in range(rounds)]
    names = (("load", "s"), ("load, analyse, write pages", "s"), ("peak memory", "MB"))
    return [
        measurement("reading", f"{written} records: {name}", unit, [each[i] for each in measured])
        for i, (name, unit) in enumerate(names)
    ]


def _read(folder: Path) -> tuple[float, float, float]:
    from benchmark.report import build

    started = time.perf_counter()
    store.load(folder / "results")
    loaded = time.perf_counter() - started
    started = time.perf_counter()
    build(folder / "results", folder / "site")
    total = time.perf_counter() - started
    return loaded, total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def write(folder: Path, count: int) -> int:
    """Write a sweep of at most `count` records, equally many in each cell; returns how many."""
    names = optimizers.entrants()
    wanted = [tasks.parse(f"{scale}-{ratio}x") for scale in SCALES for ratio in RATIOS]
    each = count // (len(names) * len(wanted))
    cells, lines = {}, []
    for name in names:
        for task in wanted:
            runs = list(_cell(name, task, each))
            cells[f"{name}/{task.name}"] = _summary(runs, each)
            lines += [run.to_json() + "\n" for run in runs]
    files.write_atomically(folder / "trials.jsonl", "".join(lines))
    files.write_atomically(folder / "sweep.json", json.dumps(_manifest(wanted, names, cells)))
    return len(lines)


def _cell(name: str, task: tasks.Task, count: int) -> Iterator[Record]:
    """Tuning runs at random rates, then the report runs, on a made-up law with made-up noise."""
    place = optimizers.entrants().index(name)
    rng = np.random.default_rng([place, task.tokens])
    base, rule = trials.at_defaults(name, task.scale, task.steps(task.scale.batch_size))
    law = 3.0 + 0.8 * (task.tokens / 1e6 * (1 + 0.05 * place)) ** -0.3
    for i in range(count):
        report = i >= count - len(SEEDS)
        off = 0.0 if report else rng.uniform(-2, 2)
        changes: dict[str, Any] = {
            "chinchilla_ratio": task.chinchilla_ratio,
            "tokens": task.tokens,
            "hyperparameters": {**base.hyperparameters, "peak_lr": trials.LR * 2.0**off},
            "seed": SEEDS[i - count] if report else 0,
            "use": "report" if report else "tuning",
            "evaluation": Evaluation("test", 1024, CURVE_POINTS) if report else Evaluation(),
            "corpus_hash": HASH,
        }
        yield _record(base, rule, law + 0.02 * off**2 + rng.normal(0, 0.005), i, changes)


def _record(base: Any, rule: Optimizer, loss: float, number: int, changes: dict[str, Any]) -> Record:
    trial = dataclasses.replace(base, **changes)
    steps = trial.steps
    marks = range(1, CURVE_POINTS + 1) if trial.use == "report" else ()
    points = [
        Point(steps * k // 16, trial.tokens * k // 16, 0.004 * steps * k / 16, loss + 1.5 * (1 - k / 16) ** 2)
        for k in marks
    ]
    return Record(
        trial=trial,
        status="finished",
        purpose=trial.use,
        val_loss=loss,
        bits_per_byte=loss / math.log(2) / 2,
        train_loss=loss - 0.05,
        curve=tuple(points),
        cost=Cost(9.0, 0.004 * steps, 0.5, 0.0, 1e5, 0.004, 10**8, 10**6, 1e12, 1e9),
        facts=runner.facts(type(rule), trial),
        environment={"machine": "made up"},
        finished_at=f"2025-01-01T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000000+00:00",
    )


def _summary(runs: list[Record], budget: int) -> dict[str, Any]:
    """What a manifest says of a cell."""
    tuning = [run for run in runs if run.trial.use == "tuning"]
    best = min(tuning, key=lambda run: run.val_loss or math.inf)
    return {
        "phase": "I",
        "winner": dict(best.trial.hyperparameters),
        "tuning_loss": best.val_loss,
        "spent": {"search": len(tuning)},
        "budget": budget - len(SEEDS),
        "diverged": 0,
        "failed": 0,
        "badges": [],
        "reports": [run.trial.trial_id for run in runs if run.trial.use == "report"],
        "tuning": [run.trial.trial_id for run in tuning],
        "complete": True,
    }


def _manifest(wanted: list[tasks.Task], names: list[str], cells: dict[str, Any]) -> dict[str, Any]:
    described = {}
    for name in names:
        rule, info = optimizers.get(name), optimizers.get(name).info
        axis = dataclasses.asdict(rule.space["micro"]["peak_lr"])
        described[name] = {
            **{key: getattr(info, key) for key in ("title", "paper", "url", "family", "summary", "essential")},
            "rule": name,
            "space": {"peak_lr": {"grid": axis["grid"], "start": axis["start"], SPACING: axis["spacing"]}},
        }
    return {
        "schema": SCHEMA,
        "name": "made-up",
        "title": "Made up",
        "corpus": "random",
        "corpus_hash": HASH,
        "tokenizer_hash": HASH,
        "backend": "jax",
        "precision": "float32",
        "baseline": "adamw",
        "tasks": [
            {
                "name": task.name,
                "scale": task.scale.name,
                "chinchilla_ratio": task.chinchilla_ratio,
                "tokens": task.tokens,
                "num_params": task.scale.num_params,
                "phase": "I",
            }
            for task in wanted
        ],
        "optimizers": described,
        "protocol": {"search": "random", "tuning_seeds": [0], "report_seeds": list(SEEDS)},
        "cells": cells,
        "trial_ids": [each for cell in cells.values() for each in (*cell["tuning"], *cell["reports"])],
    }
