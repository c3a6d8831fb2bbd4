"""What a sweep would cost before anything starts: trials, tokens, FLOPs, time and memory.

Time comes from records of the same scale on this machine where there are some, else from a matrix product
timed here and the share of its rate that training reaches. Both are named in the table.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmark import environment, flops, parameters
from benchmark.spec import Record
from optimizers.base import Optimizer
from sweeps.cells import Cell, cells_of
from sweeps.contestants import optimizer_class
from sweeps.plan import plan
from sweeps.sweep import Sweep

SHARE_OF_PEAK = {"micro": 0.25, "paper": 0.4}  # assumed where nothing was measured; said in the table


@dataclass(frozen=True)
class Line:
    """One phase of a sweep. core_seconds: on one worker; memory_bytes: of its largest trial, estimated."""

    phase: str
    cells: int
    trials: int
    tokens: float
    flops: float
    core_seconds: float
    memory_bytes: float


def price(sweep: Sweep, known: Mapping[str, Record], flops_per_second: float) -> list[Line]:
    """What remains of each phase, given the records that there are.

    flops_per_second: of one worker, for scales of which no record of this machine tells the speed.
    """
    state = plan(sweep, known)
    measured = _tokens_per_second(known)
    phases: dict[str, list[Line]] = {}
    for cell in cells_of(sweep):
        line = _cell(cell, state.left[cell.key], measured, flops_per_second)
        phases.setdefault(cell.stage.phase, []).append(line)
    return [_total(phase, lines) for phase, lines in phases.items()]


def _cell(cell: Cell, trials: int, measured: Mapping[tuple[str, str], float], rate: float) -> Line:
    task, name = cell.stage.task, cell.contestant.name
    optimizer = _default(cell)
    params = parameters.roles(task.scale)
    batch = task.scale.batch_size
    update = optimizer.extra_flops(params, task.steps(batch), batch * task.scale.seq_len) * task.steps(batch)
    work = flops.model_flops_per_token(task.scale) * task.tokens + update
    share = SHARE_OF_PEAK[task.scale.ladder]
    speed = measured.get((task.scale.name, name))
    seconds = task.tokens / speed if speed else work / (rate * share)
    # parameters, gradients and the optimizer's state in float32, and one batch of logits with their gradient
    floats = 2 * task.scale.total_params + optimizer.state_floats(params)
    logits = 2 * min(batch * task.scale.seq_len, 8192) * task.scale.vocab
    memory = 4.0 * (floats + logits)
    return Line("", 1, trials, trials * task.tokens, trials * work, trials * seconds, memory * (trials > 0))


def _default(cell: Cell) -> Optimizer:
    return optimizer_class(cell.contestant.name, cell.contestant.source)(**cell.contestant.defaults)


def _total(phase: str, lines: list[Line]) -> Line:
    sums = [sum(getattr(line, f) for line in lines) for f in ("trials", "tokens", "flops", "core_seconds")]
    return Line(phase, len(lines), *sums, memory_bytes=max(line.memory_bytes for line in lines))


def _tokens_per_second(known: Mapping[str, Record]) -> dict[tuple[str, str], float]:
    """(scale, optimizer) -> median rate among the records of this machine."""
    here = environment.describe("cpu")["machine"]
    rates: dict[tuple[str, str], list[float]] = {}
    for record in known.values():
        if record.status == "finished" and record.environment.get("machine") == here:
            key = (record.trial.scale, record.trial.optimizer)
            rates.setdefault(key, []).append(record.cost.tokens_per_second)
    return {key: float(np.median(values)) for key, values in rates.items()}


def calibrate(seconds: float = 1.0) -> float:
    """float32 FLOP/s of one matrix product of 1024 on this process's cores, the best of a second's tries."""
    a = np.ones((1024, 1024), np.float32)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        np.matmul(a, a)
        best = max(best, 2 * 1024**3 / (time.perf_counter() - start))
    return best


def table(sweep: Sweep, known: Mapping[str, Record], workers: int, flops_per_second: float) -> str:
    """The price as text: one line a phase, a total, and where the figures come from.

    flops_per_second: of one worker; from `calibrate` or as stated by the user for other hardware.
    """
    lines = price(sweep, known, flops_per_second)
    total = _total("total", lines)
    names = ("phase", "cells", "trials", "tokens", "FLOPs", "worker h", "hours", "memory")
    head = "{:<10}{:>6}{:>8}{:>10}{:>10}{:>11}{:>9}{:>9}".format(*names)
    rows = [
        f"{x.phase:<10}{x.cells:>6}{x.trials:>8}{_short(x.tokens):>10}{_short(x.flops):>10}"
        f"{_hours(x.core_seconds):>11}{_hours(x.core_seconds / workers):>9}{_short(x.memory_bytes):>8}B"
        for x in [*lines, total]
    ]
    who = ", ".join(c.name for c in sweep.contestants)
    basis = (
        f"hours: on {workers} workers at {flops_per_second / 1e9:,.0f} GFLOP/s each and the shares"
        f" {SHARE_OF_PEAK} of it, or at the speed of this machine's records where there are some."
    )
    note = (
        "trials: those still to run; a search that exhausts its space takes fewer."
        " memory: a trial's arrays; the process itself takes about 0.6 GB more."
    )
    return "\n".join([f"Sweep {sweep.name}: {who}", head, *rows, basis, note])


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2f}" if hours < 1000 else _short(hours)


def _short(value: float) -> str:
    for power, unit in zip(range(24, 0, -3), "YZEPTGMk", strict=True):
        if value >= 10**power:
            return f"{value / 10**power:.3g}{unit}"
    return f"{value:.3g}"
