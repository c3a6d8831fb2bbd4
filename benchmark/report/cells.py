"""A page for every cell (one optimizer on one task): its curves, best hyperparameters, command and records.

The same content is written as a small script beside the page: the leaderboard's row opens with it, also from a
file:// address, where no page may fetch another.
"""

import shlex
from typing import TYPE_CHECKING, Any

import pandas as pd

from benchmark.report import style, text
from benchmark.report.lines import line_chart
from benchmark.report.study import Study, TaskFacts

if TYPE_CHECKING:
    from benchmark.report.site import Site


def write(site: "Site", study: Study, folder: str) -> None:
    """Write cells/<optimizer>--<task>.html and .js for every cell that has runs or was asked for."""
    by_cell = dict(list(study.runs.groupby(["optimizer", "task"]))) if len(study.runs) else {}
    curves = dict(list(study.curves.groupby("trial_id"))) if len(study.curves) else {}
    flags = {(r.optimizer, r.task): r.flags for r in study.speedups.itertuples()}
    for optimizer in study.optimizers:
        for task in study.tasks:
            runs = by_cell.get((optimizer, task.name))
            if runs is None and not study.cell(optimizer, task.name):
                continue
            runs = study.runs.iloc[:0] if runs is None else runs
            context = _context(study, optimizer, task, runs, curves)
            context["flags"] = flags.get((optimizer, task.name), "")
            name = site.env.filters["slug"](context["key"])
            path = f"{folder}/cells/{name}"
            site.write(
                f"{path}.html",
                "cell.html",
                study,
                heading=f"{context['title']} at {task.name}",
                open=True,
                **context,
            )
            body = site.render("cell_body.html", root="../../", base="../", open=False, **context)
            site.text(f"{path}.js", f"cell({text.script_json(name)},{text.script_json(body)});\n")


def _context(
    study: Study, optimizer: str, task: TaskFacts, runs: pd.DataFrame, curves: dict[Any, pd.DataFrame]
) -> dict[str, Any]:
    report = runs[runs["role"] == "report"]
    drawn = [curves[i] for i in report["trial_id"] if i in curves]
    series = [list(zip(c["tokens"], c["val_loss"], strict=True)) for c in drawn]
    title = study.titles.get(optimizer, optimizer)
    winner = study.cell(optimizer, task.name).get("winner") or _hyperparameters(study, report)
    lr = runs["hp.peak_lr"] if "hp.peak_lr" in runs else pd.Series(float("nan"), runs.index)
    return {
        "key": f"{optimizer}/{task.name}",
        "optimizer": optimizer,
        "title": title,
        "task": task,
        "curve": line_chart(series, style.look(optimizer)[0], f"Loss curves of {title} at {task.name}"),
        "seeds": len(series),
        "winner": [(name, text.value(v)) for name, v in sorted(winner.items())],
        "command": command(study, optimizer, task.name),
        "records": runs.assign(peak_lr=lr).sort_values(["role", "finished_at"]).to_dict("records")
        if len(runs)
        else [],
    }


def _hyperparameters(study: Study, report: pd.DataFrame) -> dict[str, Any]:
    ids = list(report["trial_id"])
    return dict(study.by_id[ids[0]].trial.hyperparameters) if ids else {}


def command(study: Study, optimizer: str, task: str) -> str:
    """What to type to run a cell again: tuning, replicates and report runs."""
    if study.theirs:
        return "# published figures: there is nothing here to run again"
    words = ["python", "-m", "sweeps", study.name, "--optimizers", optimizer, "--tasks", task]
    words += ["--backend", str(study.manifest.get("backend", "jax"))]
    return shlex.join(words)
