"""The driver: asks `plan` what to run, hands it out, takes records in. It holds no state that disk lacks.

ray_tune.py (Ray) and serial.py pull jobs from it and push records to it. Killed at any moment, a new driver
reads the records that are there and goes on.
"""

import contextlib
import fcntl
import itertools
import json
import os
import socket
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from benchmark import files, store
from benchmark.spec import Outcome, Record, Trial
from benchmark.train import checkpoint, runner
from sweeps.run import worker
from sweeps.run.known import by_id
from sweeps.run.worker import Job, checkpoints, mark_file
from sweeps.search.contestants import optimizer_class
from sweeps.search.manifest import manifest
from sweeps.search.plan import Memory, Plan, plan
from sweeps.search.sweep import Sweep

# a trial whose worker died is tried once more: the cause may have been the machine. Deaths before which a
# checkpoint was written that went further than those before do not count: that trial comes to its end.
ATTEMPTS = 2
MANIFEST_EVERY = 20  # records between two writes of the manifest, which only the pages read


@dataclass
class Driver:
    """One sweep being run into results/<sweep>/.

    reuse: folders of archived records, such as results/reference, whose trials count as run.
    committed: records of tuning that count as run too (see committed.py).
    known: every record there is, by trial id: what the plan is a function of.
    stale: what was on disk of a trial when it was handed out: a failure before, or nothing.
    reached: the furthest step of each pack's checkpoint when it was handed out or its worker died.
    track: the name of a tracker that long trials are told to (benchmark/train/trackers.py), or "".
    workers: how many jobs run at once; the executor says it.
    devices: how many of them, such as GPUs, train a trial together.
    on_record: called after each record that comes in, for a progress bar.
    """

    sweep: Sweep
    results: Path
    reuse: Sequence[Path] = ()
    committed: Iterable[Record] = ()
    pack: int = 1
    timeout_seconds: float = 0.0
    retry_failed: bool = False
    track: str = ""
    devices: int = 1
    on_record: Callable[[Record, Plan], None] | None = None
    known: dict[str, Record] = field(default_factory=dict)
    in_flight: dict[str, Trial] = field(default_factory=dict)
    stale: dict[str, Record | None] = field(default_factory=dict)
    attempts: Counter = field(default_factory=Counter)
    reached: dict[Path, int] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)
    compiled: set[tuple] = field(default_factory=set)
    received: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.start = uuid.uuid4().hex  # names this start of the sweep
        self._mark = f"{os.getpid()} {socket.gethostname()} {self.start}"
        self._lock = _lock(mark_file(self.folder), self._mark)
        _clear_temporary(self.folder)
        self._learn(self.committed)
        for root in self.reuse:
            self._learn(record for _, record in store.records(root, self.damaged))
        self.reused = set(self.known)
        own = [record for _, record in store.records(self.results, self.damaged, archives=False)]
        self._learn(own)
        self.reused |= set(self.known) - {record.trial.trial_id for record in own}
        self._memory = Memory()
        self.current = plan(self.sweep, self.known, self._memory)

    def _learn(self, found: Iterable[Record]) -> None:
        self.known |= by_id(found, self.retry_failed)

    @property
    def folder(self) -> Path:
        return self.results / self.sweep.name

    @property
    def done(self) -> bool:
        return self.current.done

    def next_job(self) -> Job | None:
        """The next pack that no worker has, or None while all that is ready is in flight."""
        waiting = [t for t in self.current.ready if t.trial_id not in self.in_flight]
        if not waiting:
            return None
        # what one worker compiles, others find in the cache, unless they start on it at the same time
        compiling = {self._program(t) for t in self.in_flight.values()} - self.compiled
        first = next((t for t in waiting if self._program(t) not in compiling), waiting[0])
        mates = list(itertools.islice((t for t in waiting if self._packs(t, first)), self.pack))
        for trial in mates:
            self.in_flight[trial.trial_id] = trial
            self.stale[trial.trial_id] = self._written(trial)
            self.attempts[trial.trial_id] += 1
        purposes = {t.trial_id: self.current.purposes.get(t.trial_id, "") for t in mates}
        source = self._source(first)
        where = (str(self.folder.resolve()), self._mark)
        job = Job(
            tuple(mates),
            purposes,
            source,
            *where,
            self.timeout_seconds,
            track=self.track,
            **worker.data_of(self.sweep),
        )
        self._went_on(job)
        return replace(job, devices=self.devices)

    def receive(self, records: Sequence[Record]) -> None:
        """Take in a job's records; they are on disk when this returns. Raises OSError where that fails."""
        for record in records:
            store.save(record, self.folder)
            self.known[record.trial.trial_id] = record
            self.compiled.add(self._program(record.trial))
            self.in_flight.pop(record.trial.trial_id, None)
            self.received += 1
        self.current = plan(self.sweep, self.known, self._memory)
        if self.received % MANIFEST_EVERY == 0 or self.done:
            self.write_manifest()
        if self.on_record:
            for record in records:
                self.on_record(record, self.current)

    def worker_died(self, job: Job, reason: str) -> None:
        """A job's process is gone. What it wrote counts; what it did not is tried again or has failed."""
        if self._went_on(job):
            self.attempts.subtract(trial.trial_id for trial in job.trials)
        for trial in job.trials:
            written = self._written(trial)
            if written and written != self.stale.get(trial.trial_id):
                self.receive([written])
            elif self.attempts[trial.trial_id] < ATTEMPTS:
                self.in_flight.pop(trial.trial_id, None)
            else:
                outcome = Outcome("failed", f"{reason} ({ATTEMPTS} attempts)")
                purpose = job.purposes.get(trial.trial_id, "")
                self.receive([runner.record(trial, self._class(trial), outcome, purpose=purpose)])

    def _went_on(self, job: Job) -> bool:
        """Whether a job's checkpoint is further than it ever was."""
        path = checkpoint.place(checkpoints(self.folder), job.trials)
        now, before = checkpoint.reached(path), self.reached.get(path, 0)
        self.reached[path] = max(now, before)
        return now > before

    def _written(self, trial: Trial) -> Record | None:
        """The record of a trial in this sweep's folder, if there is one that can be read."""
        try:
            return store.read(self.folder / "trials" / f"{trial.trial_id}.json")
        except ValueError:
            return None

    def write_manifest(self) -> None:
        """Say on disk what the sweep is and how far it has come; reused records it rests on are copied here,
        so that the pages need no other folder."""
        content = manifest(self.sweep, self.current)
        reused = self.reused.intersection(content["trial_ids"])
        for trial_id in reused:
            store.save(self.known[trial_id], self.folder)
        text = json.dumps({**content, "reused": sorted(reused)}, indent=1, sort_keys=True)
        files.write_atomically(self.folder / "sweep.json", text + "\n")

    def close(self) -> None:
        os.close(self._lock)

    def _program(self, trial: Trial) -> tuple:
        """What decides which compiled program a trial uses: everything but float hyperparameters, seed,
        schedule and length."""
        static = [f.name for f in fields(self._class(trial)) if f.metadata.get("static")]
        how = (trial.batch_size, trial.backend, trial.precision)
        return (trial.rule, trial.scale, *how, *(trial.hyperparameters.get(name) for name in static))

    def _packs(self, trial: Trial, first: Trial) -> bool:
        """Whether two trials can be trained together."""
        alike = (trial.task, trial.use) == (first.task, first.use)
        return trial is first or (alike and self._program(trial) == self._program(first))

    def _class(self, trial: Trial) -> Any:
        return optimizer_class(trial.optimizer, self._source(trial))

    def _source(self, trial: Trial) -> str:
        return next(c.source for c in self.sweep.contestants if c.name == trial.optimizer)


def _lock(path: Path, mark: str) -> int:
    """Claim the results folder and mark it. Two sweeps in one folder could run the same trial twice.

    The lock goes with the process that holds it, however that ends; where the file system has none, the mark
    says who holds it.
    """
    handle = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _owner(path)
        os.close(handle)
        raise ValueError(_taken(path, owner)) from None
    except OSError as error:  # such as a network file system mounted without locks
        owner = _owner(path)
        if owner and _runs(owner):
            os.close(handle)
            raise ValueError(f"{_taken(path, owner)}; if it is no more, remove {path}") from None
        print(
            f"sweeps: {path.parent} is on a file system without locks ({error.strerror}); start no other sweep"
            " there before this one ends",
            file=sys.stderr,
        )
    os.ftruncate(handle, 0)
    os.write(handle, mark.encode())
    return handle


def _taken(path: Path, owner: tuple[int, str] | None) -> str:
    who = f"process {owner[0]} on {owner[1]}" if owner else "its process is not known"
    where = f"another sweep is writing to {path.parent} ({who})"
    return f"{where}; wait for it, or choose another folder with --results"


def _owner(path: Path) -> tuple[int, str] | None:
    """Process id and host of the sweep that marked a folder, if it did so in words that we know."""
    with contextlib.suppress(OSError, ValueError):
        number, host, _ = path.read_text().split()
        return int(number), host
    return None


def _runs(owner: tuple[int, str]) -> bool:
    """Whether a sweep still runs, as far as can be told from here: one on another host counts as running."""
    number, host = owner
    return host != socket.gethostname() or (number != os.getpid() and Path(f"/proc/{number}").exists())


def _clear_temporary(folder: Path) -> None:
    """Remove what a killed writer left: files that were never renamed into place."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)
