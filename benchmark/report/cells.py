"""A page for every cell (one optimizer on one task): its curves, best hyperparameters, command and records.

The same content is written as a small script beside the page: the leaderboard's row opens with it, also from a
file:// address, where no page may fetch another.
"""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.report import style, text
from benchmark.report.frames import column, groups, rows, where
from benchmark.report.lines import line_chart
from benchmark.report.study import Study, TaskFacts

if TYPE_CHECKING:
    from benchmark.report.site import Site


def write(site: "Site", study: Study, folder: str) -> None:
    """Write cells/<optimizer>--<task>.html and .js for every cell that has runs or was asked for."""
    curves = groups(where(study.curves, role="report"), "trial_id")
    flags = {(r["optimizer"], r["task"]): r["flags"] for r in rows(study.speedups)}
    by_task = groups(study.runs, "task")
    for optimizer in study.optimizers:
        for task in study.tasks:
            there = by_task[task.name] if task.name in by_task else study.runs.iloc[:0]
            runs, baseline = where(there, optimizer=optimizer), where(there, optimizer=study.baseline)
            if not len(runs) and not study.cell(optimizer, task.name):
                continue
            context = _context(study, optimizer, task, runs, baseline, curves)
            context["flags"] = flags.get((optimizer, task.name), "")
            name = site.env.filters["slug"](f"{optimizer}/{task.name}")
            path, heading = f"{folder}/cells/{name}", f"{context['title']} at {task.name}"
            site.write(f"{path}.html", "cell.html", study, heading=heading, open=True, **context)
            body = site.render("cell_body.html", root="../../", base="../", open=False, study=study, **context)
            site.text(f"{path}.js", f"cell({text.script_json(name)},{text.script_json(body)});\n")


def _context(
    study: Study,
    optimizer: str,
    task: TaskFacts,
    runs: pd.DataFrame,
    baseline: pd.DataFrame,
    curves: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    series = _curves(runs, curves)
    beside = [] if optimizer == study.baseline else _curves(baseline, curves)
    title = study.titles.get(optimizer, optimizer)
    rates = column(runs, "hp.peak_lr")
    return {
        "optimizer": optimizer,
        "title": title,
        "task": task,
        "curve": line_chart(series, style.look(optimizer)[0], f"Loss curves of {title} at {task.name}", beside),
        "beside": len(beside),
        "seeds": len(series),
        "winner": [(name, text.value(v)) for name, v in sorted(study.winner(optimizer, task.name).items())],
        "command": command(study, optimizer, task.name),
        "records": rows(runs.assign(peak_lr=rates).sort_values(["role", "finished_at", "trial_id"])),
    }


def _curves(runs: pd.DataFrame, curves: Mapping[str, pd.DataFrame]) -> list[list[tuple[float, float]]]:
    found = [curves[i] for i in where(runs, role="report")["trial_id"] if i in curves]
    return [list(zip(c["tokens"], c["val_loss"], strict=True)) for c in found]


def command(study: Study, optimizer: str, task: str) -> str:
    """What to type to run a cell again: tuning, replicates and report runs."""
    if study.theirs:
        return "# published figures: there is nothing here to run again"
    words = ["python", "-m", "sweeps", str(study.manifest["name"]), "--optimizers", optimizer, "--tasks", task]
    words += ["--backend", str(study.manifest.get("backend", "jax"))]
    return shlex.join(words)
