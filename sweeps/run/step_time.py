"""Time a step of those whose runs have no run of the baseline beside them: both in turns, for some seconds.

That is so where the baseline's runs are reused, or were made by an earlier start of the sweep. One process on
one core trains the baseline and the others in turns, A B A B: whatever slows the machine meets both.
"""

import os
import sys
from collections.abc import Collection, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from benchmark import scales, store, timing
from benchmark.analysis import cost
from benchmark.measurements import measurement
from benchmark.spec import Trial
from benchmark.store import Results
from sweeps.run import calibrate, worker
from sweeps.search.contestants import optimizer_class
from sweeps.search.sweep import Contestant, Sweep

ROUNDS = 9  # of some tenths of a second for each


def measure(sweep: Sweep, folder: Path, reused: Collection[str]) -> None:
    """Time what lacks a comparison and keep it in the sweep's folder; what was timed before is not timed again.

    folder: the sweep's, with its records. reused: ids of the trials that another sweep made. Nothing is timed
    where the trials ran on a cluster. A timing that fails costs its column on the pages and nothing else.
    """
    if os.environ.get("RAY_ADDRESS"):
        return
    results = store.load(folder)
    wanted = lacking(results, sweep, reused)
    for scale in dict.fromkeys(trial.scale for trial in wanted):
        base = _reported(results, sweep.contestant(sweep.baseline), scale)
        trials = [trial for trial in wanted if trial.scale == scale]
        try:
            for line in _timed(sweep, folder, base, trials) if base else ():
                print(line, file=sys.stderr)
        except (ValueError, OSError, BrokenExecutor) as error:
            print(f"sweeps: step times at {scale} are left out: {error}", file=sys.stderr)


def lacking(results: Results, sweep: Sweep, reused: Collection[str]) -> list[Trial]:
    """A trial of each optimizer at each scale where it has finished runs of this sweep's own, but the baseline
    none on the same machine under the same conditions (`cost.step_overheads`). The paper's scales are left out,
    whose steps take minutes to compile."""
    own = results.runs.loc[
        (results.runs["status"] == "finished") & ~results.runs["trial_id"].isin(list(reused))
    ]
    overheads = cost.step_overheads(results.runs, sweep.baseline)
    compared = set(zip(overheads["optimizer"], overheads["scale"], strict=True))
    pairs = dict.fromkeys(zip(own["optimizer"], own["scale"], strict=True))
    found = []
    for contestant in sweep.contestants:
        if contestant.rule == sweep.contestant(sweep.baseline).rule:  # itself, or a copy
            continue
        for name, scale in pairs:
            open_ = name == contestant.name and (name, scale) not in compared
            if open_ and scales.get(scale).ladder == "micro" and (one := _reported(results, contestant, scale)):
                found.append(one)
    return found


def _reported(results: Results, contestant: Contestant, scale: str) -> Trial | None:
    """A finished trial of the contestant at a scale: one that reports a winner if there is one."""
    finished = [r.trial for r in results.by_id.values() if r.status == "finished"]
    mine = [t for t in finished if (t.optimizer, t.rule, t.scale) == (contestant.name, contestant.rule, scale)]
    return min(mine, key=lambda t: (t.use != "report", t.chinchilla_ratio, t.seed), default=None)


def _timed(sweep: Sweep, folder: Path, base: Trial, trials: Sequence[Trial]) -> list[str]:
    """Time the trials beside the baseline's, all at the scale's usual batch size, and say what came of it."""
    size = scales.get(base.scale).batch_size
    short = [calibrate.shortened(_with_batch(trial, size)) for trial in (base, *trials)]
    jobs = [calibrate.job(t, sweep.contestant(t.optimizer).source, sweep.corpus_at) for t in short]
    names = [timing.of(t, _statics(job)).name for t, job in zip(short, jobs, strict=True)]
    known = {(f.name, f.versus) for f in timing.known(folder)}
    new = [i for i, name in enumerate(names) if i and (name, names[0]) not in known]
    if not new:
        return []
    titles = ", ".join(sweep.contestant(short[i].optimizer).info.title for i in new)
    title = sweep.contestant(sweep.baseline).info.title
    print(f"Timing a step of {titles} in turns with {title}'s at {base.scale} ...", file=sys.stderr)
    ((seconds, where),) = calibrate.in_processes(1, _take_turns, [jobs[0], *(jobs[i] for i in new)])
    figures, lines = [], []
    for i, own in zip(new, seconds[1:], strict=True):
        if not own:
            lines.append(f"sweeps: no step time of {short[i].optimizer} at {base.scale}: its timed run failed")
            continue
        ms = [[1000 * s for s in each] for each in (own, seconds[0])]
        found = measurement(timing.GROUP, names[i], "ms", *ms, versus=names[0])
        times = f"{found.ratio:.2f} [{found.ratio_lo:.2f} to {found.ratio_hi:.2f}]"
        lines.append(f"A step of {short[i].optimizer} takes {times} times {title}'s.")
        figures.append(found)
    timing.write(folder, figures, {**where, "load": round(os.getloadavg()[0], 2)})
    return lines


def _with_batch(trial: Trial, size: int) -> Trial:
    return replace(trial, hyperparameters={**trial.hyperparameters, "batch_size": size})


def _statics(job: worker.Job) -> list[str]:
    own = fields(optimizer_class(job.trials[0].optimizer, job.source))
    return [field.name for field in own if field.metadata.get("static")]


def _take_turns(jobs: Sequence[worker.Job]) -> tuple[list[list[float]], dict[str, Any]]:
    """Seconds of a step of each job's trial, [rounds], none where it fails, and where that was. The first is
    the baseline's, without which there is nothing to compare."""
    first = [_seconds(job) for job in jobs]  # compiles
    if not first[0][0]:
        raise ValueError("the baseline's timed run failed")
    seconds: list[list[float]] = [[] for _ in jobs]
    for _ in range(ROUNDS):
        for job, (there, _), own in zip(jobs, first, seconds, strict=True):
            if there:
                own.append(_seconds(job)[0])
    return [own if all(own) else [] for own in seconds], first[0][1]


def _seconds(job: worker.Job) -> tuple[float, dict[str, Any]]:
    (record,) = worker.work(job)
    return record.cost.step_seconds, dict(record.environment)
