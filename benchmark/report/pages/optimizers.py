"""An optimizer's own page: what it is, what it costs, how it did and how it was tuned."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from benchmark.frames import groups, rows, where
from benchmark.recorded import SPACING
from benchmark.report import text
from benchmark.report.addresses import slug
from benchmark.report.site import Site
from benchmark.report.table import (
    FLAGS,
    INTERVAL,
    SEEDS,
    SPEEDUP,
    TASK,
    VERDICT,
    Column,
    Table,
    fixed,
    named,
    numbers,
)
from benchmark.study import GOOD, Study

LABEL, ORDER, FILE = "Optimizers", 50, "optimizers/index.html"
HYPERPARAMETER = Column("hyperparameter", "Hyperparameter")
HYPERPARAMETER_LAW = (
    "Laws h(N, r) = A N^B r^C + E through the best hyperparameters (N: non-embedding parameters, r: Chinchilla"
    " ratio), with 95 % intervals; a task's value is the mean of its searches, which are replicates; the"
    " held-out error is at the task of largest compute, by the law of the others"
)
LOSS_LAW = "Law L(N, D) = A N^B + F D^C + E of the test loss (nats/token; D: tokens), with 95 % intervals"
LAW_POINTS = 3  # tasks: through fewer runs every law
UNTOLD = "not fitted"  # a part of a law that these tasks cannot tell


def write(site: Site, study: Study) -> None:
    """Write optimizers/index.html and optimizers/<name>.html."""
    builds = site.parity
    entries = [(o, study.titles[o], facts) for o, facts in study.optimizers.items()]
    site.put(study, FILE, {"heading": "Optimizers", "entries": entries}, "optimizers.html", LABEL)
    for name in study.optimizers:
        same_rule = "@" in study.optimizers[name]["rule"]  # a user's file may share a built-in's name
        twins = builds.get(name, []) if same_rule and not study.theirs else []
        context = {**page(study, name), "parity": twins}
        site.put(study, f"optimizers/{slug(name)}.html", context, "optimizer.html", LABEL, menu=FILE)


def page(study: Study, name: str) -> dict[str, Any]:
    runs = where(study.runs, optimizer=name)
    own = [r | {"hyperparameter": r["key"][1]} for r in study.laws if r["key"][0] == name]
    losses = [r | {"quantity": study.loss_name} for r in study.loss_laws if r["key"] == name]
    return {
        "heading": study.titles[name],
        "name": name,
        "facts": study.optimizers[name],
        "cost": _cost(study, runs),
        "results": results(study, name),
        "settings": settings(study, name),
        "choices": choices(study, name),
        "space": space(study, name),
        "laws": law_table(HYPERPARAMETER_LAW, HYPERPARAMETER, own, True),
        "loss_law": law_table(LOSS_LAW, Column("quantity", "Quantity"), losses, False),
        "law_points": LAW_POINTS,
        "ablations": ablations(study, name),
        "stability": stability(runs, where(study.lr_tolerance, optimizer=name)),
    }


def results(study: Study, name: str) -> Table:
    """One row per task: the speedup over the baseline and the loss behind it."""
    columns = (
        TASK,
        SPEEDUP,
        INTERVAL,
        VERDICT,
        numbers("loss", "Test loss ± sd", _mean_and_sd, of=("val_loss", "val_loss_sd")),
        SEEDS,
        FLAGS,
    )
    caption = f"Speedup over {study.baseline_title} and test loss (nats/token, lower is better), by task"
    return Table(caption, columns, rows(where(study.speedups, optimizer=name)))


def _mean_and_sd(mean: float, sd: float) -> str:
    return f"{text.fixed(mean)} ± {text.fixed(sd)}"


def settings(study: Study, name: str) -> Table:
    """The best hyperparameters: one row per hyperparameter, one column per task, its searches together."""
    found = {task: chosen for task, chosen in _winners(study, name).items() if chosen}
    names = sorted({hp for chosen in found.values() for winner in chosen for hp in winner})
    columns = (
        HYPERPARAMETER,
        *(
            numbers(task, task, _agreed, unit=text.count(len(chosen), "search", "searches"))
            for task, chosen in found.items()
        ),
    )
    body = [
        {"hyperparameter": hp, **{task: [w.get(hp) for w in chosen] for task, chosen in found.items()}}
        for hp in names
    ]
    caption = "The best setting found, by task; where searches differ, their median and from where to where"
    return Table(caption, columns, body)


def _winners(study: Study, name: str) -> dict[str, list[Mapping[str, Any]]]:
    return {task.name: study.winners(name, task.name) for task in study.tasks}


def _agreed(values: Sequence[Any]) -> str:
    """What the searches of a task chose: one value, median and range of numbers, or how often which word."""
    if all(value == values[0] for value in values):
        return text.value(values[0])
    if all(map(text.is_number, values)):
        ends = f"{text.value(min(values))} to {text.value(max(values))}"
        return f"{text.value(float(f'{statistics.median(values):.3g}'))} ({ends})"
    return ", ".join(f"{text.value(value)} {n}×" for value, n in Counter(values).most_common())


def choices(study: Study, name: str) -> Table:
    """One row per task and search: what it chose of the hyperparameters in which searches differ."""
    found = [
        {"task": task, "search": i, **winner}
        for task, chosen in _winners(study, name).items()
        if len(chosen) > 1
        for i, winner in enumerate(chosen, 1)
    ]
    names = sorted({hp for row in found for hp in row} - {"task", "search"})
    differ = [hp for hp in names if any(row.get(hp) != found[0].get(hp) for row in found)]
    columns = (TASK, numbers("search", "Search"), *(numbers(hp, hp) for hp in differ))
    caption = "What each search chose, of the hyperparameters in which they differ"
    return Table(caption, columns, [dict.fromkeys(differ) | row for row in found], quiet=True)


def space(study: Study, name: str) -> Table:
    """What the search may try of each hyperparameter."""
    columns = (
        HYPERPARAMETER,
        Column("grid", "Grid"),
        Column("start", "Start"),
        Column("spacing", "Beyond an edge"),
    )
    axes = sorted(study.optimizers[name]["space"].items())
    body = [
        {"hyperparameter": hp, "grid": a["grid"], "start": a.get("start"), "spacing": str(a.get(SPACING, ""))}
        for hp, a in axes
    ]
    return Table("What the search may try, before edge extension", columns, body)


def law_table(caption: str, first: Column, laws: list[dict[str, Any]], logarithms: bool) -> Table:
    """Fitted laws, one row each, named by the first column; those through too few tasks are left out. Errors
    are factors where the law is fitted in logarithms, else nats."""
    unit = "factor" if logarithms else "nats"
    spread, error = (_spread, _factor) if logarithms else (fixed(4), fixed(4))
    columns = (
        first,
        numbers("tasks", "n tasks"),
        numbers("searches", "n searches"),
        numbers("B", "B (model size)", _exponent, of=("B", "B_lo", "B_hi")),
        numbers("C", "C (data)", _exponent, of=("C", "C_lo", "C_hi")),
        numbers("E", "E", lambda value: text.value(value) if text.is_number(value) else UNTOLD),
        numbers("search_sd", "Sd of a search", spread, unit=unit),
        numbers("held_out", "Held-out error", error, unit=unit),
        FLAGS,
    )
    return Table(caption, columns, [law for law in laws if law["tasks"] >= LAW_POINTS])


def _exponent(value: float, low: float, high: float) -> str:
    """What the tasks do not tell is not a number, least of all 0."""
    return f"{text.fixed(value, 2)} {text.interval(low, high)}" if text.is_number(value) else UNTOLD


def _spread(sd: float) -> str:
    """A standard deviation of logarithms."""
    return _factor(math.exp(sd) - 1)


def _factor(error: float) -> str:
    return f"×{text.fixed(1 + error, 2)}" if text.is_number(error) else text.MISSING


def ablations(study: Study, name: str) -> Table:
    """What it costs to leave the best value of one hyperparameter, task by task."""
    columns = (
        TASK,
        HYPERPARAMETER,
        numbers("best_value", "Best"),
        named(SEEDS, "n"),
        numbers("median_rise", "Median rise", fixed(4)),
        numbers("max_rise", "Largest rise", fixed(4)),
        numbers("diverged", "Diverged"),
    )
    tried = [r for r in rows(where(study.sensitivity, optimizer=name)) if r["n"] + r["diverged"] > 0]
    caption = (
        "Rise in validation loss, nats/token, when one hyperparameter leaves its best value (n neighbours, one"
        " tuning seed each unless replicated)"
    )
    return Table(caption, columns, tried)


def _cost(study: Study, runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Declared state and counted arithmetic; the median over finished runs."""
    done = where(runs, status="finished")
    declared = [study.by_id[str(i)].facts.get("state_floats_per_param", "") for i in done["trial_id"]]
    floats = sorted({round(float(d), 2) for d in declared if text.is_number(d)})
    counted = [r["optimizer_flops"] / r["model_flops"] for r in rows(done) if r["model_flops"] > 0]
    found = []
    if floats:
        spread = f"{floats[0]:g} to {floats[-1]:g}" if len(floats) > 1 else f"{floats[0]:g}"
        found.append(("Optimizer state, floats per parameter", spread))
    if len(counted):
        share = statistics.median(counted)
        found.append((f"FLOPs of the update, share of the model's (n = {len(counted)} runs)", f"{share:.1%}"))
    return found


def stability(runs: pd.DataFrame, tolerance: pd.DataFrame) -> Table:
    """Per task: runs, how many diverged or failed, and the width of the good learning rates."""
    columns = (
        TASK,
        numbers("runs", "Runs"),
        numbers("diverged", "Diverged"),
        numbers("share", "Share", lambda diverged, runs: text.share(diverged / runs), of=("diverged", "runs")),
        numbers("failed", "Failed"),
        Column("width", "Learning-rate tolerance", lambda w: _width(w) if w else text.MISSING),
    )
    widths = {r["task"]: r for r in rows(tolerance)}
    body = [
        {
            "task": task,
            "runs": len(mine),
            "diverged": len(where(mine, status="diverged")),
            "failed": len(where(mine, status="failed")),
            "width": widths.get(task),
        }
        for task, mine in groups(runs, "task").items()
    ]
    caption = "Runs by status, and how wide the range of good learning rates is"
    return Table(f"{caption} (within {GOOD} nats/token of the best)", columns, body)


def _width(found: dict[str, Any]) -> str:
    return f"{'≥ ' if found['at_least'] else ''}{found['octaves']:.1f} octaves ({found['rates']} rates)"
