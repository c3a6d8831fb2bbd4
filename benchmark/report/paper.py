"""A plot as matplotlib draws it: the SVG on the page for readers without scripts, and SVG and PNG for a paper.

The same plot gives the same bytes: no date, no random ids, and matplotlib's own font for measuring text. Text
stays text in the SVG, so that it can be searched, restyled and read aloud.
"""

import io
import re
import unicodedata
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis as MplAxis
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from benchmark.report import style, text
from benchmark.report.plot import FORMATS, Axis, Forest, Lines, Series, Tiles

WIDTH = 6.4  # inches: the text width of most papers
PIXELS = 100.0  # of a plot's height, to the inch
INK = "#1d1f21"
MARKERS = {
    "circle": "o", "square": "s", "diamond": "D", "cross": "P", "triangle-up": "^", "triangle-down": "v",
    "triangle-right": ">", "triangle-left": "<",
}  # fmt: skip
RC: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: text is as wide on every machine
    "font.size": 8.5,
    "text.parse_math": False,  # a name is text, whatever dollars are in it
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK,
    "axes.labelsize": 8.5, "xtick.labelsize": 8, "ytick.labelsize": 8, "legend.fontsize": 8,
    "axes.formatter.useoffset": False,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "axes.grid": True, "grid.color": INK, "grid.alpha": 0.12, "grid.linewidth": 0.6, "axes.axisbelow": True,
    "xtick.major.size": 2.5, "ytick.major.size": 2.5, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "lines.linewidth": 1.4, "lines.markersize": 4.6,
    "legend.frameon": False, "legend.handletextpad": 0.4, "legend.columnspacing": 1.2, "legend.borderpad": 0.1,
    "savefig.transparent": True, "savefig.dpi": 200,
}  # fmt: skip


class Drawing:
    """A plot laid out once and saved as SVG and PNG. `salt` keeps its ids apart from another's on a page."""

    def __init__(self, plot: Lines | Tiles | Forest, salt: str) -> None:
        self.sheet: Any = {**RC, "svg.hashsalt": salt}
        with mpl.rc_context(self.sheet):
            if isinstance(plot, Lines):
                self.figure = _lines(plot)
            else:
                self.figure = _tiles(plot) if isinstance(plot, Tiles) else _forest(plot)

    def svg(self) -> str:
        return self._save("svg", {"Date": None, "Creator": None}).decode()

    def png(self) -> bytes:
        """On white, 200 pixels to the inch."""
        fast = {"compress_level": 4}
        return self._save("png", {"Software": None}, facecolor="white", transparent=False, pil_kwargs=fast)

    def _save(self, kind: str, metadata: dict[str, Any], **how: Any) -> bytes:
        buffer = io.BytesIO()
        with mpl.rc_context(self.sheet), warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message="Glyph .* missing from"
            )  # a name in a script the font lacks
            self.figure.savefig(buffer, format=kind, metadata=metadata, **how)
        return buffer.getvalue()


def inline(drawing: str) -> str:
    """An SVG file's content as part of a page: it takes the page's text colour, and brings no id or style of
    its own that could meet another's."""
    body = drawing[drawing.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<defs>\s*</defs>", "", body, flags=re.DOTALL)
    used = set(re.findall(r"(?:url\(#|href=\"#)([^\")]+)", body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(r' (?:width|height)="[\d.]+pt"| xmlns(?::xlink)?="[^"]+"', "", body, count=4)
    return re.sub(r"\s*\n\s*", "\n", body.replace(INK, "currentColor"))


def _name(name: str) -> str:
    """A name that every SVG reader takes: no control characters, not longer than a legend can bear."""
    clean = "".join(c for c in name if unicodedata.category(c)[0] != "C")
    clean = clean if len(clean) <= 32 else f"{clean[:31]}…"
    return f"\u200b{clean}" if clean.startswith("_") else clean  # matplotlib hides labels with an underscore


def _frame(height: float, left: float, right: float, bottom: float, top: float = 0.1) -> tuple[Figure, Axes]:
    """A figure `height` inches high with margins in inches: fixed ones, for measuring would double the time."""
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes(
        (left / WIDTH, bottom / height, 1 - (left + right) / WIDTH, 1 - (bottom + top) / height)
    )
    return figure, axes


def _lines(plot: Lines) -> Figure:
    columns = 5
    legend = 0 if plot.named or len(plot.series) < 2 else -(-len(plot.series) // columns)
    bottom = 0.5 + 0.19 * legend
    right = 1.05 if plot.named else 0.4
    figure, axes = _frame(plot.height / PIXELS + bottom, 0.62, right, bottom)
    if plot.shade:
        axes.axvspan(*plot.shade, color=INK, alpha=0.08, linewidth=0)
    for guide in plot.guides:
        xs, ys = zip(*guide.points, strict=True)
        axes.plot(xs, ys, color=INK, alpha=0.45, linewidth=0.8, linestyle=(0, (3, 2)) if guide.dashed else "-")
        if guide.label:
            _label(axes, guide.label, xs[-1], ys[-1], 3)
    for series in plot.series:
        _series(axes, plot, series)
    _scale(axes.xaxis, axes.set_xscale, axes.set_xlim, plot.x)
    _scale(axes.yaxis, axes.set_yscale, axes.set_ylim, plot.y)
    if legend:
        handles = [_handle(s) for s in plot.series]
        where = {"loc": "lower left", "bbox_to_anchor": (0.55 / WIDTH, 0), "ncols": columns}
        figure.legend(handles, [_name(s.name) for s in plot.series], **where)
    return figure


def _label(axes: Axes, label: str, x: float, y: float, away: float) -> None:
    axes.annotate(
        label, (x, y), (away, 0), textcoords="offset points", va="center", fontsize=8, annotation_clip=False
    )


def _series(axes: Axes, plot: Lines, series: Series) -> None:
    points = [p for p in series.points if text.is_number(p["y"])]
    xs, ys = [p["x"] for p in points], [p["y"] for p in points]
    how = {"color": series.colour, "marker": MARKERS[series.shape], "markeredgewidth": 0}
    style_of = "steps-post" if plot.step else "default"
    axes.plot(xs, ys, linestyle="-" if plot.joined else "none", drawstyle=style_of, **how)  # pyright: ignore
    if plot.intervals:
        whole = [p for p in points if text.is_number(p["lo"]) and text.is_number(p["hi"])]
        ends = [p["lo"] for p in whole], [p["hi"] for p in whole]
        axes.vlines([p["x"] for p in whole], *ends, color=series.colour, linewidth=1.1)
    if plot.named and points:
        _label(axes, _name(series.name), xs[-1], ys[-1], 8)


def _handle(series: Series) -> Line2D:
    marker = MARKERS[series.shape]
    return Line2D([], [], color=series.colour, marker=marker, markeredgewidth=0, linewidth=1.4)


def _scale(axis: MplAxis, set_scale: Callable, set_ends: Callable, shown: Axis) -> None:
    if shown.log:
        set_scale("log", base=2)
        axis.set_minor_locator(NullLocator())
    if shown.ends:
        set_ends(*shown.ends)
    if shown.ticks is not None:
        low, high = sorted(axis.get_view_interval())
        axis.set_major_locator(FixedLocator([t for t in shown.ticks if low <= t <= high]))
    elif not shown.log:
        axis.set_major_locator(MaxNLocator(8, integer=shown.labels == "whole", steps=[1, 2, 2.5, 5, 10]))
    if shown.ticks is not None or shown.labels != "number":
        axis.set_major_formatter(FuncFormatter(lambda v, _: FORMATS[shown.labels][1](v)))
    axis.set_label_text(shown.title)
    axis.grid(shown.grid)


def _tiles(plot: Tiles) -> Figure:
    height = plot.height / PIXELS + 1.1
    figure, axes = _frame(height, 1.25, 0.15, 1.05, 0.05)
    values = {(r, c): v for c, r, v, _ in plot.cells}
    grid = [[values.get((r, c)) for c in plot.columns] for r in plot.rows]
    shades = np.array([[np.nan if v is None else v for v in row] for row in grid], float)
    top = float(np.nanmax(shades)) if np.isfinite(shades).any() else 1.0
    share = np.maximum(shades, 0.0) / max(top, 1e-9)  # by luck a cost may lie below nothing
    alpha = np.nan_to_num(0.04 + 0.56 * share, nan=0.0)
    colours = np.zeros((*shades.shape, 4))
    colours[..., :3] = to_rgb(style.TILE)
    colours[..., 3] = alpha
    ends = np.arange(len(plot.columns) + 1) - 0.5, np.arange(len(plot.rows) + 1) - 0.5
    axes.pcolormesh(*ends, colours)
    axes.invert_yaxis()
    for column, row, _, label in plot.cells:
        x, y = plot.columns.index(column), plot.rows.index(row)
        axes.text(x, y, label, ha="center", va="center", fontsize=7)
    axes.set_xticks(range(len(plot.columns)), [_name(c) for c in plot.columns], rotation=40, ha="right")
    axes.set_yticks(range(len(plot.rows)), [_name(r) for r in plot.rows])
    axes.set(xlabel=plot.x, ylabel=plot.y)
    axes.grid(False)
    axes.tick_params(length=0)
    return figure


def _forest(plot: Forest) -> Figure:
    figure, axes = _frame(0.6 + 0.26 * len(plot.rows), 1.35, 1.75, 0.5)
    axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), alpha=0.6)
    for place, (name, colour, shape, point, low, high, note) in enumerate(plot.rows):
        if text.is_number(low) and text.is_number(high):
            axes.hlines(place, low, high, color=colour, linewidth=1.8)
        axes.plot([point], [place], color=colour, marker=MARKERS[shape], markeredgewidth=0, markersize=6)
        axes.annotate(
            note, (1, place), (8, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", fontsize=8, annotation_clip=False,
        )  # fmt: skip
        axes.annotate(
            _name(name), (0, place), (-8, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", ha="right", fontsize=8.5, annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(len(plot.rows) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_xscale("log", base=2)
    low, high = axes.get_xlim()
    steps = [s for s in (0.25, 0.4, 0.6, 0.8, 1, 1.2, 1.4, 1.6, 2, 2.5, 3, 4) if low <= s <= high]
    axes.xaxis.set_major_locator(FixedLocator(steps))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}×"))
    axes.set_xlabel(plot.x)
    axes.spines["left"].set_visible(False)
    return figure
