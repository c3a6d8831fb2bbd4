"""The charts of losses and speedups: Study -> Figure. Charts of the other pages stand with their pages."""

from typing import Any

import altair as alt
import pandas as pd

from benchmark.report import text
from benchmark.report.figures import Figure, by_optimizer, chosen
from benchmark.report.study import Study, TaskFacts

CEILING = 4.0  # speedups are drawn up to here; an interval that is longer is cut, its numbers are in the table


def _rows(frame: pd.DataFrame, study: Study, columns: dict[str, str]) -> list[dict[str, Any]]:
    """Rows for a chart: titles instead of names, missing numbers as null."""
    out = frame[["optimizer", *columns]].rename(columns=columns)
    out["optimizer"] = [study.titles.get(o, o) for o in out["optimizer"]]
    return text.plain(out.to_dict("records"))


def _present(study: Study, frame: pd.DataFrame) -> list[str]:
    return [o for o in study.optimizers if o in set(frame["optimizer"])]


def speedup_by_ratio(study: Study, scale: str) -> Figure:
    """Speedup over the baseline against the Chinchilla ratio at one scale, with 95 % intervals."""
    frame = study.speedups[(study.speedups["scale"] == scale) & study.speedups["speedup"].notna()]
    frame = frame.assign(**{c: frame[c].clip(upper=CEILING) for c in ("speedup", "lo", "hi")})
    columns = {"chinchilla_ratio": "ratio", "speedup": "speedup", "lo": "lo", "hi": "hi", "n": "n"}
    pick, fade = chosen()
    look = by_optimizer(_present(study, frame), study.titles)
    ratios = sorted(frame["chinchilla_ratio"].unique())
    base = alt.Chart(alt.Data(values=_rows(frame, study, columns))).encode(
        x=alt.X("ratio:Q", title="Chinchilla ratio (tokens per parameter / 20)").scale(type="log", base=2, nice=False)
        .axis(values=ratios, format="~g"),
        color=look["color"], opacity=fade,
        tooltip=["optimizer:N", "ratio:Q", alt.Tooltip("speedup:Q", format=".2f"), alt.Tooltip("lo:Q", format=".2f"),
                 alt.Tooltip("hi:Q", format=".2f"), alt.Tooltip("n:Q", title="seeds")],
    )  # fmt: skip
    y = alt.Y("speedup:Q", title="Speedup in tokens (×, higher is better)").scale(zero=False)
    one = alt.Chart(alt.Data(values=[{"one": 1}])).mark_rule(strokeDash=[4, 4], opacity=0.6).encode(y="one:Q")
    lines = base.mark_line().encode(y=y)
    bars = base.mark_rule(strokeWidth=1.5).encode(y="lo:Q", y2="hi:Q")
    points = base.mark_point().encode(y=y, shape=look["shape"]).add_params(pick)
    return Figure(
        f"speedup-{scale}",
        f"Speedup against token budget at {scale}",
        f"Line chart: speedup over the tuned baseline against Chinchilla ratio at scale {scale}, one line per optimizer.",
        f"Points are speedups over {study.titles.get(study.baseline, study.baseline)} at {scale}, bars 95 % intervals;"
        " the dashed line is the baseline itself. Numbers and n are in the table.",
        alt.layer(one, lines, bars, points),
    )


def loss_curves(study: Study, task: TaskFacts) -> Figure | None:
    """Loss along training at one task: the mean over report seeds."""
    frame = study.curves
    if frame.empty:
        return None
    frame = frame[(frame["task"] == task.name) & (frame["role"] == "report")]
    if frame.empty:
        return None
    mean = frame.groupby(["optimizer", "tokens"], as_index=False).agg(
        val_loss=("val_loss", "mean"), n=("seed", "nunique"))  # fmt: skip
    rows = _rows(mean, study, {"tokens": "tokens", "val_loss": "loss", "n": "n"})
    pick, fade = chosen()
    look = by_optimizer(_present(study, mean), study.titles)
    late = mean.loc[mean["tokens"] > 0.25 * task.tokens, "val_loss"]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("tokens:Q", title="Training tokens").axis(format="~s", tickCount=6),
        y=alt.Y("loss:Q", title="Validation loss (nats/token, lower is better)")
        .scale(zero=False, domain=[float(late.min()) - 0.01, float(late.max()) + 0.01]),
        color=look["color"], opacity=fade,
        tooltip=["optimizer:N", alt.Tooltip("tokens:Q", format=".3s"), alt.Tooltip("loss:Q", format=".4f"),
                 alt.Tooltip("n:Q", title="seeds")],
    )  # fmt: skip
    chart = alt.layer(
        base.mark_line(clip=True),
        base.mark_point(clip=True, size=40).encode(shape=look["shape"]).add_params(pick),
    )
    return Figure(
        f"curves-{task.name}",
        f"Loss along training at {task.name}",
        f"Line chart: validation loss against training tokens at {task.name}, one line per optimizer.",
        f"Mean over report seeds (n = {text.value(int(mean['n'].max()))}), on the validation split; the first quarter of"
        " training is cut off at the top.",
        chart,
    )


def lr_sensitivity(study: Study, task: TaskFacts) -> Figure | None:
    """Loss against learning rate, every optimizer's own axis shifted to its best rate."""
    frame = study.lr_curves
    frame = frame[(frame["task"] == task.name) & ~frame["diverged"]]
    frame = frame[frame.groupby("optimizer")["peak_lr"].transform("nunique") > 1]
    if frame.empty:
        return None
    frame = frame.assign(relative=2.0 ** frame["octaves"])
    rows = _rows(frame, study, {"relative": "relative", "peak_lr": "lr", "val_loss": "loss", "seeds": "n"})
    pick, fade = chosen()
    look = by_optimizer(_present(study, frame), study.titles)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X("relative:Q", title="Peak learning rate / best peak learning rate")
        .scale(type="log", base=2, nice=False).axis(format="~g", tickCount=6),
        y=alt.Y("loss:Q", title="Validation loss (nats/token, lower is better)").scale(zero=False),
        color=look["color"], opacity=fade,
        tooltip=["optimizer:N", alt.Tooltip("lr:Q", title="peak lr", format=".3g"), alt.Tooltip("loss:Q", format=".4f"),
                 alt.Tooltip("n:Q", title="seeds")],
    )  # fmt: skip
    return Figure(
        f"lr-{task.name}",
        f"Learning-rate sensitivity at {task.name}",
        f"Line chart: validation loss against learning rate relative to each optimizer's best at {task.name}.",
        "Tuning runs that differ from the optimizer's best only in the learning rate; n = 1 tuning seed unless the"
        " tooltip says more. Diverged runs have no loss and are not drawn.",
        alt.layer(base.mark_line(), base.mark_point().encode(shape=look["shape"]).add_params(pick)),
    )
