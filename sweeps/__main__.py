"""`python -m sweeps NAME`: run a sweep, or say what it would cost. The work is driver.py's."""

import sweeps.siblings  # noqa: F401  first of all: it may end the command

# isort: split
from benchmark import stopping  # second: what follows takes a second, in which one may be interrupted

# isort: split
import argparse
import contextlib
import functools
import importlib.util
import shlex
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmark import hidden, resources, store
from benchmark.data import user_cache
from benchmark.data.corpora import cache_folder
from benchmark.report import live, place
from benchmark.spec import Record
from benchmark.train import trackers
from sweeps.run import (
    advice,
    calibrate,
    known,
    price,
    step_time,
    time_limit,
    trial_gpus,
    unread,
    wanted,
    writable,
)
from sweeps.run.driver import Driver
from sweeps.run.options import AA, CHALLENGE, PROG, parser
from sweeps.run.progress import Bar
from sweeps.search import aa, committed, seeds
from sweeps.search.plan import plan
from sweeps.search.sweep import Sweep

INTERRUPTED = "Interrupted. What is finished is kept; the same command goes on from there."


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run the command; the exit status is 0, 1 (an error, in one line, or nothing known of
    one's own optimizer), 2 (bad usage) or 128 + the signal that stopped it (130: Ctrl-C, 143: SIGTERM)."""
    args = parser(prog).parse_args(argv)
    args.words, args.prog = sys.argv[1:] if argv is None else argv, prog  # to print a command that goes on
    return stopping.run(lambda: _heeded(args), INTERRUPTED)


def _heeded(args: argparse.Namespace) -> int:
    # a user's optax file loads jax here, which warns of forks; what is started from here executes at once
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    try:
        # a serial sweep trains in this process
        with hidden.hidden() if args.executor == "ray" else contextlib.nullcontext():
            return _run(args)
    except (ValueError, OSError) as error:
        if stopping.requested():  # what was stopped with us broke first
            raise KeyboardInterrupt from None
        print(f"sweeps: {_said(error, args)}", file=sys.stderr)
        return 1


def _said(error: Exception, args: argparse.Namespace) -> str:
    if not isinstance(error, OSError) or error.errno not in writable.FULL:
        return str(error)
    writes = {"--results": args.results, "--out": args.out, "OPTIMIZER_BENCHMARK_CACHE": cache_folder()}
    return writable.full(error, {**writes, "TMPDIR": Path(tempfile.gettempdir())})


def _run(args: argparse.Namespace) -> int:
    user_cache.give_home()
    copies, challenged = args.name == AA, args.name == CHALLENGE
    if line := unread.refused(args):
        raise ValueError(line)
    if not args.dry_run:
        place.check(args.out, args.results)
    if challenged:
        sweep, args = wanted.challenge_sweep(args)
    else:
        sweep = wanted.prepared(aa.sweep(args) if copies else wanted.named_sweep(args), args)
    for line in unread.needless(args, sweep):
        _warn(line)
    workers = _workers(args)

    @functools.cache
    def speed() -> calibrate.Speed:
        return trial_gpus.sped(calibrate.speed(sweep, workers, args.flops_per_second), args.gpus_per_trial)

    def settled(sweep: Sweep) -> Sweep:
        if challenged and sweep.protocol.report_seeds:  # on the seeds of what it is set beside
            return sweep
        return seeds.settled(sweep, args.results, args.reuse, args.sealed)

    if args.max_hours:
        sweep, line = _within(settled(sweep), args, workers, speed)
        print(line, file=sys.stderr)
    sweep = settled(sweep)
    writable.check_own(args.results, sweep.name)
    if args.dry_run:
        there = _known(sweep, args)
        _warn(known.made_otherwise(sweep, there))
        state = plan(sweep, there)
        print(price.table(sweep, there, workers, speed(), state))
        if challenged and (line := price.beside(sweep, state, workers, speed)):
            print(line)
        return 0
    if args.track:
        trackers.check(args.track)
    writable.check(args.results, "--results")
    writable.check_later(args.out, "--out")
    place.claim(args.out, args.results)
    args.results.mkdir(parents=True, exist_ok=True)
    if args.reuse:  # some seconds for each ten optimizers
        print("Planning from what is finished already.", file=sys.stderr)
    driver = Driver(
        sweep,
        args.results,
        reuse=args.reuse,
        committed=_committed(sweep, args),
        pack=_pack(sweep, args),
        timeout_seconds=args.timeout,
        retry_failed=args.retry_failed,
        devices=args.gpus_per_trial,
        track=args.track or "",
    )
    if driver.damaged:
        print(f"sweeps: {store.skipped(driver.damaged)}; their trials will run again", file=sys.stderr)
    _warn(known.made_otherwise(sweep, driver.known))
    try:
        driver.write_manifest()  # a sweep that is killed early is planned alike when it is resumed
        if challenged and (line := price.beside(sweep, driver.current, workers, speed)):
            print(line, file=sys.stderr)
        if not driver.done and importlib.util.find_spec("jinja2"):
            print(f"Progress page: {args.out / sweep.name / 'progress.html'}", file=sys.stderr)
        with Bar(driver), live.watch(driver, args.results, args.out, sweep.name):
            _execute(driver, args)
        if driver.done and not copies:
            step_time.measure(sweep, driver.folder, driver.reused)
    finally:
        driver.write_manifest()
        driver.close()
    if not driver.done:
        raise KeyboardInterrupt
    if copies:
        print("\n".join(aa.verdicts(sweep, driver.current)))
        return 0
    return _report(args, sweep.name)


def _within(
    sweep: Sweep, args: argparse.Namespace, workers: int, speed: Callable[[], calibrate.Speed]
) -> tuple[Sweep, str]:
    """The sweep as it is, where what remains of it fits --max-hours, or with fewer tuning trials; and a line
    that says which."""
    limit = args.max_hours
    if not time_limit.begun(sweep, limit, args.results):
        rest = price.total("", price.price(sweep, _known(sweep, args), speed()))
        looks = sweep.looks[-1] / sweep.looks[0]  # the price counts the first one; nothing may take longer
        if (hours := rest.worker_seconds / 3600 / workers * looks) <= limit:
            return (
                sweep,
                f"Within {limit:g} hours: all of it, at most about {hours:.2g} hours on {workers} workers.",
            )
    return time_limit.within(sweep, limit, workers, speed, args.results)


def _warn(line: str) -> None:
    if line:
        print(f"sweeps: {line}", file=sys.stderr)


def _execute(driver: Driver, args: argparse.Namespace) -> None:
    if driver.done:
        return
    if args.executor == "serial":
        from sweeps.run import serial

        serial.run(driver)
        return
    try:
        from sweeps.run import ray_tune
    except ImportError as error:
        raise ValueError(f"Ray is not installed ({error}); use --executor serial") from None
    ray_tune.run(driver, args.slots_per_gpu, args.workers)


def _report(args: argparse.Namespace, name: str) -> int:
    from benchmark.report import asked, build, sentence

    index = build(args.results, args.out)
    study = sentence.study_of(store.load(args.results), name)
    print()
    print("\n".join(line for line in sentence.lines(study, args.against) if line))
    if searches := asked.wanted(study):
        print(f"\nTo decide it: {goes_on(args, study.baseline, searches)}")
    print(f"\nThe leaderboard: {index.resolve()}")
    return 1 if asked.failed(study) else 0


def goes_on(args: argparse.Namespace, baseline: str, searches: int) -> str:
    """The command that gives an optimizer of one's own, and the baseline, so many searches; what is finished is
    not run again. Of a sweep that has committed results it is `challenge`, which needs nobody else."""
    words, name = [], args.name
    if name == "quick" and not args.transfer:
        name = CHALLENGE
    replaced = {"--searches", *(() if args.name == CHALLENGE else ("--optimizers",))}
    rest = iter(args.words)
    for word in rest:
        if word in replaced:
            next(rest, None)
        elif word.partition("=")[0] not in replaced:
            words.append(name if word == args.name else word)
    if name != CHALLENGE:
        words += ["--optimizers", baseline]
    return shlex.join([*args.prog.split(), *words, "--searches", str(searches)])


def _workers(args: argparse.Namespace) -> int:
    """How many trials run at once; of a price, any number. Raises ValueError where that must be known and only
    the cluster knows, or where it is more than can run at once here."""
    serial = args.executor == "serial"
    address = "" if serial else advice.cluster()
    trial_gpus.check(args, address)
    if args.max_hours and address and not args.workers:
        raise ValueError("--max-hours on a cluster needs --workers, the number of trials that it runs at once")
    if args.workers and serial and not args.dry_run:
        raise ValueError("--executor serial runs one trial at a time; leave --workers out")
    here = 1 if serial else _slots_here(args)
    if (args.workers or 0) > here and not address and not args.dry_run:
        raise ValueError(f"--workers {args.workers}, but this machine runs {here} at once")
    return args.workers or here


def _pack(sweep: Sweep, args: argparse.Namespace) -> int:
    """How many trials train at once on a device: on a CPU packs are slower than none."""
    alone = args.gpus_per_trial > 1 or not (args.pack or resources.gpus())
    return 1 if alone else sweep.pack


def _slots_here(args: argparse.Namespace) -> int:
    workers, gpus = resources.workers(), resources.gpus()
    return min(workers, trial_gpus.slots(gpus, args.slots_per_gpu, args.gpus_per_trial)) if gpus else workers


def _committed(sweep: Sweep, args: argparse.Namespace) -> list[Record]:
    read = committed.ROOT.resolve() in [root.resolve() for root in args.reuse]
    return [] if args.own_tuning or read else list(committed.records(sweep))


def _known(sweep: Sweep, args: argparse.Namespace) -> dict[str, Record]:
    """The records that a run with these options would not make again."""
    found = [*_committed(sweep, args), *(r for root in args.reuse for _, r in store.records(root))]
    if args.results.is_dir():
        found += [r for _, r in store.records(args.results, archives=False)]
    return known.by_id(found, args.retry_failed)


if __name__ == "__main__":
    sys.exit(main())
