"""What a worker process does, whoever started it: hold a core, train a pack, write its records.

Used by ray_tune.py (Ray) and serial.py. Long-lived, so that a framework starts and compiles once per worker.
"""

import contextlib
import fcntl
import functools
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import scales, stopping, store
from benchmark.data import evaluation
from benchmark.data.corpora import Corpus, cache_folder, kept, prepare
from benchmark.data.sources import parse
from benchmark.spec import Cost, Outcome, Record, Trial
from benchmark.train import parameters, runner
from benchmark.train.upkeep import Watch
from optimizers.base import Optimizer
from sweeps.search.contestants import optimizer_class
from sweeps.search.sweep import Sweep

SLOWEST = 1e13  # FLOP/s of one worker; a slower one would take days for the paper ladder's least trial


@dataclass(frozen=True)
class Job:
    """A pack of trials and what a worker needs besides them; everything in it can be pickled.

    source: the user's optimizer file, or "" for a registered one.
    folder: the sweep's folder on the driver's machine; mark: what the driver has put into `mark_file(folder)`,
        by which a worker knows whether it sees that folder, and which says which records were made by one start
        of the sweep.
    timeout_seconds: a trial that takes longer, and longer than its FLOPs do at SLOWEST, has hung (0: no limit).
    corpus: the name to prepare the trials' corpus by where it is not in the cache; "" for the trials' own.
    tokenizer, eval_corpus, tokens: `Sweep.tokenizer`, `Sweep.eval_corpus_at` or the trials' own, and
        `Sweep.tokens`, to prepare it with.
    track: the name of a tracker to tell of long trials, or "".
    devices: how many devices train a trial together. nodes: on how many nodes they are, with a process on each.
    """

    trials: tuple[Trial, ...]
    purposes: Mapping[str, str]
    source: str
    folder: str
    mark: str
    timeout_seconds: float
    corpus: str = ""
    tokenizer: str = ""
    eval_corpus: str = ""
    tokens: int = 0
    track: str = ""
    devices: int = 1
    nodes: int = 1


def data_of(sweep: Sweep) -> dict[str, Any]:
    """What a job is told of a sweep's data."""
    return {
        "corpus": sweep.corpus_at,
        "tokenizer": sweep.tokenizer,
        "eval_corpus": sweep.eval_corpus_at or sweep.eval_corpus,
        "tokens": sweep.tokens,
    }


def mark_file(folder: Path) -> Path:
    """The file of a results folder that its sweep holds locked and marked, from its sweep's folder."""
    return folder.parent / ".lock"


def sees(job: Job) -> bool:
    """Whether the driver's disk is this machine's too."""
    try:
        return bool(job.mark) and mark_file(Path(job.folder)).read_text() == job.mark
    except OSError:
        return False


def checkpoints(folder: Path) -> Path:
    """Where the state of long trials is kept, of a sweep's folder or of a machine's cache."""
    return folder / "checkpoints"


def work(job: Job) -> list[Record]:
    """Train a job's pack. On a disk shared with the driver the records are there before this returns, so that
    a kill of anything afterwards loses nothing; else, and where a write fails, it is left to the driver."""
    records = train(job)
    keep(job, records)
    return records


def keep(job: Job, records: Sequence[Record]) -> None:
    """Save a job's records where this machine sees the driver's disk."""
    if sees(job):
        with contextlib.suppress(OSError):  # a full disk: the driver tries again and says so
            for record in records:
                store.save(record, Path(job.folder))


def corpus(job: Job) -> Corpus:
    """A job's corpus, kept or prepared. Raises OSError, and ValueError where it is not the planned one."""
    first = job.trials[0]
    name = job.corpus or first.corpus
    found = _corpus(name, first.vocab, first.corpus_hash, first.tokenizer_hash, job.tokenizer, job.tokens)
    if (found.corpus_hash, found.tokenizer_hash) != (first.corpus_hash, first.tokenizer_hash):
        raise ValueError(f"corpus {name!r} on this machine is not the one that was planned with")
    if first.eval_corpus:
        other = job.eval_corpus or first.eval_corpus
        found = _evaluated(found, other, first.eval_corpus_hash, job.tokenizer)
    return found


def train(job: Job) -> list[Record]:
    """Train a job's pack, whose records are not saved. Raises what `corpus` raises."""
    first = job.trials[0]
    optimizer = optimizer_class(first.optimizer, job.source)
    runner.trainer_of(first.backend).set_up(cache_folder() / "compiled")
    data = corpus(job)
    folder, shared = Path(job.folder), sees(job)
    here = folder if shared else cache_folder()
    watch = Watch(folder if shared else None, track=job.track, tracked=here)
    session = job.mark.rpartition(" ")[2][:8]  # of the start alone: a record names no host
    how = (checkpoints(here), session, watch)
    with _watchdog(job, optimizer, shared):
        return runner.run(job.trials, optimizer, data, job.purposes, *how, devices=job.devices, nodes=job.nodes)


@functools.lru_cache(maxsize=2)
def _corpus(
    name: str, vocab: int, corpus_hash: str, tokenizer_hash: str, tokenizer: str = "", tokens: int = 0
) -> Corpus:
    """By its hashes from the cache, so that a text may be moved while a sweep runs; else prepared."""
    found = kept(parse(name).shown, vocab, corpus_hash, tokenizer_hash)
    return found or prepare(name, vocab, progress=False, tokenizer_file=tokenizer, tokens=tokens)


@functools.lru_cache(maxsize=2)
def _evaluated(corpus: Corpus, name: str, corpus_hash: str, tokenizer: str) -> Corpus:
    """The corpus with the evaluation corpus of this name and hash. Raises ValueError for another one."""
    found = kept(parse(name).shown, corpus.vocab, corpus_hash, corpus.tokenizer_hash)
    found = found or evaluation.prepare(name, corpus, tokenizer)
    if found.corpus_hash != corpus_hash:
        raise ValueError(f"evaluation corpus {name!r} on this machine is not the one that was planned with")
    return corpus.evaluated_on(found)


@contextlib.contextmanager
def _watchdog(job: Job, optimizer: type[Optimizer], shared: bool) -> Iterator[None]:
    """End this process if the job outlasts its limit: a hang inside compiled code heeds nothing gentler."""
    limit = limit_seconds(job)

    def expire() -> None:
        reason = f"timeout: not finished after {limit:g} seconds"
        first = job.trials[0]
        line = f"sweeps: {first.optimizer} {first.task} ({first.trial_id}): {reason}"
        outcome = Outcome("failed", reason, cost=Cost(wall_seconds=limit / len(job.trials)))
        try:
            print(line, file=sys.stderr, flush=True)
            for trial in job.trials if shared else ():
                purpose = job.purposes.get(trial.trial_id, "")
                store.save(runner.record(trial, optimizer, outcome, purpose=purpose), Path(job.folder))
        finally:  # a full disk must not leave the hang
            os._exit(3)

    if not job.timeout_seconds:
        yield
        return
    with stopping.unless_done(limit, expire):
        yield


def limit_seconds(job: Job) -> float:
    """After how long a pack has hung: the sum of its trials' limits, which grow with their work."""
    work = [parameters.flops_per_token(scales.get(trial.scale)) * trial.tokens for trial in job.trials]
    return sum(max(job.timeout_seconds, each / SLOWEST) for each in work)


def hold_a_core(cores: Sequence[int]) -> int | None:
    """Pin this process to the first of `cores` that no other worker holds; None if all are taken, or where it
    cannot be done.

    Must come before jax is imported, which sizes its thread pool by the affinity. The lock is a file's, so
    it goes with the process however that ends.
    """
    with contextlib.suppress(
        OSError
    ):  # no such folder for us, no locks there, or no right to pin: run unpinned
        folder = _cores_folder()
        folder.mkdir(exist_ok=True)
        for core in cores:
            handle = os.open(folder / str(core), os.O_CREAT | os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            os.sched_setaffinity(0, {core})
            return core
    return None


def held_cores(cores: Sequence[int]) -> int:
    """How many of these cores workers of other sweeps of this user's hold now."""
    held = 0
    for core in cores:
        with contextlib.suppress(OSError):
            handle = os.open(_cores_folder() / str(core), os.O_RDWR)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                held += 1
            finally:
                os.close(handle)
    return held


def _cores_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"optimizer-benchmark-cores-{os.getuid()}"
