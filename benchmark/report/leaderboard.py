"""The leaderboard's rows: everything a reader needs to judge one optimizer on one task."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from markupsafe import Markup

from benchmark import scales
from benchmark.report import charts, sentence, text
from benchmark.report.study import Study, TaskFacts

LABELS = {  # what a badge says when it is pointed at
    "single seed": "one report seed: nothing is known of the noise of this cell",
    "extrapolated": "its loss lies outside the baseline's measured ratios, so the speedup rests on the fitted curve",
    "diverged seeds": "at least one report run diverged",
    "incomplete": "the search or its report runs are not finished",
}


METRICS = {"tokens": "tokens"}


@dataclass(frozen=True)
class Column:
    """A column of the table. `metric`: shown only while that metric is chosen."""

    key: str
    label: str
    unit: str = ""
    kind: str = "num"
    metric: str = ""


@dataclass(frozen=True)
class Speedup:
    """How many times more of a resource the baseline needs for the same loss."""

    speedup: float
    lo: float
    hi: float
    verdict: str
    bar: Markup = Markup("")

    @property
    def interval(self) -> str:
        return text.interval(self.lo, self.hi)


@dataclass(frozen=True)
class Row:
    """One optimizer on one task, every number with what it rests on."""

    key: str
    optimizer: str
    title: str
    family: str
    is_baseline: bool
    band: tuple[int, int] | None
    speedups: Mapping[str, "Speedup"]
    val_loss: float
    val_loss_sd: float
    n: int
    trials: int
    tuning_tokens: float
    state_bytes_per_param: float | None
    overhead: float | None
    badges: Mapping[str, str] = field(default_factory=dict)
    flags: str = ""

    @property
    def rank(self) -> str:
        if self.band is None:
            return text.MISSING
        low, high = self.band
        return str(low) if low == high else f"{low}–{high}"


def rows(study: Study, task: TaskFacts) -> list[Row]:
    """The rows of a task, best loss first; an optimizer without a finished report run comes last."""
    found = study.results_for(task.name)
    asked = [o for o in study.optimizers if study.cell(o, task.name) or o in set(found["optimizer"])]
    order = [*found["optimizer"], *[o for o in asked if o not in set(found["optimizer"])]]
    by_name = {row.optimizer: row for row in found.itertuples()}
    return [_row(study, task, o, by_name.get(o)) for o in order]


def _row(study: Study, task: TaskFacts, optimizer: str, result: Any) -> Row:
    facts = study.optimizers.get(optimizer, {})
    runs = study.runs[(study.runs["optimizer"] == optimizer) & (study.runs["task"] == task.name)]
    tuning = runs[runs["role"] == "tuning"]
    missing = float("nan")
    return Row(
        key=f"{optimizer}/{task.name}",
        optimizer=optimizer,
        title=study.titles.get(optimizer, optimizer),
        family=str(facts.get("family", "")),
        is_baseline=optimizer == study.baseline,
        band=study.bands.get((optimizer, task.name)),
        speedups=_speedups(study, task, optimizer),
        val_loss=result.val_loss if result else missing,
        val_loss_sd=result.val_loss_sd if result else missing,
        n=int(result.n) if result else 0,
        trials=len(tuning),
        tuning_tokens=float(tuning["tokens"].sum()),
        state_bytes_per_param=_state(runs, task),
        overhead=_overhead(study, optimizer, task.name),
        badges=_badges(study, task.name, optimizer, result),
        flags=str(result.flags) if result else "",
    )


def _badges(study: Study, task: str, optimizer: str, result: Any) -> dict[str, str]:
    cell = study.cell(optimizer, task)
    found = {str(b): LABELS.get(str(b), str(b)) for b in cell.get("badges", ())}
    if cell and not cell.get("complete", True):
        found["incomplete"] = LABELS["incomplete"]
    if result is None:
        return found
    checks = {
        "single seed": result.n == 1,
        "extrapolated": bool(result.extrapolated) and optimizer != study.baseline,
        "diverged seeds": "diverged seeds" in result.flags,
    }
    return found | {name: LABELS[name] for name, holds in checks.items() if holds}


def _state(runs: pd.DataFrame, task: TaskFacts) -> float | None:
    """Measured optimizer state per parameter (embeddings included), in bytes."""
    if runs.empty or task.scale not in scales.SCALES:
        return None
    measured = runs.loc[runs["state_bytes"] > 0, "state_bytes"]
    return None if measured.empty else float(measured.median()) / scales.SCALES[task.scale].total_params


def _overhead(study: Study, optimizer: str, task: str) -> float | None:
    """Time of a step against the baseline's, less one: medians at one batch size on one machine."""
    runs = study.runs
    if runs.empty or optimizer == study.baseline:
        return None
    timed = runs[(runs["task"] == task) & (runs["status"] == "finished") & (runs["step_seconds"] > 0)]
    steps = timed.groupby(["machine", "batch_size", "optimizer"])["step_seconds"].median().unstack()
    if optimizer not in steps or study.baseline not in steps:
        return None
    ratio = (steps[optimizer] / steps[study.baseline]).dropna()
    return None if ratio.empty else float(ratio.median()) - 1


def _speedups(study: Study, task: TaskFacts, optimizer: str) -> dict[str, Speedup]:
    """The speedup in every metric, with its bar on the axis that the task's rows share."""
    found = {}
    for metric in METRICS:
        table = study.results_for(task.name)
        mine = table[table["optimizer"] == optimizer]
        if mine.empty:
            found[metric] = Speedup(math.nan, math.nan, math.nan, "")
            continue
        row = mine.iloc[0]
        verdict = "baseline" if optimizer == study.baseline else str(row.verdict)
        drawn = bar(row.speedup, row.lo, row.hi, bar_axis(table))
        found[metric] = Speedup(row.speedup, row.lo, row.hi, verdict, drawn)
    return found


def bar_axis(table: pd.DataFrame) -> tuple[float, float]:
    """The ends of the bars' common axis: it holds 1 and every number between 1/4 and 4."""
    ends = pd.concat([table["speedup"], table["lo"], table["hi"]])
    ends = ends[(ends >= 0.25) & (ends <= 4)]
    return min([*ends, 0.9]) / 1.03, max([*ends, 1.1]) * 1.03


def bar(point: float, lo: float, hi: float, axis: tuple[float, float]) -> Markup:
    """An interval with its point and a line at 1 on a log axis, as inline SVG without a word: the numbers are
    beside it."""
    if not text.is_number(point):
        return Markup("")
    lo, hi = (lo if text.is_number(lo) else point), (hi if text.is_number(hi) else point)
    one, at, left, right = (_place(v, axis) for v in (1.0, point, lo, hi))
    return Markup(
        f'<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="one" d="M{one} 0V10"/><path class="span" d="M{left} 5H{right}"/>'
        f'<path class="point" d="M{at} 1V9"/></svg>'
    )


def _place(value: float, axis: tuple[float, float]) -> float:
    low, high = axis
    return round(100 * math.log(min(max(value, low), high) / low) / math.log(high / low), 1)


def columns() -> list[Column]:
    """The table's columns, in order."""
    speedup = [
        Column(key, label, unit, "text", metric)
        for metric, name in METRICS.items()
        for key, label, unit in (("speedup", f"Speedup in {name}", "95 % interval"), ("verdict", "Verdict", ""))
    ]
    return [
        Column("rank", "Rank", "band"),
        Column("optimizer", "Optimizer", kind="text"),
        Column("family", "Family", kind="text"),
        *speedup,
        Column("loss", "Test loss", "nats/token, mean ± sd"),
        Column("trials", "Trials", "tuning"),
        Column("tokens", "Tokens", "tuning"),
        Column("state", "State", "bytes/param"),
        Column("step", "Step time", "vs baseline"),
        Column("badges", "Notes", kind="text"),
    ]


def page(study: Study) -> dict[str, Any]:
    """What the leaderboard's template needs; the headline's task comes first, for readers without scripts."""
    order = sorted(study.tasks, key=lambda t: t != study.headline)
    figures = []
    if study.headline:
        figures = [
            charts.speedup_by_ratio(study, study.headline.scale),
            charts.loss_curves(study, study.headline),
            charts.lr_sensitivity(study, study.headline),
        ]
    return {
        "heading": "Leaderboard",
        "answer": sentence.lines(study),
        "progress": "",
        "ratios": sorted({t.ratio for t in study.tasks}),
        "metrics": METRICS,
        "columns": columns(),
        "tables": [(task, rows(study, task)) for task in order],
        "figures": figures,
    }
