"""`python -m tools.bench` prints a table of speeds, writes it, and says what moved since last time."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

import optimizers
from benchmark import measurements, scales
from benchmark.arguments import Parser, folder, names, whole
from benchmark.measurements import Measurement
from benchmark.train import environment
from optimizers.shared.near import near
from tools.bench import costs, coverage, groups, overhead, reading
from tools.bench.blocks import jax_device
from tools.bench.turns import Clock, ask

GROUPS = ("throughput", "cost", "packs", "workers", "memory", "sweep", "reading", "coverage")
SCALES = ("27k", "55k", "100k", "220k", "400k")
TIMED = ("adamw", "muon", "soap", "kron")
BUSY = 0.5  # load before the first block
MANY, FEWER = 10_000, 2_000  # records to read
UPDATES = {"100k": 16, "130m": 4}  # in a block

# group, name, about how many seconds it takes on two cores, what it measures
Planned = tuple[str, str, float, Callable[[], list[Measurement]]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write, compare."""
    options = _parse(arguments)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # contestants share a GPU's memory
    device = ask(jax_device)
    load = round(os.getloadavg()[0], 2)
    if load > BUSY:
        print(f"The machine is busy (load {load}): figures will be worse than it can do", file=sys.stderr)
    where = {**environment.describe(device), "load": load}
    before = measurements.previous(options.out, str(where["machine"]))
    found = _measure(list(plan(options, Clock(pinned=device == "cpu"))), where, options.out)
    if before:
        beyond = f"the spread, or {measurements.TOLERANCE:.0%} where there is one block,"
        print(f"\nMoved by more than {beyond} since the last run on this machine:")
        print("\n".join(f"  {line}" for line in measurements.moved(before, found) or ["nothing"]))
    print(f"\nWritten to {options.out}")


def _measure(parts: list[Planned], where: dict[str, object], out: Path) -> list[Measurement]:
    """Measure one after the other; each is printed and written as soon as it is there."""
    found: list[Measurement] = []
    form = "{percentage:3.0f}% |{bar}| {elapsed} elapsed, about {remaining} left{postfix}"
    with tqdm(total=sum(m[2] for m in parts), bar_format=form, dynamic_ncols=True, smoothing=0) as bar:
        for group, name, seconds, measure in parts:
            bar.set_postfix_str(name)
            measured = measure()
            tqdm.write(measurements.table(measured), file=sys.stdout)
            sys.stdout.flush()
            measurements.write(measured, where, out / f"{group}.json")
            found += measured
            bar.update(seconds)
    return found


def plan(options: argparse.Namespace, clock: Clock) -> Iterator[Planned]:
    """What to measure, in turn."""
    makers = {"throughput": _throughput, "cost": _cost, "packs": _packs, "workers": _workers}
    makers |= {"memory": _memory, "sweep": _sweep, "reading": _reading, "coverage": _coverage}
    for group in options.groups:
        for name, seconds, measure in makers[group](options, clock):
            yield group, name, seconds, measure


Part = Iterator[tuple[str, float, Callable[[], list[Measurement]]]]


def _throughput(options: argparse.Namespace, clock: Clock) -> Part:
    for scale in options.scales:
        others = options.optimizers if options.full or scale == options.scales[-1] else options.optimizers[:1]
        for optimizer in others:
            arguments = (scale, optimizer, options.rounds, clock)
            yield f"throughput {scale} {optimizer}", 50, lambda a=arguments: groups.throughput(*a)


def _cost(options: argparse.Namespace, clock: Clock) -> Part:
    names = sorted(optimizers.entrants(), key=lambda name: name != "adamw")
    yield "cost of a step", 60, lambda: costs.steps("100k", names, options.rounds, clock)
    for scale, count in UPDATES.items() if options.full else [*UPDATES.items()][:1]:
        arguments = (scale, names, count, options.rounds, clock)
        yield f"cost of an update, {scale}", 150, lambda a=arguments: costs.updates(*a)


def _packs(options: argparse.Namespace, clock: Clock) -> Part:
    sizes = (1, 2, 4, 8) if clock.pinned else (1, 2, 4, 8, 16, 32)
    for scale in options.scales[:1] if clock.pinned else options.scales:
        yield f"packs {scale}", 60, lambda s=scale: groups.packs(s, sizes, options.rounds, clock)


def _workers(options: argparse.Namespace, clock: Clock) -> Part:
    for scale in options.scales:
        yield f"two workers {scale}", 20, lambda s=scale: groups.two_workers(s, options.rounds, clock)


def _memory(options: argparse.Namespace, clock: Clock) -> Part:
    yield "memory of a worker", 50, lambda: overhead.memory(SCALES)
    yield "memory of a step at 130m", 30, lambda: overhead.planned_memory("130m", 1)


def _sweep(options: argparse.Namespace, clock: Clock) -> Part:
    yield "start of a sweep", 60, lambda: overhead.start(3)
    yield "compilations", 60, lambda: overhead.compilations(options.optimizers, "27k")
    for seconds in overhead.TRIALS if options.full else [*overhead.TRIALS][:1]:
        expected = 30 + seconds * overhead.TRIALS[seconds] / 2
        yield f"trials of {seconds} s", expected, lambda s=seconds: overhead.efficiency(s)


def _reading(options: argparse.Namespace, clock: Clock) -> Part:
    count = MANY if options.full else FEWER
    yield f"reading {count} records", 0.03 * count, lambda: reading.reading(count, rounds=1)


def _coverage(options: argparse.Namespace, clock: Clock) -> Part:
    yield from coverage.parts(coverage.MORE if options.full else coverage.REPLICATIONS)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="python -m tools.bench", description=__doc__)
    parser.add_argument(
        "--full",
        action="store_true",
        help="every scale with every optimizer, large layers, more replications (an hour)",
    )
    parser.add_argument(
        "--groups", type=names(",".join(GROUPS[:2])), default=GROUPS, help=f"of {','.join(GROUPS)}"
    )
    parser.add_argument("--scales", type=names("27k,100k"), help="comma-separated (default: 27k,100k)")
    parser.add_argument(
        "--optimizers",
        type=names("adamw,muon"),
        default=TIMED,
        help="the first at every scale, others at the last (--full: all)",
    )
    parser.add_argument("--rounds", type=whole, default=5)
    parser.add_argument("--out", type=folder, default="results/bench")
    options = parser.parse_args(arguments)
    options.scales = options.scales or (SCALES if options.full else ("27k", "100k"))
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(
            f"unknown group {min(unknown)!r}{near(min(unknown), GROUPS)}; choose from {', '.join(GROUPS)}"
        )
    try:
        for name in options.scales:
            scales.get(name)
        for name in options.optimizers:
            optimizers.get(name)
    except ValueError as error:
        parser.error(str(error))
    return options


if __name__ == "__main__":
    try:
        main()
    except ValueError as problem:
        sys.exit(f"tools.bench: {problem}")
