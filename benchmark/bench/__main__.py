"""`python -m benchmark.bench` prints a table of speeds, writes it, and says what moved since last time."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import optimizers
from benchmark import environment, scales
from benchmark.bench import figures, groups
from benchmark.bench.contestants import jax_device
from benchmark.bench.figures import Figure
from benchmark.bench.turns import Clock, ask

GROUPS = ("throughput", "cost", "packs", "workers", "layer")
SCALES = ("27k", "55k", "100k", "220k", "400k")
TIMED = ("adamw", "muon", "soap", "kron")
BUSY = 0.5  # load before the first block

Measurement = tuple[str, Callable[[], list[Figure]]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write, compare."""
    options = _parse(arguments)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # contestants share a GPU's memory
    device = ask(jax_device)
    load = round(os.getloadavg()[0], 2)
    if load > BUSY:
        print(f"The machine is busy (load {load}): figures will be worse than it can do", file=sys.stderr)
    where = {**environment.describe(device), "load": load}
    before = figures.previous(options.out, str(where["machine"]))
    found: list[Figure] = []
    for name, measure in plan(options, Clock(pinned=device == "cpu")):
        started = time.perf_counter()
        print(f"{name} ...", end="", file=sys.stderr, flush=True)
        measured = measure()
        print(f" {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        print(figures.table(measured), flush=True)
        found += measured
    found.sort(key=lambda f: f.group)  # stable: within a group the order of measuring
    path = figures.write(found, where, options.out)
    if before:
        print("\nMoved by more than the spread since the last run on this machine:")
        print("\n".join(f"  {line}" for line in figures.moved(before, found) or ["nothing"]))
    print(f"\nWritten to {path}")
    if options.coverage:
        from benchmark.analysis import simulate

        simulate.main([])


def plan(options: argparse.Namespace, clock: Clock) -> Iterator[Measurement]:
    """What to measure, with a name for each."""
    rounds = options.rounds
    if "throughput" in options.groups:
        for scale in options.scales:
            for optimizer in options.optimizers:
                arguments = (scale, optimizer, rounds, clock)
                yield f"throughput {scale} {optimizer}", lambda a=arguments: groups.throughput(*a)
    if "cost" in options.groups:
        yield "cost", lambda: groups.cost("100k", _baseline_first(), rounds, clock)
    if "packs" in options.groups:
        sizes = (1, 2, 4, 8) if clock.pinned else (1, 2, 4, 8, 16, 32)
        for scale in options.scales[:1] if clock.pinned else options.scales:
            yield f"packs {scale}", lambda s=scale: groups.packs(s, sizes, rounds, clock)
    if "workers" in options.groups:
        for scale in options.scales:
            yield f"workers {scale}", lambda s=scale: groups.two_workers(s, rounds, clock)
    if "layer" in options.groups:
        yield "layer", lambda: groups.layer("130m", _baseline_first(), rounds, clock)


def _baseline_first() -> list[str]:
    return sorted(optimizers.names(), key=lambda name: name != "adamw")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    def several(text: str) -> tuple[str, ...]:
        return tuple(text.split(","))

    parser = argparse.ArgumentParser(prog="python -m benchmark.bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="every scale and group (half an hour)")
    parser.add_argument("--groups", type=several, help=f"of {','.join(GROUPS)}")
    parser.add_argument("--scales", type=several, help="comma-separated (default: 27k,100k)")
    parser.add_argument("--optimizers", type=several, default=TIMED)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--coverage", action="store_true", help="also simulate the coverage of the intervals")
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args(arguments)
    options.groups = options.groups or (GROUPS if options.full else GROUPS[:3])
    options.scales = options.scales or (SCALES if options.full else ("27k", "100k"))
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"unknown group {min(unknown)!r}; choose from {', '.join(GROUPS)}")
    for name in options.scales:
        scales.get(name)
    for name in options.optimizers:
        optimizers.get(name)
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    return options


if __name__ == "__main__":
    try:
        main()
    except ValueError as problem:
        sys.exit(f"benchmark.bench: {problem}")
