"""Step times measured in turns with the baseline's: results/<sweep>/timing/step.json, beside the records.

Runs of two sweeps do not compare in seconds: another day is another load. Where a sweep reuses the baseline's
runs, `sweeps/run/step_time.py` therefore times both anew, and what it finds is kept here as measurements
(`benchmark/measurements.py`), whose names say what was timed.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import measurements
from benchmark.machine import same_machine
from benchmark.measurements import Measurement
from benchmark.spec import Trial, canonical
from benchmark.train import environment

FILE = Path("timing") / "step.json"  # below a sweep's folder
GROUP = "step time"
COLUMNS = ["versus", "step_overhead", "lo", "hi", "n", "machine", "measured_at"]
UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)
_NAME = re.compile(r"(\S+), batch (\d+), (\w+) (\w+): (.+?)(?: (\{.*\}))?", re.DOTALL)


@dataclass(frozen=True)
class Timed:
    """What a step time depends on: neither rates nor seeds. statics: hyperparameters that shape the program, as
    canonical JSON; empty without any."""

    scale: str
    batch_size: int
    backend: str
    precision: str
    rule: str
    statics: str = ""

    @property
    def name(self) -> str:
        """As a figure's name; `parse` reads it."""
        place = f"{self.scale}, batch {self.batch_size}, {self.backend} {self.precision}"
        return f"{place}: {self.rule} {self.statics}".rstrip()


def of(trial: Trial, statics: Sequence[str]) -> Timed:
    """What is timed of a trial. statics: the names of the hyperparameters that shape its program."""
    values = {name: trial.hyperparameters[name] for name in statics}
    place = (trial.scale, trial.batch_size, trial.backend, trial.precision)
    return Timed(*place, trial.rule, canonical(values) if values else "")


def parse(name: str) -> Timed:
    """What a figure timed. Raises ValueError for a name that `Timed` does not write."""
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"{name!r} does not say what was timed")
    scale, batch, backend, precision, rule, statics = found.groups()
    return Timed(scale, int(batch), backend, precision, rule, statics or "")


def known(folder: Path) -> list[Measurement]:
    """The figures of a sweep's folder that were measured on this machine with the versions of today; a file
    that cannot be read counts as none, and is written anew."""
    try:
        there = measurements.machines((folder / FILE).parent)
        return [f for where, rows in there if _is_here(where) for f in rows]
    except UNREADABLE:
        return []


def _is_here(where: Mapping[str, Any]) -> bool:
    here = environment.describe(str(where["device"]))
    return same_machine(where, here) and where["packages"] == here["packages"]


def write(folder: Path, figures: Sequence[Measurement], where: Mapping[str, Any]) -> None:
    """Keep figures beside a sweep's records."""
    path = folder / FILE
    try:
        measurements.machines(path.parent)
    except UNREADABLE:  # damaged: made anew
        path.unlink(missing_ok=True)
    measurements.write(figures, where, path)


def read(folder: Path, damaged: list[str]) -> pd.DataFrame:
    """The figures of a sweep's folder, the latest of each that was timed: the fields of `Timed`, versus (the
    baseline's rule), step_overhead (how much longer a step takes than the baseline's, as a share of that), lo
    and hi (of the smallest and the largest round), n rounds, machine, measured_at.

    What cannot be read is named in `damaged`.
    """
    try:
        there = measurements.machines((folder / FILE).parent)
        found = [_row(f, str(where["machine"])) for where, rows in there for f in rows if f.group == GROUP]
    except UNREADABLE as error:
        damaged.append(f"{folder / FILE}: not a file of step times ({error})")
        found = []
    fields = [field.name for field in dataclasses.fields(Timed)]
    table = pd.DataFrame(found, columns=[*fields, *COLUMNS]).sort_values("measured_at", kind="stable")
    return table.drop_duplicates(fields, keep="last").reset_index(drop=True)


def _row(figure: Measurement, machine: str) -> dict[str, Any]:
    ratios = [float(x) for x in (figure.ratio, figure.ratio_lo, figure.ratio_hi) if x is not None]
    if len(ratios) != 3 or not all(math.isfinite(x) and x > 0 for x in ratios):
        raise ValueError(f"{json.dumps(figure.name)} has no ratio")
    over = dict(zip(("step_overhead", "lo", "hi"), (x - 1 for x in ratios), strict=True))
    said = {"versus": parse(figure.versus).rule, "n": int(figure.n), "machine": machine}
    return {**dataclasses.asdict(parse(figure.name)), **said, **over, "measured_at": str(figure.measured_at)}
