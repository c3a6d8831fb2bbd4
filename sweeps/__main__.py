"""`python -m sweeps NAME`: run a sweep, or say what it would cost. The work is driver.py's."""

import sweeps.siblings  # first of all: it may end the command

# isort: split
import argparse
import dataclasses
import functools
import importlib.util
import os
import sys
import warnings
from pathlib import Path

import optimizers
import sweeps
from benchmark import store
from benchmark.data.corpora import check_size, prepare
from benchmark.data.sources import absolute
from benchmark.report import live
from benchmark.spec import Record
from optimizers.shared.copies import copy_name
from sweeps.run import calibrate, price, step_time, time_limit
from sweeps.run.driver import Driver
from sweeps.run.options import AA, CHALLENGE, PROG, parser
from sweeps.run.progress import Bar
from sweeps.search import aa, committed, seeds
from sweeps.search.contestants import contestants
from sweeps.search.sweep import Sweep, searched, select
from sweeps.search.transfer import transferred

LARGE_VOCAB = 65_536  # beyond it a corpus takes long to prepare


def main(argv: list[str] | None = None, prog: str = PROG) -> int:
    """Run the command; the exit status is 0, 1 (an error, in one line, or nothing known of
    one's own optimizer), 2 (bad usage) or 130 (interrupted)."""
    args = parser(prog).parse_args(argv)
    # a user's optax file loads jax here, which warns of forks; what is started from here executes at once
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    try:
        return _run(args)
    except (ValueError, OSError) as error:
        print(f"sweeps: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nInterrupted. What is finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130


def _run(args: argparse.Namespace) -> int:
    copies = args.name == AA
    if args.name == CHALLENGE:
        args = challenge(args)
    sweep, workers = _prepared(aa.sweep(args) if copies else _sweep(args), args), _workers(args)

    @functools.cache
    def speed() -> calibrate.Speed:
        return calibrate.speed(sweep, workers, args.flops_per_second)

    if args.max_hours:
        sweep, line = time_limit.within(sweep, args.max_hours, workers, speed, args.results)
        print(line, file=sys.stderr)
    sweep = seeds.settled(sweep, args.results, args.reuse, args.sealed)
    if args.dry_run:
        print(price.table(sweep, _known(sweep, args), workers, speed()))
        return 0
    args.results.mkdir(parents=True, exist_ok=True)
    driver = Driver(
        sweep,
        args.results,
        reuse=args.reuse,
        committed=_committed(sweep, args),
        pack=args.pack,
        timeout_seconds=args.timeout,
        retry_failed=args.retry_failed,
    )
    for line in driver.damaged:
        print(f"sweeps: ignored a damaged record, its trial will run again: {line}", file=sys.stderr)
    try:
        driver.write_manifest()  # a sweep that is killed early is planned alike when it is resumed
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
        print("Interrupted. What is finished is kept; the same command goes on from there.", file=sys.stderr)
        return 130
    if copies:
        print("\n".join(aa.verdicts(sweep, driver.current)))
        return 0
    return _report(args, sweep.name)


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
    from benchmark.report import answer, build, nothing_known

    index = build(args.results, args.out)
    results = store.load(args.results)
    print()
    print("\n".join(line for line in answer(results, name, args.against) if line))
    print(f"\nThe leaderboard: {index.resolve()}")
    return 1 if nothing_known(results, name) else 0


def challenge(args: argparse.Namespace) -> argparse.Namespace:
    """The options of `challenge` as those of the sweep `quick`: one's own optimizer beside the committed
    results, of which nothing is run again; where there are none of this backend, beside the baseline alone.
    Raises ValueError without an optimizer."""
    if not args.optimizer:
        raise ValueError("challenge asks about an optimizer of your own; name it with --optimizer mine.py")
    unknown = [name for name in args.against if name not in optimizers.names()]
    if unknown:
        raise ValueError(f"--against {unknown[0]}: choose from {', '.join(optimizers.names())}")
    known = committed.ROOT.is_dir() and args.backend == "jax" and not args.corpus
    chosen = {"reuse": [*args.reuse, committed.ROOT]} if known else {"optimizers": args.against or ["adamw"]}
    return argparse.Namespace(**{**vars(args), "name": "quick", **chosen})


def _sweep(args: argparse.Namespace) -> Sweep:
    """The named sweep with its contestants, the baseline twice: see aa.py."""
    sweep = select(_policy(sweeps.get(args.name), args), args.tasks)
    names = args.optimizers or list(sweep.optimizers) or optimizers.entrants()
    if sweep.baseline not in names:
        names = [sweep.baseline, *names]  # nothing can be said without it; finished trials are not run again
    names = dict.fromkeys((*names, copy_name(sweep.baseline, 2)))  # what chance makes of it, on every page
    return dataclasses.replace(sweep, contestants=contestants(tuple(names), args.optimizer, args.backend))


def _prepared(sweep: Sweep, args: argparse.Namespace) -> Sweep:
    """The sweep with the command's other choices and the prepared corpus."""
    sweep = dataclasses.replace(
        sweep,
        corpus=absolute(args.corpus or sweep.corpus),  # workers run in folders of their own
        backend=args.backend,
        precision=args.precision,
    )
    # a price needs no corpus, but finished trials are only known by its hash; a large one is not made for that
    unprepared = args.dry_run and max(stage.task.scale.vocab for stage in sweep.stages) > LARGE_VOCAB
    return sweep if unprepared else _with_corpus(sweep)


def _policy(sweep: Sweep, args: argparse.Namespace) -> Sweep:
    """The sweep under another search or transfer policy: a sweep with a name and folder of its own."""
    if args.searches and args.searches != sweep.protocol.searches:
        sweep = searched(sweep, args.searches)
    if args.transfer:
        sweep = transferred(sweep, args.transfer)
    if args.search != sweep.protocol.search:
        protocol = dataclasses.replace(sweep.protocol, search=args.search)
        sweep = dataclasses.replace(sweep, name=f"{sweep.name}-{args.search}", protocol=protocol)
    return sweep


def _with_corpus(sweep: Sweep) -> Sweep:
    """The sweep with its corpus prepared. Raises ValueError if the corpus is too small for one of its tasks."""
    tasks = [stage.task for stage in sweep.stages]
    corpus = prepare(sweep.corpus, max(task.scale.vocab for task in tasks))
    evaluated = max(sweep.tuning_evaluation.sequences, sweep.report_evaluation.sequences)
    longest = max(task.scale.seq_len for task in tasks)
    check_size(corpus, max(task.tokens for task in tasks), evaluated * longest + 1)
    hashes = {"corpus_hash": corpus.corpus_hash, "tokenizer_hash": corpus.tokenizer_hash}
    return dataclasses.replace(sweep, **hashes)


def _workers(args: argparse.Namespace) -> int:
    """How many trials run at once; of a price, any number. Raises ValueError where that must be known and only
    the cluster knows, or where it is more than can run at once here."""
    serial = args.executor == "serial"
    address = "" if serial else os.environ.get("RAY_ADDRESS", "")
    if args.max_hours and address and not args.workers:
        raise ValueError("--max-hours on a cluster needs --workers, the number of trials that it runs at once")
    if args.workers and serial and not args.dry_run:
        raise ValueError("--executor serial runs one trial at a time; leave --workers out")
    here = 1 if serial else _slots_here(args.slots_per_gpu)
    if (args.workers or 0) > here and not address and not args.dry_run:
        raise ValueError(f"--workers {args.workers}, but this machine runs {here} at once")
    return args.workers or here


def _slots_here(slots_per_gpu: int) -> int:
    cores, gpus = len(os.sched_getaffinity(0)), len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
    return min(cores, gpus * slots_per_gpu) if gpus else cores


def _committed(sweep: Sweep, args: argparse.Namespace) -> list[Record]:
    return [] if args.own_tuning else list(committed.records(sweep))


def _known(sweep: Sweep, args: argparse.Namespace) -> dict[str, Record]:
    """The records that a run with these options would not make again."""
    found = [*_committed(sweep, args), *(r for root in args.reuse for _, r in store.records(root))]
    if args.results.is_dir():
        found += [r for _, r in store.records(args.results, archives=False)]
    return {r.trial.trial_id: r for r in found if not (r.status == "failed" and args.retry_failed)}


if __name__ == "__main__":
    sys.exit(main())
