"""An optimizer's own page: what it is, what it costs, how it did and how it was tuned."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.analysis import tuning
from benchmark.report import text
from benchmark.report.study import Study

if TYPE_CHECKING:
    from benchmark.report.site import Site

TOLERANCE = 0.01  # nats: a loss this close to the best still counts as well tuned


def write(site: "Site", study: Study, folder: str) -> None:
    """Write optimizers/index.html and optimizers/<name>.html."""
    shared = {"here": "Optimizers", "filename": "optimizers/index.html"}
    tolerance = (
        tuning.lr_tolerance(study.runs, TOLERANCE) if len(study.runs) else pd.DataFrame(columns=["optimizer"])
    )
    entries = [(o, study.titles[o], facts) for o, facts in study.optimizers.items()]
    site.write(
        f"{folder}/optimizers/index.html",
        "optimizers.html",
        study,
        heading="Optimizers",
        entries=entries,
        **shared,
    )
    for name in study.optimizers:
        path = f"{folder}/optimizers/{site.env.filters['slug'](name)}.html"
        mine = tolerance[tolerance["optimizer"] == name]
        site.write(path, "optimizer.html", study, **shared, **_context(study, name, mine))


def _context(study: Study, name: str, tolerance: pd.DataFrame) -> dict[str, Any]:
    facts = study.optimizers[name]
    runs = study.runs[study.runs["optimizer"] == name]
    rows = study.speedups[study.speedups["optimizer"] == name]
    return {
        "heading": study.titles[name],
        "name": name,
        "facts": facts,
        "cost": _cost(study, runs),
        "results": [
            (r.task, text.times(r.speedup), text.interval(r.lo, r.hi), text.verdict(str(r.verdict)),
             f"{text.fixed(r.val_loss)} ± {text.fixed(r.val_loss_sd)}", int(r.n), r.flags)
            for r in rows.itertuples()
        ],
        "settings": _settings(study, name),
        "space": [
            (hp, text.value(axis.get("grid")), text.value(axis.get("start")), str(axis.get("scale", "")))
            for hp, axis in sorted(facts.get("space", {}).items())
        ],
        "stability": _stability(runs, tolerance),
        "tolerance": TOLERANCE,
    }  # fmt: skip


def _cost(study: Study, runs: pd.DataFrame) -> list[tuple[str, str]]:
    """Measured state and arithmetic; medians over finished runs."""
    done = runs[runs["status"] == "finished"]
    declared = [study.by_id[i].facts.get("state_floats_per_param") for i in done["trial_id"]]
    declared = [d for d in declared if text.is_number(d)]
    share = (done["optimizer_flops"] / done["model_flops"])[done["model_flops"] > 0]
    found = []
    if declared:
        found.append(("Optimizer state, floats per parameter", f"{min(declared):.2f} to {max(declared):.2f}"
                      if max(declared) - min(declared) > 0.005 else f"{declared[0]:.2f}"))  # fmt: skip
    if len(share):
        found.append(
            (f"FLOPs of the update / of the model (n = {len(share)} runs)", text.share(float(share.median())))
        )
    return found


def _settings(study: Study, name: str) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the best hyperparameters: one row per hyperparameter, one column per task."""
    winners = {t.name: study.cell(name, t.name).get("winner") for t in study.tasks}
    winners = {task: winner for task, winner in winners.items() if winner}
    names = sorted({hp for winner in winners.values() for hp in winner})
    return ["Hyperparameter", *winners], [
        [hp, *(text.value(w.get(hp)) for w in winners.values())] for hp in names
    ]


def _stability(runs: pd.DataFrame, tolerance: pd.DataFrame) -> list[tuple[Any, ...]]:
    """Per task: runs, how many diverged or failed, and the width of the good learning rates."""
    widths = {
        row.task: f"{'≥ ' if row.at_least else ''}{row.octaves:.1f} octaves ({row.rates} rates)"
        for row in tolerance.itertuples()
    }
    found = []
    for task, group in runs.groupby("task", sort=False):
        diverged, failed = (int((group["status"] == s).sum()) for s in ("diverged", "failed"))
        found.append((task, len(group), diverged, failed, widths.get(task, text.MISSING)))
    return found
