"""One task's board: every optimizer with all that a reader needs to judge it, as data."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from benchmark import scales
from benchmark.described import TaskFacts
from benchmark.frames import rows as dicts
from benchmark.frames import where
from benchmark.machine import REPEATS
from benchmark.report import text
from benchmark.report.addresses import slug
from benchmark.study import Study

BADGES = {  # what a badge means, by its words before a colon
    "optimum on edge": "the best value lies at the end of what was tried: a better one may lie beyond",
    "unequal budget": "fewer tuning trials than the others had",
    "skipped": "this optimizer cannot run this task",
    "no trial finished": "every tuning trial diverged or failed",
    "not run by this project": "measured by others: neither tuned nor run here",
    "single seed": "one report seed: nothing is known of the noise of this cell",
    "extrapolated": "its loss lies outside the baseline's losses: the speedup rests on the fitted curve",
    "diverged seeds": "at least one report run diverged",
    "other CPU": "its report runs and the baseline's are not known to be of one CPU type."
    f" {REPEATS} No interval here holds that",
    "incomplete": "the search or its report runs are not finished",
}


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
    """One optimizer on one task, every number with what it rests on. speedups: by metric."""

    optimizer: str
    title: str
    family: str
    is_baseline: bool
    band: tuple[int, int] | None
    speedups: Mapping[str, Speedup]
    val_loss: float
    val_loss_sd: float
    outcome: str
    n: int
    trials: int
    tuning_tokens: float
    state_bytes_per_param: float | None
    overhead: float | None
    timed_apart: bool
    badges: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Board:
    """One task's table.

    one: where the baseline's 1 lies on each metric's bar, in percent. shared: the badges that every row would
    carry, said once. figure: the name of its files for a paper, empty where there is nothing to draw.
    """

    task: TaskFacts
    rows: list[Row]
    one: Mapping[str, float]
    shared: Mapping[str, str]
    figure: str

    def key(self, row: Row) -> str:
        """The row's id on the page and the name of its cell's files."""
        return slug(f"{row.optimizer}/{self.task.name}")

    @property
    def metrics(self) -> dict[str, Any]:
        """For the script: what the speedup's cells show when another metric than tokens is chosen."""
        others = {self.key(r): _others(r.speedups) for r in self.rows if not r.is_baseline}
        return {"one": self.one, "rows": {key: found for key, found in others.items() if found}}


def board(study: Study, task: TaskFacts) -> Board:
    """The rows of a task, best loss first; an optimizer without a finished report run comes last."""
    found = {r["optimizer"]: r for r in dicts(study.results_for(task.name))}
    waiting = [o for o in study.optimizers if o not in found and _is_open(study, o, task.name)]
    tables = {metric: where(table, task=task.name) for metric, table in study.metrics.items()}
    axes = {metric: bar_axis(table) for metric, table in tables.items()}
    rows = []
    for optimizer in [*found, *waiting]:
        speedups = {m: _speedup(study, optimizer, table, axes[m]) for m, table in tables.items()}
        rows.append(_row(study, task, optimizer, found.get(optimizer), speedups))
    shared = _shared(rows)
    rows = [replace(r, badges={k: v for k, v in r.badges.items() if k not in shared}) for r in rows]
    ones = {metric: place(1.0, axis) for metric, axis in axes.items()}
    drawn = any(text.is_number(r.speedups["tokens"].speedup) and not r.is_baseline for r in rows)
    return Board(task, rows, ones, shared, f"leaderboard-{task.name}" if drawn else "")


def _is_open(study: Study, optimizer: str, task: str) -> bool:
    """Whether a cell without results will have some, or has tried in vain: an opening's is merely passed on."""
    cell = study.cell(optimizer, task)
    return bool(cell) and not (cell["complete"] and study.winners(optimizer, task))


def _shared(rows: Sequence[Row]) -> dict[str, str]:
    """The badges that every row carries, of three rows or more; "extrapolated" is never the baseline's."""
    if len(rows) < 3:
        return {}
    common = set.intersection(*(set(r.badges) | ({"extrapolated"} if r.is_baseline else set()) for r in rows))
    return {name: meaning for r in rows for name, meaning in r.badges.items() if name in common}


def meanings(boards: Sequence[Board]) -> dict[str, str]:
    """Every kind of badge on the page with its meaning; those that say it themselves are left out."""
    seen = {name: meaning for b in boards for r in b.rows for name, meaning in {**r.badges, **b.shared}.items()}
    return {_kind(name): meaning for name, meaning in sorted(seen.items()) if meaning != name}


def _others(speedups: Mapping[str, Speedup]) -> dict[str, dict[str, Any]]:
    return {
        metric: {
            "sort": text.number(s.speedup),
            "point": text.times(s.speedup),
            "interval": s.interval,
            "verdict": s.verdict,
            "label": text.verdict(s.verdict),
            "bar": s.bar,
        }
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
    spent = study.tuned_by(optimizer, task.name)
    tuning = study.runs.loc[study.runs["trial_id"].isin(list(spent))] if spent else where(runs, use="tuning")
    known = result or {"val_loss": math.nan, "val_loss_sd": math.nan, "n": 0}
    return Row(
        optimizer=optimizer,
        title=study.titles.get(optimizer, optimizer),
        family=str(study.optimizers[optimizer]["family"]),
        is_baseline=optimizer == study.baseline,
        band=study.bands.get((optimizer, task.name)),
        speedups=speedups,
        val_loss=known["val_loss"],
        val_loss_sd=known["val_loss_sd"],
        outcome="diverged" if result is not None and not known["n"] else "not yet",
        n=int(known["n"]),
        trials=len(tuning),
        tuning_tokens=float(sum(tuning["tokens"])),
        state_bytes_per_param=_state(runs, task),
        overhead=_overhead(study, optimizer, task.name),
        timed_apart=study.timed_apart(optimizer, task.name),
        badges=_badges(study, optimizer, task.name, result),
    )


def _badges(study: Study, optimizer: str, task: str, result: dict[str, Any] | None) -> dict[str, str]:
    cell = study.cell(optimizer, task)
    found = {str(b): BADGES.get(_kind(b), str(b)) for b in cell.get("badges", ())}
    checks = {"incomplete": bool(cell) and not cell.get("complete", True)}
    if result is not None:
        checks["single seed"] = result["n"] == 1
        checks["extrapolated"] = bool(result["extrapolated"]) and optimizer != study.baseline
        checks["other CPU"] = study.mixes_cpus(optimizer, task)
        checks["diverged seeds"] = "diverged seeds" in result["flags"]
        unlawful = [f for f in str(result["flags"]).split("; ") if "no law" in f and f not in found]
        found |= dict.fromkeys(["no law"] if unlawful else [], "; ".join(unlawful))
    return found | {name: BADGES[name] for name, holds in checks.items() if holds}


def _kind(badge: str) -> str:
    """A badge's words before a colon, and before the searches that it is said of."""
    return badge.partition(":")[0].partition(" (search")[0]


def _state(runs: pd.DataFrame, task: TaskFacts) -> float | None:
    """Measured optimizer state per parameter (embeddings included), in bytes."""
    if task.scale not in scales.SCALES or not len(runs):
        return None
    measured = [b for b in runs["state_bytes"] if b > 0]
    return statistics.median(measured) / scales.SCALES[task.scale].total_params if measured else None


def _overhead(study: Study, optimizer: str, task: str) -> float | None:
    """Time of a step against the baseline's, less one."""
    found = dicts(where(study.step_overheads, optimizer=optimizer, task=task))
    return float(found[0]["step_overhead"]) if found else None


def _speedup(study: Study, optimizer: str, table: pd.DataFrame, axis: tuple[float, float]) -> Speedup:
    found = dicts(where(table, optimizer=optimizer))
    if not found:
        return Speedup(math.nan, math.nan, math.nan, "")
    row = found[0]
    point, lo, hi = row["speedup"], row["lo"], row["hi"]
    verdict = str(row["verdict"])
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
