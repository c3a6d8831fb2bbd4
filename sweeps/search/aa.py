"""`python -m sweeps aa`: copies of one optimizer through a whole sweep, tuning and all.

They differ by nothing, so every `faster` and `slower` among them is false. What the sweep says of its
contestants can be trusted as far as it says nothing here.
"""

import argparse
import dataclasses

from scipy.stats import binomtest

import sweeps
from benchmark.tasks import task_name
from optimizers.user import files
from sweeps.search import looks
from sweeps.search.contestants import contestants, copy_of
from sweeps.search.plan import Plan
from sweeps.search.sweep import Sweep
from sweeps.search.variants import select, trained

SEED_STRIDE = 1000  # between the tuning seeds of one replication and of the next
FALSE = ("faster", "slower")


def sweep(args: argparse.Namespace) -> Sweep:
    """The sweep with copies for contestants; the first is the baseline. Raises ValueError for an unknown
    optimizer, or fewer than two copies."""
    copies, number = args.copies or 10, args.replication or 1
    if copies < 2:
        raise ValueError(f"--copies {copies} leaves nothing to compare; give 2 or more")
    if args.optimizers:
        raise ValueError("aa runs copies of one optimizer; name it with --optimizer-name")
    named = select(sweeps.get(args.sweep or "quick"), args.tasks)
    named = trained(named, args.backend, args.precision)
    own: list[str] = args.optimizer
    names = [files.name(other) for other in own]
    name = args.optimizer_name or (names[0] if names else "adamw")
    found = {c.name: c for c in contestants([] if name in names else [name], own, named.backend)}
    first = found[name]
    protocol = dataclasses.replace(
        named.protocol,
        search=args.search or named.protocol.search,
        salt=f"study {number} ",  # not to be reworded: openings and report seeds follow from it
        baseline_times=1,  # the copies are alike, the one that is the baseline too
        tuning_seeds=tuple(seed + SEED_STRIDE * number for seed in named.protocol.tuning_seeds),
    )
    return dataclasses.replace(
        named,
        name=f"aa-{named.name}-{number}",
        title=f"{copies} copies of {first.info.title} through {named.name}, replication {number}",
        protocol=protocol,
        baseline=name,
        optimizers=(),
        contestants=tuple(copy_of(first, number) for number in range(1, copies + 1)),
    )


def verdicts(sweep: Sweep, plan: Plan) -> list[str]:
    """Each copy's verdict against the first, and the share that is false, with its exact 95 % interval."""
    from benchmark.analysis.speedup import speedups

    losses = looks.losses(plan.solved, plan.due, plan.known)
    if sweep.baseline not in set(losses["optimizer"]):
        return [sweep.title, "No copy has a verdict yet."]
    table = speedups(losses, sweep.baseline, looks=sweep.protocol.looks)
    reported = [s.task for s in sweep.stages if s.phase != "baseline"]
    contested = [(task.scale.name, task.chinchilla_ratio) for task in reported]
    titles = {c.name: c.info.title for c in sweep.contestants}
    lines, false = [sweep.title], 0
    rows = [
        row
        for row in table.to_dict("records")
        if row["optimizer"] != sweep.baseline and (row["scale"], row["chinchilla_ratio"]) in contested
    ]
    for row in rows:
        false += row["verdict"] in FALSE
        task = task_name(row["scale"], row["chinchilla_ratio"])
        lines.append(
            f"{titles[row['optimizer']]:<20} {task}  {row['n']:>2} seeds"
            f"  {row['gap']:+.4f} nats  {row['speedup']:.2f}x [{row['lo']:.2f}, {row['hi']:.2f}]"
            f"  {row['verdict'] or 'no verdict'}"
        )
    ends = binomtest(false, len(rows)).proportion_ci(method="exact")
    share = (
        f"{false} of {len(rows)} verdicts are false: {false / len(rows):.0%} [{ends.low:.0%}, {ends.high:.0%}]"
    )
    return [*lines, f"{share}, an exact 95% interval as if they were independent; they share their baseline."]
