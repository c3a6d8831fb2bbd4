"""How fast the benchmark itself is: the figures that `python -m tools.bench` wrote to results/bench/."""

from itertools import groupby
from pathlib import Path

from benchmark import measurements
from benchmark.measurements import Measurement
from benchmark.report.site import Site

HEAD = ["What", "Median", "Smallest to largest", "Against", "Commit"]


def write(site: Site, results: Path) -> None:
    """Write speed.html: a table per machine and group, from the files that there are."""
    machines = [
        (" · ".join(str(described[key]) for key in ("cpu", "device", "machine")), tables(rows))
        for described, rows in measurements.machines(results / "bench")
    ]
    site.write("speed.html", "speed.html", None, heading="Speed", machines=machines, head=HEAD)


def tables(rows: list[Measurement]) -> list[tuple[str, list[tuple[str, ...]]]]:
    """(group, lines of its table), groups and figures in the order in which they come."""
    return [(group, [line(f) for f in members]) for group, members in groupby(rows, key=lambda f: f.group)]


def line(f: Measurement) -> tuple[str, ...]:
    """One figure in words: what, median with its unit, range, ratio to what it is compared with, commit."""
    short = measurements.short
    against = ""
    if f.ratio is not None and f.ratio_lo is not None and f.ratio_hi is not None:
        against = f"{f.ratio:.2f} ({f.ratio_lo:.2f} to {f.ratio_hi:.2f}) of {f.versus}"
    return (f.name, f"{short(f.median)} {f.unit}", f"{short(f.lo)} to {short(f.hi)}", against, f.commit[:8])
