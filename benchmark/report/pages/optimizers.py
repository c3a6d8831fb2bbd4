"""An optimizer's own page: what it is, what it costs, how it did and how it was tuned."""

import statistics
from typing import Any

import pandas as pd

from benchmark.frames import groups, rows, where
from benchmark.recorded import SPACING
from benchmark.report import text
from benchmark.report.site import Site, slug
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
from benchmark.searched import GOOD
from benchmark.study import Study

LABEL, ORDER, FILE = "Optimizers", 50, "optimizers/index.html"
HYPERPARAMETER = Column("hyperparameter", "Hyperparameter")
HYPERPARAMETER_LAW = (
    "Laws h(N, r) = A N^B r^C + E through the best hyperparameters (N: non-embedding parameters, r: Chinchilla"
    " ratio), with 95 % intervals"
)
LOSS_LAW = "Law L(N, D) = A N^B + F D^C + E of the test loss (nats/token; D: tokens), with 95 % intervals"
LAW_POINTS = 3  # tasks: through fewer points runs every law


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
        "space": space(study, name),
        "laws": law_table(HYPERPARAMETER_LAW, HYPERPARAMETER, own),
        "loss_law": law_table(LOSS_LAW, Column("quantity", "Quantity"), losses),
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
    """The best hyperparameters: one row per hyperparameter, one column per task and search."""
    found = {t.name: study.winners(name, t.name) for t in study.tasks}
    winners = {
        f"{task}, search {i}" if len(chosen) > 1 else task: winner
        for task, chosen in found.items()
        for i, winner in enumerate(chosen, 1)
    }
    names = sorted({hp for winner in winners.values() for hp in winner})
    columns = (HYPERPARAMETER, *(numbers(place, place) for place in winners))
    body = [{"hyperparameter": hp, **{place: w.get(hp) for place, w in winners.items()}} for hp in names]
    return Table("The best setting that the search found, by task", columns, body)


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


def law_table(caption: str, first: Column, laws: list[dict[str, Any]]) -> Table:
    """Fitted laws, one row each, named by the first column; those through too few tasks are left out."""
    columns = (
        first,
        numbers("points", "n tasks"),
        numbers("B", "B (model size)", _exponent, of=("B", "B_lo", "B_hi")),
        numbers("C", "C (data)", _exponent, of=("C", "C_lo", "C_hi")),
        numbers("E", "E"),
        numbers("held_out", "Held-out error"),
        FLAGS,
    )
    return Table(caption, columns, [law for law in laws if law["points"] >= LAW_POINTS])


def _exponent(value: float, low: float, high: float) -> str:
    return f"{text.fixed(value, 2)} {text.interval(low, high)}"


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
