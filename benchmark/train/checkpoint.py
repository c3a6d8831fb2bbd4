"""A long run's state on disk, so that a killed run goes on from where it was, bit for bit.

Data order and noise are pure functions of (seed, step), so arrays, the step and the curve are all there is.
"""

import dataclasses
import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmark.spec import Point
from benchmark.store import atomic_file

CHECKPOINT_SECONDS = 60.0  # runs shorter than this never write one


@dataclass
class Progress:
    """How far a pack of runs has come. `train_losses` are per step, [steps so far][pack]."""

    step: int = 0
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    train_losses: list[list[float]] = field(default_factory=list)
    curves: list[list[Point]] = field(default_factory=list)


def save(path: Path, progress: Progress, arrays: Sequence[np.ndarray]) -> None:
    """Write state atomically; a crash leaves the previous checkpoint whole."""
    meta = np.frombuffer(json.dumps(dataclasses.asdict(progress)).encode(), np.uint8)
    named: dict[str, Any] = {f"array{i}": array for i, array in enumerate(arrays)}
    with atomic_file(path) as file:
        np.savez(file, meta=meta, **named)


def load(path: Path, count: int) -> tuple[Progress, list[np.ndarray]] | None:
    """The state at `path`, or None where there is none that can be read: the run then starts afresh.

    count: how many arrays the run's state has; a checkpoint of another shape is another program's.
    """
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            raw = json.loads(file["meta"].tobytes())
            arrays = [file[f"array{i}"] for i in range(len(file.files) - 1)]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    if len(arrays) != count:
        return None
    curves = [[Point(**point) for point in curve] for curve in raw.pop("curves")]
    return Progress(**raw, curves=curves), arrays
