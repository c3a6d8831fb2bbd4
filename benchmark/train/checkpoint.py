"""A long run's state on disk, so that a killed run goes on from where it was, bit for bit.

Data order and noise are pure functions of (seed, step), so arrays, the step and the curve are all there is. The
arrays are whole: those of a state that is cut over devices are put together before they come here, and whoever
reads them cuts them again as it likes (state_jax.py). So a run may go on on another number of devices.
"""

import contextlib
import dataclasses
import json
import threading
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.files import atomic_file
from benchmark.spec import Point, Trial


@dataclass
class Progress:
    """How far a pack of runs has come. `train_losses` are per step, [steps so far][pack]."""

    step: int = 0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    train_losses: list[list[float]] = field(default_factory=list)
    curves: list[list[Point]] = field(default_factory=list)


def place(folder: Path, trials: Sequence[Trial]) -> Path:
    """Where a pack's state is kept."""
    return folder / f"{trials[0].trial_id}-{len(trials)}.npz"


def part(path: Path, k: int, size: int) -> Path:
    """Where run k of a pack keeps its state that is trained apart from the others."""
    return path if size == 1 else path.with_suffix(f".{k}{path.suffix}")


def reached(path: Path) -> int:
    """The step of the state at `path`, of runs that are trained apart the sum; 0 where there is none."""
    steps = 0
    for found in (path, *path.parent.glob(f"{path.stem}.[0-9]*{path.suffix}")):
        with contextlib.suppress(*UNREADABLE), found.open("rb") as opened, np.load(opened) as file:
            steps += int(json.loads(file["meta"].tobytes())["step"])
    return steps


def save(path: Path, progress: Progress, arrays: Sequence[np.ndarray], trial_ids: Sequence[str] = ()) -> None:
    """Write state atomically; a crash leaves the previous checkpoint whole."""
    _write(path, meta(progress, trial_ids), arrays)


def load(path: Path, count: int, trial_ids: Sequence[str] = ()) -> tuple[Progress, list[np.ndarray]] | None:
    """The state at `path`, or None where there is none that can be read: the run then starts afresh.

    count: how many arrays the run's state has; a checkpoint of another shape is another program's.
    trial_ids: whose state it should be. Files of old do not say.
    """
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            raw = json.loads(file["meta"].tobytes())
            arrays = [file[f"array{i}"] for i in range(len(file.files) - 1)]
    except UNREADABLE:
        return None
    owners = raw.get("trial_ids", [])
    if len(arrays) != count or (owners and trial_ids and owners != list(trial_ids)):
        return None
    return progress(raw), arrays


class Writer:
    """Writes a run's state in a thread, while the run goes on.

    seconds: how long the last writing took. On a full disk the previous state stays, and the run goes on.
    """

    def __init__(self, path: Path, trial_ids: Sequence[str]) -> None:
        self.path, self.trial_ids = path, trial_ids
        self.seconds = 0.0
        self._thread: threading.Thread | None = None

    def start(self, progress: Progress, arrays: Sequence[np.ndarray]) -> None:
        """Write these arrays, which nobody may change any more, once the last ones are written."""
        self.wait()
        said = meta(progress, self.trial_ids)  # here: the run's lists grow on
        self._thread = threading.Thread(target=self._run, args=(said, arrays), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        if self._thread:
            self._thread.join()
            self._thread = None

    def _run(self, meta: bytes, arrays: Sequence[np.ndarray]) -> None:
        began = time.perf_counter()
        with contextlib.suppress(OSError):
            _write(self.path, meta, arrays)
        self.seconds = time.perf_counter() - began


UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def meta(progress: Progress, trial_ids: Sequence[str] = ()) -> bytes:
    """Everything of a state but its arrays, as JSON; `progress` reads it."""
    curves = [[dataclasses.asdict(point) for point in curve] for curve in progress.curves]
    plain = {f.name: getattr(progress, f.name) for f in dataclasses.fields(progress)}
    return json.dumps({**plain, "curves": curves, "trial_ids": list(trial_ids)}).encode()


def progress(raw: dict[str, Any]) -> Progress:
    """What `meta` said. Raises TypeError for anything else."""
    kept = {name: value for name, value in raw.items() if name not in ("curves", "trial_ids")}
    return Progress(**kept, curves=[[Point(**point) for point in curve] for curve in raw["curves"]])


def _write(path: Path, meta: bytes, arrays: Sequence[np.ndarray]) -> None:
    named: dict[str, Any] = {f"array{i}": array for i, array in enumerate(arrays)}
    with atomic_file(path) as file:
        np.savez(file, meta=np.frombuffer(meta, np.uint8), **named)
