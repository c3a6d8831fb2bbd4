"""What a chart shows, as plain data. interactive.py draws it for the screen and paper.py for a paper, so that
the two cannot disagree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmark.report import text

# how the numbers along an axis are written: for Vega (d3-format) and here
FORMATS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "number": ("~g", lambda v: f"{v:g}"),
    "percent": (".0%", lambda v: f"{v:.0%}"),
    "count": (".3~s", text.quantity),
    "whole": ("d", lambda v: f"{v:.0f}"),
}


@dataclass(frozen=True)
class Axis:
    """title: quantity, unit, and which way is better. ends: of the axis; the first may be the larger."""

    title: str
    log: bool = False
    ticks: Sequence[float] | None = None
    labels: str = "number"
    ends: tuple[float, float] | None = None
    grid: bool = True


@dataclass(frozen=True)
class Series:
    """One line. points: rows with x and y, lo and hi where there is an interval, and the tooltips' fields."""

    name: str
    colour: str
    shape: str
    points: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Guide:
    """A thin line for orientation, from point to point, with a word at its end."""

    points: Sequence[tuple[float, float]]
    label: str = ""
    dashed: bool = True


@dataclass(frozen=True)
class Lines:
    """Lines with markers. tips: a field of the points -> how a tooltip writes it (d3-format, empty for text).

    intervals: whether lo and hi are drawn. step: a value holds until the next. joined: False for markers alone.
    named: names stand at the lines' ends instead of in a legend. shade: a range of x with a grey ground.
    """

    x: Axis
    y: Axis
    series: Sequence[Series]
    tips: Mapping[str, str] = field(default_factory=dict)
    guides: Sequence[Guide] = ()
    intervals: bool = False
    step: bool = False
    joined: bool = True
    named: bool = False
    shade: tuple[float, float] | None = None
    height: int = 340


@dataclass(frozen=True)
class Tiles:
    """A heat map. cells: (column, row, value or None, label); a larger value is darker."""

    x: str
    y: str
    columns: Sequence[str]
    rows: Sequence[str]
    cells: Sequence[tuple[str, str, float | None, str]]

    @property
    def height(self) -> int:
        return max(160, 34 * len(self.rows))


@dataclass(frozen=True)
class Forest:
    """An estimate with its interval on each row, on a log axis with a line at 1. For papers only: on the screen
    the leaderboard's table is this chart.

    rows: (name, colour, shape, point, low, high, note).
    """

    x: str
    rows: Sequence[tuple[str, str, str, float, float, float, str]]


Plot = Lines | Tiles
