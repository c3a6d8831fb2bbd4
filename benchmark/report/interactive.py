"""A plot as a Vega-Lite specification (through Altair), with hover and a legend to click."""

from typing import Any

import altair as alt
from altair.utils import schemapi

from benchmark.report import style, text
from benchmark.report.plot import FORMATS, Axis, Lines, Plot, Tiles

WIDTH = 640
GREY = {"color": "currentColor", "opacity": 0.45}


def spec(plot: Plot) -> dict[str, Any]:
    """The specification, look included."""
    with schemapi.debug_mode(False):  # Altair checks each part as it is made: most of the time
        chart = _tiles(plot) if isinstance(plot, Tiles) else _lines(plot)
        sized = chart.properties(width=WIDTH, height=plot.height)
        return {**sized.to_dict(validate=False), "config": style.CONFIG}


def run_curves() -> dict[str, Any]:
    """The specification for the loss curves of single runs, without numbers: curves.Curves brings the datasets
    `runs` and `beside`, rows of run, tokens, loss and colour."""
    x = alt.X("tokens:Q", title="Training tokens").axis(format=FORMATS["count"][0], tickCount=4, grid=False)
    y = alt.Y("loss:Q", title="Validation loss (nats/token)").scale(zero=False).axis(tickCount=4)
    tips = [alt.Tooltip("run:N"), _tip("tokens", ".3s"), _tip("loss", ".4f")]
    beside = alt.Chart(alt.NamedData("beside")).mark_line(strokeWidth=1.1, strokeDash=[4, 3], **GREY)
    own = alt.Chart(alt.NamedData("runs")).mark_line(strokeWidth=1.6, point=alt.OverlayMarkDef(size=14))
    colour = alt.Color("colour:N", scale=None)
    layers = (
        beside.encode(x=x, y=y, detail="run:N", tooltip=tips),
        own.encode(x=x, y=y, detail="run:N", color=colour, tooltip=tips),
    )
    with schemapi.debug_mode(False):
        drawn = alt.layer(*layers).properties(width=WIDTH, height=200).to_dict(validate=False)
    return {**drawn, "config": style.CONFIG}


def _data(rows: list[dict[str, Any]]) -> alt.Data:
    return alt.Data(values=text.plain(rows))


def _axis(channel: Any, field: str, axis: Axis) -> Any:
    scale: dict[str, Any] = {"zero": False}
    if axis.log:
        scale = {"type": "log", "base": 2, "nice": False, "padding": 10}
    if axis.ends:
        scale |= {"domain": list(axis.ends), "nice": False}
    shown: dict[str, Any] = {"grid": axis.grid}
    if axis.ticks is not None or axis.labels != "number":
        shown["format"] = FORMATS[axis.labels][0]
    if axis.ticks is not None:
        shown["values"] = list(axis.ticks)
    return channel(f"{field}:Q", title=axis.title).scale(**scale).axis(**shown)


def _lines(plot: Lines) -> Any:
    x, y = _axis(alt.X, "x", plot.x), _axis(alt.Y, "y", plot.y)
    rows = [{"optimizer": s.name, **point} for s in plot.series for point in s.points]
    pick = alt.selection_point(fields=["optimizer"], bind="legend", name="pick")
    names = [s.name for s in plot.series]
    tips = [_tip(field, k) for field, k in plot.tips.items()]
    colour = alt.Scale(domain=names, range=[s.colour for s in plot.series])
    shapes = alt.Scale(domain=names, range=[s.shape for s in plot.series])
    legend: Any = None if plot.named or len(names) < 2 else alt.Undefined
    base = alt.Chart(_data(rows)).encode(
        x=x,
        color=alt.Color("optimizer:N", title=None, scale=colour, legend=legend),
        opacity=alt.condition(pick, alt.value(1), alt.value(0.12)),
        tooltip=[alt.Tooltip("optimizer:N"), *tips],
    )
    clip = plot.y.ends is not None
    layers = _under(plot, x, y)
    if plot.joined:
        line = base.mark_line(clip=clip, interpolate="step-after" if plot.step else "linear")
        layers.append(line.encode(y=y))
    if plot.intervals and any(text.is_number(row["lo"]) for row in rows):
        layers.append(base.mark_rule(strokeWidth=1.5).encode(y=alt.Y("lo:Q"), y2=alt.Y2("hi")))
    shape = alt.Shape("optimizer:N", title=None, scale=shapes, legend=legend)
    layers.append(base.mark_point(clip=clip).encode(y=y, shape=shape).add_params(pick))
    if plot.named:
        ends = [{"optimizer": s.name, **s.points[-1]} for s in plot.series if s.points]
        named = alt.Chart(_data(ends)).mark_text(align="left", dx=10, color="currentColor")
        layers.append(named.encode(x=x, y=y, text="optimizer:N"))
    return alt.layer(*layers)


def _tip(field: str, written: str) -> alt.Tooltip:
    title = field.replace("_", " ")
    return (
        alt.Tooltip(f"{field}:Q", title=title, format=written)
        if written
        else alt.Tooltip(f"{field}:N", title=title)
    )


def _under(plot: Lines, x: Any, y: Any) -> list[Any]:
    """What is drawn first: a shaded range and the guides."""
    layers: list[Any] = []
    if plot.shade:
        ground = alt.Chart(alt.Data(values=[{"from": plot.shade[0], "to": plot.shade[1]}]))
        layers.append(ground.mark_rect(opacity=0.08, color="currentColor").encode(x=alt.X("from:Q"), x2="to:Q"))
    for dashed in (True, False):
        chosen = [g for g in plot.guides if g.dashed == dashed]
        rows = [{"x": a, "y": b, "guide": i} for i, g in enumerate(chosen) for a, b in g.points]
        if rows:
            dash = [3, 3] if dashed else [1, 0]
            line = alt.Chart(_data(rows)).mark_line(strokeWidth=1.2, strokeDash=dash, **GREY)
            layers.append(line.encode(x=x, y=y, detail="guide:N"))
        labels = [{"x": g.points[-1][0], "y": g.points[-1][1], "label": g.label} for g in chosen if g.label]
        if labels:
            words = alt.Chart(_data(labels)).mark_text(align="left", dx=6, color="currentColor", opacity=0.7)
            layers.append(words.encode(x=x, y=y, text="label:N"))
    return layers


def _tiles(plot: Tiles) -> Any:
    rows = [{"x": c, "y": r, "value": v, "label": label} for c, r, v, label in plot.cells]
    base = alt.Chart(_data(rows)).encode(
        x=alt.X("x:N", title=plot.x, sort=list(plot.columns)).axis(labelAngle=-40, grid=False),
        y=alt.Y("y:N", title=plot.y, sort=list(plot.rows)).axis(grid=False),
        tooltip=[alt.Tooltip("x:N", title=plot.x), alt.Tooltip("y:N", title=plot.y), alt.Tooltip("label:N")],
    )
    top = max([*(v for _, _, v, _ in plot.cells if v is not None), 1e-9])
    shade = alt.Opacity("value:Q", legend=None, scale=alt.Scale(domain=[0, top], range=[0.04, 0.6]))
    tiles = base.mark_rect(color=style.TILE).encode(opacity=shade)
    return alt.layer(tiles, base.mark_text(color="currentColor", fontSize=11).encode(text="label:N"))
