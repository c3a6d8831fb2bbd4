"""What a sweep would cost before anything starts: trials, tokens, FLOPs, time and memory. See calibrate.py."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmark import scales, steps
from benchmark.data import batches
from benchmark.scales import Scale
from benchmark.spec import Evaluation, Record
from benchmark.train import averages, parameters
from optimizers.base import Optimizer
from optimizers.shared.copies import rule_name
from sweeps.run.calibrate import Speed
from sweeps.search.cells import Cell, cells_of
from sweeps.search.contestants import at_start, contestants
from sweeps.search.plan import Plan, plan
from sweeps.search.sweep import Sweep

BUSY = 0.9  # share of a worker's time that is training or evaluation; the rest is starting and compiling


@dataclass(frozen=True)
class Line:
    """One phase of a sweep. worker_seconds: of one worker; memory_bytes: of its largest trial, estimated."""

    phase: str
    cells: int
    trials: int
    tokens: float
    flops: float
    worker_seconds: float
    memory_bytes: float


def price(sweep: Sweep, known: Mapping[str, Record], speed: Speed, state: Plan | None = None) -> list[Line]:
    """What remains of each phase, given the records that there are; state: their plan, where it is made."""
    state = state or plan(sweep, known)
    phases: dict[str, list[Line]] = {}
    for cell in cells_of(sweep):
        if cell.key not in state.left:  # a search for a later look, which may never be needed
            continue
        left = state.left[cell.key]
        reports = min(left, state.due.get(cell.key, 0))  # they come last
        line = cell_line(sweep, cell, left - reports, reports, speed)
        phases.setdefault(cell.stage.phase, []).append(line)
    return [total(phase, lines) for phase, lines in phases.items()]


def cell_line(sweep: Sweep, cell: Cell, tuning: int, reports: int, speed: Speed) -> Line:
    """What so many tuning and report trials of a cell cost, at its stated start."""
    task, optimizer = cell.stage.task, at_start(cell.contestant, cell.stage.task.scale)
    batch = task.scale.batch_size
    params, count = parameters.roles(task.scale), task.steps(batch)
    extra = optimizer.extra_flops(params, count, batch * task.scale.seq_len) * count
    gradients = 1 + optimizer.extra_gradients(params)
    work = gradients * parameters.flops_per_token(task.scale) * task.tokens + extra
    evaluated = tuning * _evaluation_flops(task.scale, sweep.tuning_evaluation)
    evaluated += reports * _evaluation_flops(task.scale, sweep.report_evaluation)
    trials = tuning + reports
    everything = trials * work + evaluated
    seconds = everything / speed.by_scale[task.scale.name] / BUSY
    name = "" if cell.contestant.source else rule_name(cell.contestant.name)
    memory = memory_bytes(optimizer, task.scale, batch, sweep.precision, name) if trials else 0.0
    return Line(cell.stage.phase, 1, trials, trials * task.tokens, everything, seconds, memory)


def total(phase: str, lines: list[Line]) -> Line:
    """The sum of several lines; of their memory the largest."""
    sums = [sum(getattr(line, f) for line in lines) for f in ("trials", "tokens", "flops", "worker_seconds")]
    return Line(
        phase, sum(line.cells for line in lines), *sums, memory_bytes=max(line.memory_bytes for line in lines)
    )


def memory_bytes(optimizer: Optimizer, scale: Scale, batch: int, precision: str, name: str = "") -> float:
    """Peak bytes of a training step's arrays.

    By the figures that are kept of steps (benchmark/steps.py): of the registry's optimizer of this name its own
    at the scale; else parameters, the optimizer's state, and what AdamW's step holds beside them there, or, if
    that is more, what the optimizer's own step of the largest scale holds for each parameter. Without any an
    estimate.
    """
    kept, params = steps.known(), scale.total_params
    if step := steps.find(kept, scale.name, precision, name):
        return step.memory
    fixed = 4.0 * (params + optimizer.state_floats(parameters.roles(scale)))
    if step := steps.find(kept, scale.name, precision, "adamw"):
        loss = step.memory - 12.0 * params
    else:
        tokens = batches.rows_at_once(batch, scale.seq_len) * scale.seq_len
        held = _deep_bytes if scale.deep else _shallow_bytes
        loss = held(scale, tokens, 4.0 if precision == "float32" else 2.0)
    return fixed + max(loss, _of_the_rule(precision, name) * params)


def _of_the_rule(precision: str, name: str) -> float:
    """Bytes for each parameter that a step of this optimizer holds beside parameters and state, by the kept
    step of its largest scale; 0 without one. Where this is more than AdamW's, the rule itself holds them."""
    own = [scales.get(s.scale) for s in steps.known() if (s.precision, s.optimizer) == (precision, name)]
    if not own:
        return 0.0
    scale = max(own, key=lambda scale: scale.total_params)
    step = steps.find(steps.known(), scale.name, precision, name)
    optimizer = at_start(contestants((name,))[0], scale)
    state = optimizer.state_floats(parameters.roles(scale))
    return (step.memory - 4.0 * (scale.total_params + state)) / scale.total_params if step else 0.0


def _shallow_bytes(scale: Scale, tokens: int, narrow: float) -> float:
    """What a step of a model whose layers are not recomputed holds beside parameters and state: gradient and
    update, and of each token that is in the decoder at once the logits with their gradient, and what the
    backward pass needs of every layer."""
    layer = 3.8 * (scale.heads * scale.seq_len + scale.width + scale.mlp)  # fitted to compiled programs
    return 8.0 * scale.total_params + tokens * (narrow * scale.layers * layer + 4.0 * 2.3 * scale.vocab)


def _deep_bytes(scale: Scale, tokens: int, narrow: float) -> float:
    """The same of a deep model: the sum of gradients in float32, parameters and gradients of a part in the type
    of products, a chunk's logits with their gradient, and each layer's input and its attention's result. In
    float32 also the scores of one layer's attention, which cuDNN's never holds."""
    chunk = batches.chunk_of_head(tokens, scale.vocab)
    held = (4.0 + 2 * narrow) * scale.total_params + (4.0 + narrow) * chunk * scale.vocab
    scores = 0.0 if narrow < 4 else 3 * 4.0 * tokens * scale.heads * scale.seq_len
    return held + 2 * narrow * scale.layers * tokens * scale.width + scores


def table(
    sweep: Sweep, known: Mapping[str, Record], workers: int, speed: Speed, state: Plan | None = None
) -> str:
    """The price as text: one line a phase, a total, and where the figures come from."""
    lines = price(sweep, known, speed, state)
    names = ("phase", "cells", "trials", "tokens", "FLOPs", "worker h", "hours", "memory")
    head = "{:<10}{:>6}{:>8}{:>10}{:>10}{:>11}{:>9}{:>9}".format(*names)
    rows = [
        f"{x.phase:<10}{x.cells:>6}{x.trials:>8}{_short(x.tokens):>10}{_short(x.flops):>10}"
        f"{_hours(x.worker_seconds):>11}{_hours(x.worker_seconds / workers):>9}{_short(x.memory_bytes):>8}B"
        for x in [*lines, total("total", lines)]
    ]
    who = ", ".join(c.name for c in sweep.contestants)
    first, last = sweep.protocol.looks[0], sweep.protocol.looks[-1]
    seeds = f"{first} report seeds each" + (
        f" at the least, {last} where a verdict is open then" if last > first else ""
    )
    if sweep.search_looks:
        seeds += (
            f"; of one's own the first {sweep.search_looks[0]} searches, up to {sweep.search_looks[-1]}"
            " where its verdict is open"
        )
    notes = (
        f"hours: with {workers} workers that train {BUSY:.0%} of the time; {speed.basis}.",
        "cells: one optimizer on one task, of one search each, those that are complete too.",
        f"trials: those still to run, {seeds}; a search that exhausts its space takes fewer.",
        f"memory: peak of the largest trial's arrays, {_memory_basis(sweep)}; a process takes 0.6 to 1.5 GB"
        " more" + (f", a pack of {sweep.pack} up to {sweep.pack} times as much." if sweep.pack > 1 else "."),
    )
    return "\n".join([f"Sweep {sweep.name}: {who}", head, *rows, *notes])


def _memory_basis(sweep: Sweep) -> str:
    """Where the figures of memory come from, in words."""
    names = dict.fromkeys(stage.task.scale.name for stage in sweep.stages)
    kept = [steps.find(steps.known(), name, sweep.precision, "adamw") for name in names]
    if not any(kept):
        return "estimated"
    how = ", ".join(dict.fromkeys(step.how for step in kept if step))
    return f"by AdamW's step, {how}, and the optimizer's state" + ("" if all(kept) else ", or estimated")


def beside(sweep: Sweep, state: Plan, workers: int, speed: Callable[[], Speed]) -> str:
    """A line on what runs beside an optimizer of the user's own, because nothing that is there fits; empty
    where nothing does. `speed` is timed only if there is something to price."""
    own = {c.name for c in sweep.contestants if c.source}
    cells = [c for c in cells_of(sweep) if state.left.get(c.key) and c.contestant.name not in own]
    if not cells:
        return ""
    seconds, trials = 0.0, 0
    for cell in cells:
        left = state.left[cell.key]
        reports = min(left, state.due[cell.key])
        seconds += cell_line(sweep, cell, left - reports, reports, speed()).worker_seconds
        trials += left
    names = dict.fromkeys(cell.contestant.name for cell in cells)
    tasks = dict.fromkeys(cell.stage.task.name for cell in cells)
    return (
        f"No committed results of {', '.join(names)} fit {', '.join(tasks)} with {sweep.backend}: of"
        f" {state.remaining} trials {trials} run for that beside yours, about"
        f" {max(1, round(seconds / 60 / workers))} minutes with {workers} workers."
    )


def _evaluation_flops(scale: Scale, evaluation: Evaluation) -> float:
    """FLOPs of all evaluations of one run: a forward pass is a third of a training step's work."""
    final = 1 + len(averages.NAMES) * evaluation.averages
    sequences = final * evaluation.sequences + evaluation.curve_points * evaluation.curve_sequences
    return sequences * scale.seq_len * parameters.flops_per_token(scale) / 3


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2f}" if hours < 1000 else _short(hours)


def _short(value: float) -> str:
    for power, unit in zip(range(24, 0, -3), "YZEPTGMk", strict=True):
        if value >= 10**power:
            return f"{value / 10**power:.3g}{unit}"
    return f"{value:.3g}"
