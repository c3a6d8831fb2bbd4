"""Figures of a bench run: their table, their file, and what moved since the last run on the same machine."""

import dataclasses
import datetime
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmark import files, validate
from benchmark.files import write_atomically

SCHEMA = 2
TOLERANCE = 0.15  # of a figure of one block, which shows no spread
COUNTS = ("programs",)  # units of figures that do not vary


@dataclass(frozen=True)
class Measurement:
    """One figure: the median of n blocks of work, and how far they spread."""

    group: str
    """The table it is shown in."""

    name: str
    """What was measured; unique within its group."""

    unit: str
    """Of the median, lo and hi."""

    median: float
    lo: float
    """The smallest block."""

    hi: float
    """The largest block."""

    n: int
    """Number of blocks."""

    ratio: float | None = None
    """Median of this figure over that of `versus`, block by block; None where nothing is compared."""

    ratio_lo: float | None = None
    ratio_hi: float | None = None
    versus: str = ""
    """Name of the figure that this one is compared with."""

    measured_at: str = ""
    """UTC, ISO 8601. This and the two below are set by `write`."""

    commit: str = ""
    """git commit that was measured."""

    load: float | None = None
    """Load of the machine when the run began."""


def measurement(
    group: str, name: str, unit: str, values: Sequence[float], others: Sequence[float] = (), versus: str = ""
) -> Measurement:
    """Summarize blocks; others: those of `versus`, in the same rounds."""
    shown = Measurement(group, name, unit, *_summary(values), n=len(values))
    if not others:
        return shown
    ratio, lo, hi = _summary([value / other for value, other in zip(values, others, strict=True)])
    return dataclasses.replace(shown, ratio=ratio, ratio_lo=lo, ratio_hi=hi, versus=versus)


def _summary(values: Sequence[float]) -> tuple[float, float, float]:
    return statistics.median(values), min(values), max(values)


def table(figures: Sequence[Measurement]) -> str:
    """Lines to print, one per figure under its group's heading."""
    lines, group = [], ""
    width = max((len(f.name) for f in figures), default=0)
    for f in figures:
        if f.group != group:
            lines.append(f"\n{f.group}")
        group = f.group
        line = f"  {f.name:{width}} {short(f.median):>8} {f.unit:9} [{short(f.lo)} to {short(f.hi)}]"
        if f.ratio is not None:
            line += f"   {f.ratio:.2f} [{f.ratio_lo:.2f} to {f.ratio_hi:.2f}] of {f.versus}"
        lines.append(line)
    return "\n".join(lines)


def short(value: float) -> str:
    """A number with three digits, or with thousands separated."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def write(figures: Sequence[Measurement], environment: Mapping[str, Any], path: Path) -> None:
    """Write a group's file. Figures in it that were not measured anew are kept, each with its own date. If the
    file is another machine's it stays as it is, and this machine's own is beside it, under its fingerprint."""
    beside = path.with_name(f"{path.stem}-{environment['machine']}.json")
    before = _read(path) if path.is_file() else None
    if beside.is_file() or (before and before["environment"]["machine"] != environment["machine"]):
        path = beside
        before = _read(path) if path.is_file() else None
    new = {(f.group, f.name) for f in figures}
    kept = [f for f in (before["rows"] if before else ()) if (f.group, f.name) not in new]
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    stamp = {"measured_at": now, "commit": str(environment["commit"]), "load": environment["load"]}
    rows = [*kept, *(dataclasses.replace(f, **stamp) for f in figures)]
    rows.sort(key=lambda f: f.group)  # stable: within a group the order of measuring
    body = {
        "schema": SCHEMA,
        "environment": dict(environment),
        "rows": [dataclasses.asdict(f) for f in rows],
    }
    write_atomically(path, json.dumps(body, indent=1) + "\n")


def previous(folder: Path, machine: str) -> list[Measurement]:
    """The last figures of this machine in `folder`; none if there are none."""
    return [f for described, rows in machines(folder) if described["machine"] == machine for f in rows]


def machines(folder: Path, damaged: list[str] | None = None) -> list[tuple[dict[str, Any], list[Measurement]]]:
    """Each machine's description and its figures, by file name, which is by group. Of a figure that stands in
    two files of a machine the later one counts. A file that cannot be used is skipped and a line about it
    appended to `damaged`; without one it raises ValueError."""
    described: dict[str, dict[str, Any]] = {}
    found: dict[str, dict[tuple[str, str], Measurement]] = {}
    for path in sorted(folder.glob("[!.]*.json")):
        try:
            body = _read(path)
        except ValueError as error:
            if damaged is None:
                raise
            damaged.append(str(error))
            continue
        if body:
            machine = body["environment"]["machine"]
            described.setdefault(machine, body["environment"])
            known = found.setdefault(machine, {})
            for f in body["rows"]:
                twin = known.setdefault((f.group, f.name), f)
                known[f.group, f.name] = max(twin, f, key=lambda one: one.measured_at)
    return [(described[machine], list(known.values())) for machine, known in found.items()]


def moved(before: Sequence[Measurement], now: Sequence[Measurement]) -> list[str]:
    """One line per figure or ratio whose blocks all lie on one side of all those of before. One block shows no
    spread: where either side has just one, by more than TOLERANCE too, but for a count."""
    known = {(f.group, f.name): f for f in before}
    lines = []
    for f in now:
        old = known.get((f.group, f.name))
        if old is None or old.unit != f.unit:
            continue
        single = min(old.n, f.n) == 1 and f.unit not in COUNTS
        if _apart(old.lo, old.hi, f.lo, f.hi) and not (single and _near(old.median, f.median)):
            lines.append(_change(f"{f.group}: {f.name}", old.median, f.median, f.unit))
        ends = (old.ratio_lo, old.ratio_hi, f.ratio_lo, f.ratio_hi)
        comparable = None not in ends and old.versus == f.versus
        if comparable and _apart(*ends) and not (single and _near(old.ratio, f.ratio)):
            lines.append(_change(f"{f.group}: {f.name}", old.ratio, f.ratio, f"of {f.versus}"))
    return lines


def _apart(lo: Any, hi: Any, new_lo: Any, new_hi: Any) -> bool:
    return new_lo > hi or new_hi < lo


def _near(old: Any, new: Any) -> bool:
    return abs(new - old) <= TOLERANCE * abs(old)


def _change(name: str, old: Any, new: Any, unit: str) -> str:
    share = f" ({new / old - 1:+.0%})" if old else ""  # a share of studies may have been 0
    return f"{name}: {short(old)} -> {short(new)} {unit}{share}"


def _read(path: Path) -> dict[str, Any] | None:
    """A file of figures with its rows as Measurements, or None if it is another schema's. Raises ValueError
    that names a file of anything else."""
    try:
        body = validate.mapping(validate.parse(files.content(path)))
        return _body(body) if body.get("schema") == SCHEMA else None
    except ValueError as error:
        raise ValueError(
            f"{files.name(path)} is not JSON of figures ({error}); delete it and measure again"
        ) from None


_ENVIRONMENT = validate.tree(dict.fromkeys(("machine", "cpu", "device", "commit"), validate.name))
_ROWS = validate.several(
    validate.shape(Measurement, dict.fromkeys(("median", "lo", "hi"), validate.number(-1e39)))
)
_BODY = validate.tree({"environment": _ENVIRONMENT, "rows": _ROWS})


def _body(body: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(_BODY({"environment": None, "rows": None, **body}))
    if missing := {"machine", "cpu", "device"} - found["environment"].keys():
        raise ValueError(f"environment.{min(missing)}: it is missing")
    return found
