"""How many GPUs a trial is trained on: what may be asked for, and what that makes of a price."""

import argparse
import dataclasses
from collections.abc import Sequence

from benchmark import resources
from sweeps.run.calibrate import Speed

OPTION = "--gpus-per-trial"


def check(args: argparse.Namespace, cluster: str) -> None:
    """Raise ValueError, in one line, where a trial cannot have so many GPUs. A price may be for another
    machine, and how many a cluster has is known when it is joined."""
    count = args.gpus_per_trial
    if count == 1:
        return
    if args.backend == "torch":
        raise ValueError(f"{OPTION} {count}: a torch trial takes one GPU; leave it out, or use --backend jax")
    others = {"--slots-per-gpu": args.slots_per_gpu, "--pack": args.pack}
    if both := next((name for name, value in others.items() if (value or 1) > 1), ""):
        raise ValueError(
            f"{both} puts several trials on one GPU, {OPTION} one trial on several; give one of the two"
        )
    if not args.dry_run and not cluster:
        require(count, resources.gpus(), "this machine")


def require(count: int, there: int, where: str) -> None:
    """Raise ValueError where there are fewer GPUs than one trial is to have."""
    if count > max(1, there):
        has = f"{there} GPU{'s' * (there != 1)}" if there else "no GPU"
        remedy = f"give at most {there}" if there > 1 else "leave it out"
        raise ValueError(f"{OPTION} {count}, but {where} has {has}; {remedy}")


def nodes(count: int, there: Sequence[int]) -> int:
    """On how many nodes a trial's GPUs are: on one, or on as few as have equal parts of them.

    there: GPUs of each node. Raises ValueError where that cannot be.
    """
    for number in range(1, count + 1):
        if count % number == 0 and sum(gpus >= count // number for gpus in there) >= number:
            return number
    ordered = sorted(there, reverse=True)
    best = max((number * gpus for number, gpus in enumerate(ordered, start=1)), default=0)
    has = f"nodes with {', '.join(map(str, ordered[:8]))} GPUs" if best else "no GPU"
    remedy = f"give {best}" if best > 1 else "leave it out"
    raise ValueError(f"{OPTION} {count} cannot be had in equal parts: the cluster has {has}; {remedy}")


def at_once(number: int, rooms: Sequence[int]) -> int:
    """How many trials run at once, each on `number` nodes, where every node has room for so many parts."""
    most = 0
    while sum(min(room, most + 1) for room in rooms) >= (most + 1) * number:
        most += 1
    return most


def slots(gpus: int, slots_per_gpu: int, count: int) -> int:
    """Trials that so many GPUs train at once, at least one."""
    return gpus * slots_per_gpu if count == 1 else max(1, gpus // count)


def sped(speed: Speed, count: int) -> Speed:
    """The speed of a worker with so many GPUs, of which `speed` is one's."""
    if count == 1:
        return speed
    faster = {scale: count * flops for scale, flops in speed.by_scale.items()}
    said = f"{speed.basis}, times {count} for a trial's GPUs, each of which needs less memory than is shown"
    return dataclasses.replace(speed, by_scale=faster, basis=said)
