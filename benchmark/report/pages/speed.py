"""How fast the benchmark itself is: the figures that `python -m tools.bench` wrote to results/bench/."""

from itertools import groupby

from markupsafe import Markup

from benchmark import measurements
from benchmark.measurements import Measurement
from benchmark.report.site import Site
from benchmark.report.table import Column, Table, numbers


def _against(ratio: float | None, lo: float | None, hi: float | None, versus: str) -> str:
    known = ratio is not None and lo is not None and hi is not None
    return f"{ratio:.2f} ({lo:.2f} to {hi:.2f}) of {versus}" if known else ""


def _median(median: float, unit: str) -> str:
    return f"{measurements.short(median)} {unit}"


def _range(lo: float, hi: float) -> str:
    return f"{measurements.short(lo)} to {measurements.short(hi)}"


LEAD = Markup(
    "How fast training, sweeps and these pages are on a machine. Figures of one table come from interleaved"
    " blocks of work; a ratio is the median over blocks. They compare within one machine only."
    " <code>make bench</code> measures them again."
)
COLUMNS = (
    Column("name", "What"),
    numbers("median", "Median", _median, of=("median", "unit")),
    numbers("range", "Smallest to largest", _range, of=("lo", "hi")),
    numbers("against", "Against", _against, of=("ratio", "ratio_lo", "ratio_hi", "versus")),
    Column("commit", "Commit", lambda commit: commit[:8]),
)


def write_site(site: Site) -> None:
    """Write speed.html: a table per machine and group, from the files that there are."""
    machines = [
        (" · ".join(str(described[key]) for key in ("cpu", "device", "machine")), tables(rows))
        for described, rows in site.machines
    ]
    told = {"heading": "Speed", "lead": LEAD, "nothing": "" if machines else "Nothing was measured yet."}
    site.write("speed.html", "page.html", None, sections=machines, **told)


def tables(rows: list[Measurement]) -> list[Table]:
    """A table for each group, groups and measurements in the order in which they come."""
    return [
        Table(group[0].upper() + group[1:], COLUMNS, list(members))
        for group, members in groupby(rows, key=lambda m: m.group)
    ]
