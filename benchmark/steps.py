"""What training steps cost on a GPU, by scale, in steps.json: timed there, or compiled for it and not run.

Prices rest on it (sweeps/run/calibrate.py). Whoever times or compiles a step keeps its figures with `keep`; a
scale without any is priced at a flat share of the peak, and the price says so.
"""

import dataclasses
import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmark import peaks
from benchmark.files import write_atomically

FILE = Path(__file__).with_suffix(".json")
DEVICE = "NVIDIA H100 SXM"
PEAK = dict(peaks.BFLOAT16)["H100"]  # dense bfloat16 FLOP/s of one
BANDWIDTH = 3.35e12  # bytes per second of its memory, from its data sheet
LAUNCH = 3e-6  # seconds that a kernel takes at the least, its launch included: assumed
COMPILED = "compiled, not run"


@dataclass(frozen=True)
class Step:
    """One training step of one trial, at the batch size where its scale's searches start."""

    scale: str
    optimizer: str
    precision: str

    how: str
    """COMPILED, or the device that it was timed on."""

    flops: float
    """Of the matrix products that it executes, recomputed ones too."""

    moved: float
    """Bytes that its kernels read and write."""

    kernels: int
    """How many it runs."""

    memory: float
    """Bytes at the peak: parameters, gradients, optimizer state and what the compiler plans besides."""

    command: str
    """What wrote these figures."""

    seconds: float | None = None
    """As timed, of one trial of `pack`; None where it was not run."""

    pack: int = 1
    """Trials that were trained at once."""

    def takes(self, pack: int = 1) -> float:
        """Seconds of it in a pack. Not run: products at the peak, then memory traffic at its peak, then the
        launches that the trials of a pack share, as if nothing overlapped."""
        if self.seconds is not None:
            return self.seconds
        return self.flops / PEAK + self.moved / BANDWIDTH + self.kernels * LAUNCH / pack


@functools.cache
def known(path: Path = FILE) -> tuple[Step, ...]:
    """Every step of the file."""
    return tuple(Step(**row) for row in json.loads(path.read_text(encoding="utf-8")))


def find(steps: Sequence[Step], scale: str, precision: str, optimizer: str, pack: int = 1) -> Step | None:
    """A step's figures: timed before compiled ones, of the largest pack up to this one."""
    wanted = (scale, precision, optimizer)
    found = [s for s in steps if (s.scale, s.precision, s.optimizer) == wanted and s.pack <= pack]
    return max(found, key=lambda step: (step.seconds is not None, step.pack), default=None)


def keep(step: Step, path: Path = FILE) -> None:
    """Write a step's figures in the place of those of the same kind that are there."""

    def kind(one: Step) -> tuple:
        return one.scale, one.optimizer, one.precision, one.seconds is None, one.pack

    others = [one for one in known(path) if kind(one) != kind(step)] if path.is_file() else []
    rows = [dataclasses.asdict(one) for one in sorted((*others, step), key=kind)]
    write_atomically(path, "[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")
    known.cache_clear()
