"""Line charts with one line per optimizer: what the pages have in common. Study and frame in, Figure out."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from benchmark.report import style, text
from benchmark.report.figures import Figure
from benchmark.report.frames import groups, known, rows, together, where
from benchmark.report.study import Study, TaskFacts

CEILING = 4.0  # speedups are drawn up to here; the end of a longer interval is in the table
LOG: dict[str, Any] = {"type": "log", "base": 2, "nice": False, "padding": 10}
APART = 0.04  # octaves between optimizers at one ratio, so that their intervals do not hide each other
POWERS = [2.0**k for k in range(-10, 11)]  # ticks of an axis of ratios
LOSS = "loss (nats/token, lower is better)"


def points(frame: pd.DataFrame, study: Study) -> list[dict[str, Any]]:
    """Rows for a chart: titles instead of names, missing and infinite numbers as null."""
    return [
        text.plain({**row, "optimizer": study.titles.get(row["optimizer"], row["optimizer"])})
        for row in rows(frame)
    ]


def tips(**fields: str) -> list[alt.Tooltip]:
    """Tooltips from field=format; a field's underscores are read as spaces."""
    shown = [alt.Tooltip(f"{k}:Q", title=k.replace("_", " "), format=f) for k, f in fields.items()]
    return [alt.Tooltip("optimizer:N"), *shown]


def lines(
    study: Study,
    frame: pd.DataFrame,
    x: alt.X,
    y: alt.Y,
    tooltip: Sequence[alt.Tooltip],
    under: Sequence[Any] = (),
    interval: tuple[str, str] | None = None,
    clip: bool = False,
    step: bool = False,
) -> Any:
    """A line with markers per optimizer, a legend to click, and intervals where `interval` names two columns.

    under: layers that are drawn first, such as a line at 1. clip: cut at the plot's edges. step: a value holds
    until the next.
    """
    present = [o for o in study.optimizers if o in set(frame["optimizer"])]
    look = style.scales(present, study.titles)
    pick = alt.selection_point(fields=["optimizer"], bind="legend", name="pick")
    base = alt.Chart(alt.Data(values=points(frame, study))).encode(
        x=x,
        color=alt.Color("optimizer:N", title=None, scale=alt.Scale(**look["color"])),
        opacity=alt.condition(pick, alt.value(1), alt.value(0.12)),
        tooltip=list(tooltip),
    )
    layers = [*under, base.mark_line(clip=clip, interpolate="step-after" if step else "linear").encode(y=y)]
    if interval:
        low, high = interval
        layers.append(base.mark_rule(strokeWidth=1.5).encode(y=alt.Y(f"{low}:Q"), y2=alt.Y2(high)))
    shape = alt.Shape("optimizer:N", title=None, scale=alt.Scale(**look["shape"]))
    return alt.layer(*layers, base.mark_point(clip=clip).encode(y=y, shape=shape).add_params(pick))


def rule(value: float) -> alt.Chart:
    """A dashed horizontal line."""
    return (
        alt.Chart(alt.Data(values=[{"at": value}])).mark_rule(strokeDash=[4, 4], opacity=0.6).encode(y="at:Q")
    )


def ratio_axis(ratios: Sequence[float], title: str = "Chinchilla ratio (tokens per parameter / 20)") -> alt.X:
    """A log axis of ratios, with a tick at each measured one."""
    ticks = sorted(set(ratios))
    return alt.X("chinchilla_ratio:Q", title=title).scale(**LOG).axis(values=ticks, format="~g")


def speedup_by_ratio(study: Study, scale: str) -> Figure:
    """Speedup over the baseline against the Chinchilla ratio at one scale, with 95 % intervals."""
    frame = where(study.speedups, scale=scale)
    frame = known(frame.assign(speedup=frame["speedup"].clip(upper=CEILING)), "speedup")
    order = sorted(set(frame["optimizer"]) - {study.baseline})
    order.insert(len(order) // 2, study.baseline)
    apart = [2 ** (APART * (order.index(o) - order.index(study.baseline))) for o in frame["optimizer"]]
    frame = frame.assign(ratio=frame["chinchilla_ratio"])
    frame = frame.assign(chinchilla_ratio=frame["chinchilla_ratio"] * apart)
    frame = frame.assign(**{c: frame[c].clip(upper=CEILING) for c in ("speedup", "lo", "hi")})
    y = alt.Y("speedup:Q", title="Speedup in tokens (×, higher is better)").scale(zero=False)
    tooltip = tips(ratio="~g", speedup=".2f", lo=".2f", hi=".2f", n="d")
    chart = lines(study, frame, ratio_axis(list(frame["ratio"])), y, tooltip, [rule(1)], ("lo", "hi"))
    base = study.baseline_title
    return Figure(
        f"speedup-{scale}",
        f"Speedup against token budget at {scale}",
        f"Line chart: speedup over tuned {base} against Chinchilla ratio at {scale}, one line per optimizer.",
        f"Points are speedups over tuned {base} at {scale}, bars 95 % intervals {_seeds(frame)}, at one"
        f" ratio set slightly apart; the dashed line is {base}.",
        chart,
    )


def _seeds(frame: pd.DataFrame) -> str:
    counts = sorted({int(n) for n in frame["n"] if n > 0})
    return f"(n = {text.value(counts)} seed{'s' if counts != [1] else ''} a point)" if counts else ""


def loss_curves(study: Study, task: TaskFacts) -> Figure | None:
    """Loss along training at one task: the mean over report seeds."""
    frame = where(study.curves, task=task.name, role="report")
    if not len(frame):
        return None
    by = frame.groupby(["optimizer", "tokens"], as_index=False)
    mean = by.agg(val_loss=("val_loss", "mean"), n=("seed", "nunique"))
    late = mean.loc[mean["tokens"] > 0.25 * task.tokens, "val_loss"]
    if not len(late):
        return None
    y = alt.Y("val_loss:Q", title=f"Validation {LOSS}")
    y = y.scale(zero=False, domain=[float(late.min()) - 0.01, float(late.max()) + 0.01])
    x = alt.X("tokens:Q", title="Training tokens").axis(format="~s", tickCount=6)
    return Figure(
        f"curves-{task.name}",
        f"Loss along training at {task.name}",
        f"Line chart: validation loss against training tokens at {task.name}, one line per optimizer.",
        f"Mean over report seeds {_seeds(mean)} on the validation split; the first quarter of training may"
        " leave the top.",
        lines(study, mean, x, y, tips(tokens=".3s", val_loss=".4f", n="d"), clip=True),
    )


def lr_sensitivity(study: Study, task: TaskFacts) -> Figure | None:
    """Loss against learning rate, every optimizer's own axis shifted to its best rate."""
    frame = where(study.lr_curves, task=task.name, diverged=False)
    if not len(frame):
        return None
    frame = together(f for f in groups(frame, "optimizer").values() if len(set(f["peak_lr"])) > 1)
    if not len(frame):
        return None
    frame = frame.assign(relative=2.0 ** frame["octaves"])
    x = alt.X("relative:Q", title="Peak learning rate / best peak learning rate")
    x = x.scale(**LOG).axis(format="~g", values=POWERS)
    y = alt.Y("val_loss:Q", title=f"Validation {LOSS}").scale(zero=False)
    return Figure(
        f"lr-{task.name}",
        f"Learning-rate sensitivity at {task.name}",
        f"Line chart: validation loss against learning rate relative to each optimizer's best at {task.name}.",
        "Tuning runs that differ from the optimizer's best only in the learning rate; n = 1 tuning seed"
        " unless the"
        " tooltip says more. Diverged runs have no loss and are not drawn.",
        lines(study, frame, x, y, tips(peak_lr=".3g", val_loss=".4f", seeds="d")),
    )
