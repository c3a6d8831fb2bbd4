"""The tuning page's figures: searches as they went, what transfer costs, what an untuned baseline makes."""

from typing import Any

import numpy as np
import pandas as pd

from benchmark.described import TaskFacts
from benchmark.frames import rows, where
from benchmark.report import charts, text
from benchmark.report.figures import Figure
from benchmark.report.plot import Axis, Lines, Tiles
from benchmark.study import Study

MOST_POINTS = 24  # of one line: what a reader can tell apart


def _trials(title: str, most: int) -> Axis:
    """An axis of counts: whole numbers, ten of them or fewer."""
    step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 1000) if most <= 10 * s or s == 1000)
    return Axis(title, ticks=sorted({1, *range(step, most + 1, step)}), labels="whole")


def best_so_far(study: Study, task: TaskFacts, searches: pd.DataFrame) -> Figure | None:
    """The lowest validation loss after each tuning trial, in the order tried: a point at each improvement."""
    frame = where(searches, task=task.name, search="coordinate")
    most = max(frame["trial"], default=0)
    if most < 2:
        return None
    last = ~frame.duplicated("optimizer", keep="last").to_numpy()
    better = ~frame.duplicated(["optimizer", "best"]).to_numpy()
    frame = frame.loc[better | last, ["optimizer", "trial", "best"]]
    tips = {"trial": "d", "best": ".4f"}
    return Figure(
        f"best-{task.name}",
        f"Best so far at {task.name}",
        f"Line chart: lowest validation loss so far against tuning trials at {task.name}, one line per"
        " optimizer.",
        "In the order in which trials were tried, n = 1 tuning seed a trial. The search knows where it starts,"
        " so this is not what random trials would have given.",
        Lines(
            _trials("Tuning trials spent, diverged ones included", int(most)),
            Axis(f"Best validation {charts.LOSS}"),
            charts.series(study, frame, "trial", "best", tips),
            tips,
            step=True,
        ),
    )


def best_of_k(study: Study, task: TaskFacts, expected: pd.DataFrame) -> Figure | None:
    """The expected best of k independent random trials."""
    frame = where(expected, task=task.name)
    if not len(frame):
        return None
    most = int(max(frame["k"]))
    shown = set(np.unique(np.geomspace(1, most, MOST_POINTS).round()))
    frame = frame.loc[frame["k"].isin(sorted(shown)), ["optimizer", "k", "expected", "n"]]
    counts = text.value(sorted({int(n) for n in frame["n"]}))
    tips = {"k": "d", "expected": ".4f", "n": "d"}
    return Figure(
        f"random-{task.name}",
        f"Expected best of k at {task.name}",
        f"Line chart: expected lowest validation loss of k random trials at {task.name}, one line per"
        " optimizer.",
        f"From random-search trials alone (n = {counts} trials an optimizer), averaged over all subsets of k.",
        Lines(
            _trials("Random-search trials, k", most),
            Axis(f"Expected best validation {charts.LOSS}"),
            charts.series(study, frame, "k", "expected", tips),
            tips,
        ),
    )


def transfer_matrix(study: Study, task: TaskFacts, transfer: pd.DataFrame) -> Figure | None:
    """What it costs to take one optimizer's learning rate for another: a heat map of real trials."""
    frame = where(transfer, task=task.name)
    frame = frame.loc[frame["source"] != frame["target"]]
    if not frame["cost"].notna().any():
        return None
    cells = [
        (
            study.titles[r["source"]],
            study.titles[r["target"]],
            float(r["cost"]) if text.is_number(r["cost"]) and r["cost"] < 100 else None,
            _cost(r["cost"]),
        )
        for r in rows(frame)
    ]
    present = {name for source, target, _, _ in cells for name in (source, target)}
    order = [title for title in study.titles.values() if title in present]
    return Figure(
        f"transfer-{task.name}",
        f"Blind transfer of the learning rate at {task.name}",
        "Heat map: loss above its own best when an optimizer uses the learning rate tuned for another, at"
        f" {task.name}.",
        "Nats/token above the target's own best (lower is better), from trials that were run, n = 1 each; –"
        " where no such trial was run, ∞ where it diverged.",
        Tiles("Learning rate tuned for", "Used by", order, order, cells),
        wide=True,
    )


def _cost(cost: Any) -> str:
    return text.fixed(cost, 3) if text.is_number(cost) else text.MISSING


def under_tuned(study: Study, task: TaskFacts, claims: pd.DataFrame) -> Figure | None:
    """The speedup that would have been claimed over a baseline left at each learning rate."""
    frame = where(claims, task=task.name)
    if len(frame):
        frame = frame.loc[(frame["optimizer"] != study.baseline) & (frame["claimed"] < 20)]
    rates = sorted(set(frame["peak_lr"])) if len(frame) else []
    if len(rates) < 3:  # a model's search leaves too few that differ in the rate and little else
        return None
    tips = {"peak_lr": ".3g", "claimed": ".2f", "tuned": ".2f", "rise": ".3f"}
    ticks = [k / 10 for k in (2, 4, 6, 8, 10, 12, 15, 20, 30, 40, 60, 100, 200)]
    return Figure(
        f"claimed-{task.name}",
        f"What an under-tuned baseline would have made of it at {task.name}",
        f"Line chart: speedup over a baseline left at each learning rate, at {task.name}, one line per"
        " optimizer.",
        "Each optimizer stays at its best; only the baseline's learning rate moves (its other settings are the"
        " best tried at that rate). The lowest point of a line is the honest one; the dashed line at 1 is"
        f" {study.baseline_title} itself. n = the report seeds of the leaderboard.",
        Lines(
            Axis(f"Peak learning rate of {study.baseline_title}", log=True, ticks=rates),
            Axis("Claimed speedup in tokens (×)", log=True, ticks=ticks),
            charts.series(study, frame, "peak_lr", "claimed", tips),
            tips,
            guides=[charts.level(rates[0], rates[-1])],
        ),
    )
