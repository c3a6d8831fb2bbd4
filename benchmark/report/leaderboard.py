"""The leaderboard: everything a reader needs to judge one optimizer on one task, in one row.

Next: templates/leaderboard.html, which shows it, and static/site.js, which sorts it.
"""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from benchmark import scales
from benchmark.report import charts, progress, sentence, text
from benchmark.report.frames import rows as dicts
from benchmark.report.frames import where
from benchmark.report.study import Study, TaskFacts

BADGES = {  # what a badge says when it is pointed at
    "single seed": "one report seed: nothing is known of the noise of this cell",
    "extrapolated": "its loss lies outside the baseline's losses: the speedup rests on the fitted curve",
    "diverged seeds": "at least one report run diverged",
    "incomplete": "the search or its report runs are not finished",
}


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    key: str
    label: str
    unit: str = ""
    kind: str = "num"


COLUMNS = (
    Column("rank", "Rank", "band"),
    Column("optimizer", "Optimizer", kind="text"),
    Column("family", "Family", kind="text"),
    Column("speedup", "Speedup in tokens", "95 % interval", "text"),
    Column("verdict", "Verdict", kind="text"),
    Column("loss", "Test loss", "nats/token, mean ± sd"),
    Column("trials", "Trials", "tuning"),
    Column("tokens", "Tokens", "tuning"),
    Column("state", "State", "bytes/param"),
    Column("step", "Step time", "vs baseline"),
    Column("badges", "Notes", kind="text"),
)


@dataclass(frozen=True)
class Speedup:
    """How many times more of a resource the baseline needs for the same loss.

    bar: where low end, high end and point lie on the table's common axis, in percent; None without a number.
    """

    speedup: float
    lo: float
    hi: float
    verdict: str
    bar: tuple[float, float, float] | None = None

    @property
    def interval(self) -> str:
        return text.interval(self.lo, self.hi)


@dataclass(frozen=True)
class Row:
    """One optimizer on one task, every number with what it rests on.

    others: what the speedup's cells show instead when another metric than tokens is chosen.
    """

    optimizer: str
    title: str
    family: str
    is_baseline: bool
    band: tuple[int, int] | None
    speedups: Mapping[str, Speedup]
    others: Mapping[str, list[Any]]
    val_loss: float
    val_loss_sd: float
    n: int
    trials: int
    tuning_tokens: float
    state_bytes_per_param: float | None
    overhead: float | None
    badges: Mapping[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> str:
        if self.band is None:
            return text.MISSING
        low, high = self.band
        return str(low) if low == high else f"{low}–{high}"


@dataclass(frozen=True)
class Board:
    """One task's table. `one`: where the baseline's 1 lies on each metric's bar, in percent."""

    task: TaskFacts
    rows: list[Row]
    one: Mapping[str, float]


def board(study: Study, task: TaskFacts) -> Board:
    """The rows of a task, best loss first; an optimizer without a finished report run comes last."""
    found = {r["optimizer"]: r for r in dicts(study.results_for(task.name))}
    waiting = [o for o in study.optimizers if study.cell(o, task.name) and o not in found]
    tables = {metric: where(table, task=task.name) for metric, table in study.metrics.items()}
    axes = {metric: bar_axis(table) for metric, table in tables.items()}
    rows = []
    for optimizer in [*found, *waiting]:
        speedups = {m: _speedup(study, optimizer, table, axes[m]) for m, table in tables.items()}
        rows.append(_row(study, task, optimizer, found.get(optimizer), speedups))
    return Board(task, rows, {metric: place(1.0, axis) for metric, axis in axes.items()})


def _others(speedups: Mapping[str, Speedup]) -> dict[str, list[Any]]:
    return {
        metric: [
            text.number(s.speedup),
            text.times(s.speedup),
            s.interval,
            s.verdict,
            text.verdict(s.verdict),
            *(s.bar or ()),
        ]
        for metric, s in speedups.items()
        if metric != "tokens"
    }


def _row(
    study: Study,
    task: TaskFacts,
    optimizer: str,
    result: dict[str, Any] | None,
    speedups: Mapping[str, Speedup],
) -> Row:
    runs = where(study.runs, optimizer=optimizer, task=task.name)
    tuning = where(runs, role="tuning")
    known = result or {"val_loss": math.nan, "val_loss_sd": math.nan, "n": 0}
    return Row(
        optimizer=optimizer,
        title=study.titles.get(optimizer, optimizer),
        family=str(study.optimizers[optimizer]["family"]),
        is_baseline=optimizer == study.baseline,
        band=study.bands.get((optimizer, task.name)),
        speedups=speedups,
        others=_others(speedups),
        val_loss=known["val_loss"],
        val_loss_sd=known["val_loss_sd"],
        n=int(known["n"]),
        trials=len(tuning),
        tuning_tokens=float(sum(tuning["tokens"])),
        state_bytes_per_param=_state(runs, task),
        overhead=_overhead(study, optimizer, task.name),
        badges=_badges(study.cell(optimizer, task.name), result, optimizer == study.baseline),
    )


def _badges(cell: Mapping[str, Any], result: dict[str, Any] | None, is_baseline: bool) -> dict[str, str]:
    found = {str(b): BADGES.get(str(b), str(b)) for b in cell.get("badges", ())}
    checks = {"incomplete": bool(cell) and not cell.get("complete", True)}
    if result is not None:
        checks["single seed"] = result["n"] == 1
        checks["extrapolated"] = bool(result["extrapolated"]) and not is_baseline
        checks["diverged seeds"] = "diverged seeds" in result["flags"]
    return found | {name: BADGES[name] for name, holds in checks.items() if holds}


def _state(runs: pd.DataFrame, task: TaskFacts) -> float | None:
    """Measured optimizer state per parameter (embeddings included), in bytes."""
    if task.scale not in scales.SCALES or not len(runs):
        return None
    measured = [b for b in runs["state_bytes"] if b > 0]
    return statistics.median(measured) / scales.SCALES[task.scale].total_params if measured else None


def _overhead(study: Study, optimizer: str, task: str) -> float | None:
    """Time of a step against the baseline's, less one: medians at one batch size on one machine."""
    timed = where(study.runs, task=task, status="finished")
    if optimizer == study.baseline or not len(timed):
        return None
    timed = timed.loc[timed["step_seconds"] > 0]
    steps = timed.groupby(["machine", "batch_size", "optimizer"])["step_seconds"].median().unstack()
    if optimizer not in steps or study.baseline not in steps:
        return None
    ratio = (steps[optimizer] / steps[study.baseline]).dropna()
    return float(ratio.median()) - 1 if len(ratio) else None


def _speedup(study: Study, optimizer: str, table: pd.DataFrame, axis: tuple[float, float]) -> Speedup:
    found = dicts(where(table, optimizer=optimizer))
    if not found:
        return Speedup(math.nan, math.nan, math.nan, "")
    row = found[0]
    point, lo, hi = row["speedup"], row["lo"], row["hi"]
    verdict = "baseline" if optimizer == study.baseline else str(row["verdict"])
    if not text.is_number(point):
        return Speedup(point, lo, hi, verdict)
    ends = (lo if text.is_number(lo) else point, hi if text.is_number(hi) else point, point)
    left, right, at = (place(end, axis) for end in ends)
    return Speedup(point, lo, hi, verdict, (left, right, at))


def bar_axis(table: pd.DataFrame) -> tuple[float, float]:
    """The ends of the bars' common axis: it holds 1 and every number between 1/4 and 4."""
    ends = [v for name in ("speedup", "lo", "hi") for v in table[name] if 0.25 <= v <= 4]
    return min([*ends, 0.9]) / 1.03, max([*ends, 1.1]) * 1.03


def place(value: float, axis: tuple[float, float]) -> float:
    """Where a value lies on a log axis, in percent; at its end where it lies outside."""
    low, high = axis
    return round(100 * math.log(min(max(value, low), high) / low) / math.log(high / low), 1)


def page(study: Study) -> dict[str, Any]:
    """What the leaderboard's template needs; the headline's task comes first, for readers without scripts."""
    boards = [b for b in (board(study, task) for task in study.tasks) if b.rows]
    boards.sort(key=lambda b: (b.task != study.headline, len(b.rows) < 2))
    named = [replace(c, label=study.loss_name.capitalize()) if c.key == "loss" else c for c in COLUMNS]
    return {
        "heading": "Leaderboard",
        "answer": sentence.lines(study),
        "progress": progress.line(study),
        "ratios": sorted({b.task.ratio for b in boards}),
        "metrics": list(study.metrics),
        "columns": named,
        "digits": 4 if study.theirs else 3,
        "boards": boards,
        "figures": [charts.speedup_by_ratio(study, study.headline.scale)] if study.headline else [],
    }
