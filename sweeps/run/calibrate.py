"""How fast one worker trains: timed here in seconds, or stated for hardware that is elsewhere."""

import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from benchmark import hidden, resources, scales, steps, stopping
from benchmark.scales import Scale
from benchmark.spec import Evaluation, Trial
from benchmark.train import parameters
from sweeps.run import worker
from sweeps.search.cells import Cell, trial_of
from sweeps.search.sweep import Sweep

EFFICIENCY = 0.4  # share of a peak that training reaches where no step's figures are kept; assumed, and said
TIMED_WORK = 1e10  # FLOPs of a timed run: some tenths of a second of a core
TIMED_RUNS = 3  # the fastest counts: whatever else runs for a moment is no part of the sweep
LEAST_STEPS = 4

T = TypeVar("T")


@dataclass(frozen=True)
class Speed:
    """FLOP/s that one worker reaches in training, by scale; `basis` says in words where they come from."""

    by_scale: Mapping[str, float]
    basis: str


def speed(sweep: Sweep, workers: int, peak: float | None = None) -> Speed:
    """What to price a sweep with.

    peak: stated FLOP/s of one worker; without it the micro ladder is timed here, and the larger ones are priced
    for one GPU a worker, which trains the sweep's packs. Raises ValueError where the baseline cannot train.
    """
    asked = {stage.task.scale.name: stage.task.scale for stage in sweep.stages}
    stated = [s for s in asked.values() if peak or s.ladder != "micro"]
    timed = [s for s in asked.values() if s not in stated]
    found = {s.name: (peak or steps.PEAK) * share(s, sweep.precision, sweep.pack)[0] for s in stated}
    words = []
    if stated:
        kind = "" if peak else f", an {steps.DEVICE} in bfloat16"
        kind += f", packs of {sweep.pack}" if sweep.pack > 1 else ""
        words.append(
            f"{_shares(stated, sweep.precision, sweep.pack)} of {(peak or steps.PEAK) / 1e12:,.4g} TFLOP/s a"
            f" worker{kind}"
        )
    if timed:
        found |= _timed(sweep, timed, min(workers, resources.workers()))
        reached = ", ".join(f"{s.name} {found[s.name] / 1e9:.0f}" for s in timed)
        words.append(f"{sweep.baseline} timed here with every worker busy, GFLOP/s: {reached}")
    return Speed(found, "; ".join(words))


def share(scale: Scale, precision: str, pack: int = 1) -> tuple[float, str]:
    """Share of a GPU's peak that training reaches at a scale, by the figures of AdamW's step there, and how
    those were got; EFFICIENCY where there are none."""
    step = steps.find(steps.known(), scale.name, precision, "adamw", pack)
    if step is None:
        return EFFICIENCY, "assumed"
    work = parameters.flops_per_token(scale) * scale.batch_size * scale.seq_len
    return work / step.takes(pack) / steps.PEAK, step.how


def _shares(stated: Sequence[Scale], precision: str, pack: int) -> str:
    """`2m 8%, 6m 12% (compiled, not run), 1.2b 40% (assumed)`; `40% (assumed)` where that is all there is."""
    by_how: dict[str, list[tuple[str, str]]] = {}
    for scale in stated:
        part, how = share(scale, precision, pack)
        by_how.setdefault(how, []).append((scale.name, f"{part:.0%}"))
    if [*by_how] == ["assumed"]:
        return f"{EFFICIENCY:.0%} (assumed)"
    return ", ".join(f"{', '.join(' '.join(one) for one in found)} ({how})" for how, found in by_how.items())


def _timed(sweep: Sweep, timed: Sequence[Scale], processes: int) -> dict[str, float]:
    """Scale -> FLOP/s of one of so many workers that train at once, each in a process and on a core of its
    own, as in the sweep."""
    jobs = [_job(sweep, scale) for scale in timed]
    try:
        found = in_processes(processes, _train, jobs)
    except BrokenExecutor as error:
        raise ValueError(f"cannot time a training step here ({error}); give --flops-per-second") from None
    return {s.name: sum(rates[i] for rates in found) / processes for i, s in enumerate(timed)}


def in_processes(count: int, work: Callable[[Sequence[worker.Job]], T], jobs: Sequence[worker.Job]) -> list[T]:
    """What `work(jobs)` returns in each of so many processes at once, each on a core of its own.

    Raises BrokenExecutor where one of them ends before its work does."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(count, context, _begin, (resources.affinity(),))
    with hidden.shown(), pool:
        futures = [pool.submit(work, jobs) for _ in range(count)]
        try:
            return [future.result() for future in futures]
        except KeyboardInterrupt:  # leaving the block would wait for them
            stopping.end_all({child.pid for child in multiprocessing.active_children() if child.pid})
            raise


def _begin(cores: Sequence[int]) -> None:
    worker.hold_a_core(cores)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several may share a GPU


def _train(jobs: Sequence[worker.Job]) -> list[float]:
    """FLOP/s of each job's only trial."""
    rates = []
    for job in jobs:
        costs = [record.cost for _ in range(TIMED_RUNS) for record in worker.work(job)]
        if not all(cost.train_seconds for cost in costs):
            raise ValueError("cannot time a training step here, because it fails; give --flops-per-second")
        rates.append(max((cost.model_flops + cost.optimizer_flops) / cost.train_seconds for cost in costs))
    return rates


def _job(sweep: Sweep, scale: Scale) -> worker.Job:
    """The baseline's first trial at a scale, cut to a few steps."""
    contestant = sweep.contestant(sweep.baseline)
    stage = next(stage for stage in sweep.stages if stage.task.scale == scale)
    whole = trial_of(sweep, Cell(contestant, stage), contestant.start(scale), 0, "tuning")
    return job(shortened(whole), contestant.source, sweep.corpus_at)


def shortened(whole: Trial) -> Trial:
    """A trial cut to a few steps, some tenths of a second of a core: what is counted as a share of a run, such
    as warmup or a rule's rarer work, shrinks with it."""
    scale, per_step = scales.get(whole.scale), whole.batch_size * whole.seq_len
    steps = max(LEAST_STEPS, round(TIMED_WORK / (parameters.flops_per_token(scale) * per_step)))
    short = Evaluation(sequences=64)
    return dataclasses.replace(whole, tokens=steps * per_step, steps=steps, evaluation=short)


def job(trial: Trial, source: str, corpus_at: str = "") -> worker.Job:
    """A trial to time: nothing is kept of it. corpus_at: where text of the user's own lies."""
    return worker.Job((trial,), {}, source, "", "", 0.0, corpus_at)
