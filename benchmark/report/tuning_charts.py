"""The tuning page's figures: searches as they went, what transfer costs, what an untuned baseline makes."""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from benchmark.report import charts, text
from benchmark.report.figures import Figure
from benchmark.report.frames import rows, where
from benchmark.report.study import Study, TaskFacts

MOST_POINTS = 24  # of one line: what a reader can tell apart


def best_so_far(study: Study, task: TaskFacts, searches: pd.DataFrame) -> Figure | None:
    """The lowest validation loss after each tuning trial, in the order tried: a point at each improvement."""
    frame = where(searches, task=task.name, search="coordinate")
    if max(frame["trial"], default=0) < 2:
        return None
    last = ~frame.duplicated("optimizer", keep="last").to_numpy()
    better = ~frame.duplicated(["optimizer", "best"]).to_numpy()
    frame = frame.loc[better | last, ["optimizer", "trial", "best"]]
    x = alt.X("trial:Q", title="Tuning trials spent, diverged ones included").axis(format="d", tickMinStep=1)
    y = alt.Y("best:Q", title=f"Best validation {charts.LOSS}").scale(zero=False)
    return Figure(
        f"best-{task.name}",
        f"Best so far at {task.name}",
        f"Line chart: lowest validation loss so far against tuning trials at {task.name}, one line per"
        " optimizer.",
        "In the order in which trials were tried, n = 1 tuning seed a trial. The search knows where it"
        " starts, so this is"
        " not what random trials would have given.",
        charts.lines(study, frame, x, y, charts.tips(trial="d", best=".4f"), step=True),
    )


def best_of_k(study: Study, task: TaskFacts, expected: pd.DataFrame) -> Figure | None:
    """The expected best of k independent random trials."""
    frame = where(expected, task=task.name)
    if not len(frame):
        return None
    shown = set(np.unique(np.geomspace(1, max(frame["k"]), MOST_POINTS).round()))
    frame = frame.loc[frame["k"].isin(sorted(shown)), ["optimizer", "k", "expected", "n"]]
    x = alt.X("k:Q", title="Random-search trials").axis(format="d", tickMinStep=1)
    y = alt.Y("expected:Q", title=f"Expected best validation {charts.LOSS}").scale(zero=False)
    counts = text.value(sorted({int(n) for n in frame["n"]}))
    return Figure(
        f"random-{task.name}",
        f"Expected best of k at {task.name}",
        f"Line chart: expected lowest validation loss of k random trials at {task.name}, one line per"
        " optimizer.",
        f"From random-search trials alone (n = {counts} trials an optimizer), averaged over all subsets of k.",
        charts.lines(study, frame, x, y, charts.tips(k="d", expected=".4f", n="d")),
    )


def transfer_matrix(study: Study, task: TaskFacts, transfer: pd.DataFrame) -> Figure | None:
    """What it costs to take one optimizer's learning rate for another: a heat map of real trials."""
    frame = where(transfer, task=task.name)
    frame = frame.loc[frame["source"] != frame["target"]]
    if not frame["cost"].notna().any():
        return None
    finite = [c for c in frame["cost"] if text.is_number(c) and c < 100]
    cells = [
        {
            "source": study.titles[r["source"]],
            "target": study.titles[r["target"]],
            "cost": r["cost"] if r["cost"] in finite else None,
            "label": _cost(r["cost"]),
        }
        for r in rows(frame)
    ]
    order = [study.titles[o] for o in study.optimizers]
    base = alt.Chart(alt.Data(values=text.plain(cells))).encode(
        x=alt.X("source:N", title="Learning rate tuned for", sort=order).axis(labelAngle=-40, grid=False),
        y=alt.Y("target:N", title="Used by", sort=order).axis(grid=False),
        tooltip=["source:N", "target:N", alt.Tooltip("label:N", title="cost, nats/token")],
    )
    top = max([*finite, 1e-9])
    shade = alt.Opacity("cost:Q", legend=None, scale=alt.Scale(domain=[0, top], range=[0.04, 0.6]))
    tiles = base.mark_rect(color="#3f83c4").encode(opacity=shade)
    return Figure(
        f"transfer-{task.name}",
        f"Blind transfer of the learning rate at {task.name}",
        "Heat map: loss above its own best when an optimizer uses the learning rate tuned for another, at"
        f" {task.name}.",
        "Nats/token above the target's own best (lower is better), from trials that were run, n = 1 each;"
        " – where no such"
        " trial was run, ∞ where it diverged.",
        alt.layer(tiles, base.mark_text(color="currentColor", fontSize=11).encode(text="label:N")),
        height=max(160, 34 * len({c["target"] for c in cells})),
    )


def _cost(cost: Any) -> str:
    return text.fixed(cost, 3) if text.is_number(cost) else text.MISSING


def under_tuned(study: Study, task: TaskFacts, claims: pd.DataFrame) -> Figure | None:
    """The speedup that would have been claimed over a baseline left at each learning rate."""
    frame = where(claims, task=task.name)
    if len(frame):
        frame = frame.loc[(frame["optimizer"] != study.baseline) & (frame["claimed"] < 20)]
    if not len(frame):
        return None
    x = alt.X("peak_lr:Q", title="The baseline's peak learning rate").scale(**charts.LOG)
    x = x.axis(values=sorted(set(frame["peak_lr"])), format="~g")
    y = alt.Y("claimed:Q", title="Claimed speedup in tokens (×)").scale(**charts.LOG)
    return Figure(
        f"claimed-{task.name}",
        f"What an under-tuned baseline would have made of it at {task.name}",
        f"Line chart: speedup over a baseline left at each learning rate, at {task.name}, one line per"
        " optimizer.",
        "Each optimizer stays at its best; only the baseline's learning rate moves (its other settings"
        " are the best"
        " tried at that rate). The lowest point of a line is the honest one. n = the report seeds of the"
        " leaderboard.",
        charts.lines(
            study,
            frame,
            x,
            y,
            charts.tips(peak_lr=".3g", claimed=".2f", tuned=".2f", rise=".3f"),
            [charts.rule(1)],
        ),
    )
